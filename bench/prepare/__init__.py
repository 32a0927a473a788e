"""Apply a recipe: from counts to the matrix that a method requested.

Filters and scalings are those of scanpy (``pp.normalize_total``, ``pp.log1p``,
``pp.highly_variable_genes``, ``pp.scale``), but computed over blocks of cells, so that matrices on
disk need not fit into memory. Tests compare the results.
"""

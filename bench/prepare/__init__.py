"""Carry out a recipe: counts in, the matrix that a method requested out.

Filters and scalings are those of scanpy (``pp.normalize_total``, ``pp.log1p``,
``pp.highly_variable_genes``, ``pp.scale``), but over blocks of cells, so that matrices on the
disk need not fit into memory; tests compare the results.
"""

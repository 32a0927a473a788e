"""Usual names of columns that describe cells or features."""

from __future__ import annotations

import re

_WORDS = frozenset(
    [
        "annotation", "annotations", "barcode", "barcodes", "batch", "cell_type", "celltype",
        "cell_types", "class", "cluster", "clusters", "assigned_cluster", "donor", "ident",
        "label", "labels", "leiden", "louvain", "phase", "sample", "subclass", "chr", "chrom",
        "chromosome", "start", "end", "strand", "length",
    ]
)  # fmt: skip
_PATTERNS = re.compile(
    r"""
      (orig|active|old)[ _.]ident
    | (seurat|cell|kmeans|leiden|louvain)[ _.]clusters?
    | clusters?[ _.](id|label|name|number)s?
    | \w+_snn_res[._][\d.]+
    | (leiden|louvain)[ _.](r|res)?[ _.]?[\d.]+
    | cell[ _.-]?(types?|class|subclass|label|state)([ _.]\w+)?
    | (batch|donor|library|patient|plate|sample|subject)[ _.]?ids?
    | (log1p_|log10_|log_)?n[ _.]?(count|feature|fragment|gene|read|umi)s?([ _.][\w.]+)?
    | (log1p_|log10_|log_)?total[ _.](counts?|features?|fragments?|reads?|umis?)([ _.]\w+)?
    | (pct|percent|percentage|frac|fraction)[ _.]\w[\w.]*
    | (mito|mt|ribo)[ _.](frac|fraction|pct|percent|percentage|ratio)
    | (doublet|scrublet|s|g2m)[ _.]scores?
    | (predicted|is)[ _.]doublets?
    | pANN_[\d._]+
    | size[ _.]?factors?
    | lib(rary)?[ _.]size
    | tss[ _.](enrichment|percentile)
    | nucleosome[ _.](signal|percentile)
    | blacklist[ _.](fraction|ratio)
    | passed_filters | peak_region_fragments
    | (umap|t-?sne)[ _.-]?\d
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Names of columns of cells in Seurat, scanpy, Cell Ranger, Signac and DoubletFinder."""


def is_metadata_name(name: str) -> bool:
    """Return whether a column has a usual name of metadata, in upper or lower case."""
    return name.lower() in _WORDS or bool(_PATTERNS.fullmatch(name))

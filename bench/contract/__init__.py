"""Everything that an author of a method, a dataset or a metric imports.

>>> from bench.contract import RNA, Fit, Method, Parameters, Recipe

Importing it costs little: no array library is loaded.
"""

from .dataset import Card, Dataset, FileLocation, RemoteFile
from .external import External
from .genome import (
    format_peak_names,
    parse_interval,
    peak_intervals,
    ucsc_chromosome,
)
from .markers import Markers, all_genes, keep_known_genes, read_markers
from .method import OPTIONAL_INPUTS, Context, Fit, Knowledge, Method, Reporter
from .metric import (
    CountsTask,
    IntegrationTask,
    Metric,
    MetricResult,
    PairedTasks,
    PairScores,
    PredictedInputs,
    ProteinScores,
    RareTask,
    RecoveryScores,
    TranslationScores,
    TypeScores,
    UndefinedMetric,
)
from .multiome import PARTS, cells_of, check_cells, is_paired, pair_data, select_cells
from .parameters import Layers, Parameters, Search
from .proteins import PROTEINS, protein_counts
from .recipe import (
    ATAC,
    MULTIOME,
    RNA,
    DatasetInfo,
    PairedInfo,
    PairedRecipe,
    Recipe,
    accessible_peaks,
    log_normalized,
)

__all__ = [
    "ATAC", "MULTIOME", "OPTIONAL_INPUTS", "PARTS", "PROTEINS", "RNA", "Card", "Context",
    "CountsTask", "Dataset", "DatasetInfo", "External", "FileLocation", "Fit", "IntegrationTask",
    "Knowledge", "Layers", "Markers", "Method", "Metric", "MetricResult", "PairScores",
    "PairedInfo", "PairedRecipe", "PairedTasks", "Parameters", "PredictedInputs", "ProteinScores",
    "RareTask", "Recipe", "RecoveryScores", "RemoteFile", "Reporter", "Search",
    "TranslationScores", "TypeScores", "UndefinedMetric",
    "accessible_peaks", "all_genes", "cells_of", "check_cells", "format_peak_names", "is_paired",
    "keep_known_genes", "log_normalized", "pair_data", "parse_interval", "peak_intervals",
    "protein_counts", "read_markers", "select_cells", "ucsc_chromosome",
]  # fmt: skip

"""True types by clusters, for the seed with the median score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tables.labels import clustering_label
from .drawing import script_text
from .figure_data import cluster_counts, method_panels

if TYPE_CHECKING:
    import pandas as pd

    from .umaps import UmapPanel


@dataclass(frozen=True)
class Confusion:
    """Numbers of cells of types × clusters, to choose dataset, method and clustering."""

    selectors: list[tuple[str, list[str]]]
    content: str
    """JSON: option numbers → ``types``, ``clusters`` and ``counts``."""


def confusion_matrices(table: pd.DataFrame, panels: list[UmapPanel]) -> Confusion | None:
    """Return the matrices of all competing methods; ``None`` without files.

    ``panels`` hold the job of each method and dataset (:func:`.umaps.choose_panels`).
    """
    found = {
        (panel.dataset, panel.method, clustering): counts
        for panel in method_panels(table, panels)
        for clustering, counts in cluster_counts(panel).items()
    }
    if not found:
        return None
    options = [list(dict.fromkeys(names)) for names in zip(*found, strict=True)]
    content = {
        ",".join(str(own.index(name)) for own, name in zip(options, key, strict=True)): {
            "types": list(counts.index), "clusters": [str(name) for name in counts.columns],
            "counts": counts.to_numpy().tolist(),
        }
        for key, counts in found.items()
    }  # fmt: skip
    datasets, methods, clusterings = options
    return Confusion(
        [
            ("dataset", datasets), ("method", methods),
            ("clusters of", [clustering_label(name) for name in clusterings]),
        ],
        script_text(json.dumps(content, separators=(",", ":"))),
    )  # fmt: skip

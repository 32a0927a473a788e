"""An embedding that was computed elsewhere, in the place of a fit."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .method import Context, Fit, Method
from .recipe import ATAC, MULTIOME, RNA

if TYPE_CHECKING:
    from anndata import AnnData

PRECOMPUTED = "precomputed"
"""Family of the embeddings that were computed elsewhere."""


class Precomputed(Method):
    """Rows of ``embedding.npy`` beside the file of the subclass, in the order of the cells.

    What it cost, and whether it has seen the cells or their types, is not known to the harness.
    """

    reference = "none: computed elsewhere"
    summary = "an embedding of the dataset's own file"
    modalities = frozenset({RNA, ATAC, MULTIOME})
    family = PRECOMPUTED
    files = ("embedding.npy",)
    training: ClassVar[str]
    """What is known of the data that it was trained on."""

    def fit(self, data: AnnData | Any, context: Context) -> Fit:
        """Return the stored embedding, (cells, dimensions)."""
        import numpy as np

        path = Path(inspect.getfile(type(self))).with_name(self.files[0])
        return Fit(np.load(path, allow_pickle=False), notes={PRECOMPUTED: self.training})

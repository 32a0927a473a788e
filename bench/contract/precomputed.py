"""An embedding computed by another program, in place of a fit."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .method import Context, Fit, Method
from .recipe import ATAC, MULTIOME, RNA

if TYPE_CHECKING:
    from anndata import AnnData

PRECOMPUTED = "precomputed"
"""Family of embeddings computed by another program."""


class Precomputed(Method):
    """The array ``embedding.npy`` beside the file of the subclass, cells × dimensions.

    Rows have the order of the prepared cells. The harness does not know the costs of the
    embedding, nor whether the cells or their types were in its training data.
    """

    reference = "none: computed elsewhere"
    summary = "an embedding of the dataset's own file"
    modalities = frozenset({RNA, ATAC, MULTIOME})
    family = PRECOMPUTED
    files = ("embedding.npy",)
    training: ClassVar[str]
    """Description of the training data, as far as it is known."""

    def fit(self, data: AnnData | Any, context: Context) -> Fit:
        """Return the stored embedding, shape (n_cells, n_dimensions)."""
        import numpy as np

        path = Path(inspect.getfile(type(self))).with_name(self.files[0])
        return Fit(np.load(path, allow_pickle=False), notes={PRECOMPUTED: self.training})

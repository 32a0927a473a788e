"""Positive and negative control: the true labels, and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bench.contract import ATAC, MULTIOME, RNA, Context, Fit, Method, Parameters
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from anndata import AnnData


class Random(Method):
    """Negative control: noise that does not depend on the data."""

    name = "random"
    summary = "negative control: Gaussian noise"
    reference = "none; a control"
    modalities = frozenset({RNA, ATAC, MULTIOME})
    family = "control"
    exceptions: ClassVar = {"separates_clear_types": "it is the negative control"}

    class Params(Parameters):
        """Parameters of the noise."""

        n_components: int = Field(20, ge=1, description="dimensions of the embedding")

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return standard normal numbers, (cells, n_components)."""
        import numpy as np

        rng = np.random.default_rng(derive_seed(context.seed, "random"))
        return Fit(rng.standard_normal((data.n_obs, self.params.n_components)))


class Truth(Method):
    """Positive control: the true labels, one column a type."""

    name = "truth"
    summary = "positive control: the true labels"
    reference = "none; a control"
    modalities = frozenset({RNA, ATAC, MULTIOME})
    family = "control"

    def needs(self) -> frozenset[str]:
        """Return ``{"labels"}``, the true labels."""
        return frozenset({"labels"})

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the one-hot encoding of the labels, (cells, types), and the labels."""
        import numpy as np

        labels = context.knowledge.labels
        assert labels is not None
        types, codes = np.unique(labels, return_inverse=True)
        return Fit(np.eye(len(types))[codes], labels={"truth": labels})

"""Latent Dirichlet allocation: the model of cisTopic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.contract import ATAC, RNA, Context, Fit, Search

from ._fitted_arrays import ArrayState
from ._preparations import CountFactors

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData


class LatentDirichletTopics(ArrayState, CountFactors):
    """Topics of binarised peaks or of counts (Bravo González-Blas et al. 2019: cisTopic).

    Each cell is a mixture of topics, each topic a distribution over features; the embedding is the
    mixture. Priors are cisTopic's: Dirichlet(50 / topics) and Dirichlet(0.1). It is fitted by
    scikit-learn's online variational Bayes, not by Gibbs sampling. The number of topics is that
    which predicts half of the counts of held-out cells best; cisTopic leaves it to the user.
    """

    name = "lda"
    summary = "latent Dirichlet allocation (cisTopic's model), number of topics by perplexity"
    reference = (
        "Blei, Ng and Jordan 2003, JMLR 3:993; cisTopic: Bravo González-Blas et al. 2019, Nature "
        "Methods 16:397, doi 10.1038/s41592-019-0367-1"
    )
    modalities = frozenset({RNA, ATAC})

    class Params(CountFactors.Params):
        """Parameters of the topics."""

        presets = {"quick": {"n_components": 10, "max_epochs": 4}}
        n_components: Annotated[int, Search(5, 50, log=True, zero=True)] = Field(
            0, ge=0, description="topics; 0: 5, 10, 20 or 40, by held-out counts"
        )
        max_epochs: int = Field(20, ge=1, description="passes over the cells")
        alpha: Annotated[float, Search(1.0, 100.0, log=True)] = Field(
            50.0, gt=0, description="prior of a cell's topics, divided by their number"
        )
        eta: Annotated[float, Search(0.01, 1.0, log=True)] = Field(
            0.1, gt=0, description="prior of a topic's features"
        )

    params: Params

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the topics of each cell, (cells, topics), rows sum to 1."""
        from ._topics import fit_topics

        topics, notes = fit_topics(data.X, self.params, context)
        self.store_arrays({"topics": topics}, data)
        return Fit(self.transform(data), n_parameters=int(topics.size), notes=notes)

    def transform(self, data: AnnData) -> np.ndarray:
        from ._topics import mixtures

        return mixtures(data.X, self.arrays_for(data)["topics"], self.params)

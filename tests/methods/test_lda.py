"""Topics against scikit-learn's own schedule, Gibbs sampling and planted topics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from _method_data import fit_context
from anndata import AnnData
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import LatentDirichletAllocation

from bench.execute.curves import Curves
from bench.methods._topics import fit_topics, mixtures
from bench.registry import methods
from bench.seeds import derive_seed

LDA: Any = methods().get("lda")


def planted(n_topics: int = 5, n_cells: int = 200, seed: int = 0) -> tuple[AnnData, np.ndarray]:
    """Return counts of cells that mix a few topics, and the topics."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(100, 0.05), n_topics)
    cells = rng.dirichlet(np.full(n_topics, 0.2), n_cells)
    counts = np.array([rng.multinomial(200, cell @ topics) for cell in cells])
    return AnnData(sp.csr_matrix(counts.astype(np.float32))), topics


def match(found: np.ndarray, topics: np.ndarray) -> np.ndarray:
    """Return the correlation of each topic with that found for it."""
    n = len(topics)
    between = np.corrcoef(topics, found)[:n, n:]
    return between[linear_sum_assignment(-between)]


def test_it_is_the_online_schedule_of_scikit_learn():
    data, _ = planted()
    params = LDA.Params(n_components=5, max_epochs=7, alpha=2.5)
    topics, _ = fit_topics(data.X, params, fit_context())
    model = LatentDirichletAllocation(
        5, doc_topic_prior=0.5, topic_word_prior=0.1, learning_method="online", batch_size=128,
        max_iter=7, random_state=derive_seed(0, "lda"),
    )  # fmt: skip
    expected = model.fit_transform(data.X)
    np.testing.assert_allclose(topics, model.components_, rtol=1e-5)
    np.testing.assert_allclose(mixtures(data.X, topics, params), expected, atol=1e-5)


@pytest.mark.slow
def test_planted_topics_and_their_number_are_found():
    data, topics = planted(n_cells=600)
    curves = Curves()
    found, notes = fit_topics(data.X, LDA.Params(alpha=1.0), fit_context(curves))
    assert len(found) == 5
    assert notes["topics"].startswith("5 by held-out perplexity")
    assert (match(found, topics) > 0.9).all()
    assert len(curves.values["completion_loss"]) == 4 * 10
    assert curves.values["loss"][-1] < curves.values["loss"][0]


@pytest.mark.slow
def test_topics_are_those_of_gibbs_sampling():
    """cisTopic's sampler, with its priors; figures in docs/extras.md."""
    gibbs = pytest.importorskip("lda")
    data, _topics = planted(n_cells=400)
    model = gibbs.LDA(n_topics=5, n_iter=500, alpha=0.5, eta=0.1, random_state=0)
    model.fit(data.X.toarray().astype(int))
    ours, _ = fit_topics(data.X, LDA.Params(n_components=5, alpha=2.5), fit_context())
    assert (match(ours, model.topic_word_) > 0.97).all()

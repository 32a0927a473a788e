"""Topics of latent Dirichlet allocation, and the choice of their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn import config_context
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.decomposition._lda import _dirichlet_expectation_2d

from bench.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import scipy.sparse as sp

    from bench.contract import Context

    from .lda import LatentDirichletTopics

_CANDIDATES = (5, 10, 20, 40)
_BATCH_SIZE = 128
_NEAR = 1.005


def fit_topics(
    values: sp.csr_matrix, params: LatentDirichletTopics.Params, context: Context
) -> tuple[np.ndarray, dict[str, str]]:
    """Return the pseudo-counts of the topics, (topics, features), and the notes of the fit.

    Each candidate for the number of topics is fitted in half of the passes; the least whose loss
    is within half a percent of the lowest is taken. Reports :func:`completion_loss` of a tenth of
    the cells: held out while the number is chosen, then as ``loss`` in the fit on all cells.
    """
    seed, epochs = derive_seed(context.seed, "lda"), params.max_epochs
    numbers = () if params.n_components else _CANDIDATES
    rng = np.random.default_rng(derive_seed(seed, "held out"))
    order = rng.permutation(values.shape[0])
    n_tenth = max(1, len(order) // 10)
    tenth, others = _halves(values[order[:n_tenth]], rng), values[order[n_tenth:]]
    n_tries = max(1, epochs // 2)
    total, step = len(numbers) * n_tries + epochs, 0
    losses: dict[int, float] = {}
    for number in numbers:
        for model in _passes(others, number, params, seed, n_tries):
            step += 1
            losses[number] = completion_loss(model, tenth)
            context.report(step, total, completion_loss=losses[number])
    good = [number for number in numbers if losses[number] <= _NEAR * min(losses.values())]
    n_topics = min(good, default=params.n_components)
    for model in _passes(values, n_topics, params, seed, epochs):
        step += 1
        context.report(step, total, loss=completion_loss(model, tenth))
    tried = ", ".join(f"{number}: {np.exp(value):.1f}" for number, value in losses.items())
    notes = {"topics": f"{n_topics} by held-out perplexity ({tried})"} if tried else {}
    return model.components_, notes


def completion_loss(
    model: LatentDirichletAllocation, halves: tuple[sp.csr_matrix, sp.csr_matrix]
) -> float:
    """Return the mean of -log p of a count of one half, with mixtures of the other half.

    Its exponential is the perplexity of document completion (Wallach et al. 2009, section 5.1).
    """
    known, rest = halves[0], halves[1].tocoo()
    topics = model.components_ / model.components_.sum(axis=1, keepdims=True)
    chance = np.einsum("ik,ki->i", model.transform(known)[rest.row], topics[:, rest.col])
    return float(-(rest.data * np.log(chance)).sum() / max(rest.data.sum(), 1e-12))


def _halves(
    values: sp.csr_matrix, rng: np.random.Generator
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return the cells with a random half of their entries each."""
    first = rng.random(values.nnz) < 0.5
    parts = []
    for kept in (first, ~first):
        part = values.astype(np.float64)
        part.data = part.data * kept
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]


def _model(
    n_topics: int, params: LatentDirichletTopics.Params, seed: int, n_cells: int
) -> LatentDirichletAllocation:
    return LatentDirichletAllocation(
        n_topics, doc_topic_prior=params.alpha / n_topics, topic_word_prior=params.eta,
        learning_method="online", batch_size=_BATCH_SIZE, total_samples=n_cells,
        random_state=seed,
    )  # fmt: skip


def _passes(
    values: sp.csr_matrix, n_topics: int, params: LatentDirichletTopics.Params, seed: int,
    n_passes: int,
) -> Iterator[LatentDirichletAllocation]:  # fmt: skip
    """Yield the model after each pass over the cells."""
    model = _model(n_topics, params, seed, values.shape[0])
    for _ in range(n_passes):
        with config_context(skip_parameter_validation=True):  # it refuses priors above 1
            model.partial_fit(values)
        yield model


def mixtures(
    values: sp.csr_matrix, topics: np.ndarray, params: LatentDirichletTopics.Params
) -> np.ndarray:
    """Return the expected topics of each cell, (cells, topics), float32."""
    model = _model(len(topics), params, seed=0, n_cells=values.shape[0])
    model._init_latent_vars(topics.shape[1])
    model.components_ = topics
    model.exp_dirichlet_component_ = np.exp(_dirichlet_expectation_2d(topics))
    model.n_features_in_ = topics.shape[1]
    return model.transform(values.astype(np.float64)).astype(np.float32)

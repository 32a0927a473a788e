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


def fit_topics(
    values: sp.csr_matrix, params: LatentDirichletTopics.Params, context: Context
) -> tuple[np.ndarray, dict[str, str]]:
    """Return the pseudo-counts of the topics, (topics, features), and the notes of the fit.

    Each candidate for the number of topics is fitted in a quarter of the passes. Reports the
    log-perplexity of a tenth of the cells, as ``held_out_perplexity`` while the number is chosen
    and as ``loss`` in the fit on all cells.
    """
    seed, epochs = derive_seed(context.seed, "lda"), params.max_epochs
    numbers = () if params.n_components else _CANDIDATES
    order = np.random.default_rng(derive_seed(seed, "held out")).permutation(values.shape[0])
    n_tenth = max(1, len(order) // 10)
    tenth, others = values[order[:n_tenth]], values[order[n_tenth:]]
    n_tries = max(1, epochs // 4)
    total, step = len(numbers) * n_tries + epochs, 0
    perplexity: dict[int, float] = {}
    for number in numbers:
        for model in _passes(others, number, params, seed, n_tries):
            step += 1
            perplexity[number] = float(np.log(model.perplexity(tenth)))
            context.report(step, total, held_out_perplexity=perplexity[number])
    n_topics = min(perplexity, key=perplexity.__getitem__) if numbers else params.n_components
    for model in _passes(values, n_topics, params, seed, epochs):
        step += 1
        context.report(step, total, loss=float(np.log(model.perplexity(tenth))))
    tried = ", ".join(f"{number}: {np.exp(value):.1f}" for number, value in perplexity.items())
    notes = {"topics": f"{n_topics} of lowest held-out perplexity ({tried})"} if tried else {}
    return model.components_, notes


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

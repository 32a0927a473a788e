"""Simulated features: effects, modules, counts and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from ._simulate_cells import Population, draw_population, random_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._simulation_parameters import SimulationParameters
    from .sim_atac import SimATAC
    from .sim_rna import SimRNA

_BLOCK = 1_000_000
"""Entries drawn at once."""


@dataclass(frozen=True)
class Effects:
    """Log factors of each feature by type and by batch."""

    by_type: np.ndarray
    """(n_types, features); zero where a feature does not mark the type."""
    by_batch: np.ndarray
    """(n_batches, features); zero with one batch."""


@dataclass(frozen=True)
class Modules:
    """Sets of features with one activity each; a feature is in one at most."""

    member: np.ndarray
    """Module of each feature, -1 for none."""
    loading: np.ndarray
    """Log factor of each feature per unit of activity."""
    activity: np.ndarray
    """(n_cells, modules), float32; zero in types in which the module does not vary."""
    varies: np.ndarray
    """Whether the module varies in the cell's type, (n_cells, modules)."""
    spread: float
    """Standard deviation of the activity where it varies."""

    def scale(self, mean: np.ndarray, cells: np.ndarray) -> None:
        """Multiply ``mean`` (cells × features), in place, by factors of expectation one.

        The factor is exp(l·a - (l·s)² / 2) for loading l and activity a with deviation s.
        """
        columns = np.flatnonzero(self.member >= 0)
        if not len(columns):
            return
        modules, loading = self.member[columns], self.loading[columns]
        log_factor = self.activity[np.ix_(cells, modules)] * loading
        log_factor -= self.varies[np.ix_(cells, modules)] * (loading * self.spread) ** 2 / 2
        mean[:, columns] *= np.exp(log_factor)


def draw_effects(params: SimulationParameters, n_features: int, part: str = "") -> Effects:
    """Draw the features that mark types, and effects of types and batches.

    After Splatter (Zappia et al. 2017), with normal log factors of both signs.
    """
    rng = random_stream(params, f"markers {part}")
    marks = rng.random((params.n_types, n_features)) < params.markers
    by_type = marks * rng.normal(0.0, 1.0, marks.shape) * params.separation
    rng = random_stream(params, f"batch effects {part}")
    by_batch = rng.normal(0.0, 1.0, (params.n_batches, n_features)) * params.batch_effect
    if params.n_batches == 1:
        by_batch[:] = 0.0
    return Effects(by_type, by_batch)


def draw_modules(
    params: SimulationParameters,
    n_features: int,
    types: np.ndarray,
    part: str = "",
    eligible: np.ndarray | None = None,
) -> Modules:
    """Draw members, loadings (0.5 to 1.5) and activities of the modules.

    With ``within``, module m varies among cells of type m modulo ``n_types`` only. Parts of an
    experiment share activities. ``eligible``: features that may be members.
    """
    n_modules, size = params.n_modules, params.module_size
    rng = random_stream(params, f"module members {part}")
    member = np.full(n_features, -1)
    candidates = rng.permutation(n_features if eligible is None else eligible)
    member[candidates[: n_modules * size]] = np.repeat(np.arange(n_modules), size)
    loading = np.where(member >= 0, rng.uniform(0.5, 1.5, n_features), 0.0)
    rng = random_stream(params, "module activity")
    shape = (len(types), n_modules)
    activity = rng.standard_normal(shape, dtype=np.float32) * params.module_spread
    varies = np.ones(shape, dtype=bool)
    if params.module_scope == "within":
        varies = types[:, None] == np.arange(n_modules) % params.n_types
    return Modules(member, loading, (activity * varies).astype(np.float32), varies,
                   params.module_spread)  # fmt: skip


def expected_counts(
    base: np.ndarray, effects: Effects, population: Population, modules: Modules, depth: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from cell numbers to expected counts (cells × features).

    The mean is depth_c · p_cf · m_cf. p_cf is base_f · exp(effects of type and batch) over its
    sum, m_cf the factor of the feature's module.
    """
    n_batches = len(effects.by_batch)
    effect = effects.by_type[:, None, :] + effects.by_batch[None, :, :]
    profile = base * np.exp(effect.reshape(-1, len(base)))
    profile /= profile.sum(axis=1, keepdims=True)
    groups = population.types * n_batches + population.batches
    depths = depth * np.exp(population.log_depth)

    def mean(cells: np.ndarray) -> np.ndarray:
        expected: np.ndarray = profile[groups[cells]] * depths[cells, None]
        modules.scale(expected, cells)
        return expected

    return mean


def gene_dispersions(
    params: SimulationParameters, n_genes: int, dispersion: float, freedom: float
) -> np.ndarray:
    """Return the squared biological variation of genes: dispersion · df / χ²(df).

    Source: Splatter (Zappia et al. 2017, Methods), by default df = 60. ``freedom`` 0: all equal.
    """
    if freedom == 0:
        return np.full(n_genes, dispersion)
    return dispersion * freedom / random_stream(params, "dispersion").chisquare(freedom, n_genes)


def negative_binomial(
    rng: np.random.Generator, mean: np.ndarray, dispersion: np.ndarray
) -> np.ndarray:
    """Return counts with variance mean + dispersion · mean² (gamma–Poisson).

    ``dispersion`` (features,) is zero for all features (Poisson) or for none.
    """
    if not dispersion.any():
        return rng.poisson(mean)
    return rng.poisson(rng.standard_gamma(1.0 / dispersion, mean.shape) * (mean * dispersion))


def draw_sparse(
    n_cells: int, n_features: int, draw: Callable[[np.ndarray], np.ndarray]
) -> sp.csr_matrix:
    """Return counts (CSR float32, cells × features) drawn in blocks.

    ``draw`` returns the dense counts of some cells; all would not fit into memory.
    """
    rows = max(1, _BLOCK // n_features)
    parts = np.array_split(np.arange(n_cells), -(-n_cells // rows))
    blocks = [sp.csr_matrix(draw(part).astype(np.float32)) for part in parts]
    return sp.vstack(blocks, format="csr")


def labelled_anndata(
    counts: sp.csr_matrix,
    params: SimulationParameters,
    population: Population,
    features: list[str],
    depth: float,
) -> AnnData:
    """Return the counts (cells × features) with types, batches and depths."""
    adata = AnnData(counts)
    adata.obs_names = [f"cell{number + 1}" for number in range(counts.shape[0])]
    adata.var_names = features
    adata.obs["cell_type"] = [f"type{number + 1}" for number in population.types]
    if params.n_batches > 1:
        adata.obs["batch"] = [f"batch{number + 1}" for number in population.batches]
    adata.obs["depth"] = depth * np.exp(population.log_depth)
    adata.uns["truth"] = {
        "parameters": params.resolved(),
        "rare_types": np.array(_names("type", params.n_types)[-params.n_rare :]),
    }
    return adata


def record_truth(adata: AnnData, base: np.ndarray, effects: Effects, modules: Modules) -> None:
    """Write the truth about features into ``var`` and ``varm``, about cells into ``obs``.

    ``var``: ``base`` (share of counts before effects), ``marks`` (type with the largest effect),
    ``log_effect`` (that effect), ``module``, ``loading``. ``varm``: ``log_effect`` (features ×
    types) and ``batch_effect``. ``obs``: activities. Methods see none of it.
    """
    types = _names("type", len(effects.by_type))
    largest = np.abs(effects.by_type).argmax(axis=0)
    log_effect = effects.by_type[largest, np.arange(adata.n_vars)]
    adata.var["base"] = base / base.sum()
    adata.var["marks"] = np.where(log_effect != 0, np.array(types)[largest], "")
    adata.var["log_effect"] = log_effect
    names = _names("module", modules.activity.shape[1])
    adata.var["module"] = np.array(["", *names])[modules.member + 1]
    adata.var["loading"] = modules.loading
    adata.varm["log_effect"] = pd.DataFrame(
        effects.by_type.T, index=adata.var_names, columns=types
    )
    if "batch" in adata.obs:
        adata.varm["batch_effect"] = pd.DataFrame(
            effects.by_batch.T,
            index=adata.var_names,
            columns=_names("batch", len(effects.by_batch)),
        )
    for number, name in enumerate(names):
        adata.obs[name] = modules.activity[:, number]


def _names(noun: str, count: int) -> list[str]:
    return [f"{noun}{number + 1}" for number in range(count)]


def simulate_genes(params: SimRNA.Params) -> AnnData:
    """Return the counts of ``sim_rna`` with types and the truth."""
    population = draw_population(params)
    base = random_stream(params, "base").gamma(0.6, 1.0, params.n_features) + 1e-3
    effects = draw_effects(params, params.n_features)
    modules = draw_modules(params, params.n_features, population.types)
    dispersion = gene_dispersions(
        params, params.n_features, params.dispersion, params.dispersion_df
    )
    mean = expected_counts(base, effects, population, modules, params.depth)
    rng = random_stream(params, "counts")

    def draw(cells: np.ndarray) -> np.ndarray:
        expected = mean(cells)
        counts = negative_binomial(rng, expected, dispersion)
        if params.dropout > 0:
            counts[rng.random(counts.shape) < 1.0 / (1.0 + expected / params.dropout)] = 0
        return counts

    counts = draw_sparse(params.n_cells, params.n_features, draw)
    genes = _names("gene", params.n_features)
    adata = labelled_anndata(counts, params, population, genes, params.depth)
    record_truth(adata, base, effects, modules)
    adata.var["dispersion"] = dispersion
    return adata


def simulate_peaks(params: SimATAC.Params) -> AnnData:
    """Return the fragments in peaks of ``sim_atac`` with types and the truth."""
    population = draw_population(params)
    base = random_stream(params, "base").gamma(0.8, 1.0, params.n_features) + 1e-2
    effects = draw_effects(params, params.n_features)
    modules = draw_modules(params, params.n_features, population.types)
    mean = expected_counts(base, effects, population, modules, params.depth)
    rng = random_stream(params, "counts")
    counts = draw_sparse(params.n_cells, params.n_features, lambda cells: rng.poisson(mean(cells)))
    starts = np.cumsum(random_stream(params, "positions").integers(600, 5000, params.n_features))
    peaks = [f"chr1:{start}-{start + 500}" for start in starts]
    adata = labelled_anndata(counts, params, population, peaks, params.depth)
    record_truth(adata, base, effects, modules)
    return adata

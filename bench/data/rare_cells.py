"""Cells of a rare-population task: thinned, down-sampled and held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from bench.contract import cells_of, is_paired, select_cells
from bench.errors import DataError
from bench.messages import did_you_mean, log_note
from bench.seeds import derive_seed

from .marker_guides import add_shuffled_genes, draw_random_genes, normalize_name, select_lists

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Card, Markers

    from .rare_population import RarePopulationTask

MIN_RARE_CELLS = 5
"""Fewest cells of the rare type; with fewer, a score depends on single cells."""
TRAIN_KEY = "bench_train"
PAIRED_TRAIN_SHARE = 0.8
"""Default share of the cells of paired data for the fit; pairs are matched on the others."""


def apply_task(
    data: AnnData | MuData, card: Card, task: RarePopulationTask, where: str
) -> tuple[AnnData | MuData, Card]:
    """Return the remaining cells with their mask of training cells, and the card of the task."""
    if task.thin is not None:
        data = thin_counts(data, task.thin, task.plant_seed, where)
    share = PAIRED_TRAIN_SHARE if task.train is None and is_paired(data) else task.train
    if not task.rare_type and not share:
        return data, card
    cells = cells_of(data)
    types = cells.obs[card.label_key].astype(str).to_numpy() if card.label_key else None
    types = np.full(cells.n_obs, "") if types is None else types
    if task.rare_type:
        rare = _find_type(types, task.rare_type, where)
        card = replace(card, rare_type=rare)
        if task.prevalence is not None:
            cells = _downsample(types, rare, task.prevalence, task.plant_seed, where)
            data, types = select_cells(data, cells), types[cells]
    if share:
        train = draw_training_cells(types, share, task.plant_seed)
        log_note(f"{train.sum()} of {len(train)} cells are for the fit, {(~train).sum()} held out")
        cells_of(data).obs[TRAIN_KEY] = train
        card = replace(card, train_key=TRAIN_KEY)
    return data, card


def apply_guide(
    data: Any, markers: Markers | None, task: RarePopulationTask, where: str
) -> tuple[AnnData, Markers]:
    """Return the data and the marker lists of the task: the selected lists, or a control."""
    if is_paired(data):
        raise DataError(
            f"{where}: signatures= and guide= are for part=rna only.", code="wrong_modality"
        )
    if markers is None:
        raise DataError(
            f"{where}: signatures= and guide= need marker lists, the dataset has none; give them "
            "with --markers FILE.",
            code="missing_markers",
        )
    lists = select_lists(markers, task.signatures, where) if task.signatures else markers
    if task.guide == "true":
        return data, lists
    data = data.to_memory() if data.isbacked else data
    if task.guide == "random":
        return data, draw_random_genes(data, lists, markers.lists, task.plant_seed)
    return add_shuffled_genes(data, lists, task.plant_seed)


def thin_counts(adata: Any, share: float, seed: int, where: str) -> AnnData:
    """Return the data with each molecule kept at random with probability ``share``."""
    if is_paired(adata):
        raise DataError(
            f"{where}: thin= is for one modality; add part=rna or part=atac.",
            code="wrong_modality",
        )
    adata = adata.to_memory() if adata.isbacked else adata.copy()
    counts = sp.csr_matrix(adata.X)
    if np.any(counts.data < 0) or np.any(counts.data != np.round(counts.data)):
        raise DataError(
            f"{where}: thin={share:g} needs counts in X; it holds values that are not whole "
            "numbers.",
            code="not_counts",
        )
    before = counts.sum()
    rng = np.random.default_rng(derive_seed(seed, "thin"))
    molecules = rng.binomial(counts.data.astype(np.int64), share).astype(np.float32)
    counts = sp.csr_matrix((molecules, counts.indices, counts.indptr), counts.shape)
    counts.eliminate_zeros()
    adata.X = counts
    log_note(f"thin={share:g}: {counts.sum() / before:.1%} of the molecules remain")
    return adata


def _find_type(types: np.ndarray, name: str, where: str) -> str:
    """Return the type with this name; case, spaces and punctuation do not matter."""
    names = sorted(set(types.tolist()))
    if name in names:
        return name
    matches = [one for one in names if normalize_name(one) == normalize_name(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DataError(
            f"{where}: rare_type={name} could be {' or '.join(matches)}; write it as one of them.",
            code="several_matches",
        )
    raise DataError(
        f"{where}: rare_type={name}: no cell is of that type.{did_you_mean(name, names)}",
        code="unknown_name",
    )


def _downsample(
    types: np.ndarray, rare: str, prevalence: float, seed: int, where: str
) -> np.ndarray:
    """Return the indices of the cells left when ``rare`` has the share ``prevalence``.

    A lower prevalence selects a subset of the cells of a higher one. Raises ``DataError`` for too
    few cells.
    """
    cells, others = np.flatnonzero(types == rare), int(np.sum(types != rare))
    n_rare = round(others * prevalence / (1.0 - prevalence))
    if not MIN_RARE_CELLS <= n_rare <= len(cells):
        raise DataError(
            f"{where}: prevalence={prevalence:g} of '{rare}' beside {others} other cells takes "
            f"{n_rare} cells; expected at least {MIN_RARE_CELLS} and at most all {len(cells)}.",
            code="too_few_cells",
        )
    rng = np.random.default_rng(derive_seed(seed, "plant", rare))
    remaining = rng.permutation(cells)[:n_rare]
    log_note(
        f"{n_rare} of {len(cells)} cells of '{rare}' remain: {prevalence:g} of the "
        f"{others + n_rare} cells"
    )
    return np.sort(np.concatenate([np.flatnonzero(types != rare), remaining]))


def draw_training_cells(types: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the mask of the cells for the fit, shape (n_cells,): ``share`` of each type.

    A type of two cells or more has training and held-out cells; a single cell is for training.
    """
    mask = np.zeros(len(types), dtype=bool)
    for name in np.unique(types):
        cells = np.flatnonzero(types == name)
        size = min(max(1, round(share * len(cells))), max(1, len(cells) - 1))
        rng = np.random.default_rng(derive_seed(seed, "train", str(name)))
        mask[rng.choice(cells, size, replace=False)] = True
    return mask

"""Predictions for unseen cells of paired data, made in the fit process without labels.

After a fit on the training cells a paired method predicts, for the cells held out from it:

===============  =========================================================================
``pairs``        ``match``: each cell's two profiles, and its RNA with another cell's chromatin
``retrieval``    ``match``: every RNA with every ATAC profile of at most 100 cells ``translation``
``translate``: the detected genes from chromatin alone ``recovery``     ``translate``: with the RNA
profile, a tenth of its detected genes set to zero ===============
=========================================================================

All random choices depend on the dataset only: all methods and seeds get the same tasks. ``match``
gets the profiles in two unrelated orders under anonymous names, so that neither positions nor
names show which belong together. The predictions are files in ``artifacts/paired``.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.contract import MULTIOME, PARTS, pair_data
from bench.seeds import derive_seed
from bench.versions import UNSEEN_CELLS

from .metrics import PairedTasks, PairScores, RecoveryScores, TranslationScores

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

FOLDER = "paired"
_TASKS = ("pairs", "retrieval", "translation", "recovery")
N_RETRIEVAL = 100
N_TRANSLATED = 500
"""Maximal number of cells of ``translation`` and ``recovery``."""
_HIDDEN_SHARE = 0.1
"""Share of a cell's detected genes that is hidden."""
_MAX_SEARCHED = 5000
"""Number of cells in which the value of a scaled zero is searched."""


class _NoPrediction(Exception):
    """The method makes no usable prediction; the message is the reason."""


@dataclass(frozen=True)
class UnseenCells:
    """The unseen cells of a dataset in one method's preparation.

    Parameters
    ----------
    data
        Prepared data, with the cells that pass the filters.
    cells
        Index in the dataset of each cell of ``data``.
    train
        Mask of the training cells, over the whole dataset.
    identity
        Digest of the dataset's counts, the seed of all random choices.
    n_retrieval, n_translated
        Largest numbers of cells of these tasks.
    """

    data: MuData
    cells: np.ndarray
    train: np.ndarray
    identity: str
    n_retrieval: int = N_RETRIEVAL
    n_translated: int = N_TRANSLATED

    def rng(self, *purpose: str) -> np.random.Generator:
        """Return the random generator for a purpose."""
        return np.random.default_rng(derive_seed(UNSEEN_CELLS, "paired", self.identity, *purpose))

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ``data`` of RNA and ATAC profiles: first the true pairs, then the false ones.

        Every unseen cell is in one true pair, and its RNA in one false pair with another cell's
        ATAC. Both pairs are left out if the preparation has dropped one of the two cells.
        """
        unseen = np.flatnonzero(~self.train)
        n = len(unseen)
        if n < 2:
            raise _NoPrediction(f"{n} cells are unseen")
        other = unseen[(np.arange(n) + self.rng("pairs").integers(1, n, n)) % n]
        rna, atac = self._rows(unseen), self._rows(other)
        present = (rna >= 0) & (atac >= 0)
        rna, atac = rna[present], atac[present]
        return np.concatenate([rna, rna]), np.concatenate([rna, atac])

    def sample(self, purpose: str, size: int) -> np.ndarray:
        """Return rows of ``data`` of at most ``size`` unseen cells, in the order of the data."""
        unseen = np.flatnonzero(~self.train)
        if len(unseen) > size:
            unseen = np.sort(self.rng(purpose).choice(unseen, size, replace=False))
        rows = self._rows(unseen)
        if not (rows >= 0).any():
            raise _NoPrediction("the preparation has dropped all unseen cells")
        return rows[rows >= 0]

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return the row of ``data`` of each cell of the dataset; -1 for a dropped cell."""
        rows = np.full(len(self.train), -1)
        rows[self.cells] = np.arange(len(self.cells))
        return rows[numbers]

    @cached_property
    def detected(self) -> Any:
        """Whether a gene is detected in a cell, sparse booleans, shape (n_cells, n_genes)."""
        return self.data["rna"].layers["counts"].tocsr() > 0

    @cached_property
    def rate(self) -> np.ndarray:
        """Share of the training cells in which each gene is detected."""
        trained = np.flatnonzero(self.train[self.cells])
        return np.asarray(self.detected[trained].mean(axis=0)).ravel().astype(np.float32)


def predict_unseen_cells(method: Any, unseen: UnseenCells, artifacts: Path) -> None:
    """Write the predictions of a fitted method for all tasks into the folder ``artifacts``.

    ``missing.json`` names the tasks without a prediction and their reasons; a method that fails in
    one task loses only that task.
    """
    folder = artifacts / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    tasks = (_predict_pairs, _predict_retrieval, _predict_translation, _predict_recovery)
    for name, predict in zip(_TASKS, tasks, strict=True):
        print(f"unseen cells: {name}", flush=True)
        try:
            predict(method, unseen, folder)
        except _NoPrediction as reason:
            missing[name] = str(reason)
    (folder / "missing.json").write_text(json.dumps(missing, indent=1))


def _predict_pairs(method: Any, unseen: UnseenCells, folder: Path) -> None:
    match = _hook(method, "match")
    rna, atac = unseen.pairs
    score = _match_scores(match, unseen, rna, atac, "pairs")
    names = unseen.data.obs_names
    pd.DataFrame(
        {"rna": names[rna], "atac": names[atac], "same": rna == atac,
         "score": score.astype(np.float32)}
    ).to_parquet(folder / "pairs.parquet")  # fmt: skip


def _predict_retrieval(method: Any, unseen: UnseenCells, folder: Path) -> None:
    match = _hook(method, "match")
    rows = unseen.sample("retrieval", unseen.n_retrieval)
    rna, atac = np.repeat(rows, len(rows)), np.tile(rows, len(rows))
    score = _match_scores(match, unseen, rna, atac, "retrieval")
    names = pd.Index(unseen.data.obs_names[rows])
    table = score.astype(np.float32).reshape(len(rows), len(rows))
    pd.DataFrame(table, index=names, columns=names).to_parquet(folder / "retrieval.parquet")


def _predict_translation(method: Any, unseen: UnseenCells, folder: Path) -> None:
    translate = _hook(method, "translate")
    rows = unseen.sample("translation", unseen.n_translated)
    atac = _anonymous_cells(unseen.data["atac"], rows)
    score = _call_hook("translate", translate, (len(rows), unseen.detected.shape[1]), atac)
    np.savez_compressed(
        folder / "translation.npz", score=score.astype(np.float32),
        detected=unseen.detected[rows].toarray(), rate=unseen.rate,
        cells=np.asarray(unseen.data.obs_names[rows], dtype=np.str_),
        genes=np.asarray(unseen.data["rna"].var_names, dtype=np.str_),
    )  # fmt: skip


def _predict_recovery(method: Any, unseen: UnseenCells, folder: Path) -> None:
    translate = _hook(method, "translate")
    rows = unseen.sample("translation", unseen.n_translated)
    zeros = zero_values(unseen.data["rna"])
    cell, gene, hidden = _hidden_entries(unseen, rows, np.isfinite(zeros))
    if not len(cell):
        raise _NoPrediction("no unseen cell has a detected gene to hide")
    rna = _anonymous_cells(unseen.data["rna"], rows)
    _hide_counts(rna, cell[hidden], gene[hidden], zeros)
    atac = _anonymous_cells(unseen.data["atac"], rows)
    score = _call_hook("translate", translate, rna.shape, atac, rna)
    data = unseen.data
    pd.DataFrame(
        {"cell": data.obs_names[rows[cell]], "gene": data["rna"].var_names[gene],
         "hidden": hidden, "score": score[cell, gene].astype(np.float32),
         "rate": unseen.rate[gene]}
    ).to_parquet(folder / "recovery.parquet")  # fmt: skip


def _hidden_entries(
    unseen: UnseenCells, rows: np.ndarray, possible: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cell (index in ``rows``), gene and whether it is hidden, of each scored entry.

    Entries are a tenth of the detected genes of each cell (at least one), which are hidden, and as
    many undetected ones.
    """
    entries: list[np.ndarray] = []
    for number, row in enumerate(rows):
        detected = unseen.detected[row].toarray().ravel()
        on, off = np.flatnonzero(detected & possible), np.flatnonzero(~detected)
        size = min(max(1, round(_HIDDEN_SHARE * len(on))), len(on), len(off))
        rng = unseen.rng("hidden", str(unseen.cells[row]))
        chosen = [rng.choice(on, size, replace=False), rng.choice(off, size, replace=False)]
        for genes, hidden in zip(chosen, (1, 0), strict=True):
            entries.append(np.stack([np.full(size, number), genes, np.full(size, hidden)]))
    cell, gene, hidden = np.concatenate(entries, axis=1)
    return cell, gene, hidden.astype(bool)


def zero_values(data: AnnData) -> np.ndarray:
    """Return the value of ``X`` for a count of zero, shape (n_features,).

    Scaling changes a zero to the same value in every cell. NaN for a scaled feature that is
    detected in every searched cell.
    """
    if sp.issparse(data.X):
        return np.zeros(data.n_vars, dtype=np.float32)
    data = data[:_MAX_SEARCHED]
    counts = sp.csc_matrix(data.layers["counts"])
    counts.eliminate_zeros()
    counts.sort_indices()
    zeros = np.full(data.n_vars, np.nan, dtype=np.float32)
    for gene in range(data.n_vars):
        cells = counts.indices[counts.indptr[gene] : counts.indptr[gene + 1]]
        if len(cells) < data.n_obs:
            gaps = np.flatnonzero(cells != np.arange(len(cells)))
            zeros[gene] = data.X[gaps[0] if len(gaps) else len(cells), gene]
    return zeros


def _hide_counts(data: AnnData, cells: np.ndarray, genes: np.ndarray, zeros: np.ndarray) -> None:
    """Set entries of ``X`` and of the counts to the values of an undetected gene.

    ``size_factor`` and the depth in ``X`` stay those of the whole profile: they reveal the number
    of hidden counts, but not their genes.
    """

    def without(matrix: Any) -> Any:
        hidden = sp.csr_matrix((np.ones(len(cells)), (cells, genes)), shape=matrix.shape)
        rest = sp.csr_matrix(matrix - matrix.multiply(hidden))
        rest.eliminate_zeros()
        return rest.astype(matrix.dtype)

    data.layers["counts"] = without(sp.csr_matrix(data.layers["counts"]))
    if sp.issparse(data.X):
        data.X = without(sp.csr_matrix(data.X))
    else:
        matrix = np.array(data.X)
        matrix[cells, genes] = zeros[genes]
        data.X = matrix


def _match_scores(
    match: Any, unseen: UnseenCells, rna: np.ndarray, atac: np.ndarray, purpose: str
) -> np.ndarray:
    """Return the method's scores of pairs of rows, passed in two unrelated orders."""
    rows = np.unique(np.concatenate([rna, atac]))
    orders = [unseen.rng("order", purpose, part).permutation(rows) for part in PARTS]
    parts = [
        _anonymous_cells(unseen.data[part], order)
        for part, order in zip(PARTS, orders, strict=True)
    ]
    numbers = [
        np.argsort(order)[np.searchsorted(rows, cells)]
        for order, cells in zip(orders, (rna, atac), strict=True)
    ]
    return _call_hook("match", match, (len(rna),), pair_data(*parts), *numbers)


def _anonymous_cells(data: AnnData, rows: np.ndarray) -> AnnData:
    """Return a copy of some cells in that order, with names that do not identify them."""
    part = data[rows].copy()
    part.obs_names = [f"unseen{number}" for number in range(len(rows))]
    return part


def _hook(method: Any, name: str) -> Any:
    """Return a method's optional hook; raises ``_NoPrediction`` if it has none."""
    hook = getattr(method, name, None)
    if hook is None:
        raise _NoPrediction(f"{method.name} has no {name}")
    return hook


def _call_hook(name: str, hook: Any, shape: tuple[int, ...], *arguments: Any) -> np.ndarray:
    """Return the checked result of a hook; raises ``_NoPrediction`` for a fault of the method."""
    try:
        scores = np.asarray(hook(*arguments), dtype=np.float64)
    except MemoryError:
        raise
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())
        raise _NoPrediction(f"{name} failed: {type(error).__name__}: {text}"[:160]) from error
    if scores.shape != shape:
        raise _NoPrediction(f"{name} returned shape {scores.shape}, expected {shape}")
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise _NoPrediction(f"{name} returned {bad} of {scores.size} scores that are not finite")
    return scores


def read_paired_tasks(
    job: dict[str, Any], artifacts: Path, cells: pd.Index, types: np.ndarray | None
) -> PairedTasks | None:
    """Return the predictions in the folder ``artifacts``; ``None`` if the data are not paired.

    ``types`` has the type of each of ``cells``, empty if it is hidden from the scorer.
    """
    facts, folder = job["facts"], artifacts / FOLDER
    if facts["modality"] != MULTIOME:
        return None
    if not folder.is_dir():
        reason = "no cells are held out (train=0.8)"
        if facts.get("train_digest"):
            reason = f"{job['method_name']} has no transform and was fitted on all cells"
        return PairedTasks(missing=dict.fromkeys(_TASKS, reason))
    missing = json.loads((folder / "missing.json").read_text())
    tasks: dict[str, Any] = {}
    if "pairs" not in missing:
        tasks["pairs"] = _pair_scores(pd.read_parquet(folder / "pairs.parquet"), cells, types)
    if "retrieval" not in missing:
        tasks["retrieval"] = pd.read_parquet(folder / "retrieval.parquet").to_numpy(np.float64)
    if "translation" not in missing:
        with np.load(folder / "translation.npz", allow_pickle=False) as file:
            tasks["translation"] = TranslationScores(file["score"], file["detected"], file["rate"])
    if "recovery" not in missing:
        table = pd.read_parquet(folder / "recovery.parquet")
        columns = {name: table[name].to_numpy() for name in ("hidden", "score", "rate")}
        tasks["recovery"] = RecoveryScores(cell=pd.factorize(table["cell"])[0], **columns)
    return PairedTasks(**tasks, missing=missing)


def _pair_scores(table: pd.DataFrame, cells: pd.Index, types: np.ndarray | None) -> PairScores:
    """Return the scores of pairs, marked as easy (two types) or hard (one type)."""
    same, score = table["same"].to_numpy(), table["score"].to_numpy(np.float64)
    if types is None:
        return PairScores(same, score)
    kinds = np.asarray(types).astype(str)
    one, other = (kinds[cells.get_indexer(pd.Index(table[part]))] for part in ("rna", "atac"))
    visible = (one != "") & (other != "")
    return PairScores(same, score, hard=visible & (one == other), easy=visible & (one != other))

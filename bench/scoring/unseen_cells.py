"""Tasks on both parts of unseen cells: asked in the fit process, without labels, scored later.

After a fit on the training cells a paired method is asked, about the cells kept from it:

===============  =========================================================================
``pairs``        ``match``: each cell's two profiles, and its RNA with a random other's chromatin
``retrieval``    ``match``: every RNA with every ATAC profile of at most 100 cells
``translation``  ``translate``: which genes are detected, from chromatin alone
``recovery``     ``translate``: with the RNA profile, a tenth of its detected genes set to zero
===============  =========================================================================

What is drawn depends on the dataset only, so all methods and seeds get the same questions. The
profiles of ``match`` come in two unrelated orders under neutral names: which of them belong
together cannot be read from numbers or names. The answers are files in ``artifacts/paired``.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.contract import MULTIOME, PARTS, pair_data
from bench.seeds import derive_seed
from bench.versions import UNSEEN_CELLS

from .metrics import PairedTasks, PairScores, RecoveryScores, TranslationScores

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

FOLDER = "paired"
TASKS = ("pairs", "retrieval", "translation", "recovery")
N_RETRIEVAL = 100
N_TRANSLATED = 500
"""Most cells whose genes are told from chromatin; their scores are kept, cells × genes."""
HIDDEN = 0.1
"""Share of a cell's detected genes that is hidden."""
_LOOKED_AT = 5000
"""Cells in which the value of a scaled zero is looked for."""


class _Unanswered(Exception):
    """The method gave no usable answer; the message is the reason."""


@dataclass(frozen=True)
class Questions:
    """The unseen cells of a dataset as one method's preparation shows them."""

    data: MuData
    """Prepared data of all cells that the preparation kept."""
    cells: np.ndarray
    """Number of each of them in the dataset."""
    train: np.ndarray
    """Mask of the cells that the fit has seen, over the whole dataset."""
    identity: str
    """Digest of the dataset's counts: what is drawn depends on nothing else."""
    n_retrieval: int = N_RETRIEVAL
    n_translated: int = N_TRANSLATED

    def rng(self, *purpose: str) -> np.random.Generator:
        """Return the generator of a purpose."""
        return np.random.default_rng(derive_seed(UNSEEN_CELLS, "paired", self.identity, *purpose))

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ``data`` of the RNA and the ATAC profiles: first the true pairs, then others.

        Every unseen cell is in one true pair, and its RNA in one pair with another cell's ATAC;
        both are left out where the preparation has dropped one of the two cells.
        """
        unseen = np.flatnonzero(~self.train)
        n = len(unseen)
        if n < 2:
            raise _Unanswered(f"{n} cells are unseen")
        other = unseen[(np.arange(n) + self.rng("pairs").integers(1, n, n)) % n]
        rna, atac = self._rows(unseen), self._rows(other)
        kept = (rna >= 0) & (atac >= 0)
        rna, atac = rna[kept], atac[kept]
        return np.concatenate([rna, rna]), np.concatenate([rna, atac])

    def sample(self, purpose: str, size: int) -> np.ndarray:
        """Return rows of ``data`` of at most ``size`` unseen cells, in the order of the data."""
        unseen = np.flatnonzero(~self.train)
        if len(unseen) > size:
            unseen = np.sort(self.rng(purpose).choice(unseen, size, replace=False))
        rows = self._rows(unseen)
        if not (rows >= 0).any():
            raise _Unanswered("no unseen cell is left after the preparation")
        return rows[rows >= 0]

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return the row of ``data`` of each cell of the dataset; -1 where it is left out."""
        place = np.full(len(self.train), -1)
        place[self.cells] = np.arange(len(self.cells))
        return place[numbers]

    @cached_property
    def detected(self) -> Any:
        """Which genes are detected in which cells, CSR of booleans, cells × genes."""
        counts = self.data["rna"].layers["counts"].tocsr()
        return counts > 0

    @cached_property
    def rate(self) -> np.ndarray:
        """Share of the training cells in which each gene is detected."""
        seen = np.flatnonzero(self.train[self.cells])
        return np.asarray(self.detected[seen].mean(axis=0)).ravel().astype(np.float32)


def ask(method: Any, questions: Questions, folder: Path) -> None:
    """Put all questions to a fitted method and write its answers into ``folder``.

    A task without an answer is named in ``missing.json``, with the reason; a method that fails
    in one task loses that task, not the fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    steps: dict[str, Callable[[Any, Questions, Path], None]] = {
        "pairs": _ask_pairs, "retrieval": _ask_retrieval, "translation": _ask_translation,
        "recovery": _ask_recovery,
    }  # fmt: skip
    for name, step in steps.items():
        print(f"unseen cells: {name}", flush=True)
        try:
            step(method, questions, folder)
        except _Unanswered as reason:
            missing[name] = str(reason)
    (folder / "missing.json").write_text(json.dumps(missing, indent=1))


def _ask_pairs(method: Any, questions: Questions, folder: Path) -> None:
    match = _hook(method, "match")
    rna, atac = questions.pairs
    score = _matched(match, questions, rna, atac, "pairs")
    names = questions.data.obs_names
    pd.DataFrame(
        {"rna": names[rna], "atac": names[atac], "same": rna == atac,
         "score": score.astype(np.float32)}
    ).to_parquet(folder / "pairs.parquet")  # fmt: skip


def _ask_retrieval(method: Any, questions: Questions, folder: Path) -> None:
    match = _hook(method, "match")
    rows = questions.sample("retrieval", questions.n_retrieval)
    rna, atac = np.repeat(rows, len(rows)), np.tile(rows, len(rows))
    score = _matched(match, questions, rna, atac, "retrieval")
    names = pd.Index(questions.data.obs_names[rows])
    table = score.astype(np.float32).reshape(len(rows), len(rows))
    pd.DataFrame(table, index=names, columns=names).to_parquet(folder / "retrieval.parquet")


def _ask_translation(method: Any, questions: Questions, folder: Path) -> None:
    translate = _hook(method, "translate")
    rows = questions.sample("translation", questions.n_translated)
    atac = _neutral(questions.data["atac"], rows)
    score = _answer("translate", translate, (len(rows), questions.detected.shape[1]), atac)
    np.savez_compressed(
        folder / "translation.npz", score=score.astype(np.float32),
        detected=questions.detected[rows].toarray(), rate=questions.rate,
        cells=np.asarray(questions.data.obs_names[rows], dtype=np.str_),
        genes=np.asarray(questions.data["rna"].var_names, dtype=np.str_),
    )  # fmt: skip


def _ask_recovery(method: Any, questions: Questions, folder: Path) -> None:
    translate = _hook(method, "translate")
    rows = questions.sample("translation", questions.n_translated)
    blank = zero_values(questions.data["rna"])
    cell, gene, hidden = _hide(questions, rows, np.isfinite(blank))
    if not len(cell):
        raise _Unanswered("no unseen cell has a detected gene to hide")
    rna = _neutral(questions.data["rna"], rows)
    _set_zero(rna, cell[hidden], gene[hidden], blank)
    atac = _neutral(questions.data["atac"], rows)
    score = _answer("translate", translate, rna.shape, atac, rna)
    data = questions.data
    pd.DataFrame(
        {"cell": data.obs_names[rows[cell]], "gene": data["rna"].var_names[gene],
         "hidden": hidden, "score": score[cell, gene].astype(np.float32),
         "rate": questions.rate[gene]}
    ).to_parquet(folder / "recovery.parquet")  # fmt: skip


def _hide(
    questions: Questions, rows: np.ndarray, possible: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cell (number in ``rows``), gene and whether it is hidden, of all entries asked.

    A tenth of the detected genes of each cell (at least one), and as many undetected ones.
    """
    entries: list[np.ndarray] = []
    for number, row in enumerate(rows):
        here = questions.detected[row].toarray().ravel()
        on, off = np.flatnonzero(here & possible), np.flatnonzero(~here)
        size = min(max(1, round(HIDDEN * len(on))), len(on), len(off))
        rng = questions.rng("hidden", str(questions.cells[row]))
        chosen = [rng.choice(on, size, replace=False), rng.choice(off, size, replace=False)]
        for genes, hidden in zip(chosen, (1, 0), strict=True):
            entries.append(np.stack([np.full(size, number), genes, np.full(size, hidden)]))
    cell, gene, hidden = np.concatenate(entries, axis=1)
    return cell, gene, hidden.astype(bool)


def zero_values(data: AnnData) -> np.ndarray:
    """Return the value of ``X`` that stands for a count of zero, for each feature.

    Scaling moves it away from zero, but to the same value in every cell. NaN where a scaled
    feature is detected in every cell looked at, so that the value is not seen.
    """
    if sp.issparse(data.X):
        return np.zeros(data.n_vars, dtype=np.float32)
    data = data[:_LOOKED_AT]
    counts = sp.csc_matrix(data.layers["counts"])
    counts.eliminate_zeros()
    counts.sort_indices()
    found = np.full(data.n_vars, np.nan, dtype=np.float32)
    for gene in range(data.n_vars):
        cells = counts.indices[counts.indptr[gene] : counts.indptr[gene + 1]]
        if len(cells) < data.n_obs:
            gaps = np.flatnonzero(cells != np.arange(len(cells)))
            found[gene] = data.X[gaps[0] if len(gaps) else len(cells), gene]
    return found


def _set_zero(data: AnnData, cells: np.ndarray, genes: np.ndarray, blank: np.ndarray) -> None:
    """Set entries of ``X`` and of the counts to what an undetected gene has there.

    ``size_factor`` and the depth in ``X`` stay those of the whole profile: the method is told
    that the counts are there, not of which genes they are.
    """

    def without(matrix: Any) -> Any:
        gone = sp.csr_matrix((np.ones(len(cells)), (cells, genes)), shape=matrix.shape)
        left = sp.csr_matrix(matrix - matrix.multiply(gone))
        left.eliminate_zeros()
        return left.astype(matrix.dtype)

    data.layers["counts"] = without(sp.csr_matrix(data.layers["counts"]))
    if sp.issparse(data.X):
        data.X = without(sp.csr_matrix(data.X))
    else:
        matrix = np.array(data.X)
        matrix[cells, genes] = blank[genes]
        data.X = matrix


def _matched(
    match: Any, questions: Questions, rna: np.ndarray, atac: np.ndarray, purpose: str
) -> np.ndarray:
    """Return the method's score of pairs of rows, asked in two unrelated orders."""
    rows = np.unique(np.concatenate([rna, atac]))
    orders = [questions.rng("order", purpose, part).permutation(rows) for part in PARTS]
    data = pair_data(
        *(_neutral(questions.data[part], order)
          for part, order in zip(PARTS, orders, strict=True))
    )  # fmt: skip
    places = [np.argsort(order) for order in orders]
    asked = [
        place[np.searchsorted(rows, one)] for place, one in zip(places, (rna, atac), strict=True)
    ]
    return _answer("match", match, (len(rna),), data, *asked)


def _neutral(data: AnnData, rows: np.ndarray) -> AnnData:
    """Return a copy of some cells, in that order, under names that say nothing."""
    part = data[rows].copy()
    part.obs_names = [f"unseen{number}" for number in range(len(rows))]
    return part


def _hook(method: Any, name: str) -> Any:
    """Return a method's optional hook; raises ``_Unanswered`` if it has none."""
    hook = getattr(method, name, None)
    if hook is None:
        raise _Unanswered(f"{method.name} has no {name}")
    return hook


def _answer(name: str, hook: Any, shape: tuple[int, ...], *given: Any) -> np.ndarray:
    """Return what a hook says, checked; a fault of the method is a reason, not the job's end."""
    try:
        found = np.asarray(hook(*given), dtype=np.float64)
    except MemoryError:
        raise
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())
        raise _Unanswered(f"{name} failed: {type(error).__name__}: {text}"[:160]) from error
    if found.shape != shape:
        raise _Unanswered(f"{name} returned shape {found.shape}, expected {shape}")
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise _Unanswered(f"{name} returned {bad} of {found.size} scores that are not finite")
    return found


def answers(
    job: dict[str, Any], folder: Path, cells: pd.Index, types: np.ndarray | None
) -> PairedTasks | None:
    """Return the answers in the artifacts ``folder`` with the types; ``None``: no paired data.

    ``types`` has the type of each of ``cells``, empty where it is hidden from the scorer.
    """
    facts, where = job["facts"], folder / FOLDER
    if facts["modality"] != MULTIOME:
        return None
    if not where.is_dir():
        none = f"{job['method_name']} has no transform and was fitted on all cells"
        reason = none if facts.get("train_digest") else "no cells are held out (train=0.8)"
        return PairedTasks(missing=dict.fromkeys(TASKS, reason))
    found: dict[str, Any] = {"missing": json.loads((where / "missing.json").read_text())}
    if (where / "pairs.parquet").is_file():
        table = pd.read_parquet(where / "pairs.parquet")
        found["pairs"] = _with_types(table, cells, types)
    if (where / "retrieval.parquet").is_file():
        found["retrieval"] = pd.read_parquet(where / "retrieval.parquet").to_numpy(np.float64)
    if (where / "translation.npz").is_file():
        with np.load(where / "translation.npz", allow_pickle=False) as kept:
            found["translation"] = TranslationScores(kept["score"], kept["detected"], kept["rate"])
    if (where / "recovery.parquet").is_file():
        table = pd.read_parquet(where / "recovery.parquet")
        columns = {name: table[name].to_numpy() for name in ("hidden", "score", "rate")}
        found["recovery"] = RecoveryScores(cell=pd.factorize(table["cell"])[0], **columns)
    return PairedTasks(**found)


def _with_types(table: pd.DataFrame, cells: pd.Index, types: np.ndarray | None) -> PairScores:
    """Return the pairs with easy (two types) and hard (one type) ones told apart."""
    same, score = table["same"].to_numpy(), table["score"].to_numpy(np.float64)
    if types is None:
        return PairScores(same, score)
    kinds = np.asarray(types).astype(str)
    one, other = (kinds[cells.get_indexer(pd.Index(table[part]))] for part in ("rna", "atac"))
    known = (one != "") & (other != "")
    return PairScores(same, score, hard=known & (one == other), easy=known & (one != other))

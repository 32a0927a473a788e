"""The input of a check: a method on simulated counts, with short fits."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import (
    ATAC,
    MULTIOME,
    RNA,
    DatasetInfo,
    Fit,
    Method,
    cells_of,
    pair_data,
)
from bench.contract.method import declared_inputs
from bench.execute.curves import Curves
from bench.execute.fitting import FitConditions, OptionalInputs, fit_method
from bench.prepare.in_memory import describe_data, prepare_data

if TYPE_CHECKING:
    from mudata import MuData

    from bench.contract import Reporter

_SHORT_FIT = {
    "max_epochs": 2,
    "pretrain_epochs": 1,
    "normal_epochs": 1,
    "pair_epochs": 1,
    "max_iter": 10,
    "link_passes": 2,
}
"""Parameters of a short fit; those that a method has are used."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    status: str
    """``passed``, ``failed``, ``excepted`` or ``not applicable``."""
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """A named check; ``function`` raises if the method fails it."""

    name: str
    description: str
    function: Callable[[Case], None]

    def __str__(self) -> str:
        return self.name


class Excepted(unittest.SkipTest):
    """A check failed with a declared exception, the reason in the message; a skip in pytest."""


class NotApplicable(unittest.SkipTest):
    """A check does not apply to a method, with the reason in the message; a skip in pytest."""


def check_list() -> tuple[list[Check], Callable[[str], Callable[..., Any]]]:
    """Return an empty list of checks and a decorator that adds a function to it."""
    checks: list[Check] = []

    def check(description: str) -> Callable[..., Any]:
        def add(function: Callable[[Case], None]) -> Callable[[Case], None]:
            checks.append(Check(function.__name__.lstrip("_"), description, function))
            return function

        return add

    return checks, check


@dataclass
class CaseFit:
    """A fit: the method, its result, the prepared data and the training curves."""

    method: Method
    fit: Fit
    prepared: Any
    curves: Curves


@dataclass(frozen=True)
class Case:
    """A method on one of its modalities."""

    cls: type[Method]
    modality: str

    def counts(self, n_cells: int = 60, n_features: int = 80) -> Any:
        """Return simulated counts of three clear types, two batches and three proteins.

        Every fourth feature is high in one type. Paired data have twice as many peaks as genes:
        genes lie 2,000 bases apart on two chromosomes, with two peaks beside each.
        """
        if self.modality != MULTIOME:
            return _simulate_counts(self.modality, n_cells, n_features)
        return _simulate_paired_counts(n_cells, n_features)

    def short(self, **values: Any) -> Method:
        """Return the method with parameters of a short fit and ``values``."""
        fields = self.cls.Params.model_fields
        short = {name: value for name, value in _SHORT_FIT.items() if name in fields}
        return self.cls(self.cls.Params.build(short | values, owner=self.cls.name))

    def short_fit(self) -> CaseFit:
        """Return a short fit on the counts with seed 0, fitted once for consecutive checks."""
        return _short_fit(self)

    def info(self, data: Any, *, has_batch: bool = True) -> DatasetInfo:
        """Return the facts that a recipe may use."""
        return describe_data(data, name="check", modality=self.modality, has_batch=has_batch)

    def prepared(self, method: Method, data: Any, *, absent: frozenset[str] = frozenset()) -> Any:
        """Return the data prepared for the method as in the harness."""
        obs = cells_of(data).obs
        has_batch = "batch" in obs and "batch" not in absent
        used = has_batch and "batch" in declared_inputs(method)
        recipe = method.recipe(self.info(data, has_batch=has_batch))
        return prepare_data(data, recipe, np.asarray(obs["batch"], dtype=str) if used else None)

    def fit(
        self,
        method: Method,
        data: Any,
        *,
        seed: int = 0,
        report: Reporter | None = None,
        prepared: Any = None,
        absent: frozenset[str] = frozenset(),
    ) -> CaseFit:
        """Prepare and fit in this process, as in the harness, without the ``absent`` inputs."""
        if prepared is None:
            prepared = self.prepared(method, data, absent=absent)
        cells = cells_of(data)

        def column(key: str) -> np.ndarray | None:
            return np.asarray(cells.obs[key], dtype=str) if key in cells.obs else None

        inputs = OptionalInputs(
            n_clusters=3,
            batch=column("batch"),
            labels=column("cell_type"),
            markers={f"type{n}": tuple(cells.var_names[n::4][:5]) for n in range(2)},
            proteins=cells.obsm.get("ADT"),
            protein_names=("cd1", "cd2", "cd3"),
        )
        inputs = replace(inputs, **dict.fromkeys(absent))
        rows = cells.obs_names.get_indexer(prepared.obs_names)
        curves = Curves()
        fit = fit_method(
            method, prepared, inputs.select_cells(rows), report or curves, FitConditions(seed)
        )
        return CaseFit(method, fit, prepared, curves)


@lru_cache(maxsize=2)
def _short_fit(case: Case) -> CaseFit:
    return case.fit(case.short(), case.counts())


def _simulate_counts(modality: str, n_cells: int, n_features: int) -> AnnData:
    rng = np.random.default_rng(0)
    types = np.arange(n_cells) % 3
    rate = np.full((n_cells, n_features), 0.3)
    for number in range(3):
        rate[np.ix_(types == number, np.arange(n_features) % 4 == number)] = 4.0
    if modality == ATAC:
        rate *= 0.4
    rate *= rng.lognormal(0.0, 0.3, n_cells)[:, None]
    adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.obs_names = [f"cell{number}" for number in range(n_cells)]
    starts = np.arange(n_features) * 1000
    peaks = modality == ATAC
    adata.var_names = [f"chr1:{s}-{s + 500}" if peaks else f"gene{s // 1000}" for s in starts]
    adata.obs["cell_type"] = [f"type{number}" for number in types]
    adata.obs["batch"] = [f"batch{number}" for number in np.arange(n_cells) // 2 % 2]
    adata.obsm["ADT"] = rng.poisson(np.where(np.eye(3)[types], 20.0, 2.0)).astype(np.float32)
    return adata


def _simulate_paired_counts(n_cells: int, n_genes: int) -> MuData:
    """Return genes and peaks of the same cells, placed on two chromosomes, with DNA."""
    # The type and the batch of a cell depend on its number: they agree in both parts.
    rna = _simulate_counts(RNA, n_cells, n_genes)
    atac = _simulate_counts(ATAC, n_cells, 2 * n_genes)
    half = n_genes // 2
    rna.var["chrom"] = [f"chr{number + 1}" for number in np.arange(n_genes) // half]
    rna.var["tss"] = np.arange(n_genes) % half * 2000 + 1000
    rna.var["strand"] = np.where(np.arange(n_genes) % 2, "-", "+")
    atac.var["chrom"] = rna.var["chrom"].to_numpy().repeat(2)
    atac.var["start"] = (np.arange(2 * n_genes) % (2 * half)) * 1000 + 200
    atac.var["end"] = atac.var["start"] + 500
    atac.var_names = [f"{row.chrom}:{row.start}-{row.end}" for row in atac.var.itertuples()]
    letters = np.random.default_rng(1).choice(list("ACGT"), (2 * n_genes, 32))
    atac.var["sequence"] = ["".join(row) for row in letters]
    return pair_data(rna, atac)

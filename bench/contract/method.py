"""What a method is: the class to subclass, what it receives and what it returns.

A method cannot see what it must not. ``fit`` gets an ``AnnData`` built from counts and feature
names only: ``X`` is the matrix its recipe asked for, ``layers["counts"]`` the raw counts of the
same features, ``obs["size_factor"]`` the depth of a cell over all kept features divided by the
median depth. Whatever else it may use it declares in :meth:`Method.uses` and finds, typed, in
``context``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .parameters import Parameters
from .recipe import DatasetInfo, PairedInfo, PairedRecipe, Recipe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData


OPTIONAL_INPUTS = frozenset({"n_clusters", "batch", "labels", "markers", "proteins"})
"""What a method may declare in ``uses()`` beyond the counts."""


@dataclass(frozen=True)
class Knowledge:
    """What a method declared that it uses; everything else is ``None``."""

    batch: np.ndarray | None = None
    """Batch name of each cell, shape (n_cells,)."""
    labels: np.ndarray | None = None
    """True type of each cell, shape (n_cells,); only for controls and guided methods."""
    markers: dict[str, tuple[str, ...]] | None = None
    """Name of a signature → its genes, all of them features of the data."""
    proteins: np.ndarray | None = None
    """Raw counts of surface proteins, cells × proteins."""
    protein_names: tuple[str, ...] | None = None
    """Names of the columns of ``proteins``."""


class Reporter(Protocol):
    """Signature of ``context.report``."""

    def __call__(self, step: int, total: int | None = None, /, **values: float) -> None: ...


@dataclass(frozen=True)
class Context:
    """Everything a fit gets besides the data."""

    seed: int
    n_clusters: int | None
    """Number of true types if ``uses()`` names ``n_clusters``, else ``None``."""
    device: str
    """``cpu`` or ``cuda``."""
    threads: int
    knowledge: Knowledge
    report: Reporter
    """``report(step, total, loss=...)``: progress, curves, pruning; raises ``Diverged`` if a
    value is not finite and ``Pruned`` if the search has stopped this trial."""
    log: Callable[[str], None]
    scratch: Path
    """An empty folder of this job, deleted afterwards."""
    checkpoints: Path | None = None
    """A folder that outlives an interrupted fit; a method that ``resumes`` goes on from the state
    that it left there and then fits as if nothing had happened. ``None``: no state is kept."""


@dataclass
class Fit:
    """What a fit returns."""

    embedding: np.ndarray
    """Cells × dimensions, finite."""
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    """The method's own clusterings by name, each of shape (n_cells,)."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Further results worth keeping, such as factor loadings."""
    n_parameters: int | None = None
    """Number of trained numbers."""
    notes: dict[str, str] = field(default_factory=dict)
    """What was chosen automatically, such as ``{"likelihood": "bernoulli"}``."""


class Method(ABC):
    """Base of all methods. One file in ``methods/`` with a concrete subclass registers it."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for tables."""
    reference: ClassVar[str]
    """Citation with DOI."""
    modalities: ClassVar[frozenset[str]]
    """Of ``RNA``, ``ATAC``, ``MULTIOME``: where it can be applied."""
    family: ClassVar[str]
    """``autoencoder``, ``factorization``, ``baseline`` or ``control``; also a tag."""
    cost: ClassVar[str] = "light"
    """``light`` or ``heavy``; the quick profile runs heavy methods with one seed."""
    version: ClassVar[int] = 1
    """Raised when results change for a reason that the source digest does not show."""
    gpu: ClassVar[bool] = False
    """True if ``context.device`` makes a difference."""
    resumes: ClassVar[bool] = False
    """True if it keeps its state in ``context.checkpoints`` while it fits."""
    loss_measures: ClassVar[tuple[str, ...] | None] = None
    """Parameters that change what the reported ``held_out_loss`` measures (its likelihood, its
    cells): a search for the lowest loss keeps them fixed. ``None``: reports no such loss."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Importable names of optional packages; missing ones make the method unavailable."""
    install: ClassVar[str] = ""
    """How to get them, such as ``pip install nimfa``."""
    exceptions: ClassVar[dict[str, str]] = {}
    """Checks of ``bench test-method`` that it cannot pass, each with the reason."""

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def recipe(self, info: DatasetInfo) -> Recipe | PairedRecipe:
        """Return the preparation this method wants; a pure function.

        For paired data ``info`` is a ``PairedInfo`` and the answer a ``PairedRecipe``.
        """
        return PairedRecipe(Recipe(), Recipe()) if isinstance(info, PairedInfo) else Recipe()

    def uses(self) -> frozenset[str]:
        """Return what it uses beyond counts, a subset of ``OPTIONAL_INPUTS``; a pure function."""
        return frozenset()

    @abstractmethod
    def fit(self, data: AnnData, context: Context) -> Fit:
        """Learn from ``data`` and return at least an embedding of its cells."""

    # Optional, found by hasattr:
    #   transform(data: AnnData) -> np.ndarray     embedding of new cells, prepared alike
    #   impute(data: AnnData) -> np.ndarray        expected value of each entry, cells × features
    #   save(path: Path) / load(path: Path)        the fitted state, in the folder ``path``
    #   from_config(path: Path, adata, say) -> Method   made as a file in a format of its own asks
    #       for; describe() -> list[str] then says what would be trained
    #   export(name: str, fit: Fit, cells: pd.Index) -> dict[str, pd.DataFrame]
    #       by file name what the original program wrote of a file ``name``; for ``bench fit``

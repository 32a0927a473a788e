"""What a method is: the class to subclass, what it receives and what it returns.

A method cannot see what it must not. ``fit`` gets an ``AnnData`` built from counts and feature
names only. Everything else it declares in :meth:`Method.needs` or :meth:`Method.may_use` and
receives in ``context``.
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
    import scipy.sparse as sp
    from anndata import AnnData

    from .container import ContainerRunner


OPTIONAL_INPUTS = frozenset({"n_clusters", "batch", "labels", "markers", "proteins", "graph"})
"""What a method may declare in ``needs()`` and ``may_use()`` beyond the counts."""


@dataclass(frozen=True)
class Knowledge:
    """The optional inputs that a method declared and the dataset has; all others are ``None``.

    Parameters
    ----------
    batch
        Batch name of each cell, shape (n_cells,).
    labels
        True type of each cell, shape (n_cells,); only for controls and guided methods.
    markers
        Name of a signature → its genes, all of them features of the data.
    proteins
        Raw counts of surface proteins, shape (n_cells, n_proteins).
    protein_names
        Names of the columns of ``proteins``.
    graph
        The user's own graph of the cells, sparse, shape (n_cells, n_cells); a weight is a
        similarity, zero or above. ``bench fit`` and the estimator only.
    """

    batch: np.ndarray | None = None
    labels: np.ndarray | None = None
    markers: dict[str, tuple[str, ...]] | None = None
    proteins: np.ndarray | None = None
    protein_names: tuple[str, ...] | None = None
    graph: sp.csr_matrix | None = None


class Reporter(Protocol):
    """Signature of ``context.report``."""

    def __call__(self, step: int, total: int | None = None, /, **values: float) -> None:
        """Report progress and losses; called once an epoch or iteration.

        Parameters
        ----------
        step
            Number of finished steps.
        total
            Number of steps of the whole fit, ``None`` if it is unknown.
        **values
            Losses by name, such as ``loss`` and ``held_out_loss``.

        Raises
        ------
        Diverged
            If a value is not finite.
        Pruned
            If the search has stopped this trial.
        """


@dataclass(frozen=True)
class Context:
    """Everything a fit gets besides the data.

    Parameters
    ----------
    seed
        Seed of every random number of the fit.
    n_clusters
        Number of true types if the method declares ``n_clusters``, else ``None``.
    device
        ``cpu`` or ``cuda``.
    threads
        Number of threads that the fit may use.
    knowledge
        The declared optional inputs.
    report
        ``report(step, total, loss=...)`` shows progress, records curves and prunes; see
        :class:`Reporter`.
    log
        Writes one line to the log of the job.
    scratch
        An empty folder of this job, deleted afterwards.
    checkpoints
        A folder that outlives an interrupted fit. A method that ``resumes`` continues from the
        state that it stored there, with the result of an uninterrupted fit. ``None``: nothing is
        stored.
    run_container
        Runs a command in a container, for :class:`~bench.contract.External`.
    """

    seed: int
    n_clusters: int | None
    device: str
    threads: int
    knowledge: Knowledge
    report: Reporter
    log: Callable[[str], None]
    scratch: Path
    checkpoints: Path | None = None
    run_container: ContainerRunner | None = None


@dataclass
class Fit:
    """The result of a fit.

    Parameters
    ----------
    embedding
        Finite numbers, shape (n_cells, n_dimensions).
    labels
        The method's own clusterings by name, each of shape (n_cells,).
    tables
        Further results by name, such as factor loadings.
    n_parameters
        Number of trained numbers.
    notes
        What was chosen automatically, such as ``{"likelihood": "bernoulli"}``.
    """

    embedding: np.ndarray
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    n_parameters: int | None = None
    notes: dict[str, str] = field(default_factory=dict)


class Method(ABC):
    """Base of all methods. One file in ``methods/`` with a concrete subclass registers it.

    Parameters
    ----------
    params
        Validated hyperparameters, an instance of the class's ``Params``.

    Attributes
    ----------
    name : str
        Name in selectors and tables.
    summary : str
        One line for tables.
    reference : str
        Citation with DOI.
    modalities : frozenset of str
        Of ``RNA``, ``ATAC``, ``MULTIOME``: the data it can be applied to.
    family : str
        ``autoencoder``, ``factorization``, ``baseline`` or ``control``; also a tag.
    cost : str
        ``light`` or ``heavy``; the quick profile runs heavy methods with one seed.
    version : int
        Raised when results change for a reason that the digest of the source does not show.
    gpu : bool
        Whether ``context.device`` makes a difference.
    resumes : bool
        Whether it stores its state in ``context.checkpoints`` while it fits.
    loss_measures : tuple of str or None
        Parameters that change what the reported ``held_out_loss`` measures (its likelihood, its
        cells). A search for the lowest loss keeps them fixed. ``None``: it reports no such loss.
    requires : tuple of str
        Importable names of optional packages; if one is missing the method is unavailable.
    install : str
        How to install them, such as ``pip install nimfa``.
    files : tuple of str
        Files and folders that it reads, relative to the folder of its module, such as
        ``("net.yaml",)``. A fit can open no other data files. When one changes, the method is
        fitted again.
    environment : tuple of str
        Folders of another environment whose programs the fit runs. Changes in them do not cause a
        new fit.
    network : bool
        Whether its fit connects to other machines.
    exceptions : dict
        Checks of ``bench test-method`` that it cannot pass, each with the reason.

    Notes
    -----
    Optional methods, detected by name:

    ``transform(data: AnnData) -> np.ndarray``
        Embedding of new cells that were prepared like those of the fit.
    ``impute(data: AnnData) -> np.ndarray``
        Expected value of each entry, shape (n_cells, n_features).
    ``impute_mask(data: AnnData) -> np.ndarray``
        Code of each entry of ``impute``: 0 for a zero that stays, 1 observed, 2 for a filled zero.
    ``save(path: Path)`` and ``load(path: Path)``
        Write and read the fitted state in the folder ``path``.
    ``from_config(path: Path, adata: AnnData) -> Method``
        Class method: the method with the settings of a configuration file in its own format. Its
        ``describe() -> list[str]`` then lists what would be trained.
    ``configuration() -> dict``
        What a fitted method used, in plain values, for ``fit.json``.
    ``predictions(data, split="all", *, reconstruct=True) -> dict[str, pd.DataFrame]``
        All outputs of the fitted method for cells, by name, cells × columns, for ``bench transform
        --heads``. ``split``: name of a split of the fit; only its cells.
    ``story_tables(data, path: Path) -> dict[str, pd.DataFrame]``
        Tables that a file in the method's own format (SAKURA: an inference story) requests.
    ``prepare_training(insert: Sequence[str], go_on: Path | None, keep_every: int, features)``
        Set which parts of other fits to insert (SAKURA's syntax), which fit to continue, after
        how many epochs a state is kept (0: never), and the names of all features of the file.
    ``predict_inputs(data: AnnData) -> dict[str, pd.DataFrame]``
        Predicted optional inputs of cells, scored on held-out cells: ``labels`` (the probability
        of each type) and ``proteins`` (a column a protein, in any unit).
    ``lacks() -> str``
        Class method: what this machine lacks for it besides ``requires``; empty if nothing. With
        a text the method is unavailable.
    ``export(name: str, fit: Fit, cells: pd.Index) -> dict[str, pd.DataFrame]``
        Files of the original program by name, written by ``bench fit``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    modalities: ClassVar[frozenset[str]]
    family: ClassVar[str]
    cost: ClassVar[str] = "light"
    version: ClassVar[int] = 1
    gpu: ClassVar[bool] = False
    resumes: ClassVar[bool] = False
    loss_measures: ClassVar[tuple[str, ...] | None] = None
    requires: ClassVar[tuple[str, ...]] = ()
    install: ClassVar[str] = ""
    files: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[tuple[str, ...]] = ()
    network: ClassVar[bool] = False
    exceptions: ClassVar[dict[str, str]] = {}

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def recipe(self, info: DatasetInfo) -> Recipe | PairedRecipe:
        """Return the preparation that the method needs; must depend on ``info`` alone.

        Parameters
        ----------
        info
            Facts about the dataset; of paired data a ``PairedInfo``.

        Returns
        -------
        Recipe or PairedRecipe
            A ``PairedRecipe`` for paired data.
        """
        return PairedRecipe(Recipe(), Recipe()) if isinstance(info, PairedInfo) else Recipe()

    def needs(self) -> frozenset[str]:
        """Return the inputs beyond the counts without which the method cannot be fitted.

        A dataset that lacks one of them is skipped. Must depend on the parameters alone.

        Returns
        -------
        frozenset of str
            A subset of ``OPTIONAL_INPUTS``.
        """
        return frozenset()

    def may_use(self) -> frozenset[str]:
        """Return the inputs that the method uses where a dataset has them, such as ``batch``.

        In ``context`` they are ``None`` where the dataset lacks them. Must depend on the
        parameters alone.

        Returns
        -------
        frozenset of str
            A subset of ``OPTIONAL_INPUTS`` without those of :meth:`needs`.
        """
        return frozenset()

    @abstractmethod
    def fit(self, data: AnnData, context: Context) -> Fit:
        """Learn from cells and return at least their embedding.

        Parameters
        ----------
        data
            ``X``: the matrix that the recipe describes, cells × features.
            ``layers["counts"]``: raw counts of the same features. ``obs["size_factor"]``: total
            of a cell over all features that pass the filters, divided by the median total. Of
            paired data a ``MuData`` of two such parts, ``rna`` and ``atac``.
        context
            Seed, device, optional inputs and reporting.

        Returns
        -------
        Fit
            One row of ``embedding`` for each cell of ``data``, in its order.
        """


def declared_inputs(method: Method) -> frozenset[str]:
    """Return what a method declares beyond the counts: what it needs and what it may use."""
    return method.needs() | method.may_use()

"""A method as a plain estimator, without the harness: ``bench.estimator("vae").fit(adata)``."""

from __future__ import annotations

import contextlib
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bench.contract import PARTS, RNA, Method, cells_of, is_paired, protein_counts
from bench.contract.method import declared_inputs
from bench.errors import BenchError, DataError, MethodError, UsageError
from bench.execute.curves import Curves, ProgressListener
from bench.execute.fitting import FitConditions, OptionalInputs, fit_method
from bench.messages import printable_line, quote_names
from bench.prepare.in_memory import describe_data, prepare_data
from bench.prepare.new_cells import Preparation
from bench.registry import methods

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def estimator(name: str, *, device: str = "cpu", threads: int = 1, **params: Any) -> Estimator:
    """Return a method as a plain estimator: ``bench.estimator("vae", n_latent=16).fit(adata)``.

    Parameters
    ----------
    name
        Name of the method, as in ``bench methods``.
    device, threads
        As for :class:`Estimator`.
    params
        Parameters of the method.

    Returns
    -------
    Estimator
        Not yet fitted.

    Raises
    ------
    UsageError
        For an unknown name or parameter.
    """
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, owner=name)), device=device, threads=threads)


class Estimator:
    """A method with the functions of a scikit-learn estimator.

    Parameters
    ----------
    method
        The method with its parameters.
    device
        ``cpu`` or ``cuda``.
    threads
        Threads of the method's libraries.
    listener
        ``listener(step, total, values)`` is called at every report of the fit.
    checkpoints
        Folder for the state of a method that ``resumes``.

    Attributes
    ----------
    embedding_
        Embedding of the cells, shape (n_cells, n_dimensions).
    labels_
        The method's own clusterings by name, each of shape (n_cells,).
    fit_
        Everything that the method returned.
    curves_, steps_
        Name of a reported value → its values, and the steps they were reported at.
    prepared_
        The prepared training cells.
    preparation_
        How new cells are prepared; ``None`` if the method does not take new cells.
    """

    def __init__(
        self,
        method: Method,
        *,
        device: str = "cpu",
        threads: int = 1,
        listener: ProgressListener | None = None,
        checkpoints: Path | None = None,
    ) -> None:
        self.method, self.device, self.threads = method, device, threads
        self.listener, self.checkpoints = listener, checkpoints
        self.preparation_: Preparation | None = None

    def fit(
        self,
        adata: AnnData | MuData,
        *,
        modality: str = RNA,
        seed: int = 0,
        n_clusters: int | None = None,
        batch: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        markers: dict[str, tuple[str, ...]] | None = None,
    ) -> Self:
        """Prepare the cells and fit the method; ``adata`` is not changed.

        The method gets the optional inputs, proteins in ``obsm["ADT"]`` among them, only if it
        declares that it needs or may use them.

        Parameters
        ----------
        adata
            Counts in ``X``, cells × features; paired data as ``MuData`` of ``rna`` and ``atac``.
        modality, seed
            ``rna`` or ``atac``, of a single matrix; seed of the fit.
        n_clusters, batch, labels, markers
            Number of types; batch and true type of each cell, shape (n_cells,); signature → its
            genes.

        Returns
        -------
        Estimator
            This object, fitted.

        Raises
        ------
        UsageError, DataError
            If an input that the method needs is not given; if no marker gene is among the
            features.
        """
        method, uses = self.method, declared_inputs(self.method)
        inputs = OptionalInputs(n_clusters, batch, labels, markers)
        if "proteins" in uses and (proteins := protein_counts(cells_of(adata))) is not None:
            inputs = replace(inputs, proteins=proteins[0], protein_names=proteins[1])
        _check_inputs(method, inputs)
        info = describe_data(adata, name="data", modality=modality, has_batch=batch is not None)
        recipe = method.recipe(info)
        given = batch is not None and "batch" in uses
        prepared = prepare_data(adata, recipe, np.asarray(batch) if given else None)
        rows = adata.obs_names.get_indexer(prepared.obs_names)
        curves = Curves(self.listener)
        conditions = FitConditions(seed, self.device, self.threads, checkpoints=self.checkpoints)
        self.fit_ = fit_method(method, prepared, inputs.select_cells(rows), curves, conditions)
        self.prepared_, self.curves_, self.steps_ = prepared, curves.values, curves.steps
        self.embedding_, self.labels_ = self.fit_.embedding, self.fit_.labels
        if any(hasattr(method, name) for name in ("transform", "impute", "save")):
            self.preparation_ = Preparation.fit(adata, recipe, prepared)
        return self

    def prepare(self, adata: AnnData | MuData, *, fill_missing: bool = False) -> Any:
        """Prepare new cells (counts) by the statistics of the training cells.

        Parameters
        ----------
        adata
            Counts in ``X``. Features are matched by name, in any order, peaks also by
            coordinates.
        fill_missing
            Whether features of the fit that are missing are taken as zero.

        Returns
        -------
        AnnData or MuData
            The prepared cells, for :meth:`transform` and :meth:`impute`.

        Raises
        ------
        DataError
            If features are missing and ``fill_missing`` is false.
        UsageError
            If the method is not fitted.
        """
        if self.preparation_ is None:
            raise UsageError(
                f"{self.method.name}: new cells cannot be prepared without the statistics of the "
                "training cells; call fit(), or load() a folder that Estimator.save() wrote.",
                code="not_fitted",
            )
        return self.preparation_.apply(adata, fill_missing=fill_missing)

    def transform(self, prepared: AnnData | MuData) -> np.ndarray:
        """Embed new cells.

        Parameters
        ----------
        prepared
            Cells as :meth:`prepare` returns them.

        Returns
        -------
        ndarray
            Embedding, shape (n_cells, n_dimensions).

        Raises
        ------
        UsageError
            If the method has no ``transform``.
        DataError
            If the cells have other features than the training cells, or another order of them.
        """
        function = self._function("transform", "embed new cells")
        self._check_features(prepared)
        embedding: np.ndarray = function(prepared)
        return embedding

    def impute(self, prepared: AnnData) -> np.ndarray:
        """Return the expected value of each entry.

        Parameters
        ----------
        prepared
            Cells as :meth:`prepare` returns them.

        Returns
        -------
        ndarray
            Expected values, shape (n_cells, n_features).

        Raises
        ------
        UsageError
            If the method has no ``impute``.
        DataError
            As :meth:`transform`.
        """
        function = self._function("impute", "impute")
        self._check_features(prepared)
        imputed: np.ndarray = function(prepared)
        return imputed

    def save(self, path: Path) -> None:
        """Write the fitted method and the preparation of new cells into the folder ``path``.

        Raises ``UsageError`` if the method has no ``save``.
        """
        self._function("save", "be saved")(path)
        if self.preparation_ is not None:
            self.preparation_.save(path)

    def load(self, path: Path) -> Self:
        """Read what :meth:`save` wrote into a method with the same parameters.

        A folder written by the method's own ``save`` has no preparation: the features of new cells
        are then checked only by the method. Raises ``UsageError`` if the method has no ``load``.
        """
        self._function("load", "be loaded")(path)
        self.preparation_ = Preparation.load(path)
        return self

    def _function(self, name: str, action: str) -> Any:
        """Return an optional function of the method; raises ``UsageError`` if it is missing."""
        function: Any = getattr(self.method, name, None)
        if function is None:
            raise UsageError(
                f"{self.method.name} cannot {action}: it has no {name}.", code="not_supported"
            )
        return function

    def _check_features(self, data: AnnData | MuData) -> None:
        """Raise ``DataError`` unless the cells have the features of the training cells."""
        if self.preparation_ is None:
            return
        new = {"": cells_of(data).var_names}
        if is_paired(data):
            new = {part: data[part].var_names for part in PARTS}
        trained = {part: kept.features for part, kept in self.preparation_.parts.items()}
        if new.keys() != trained.keys():
            kinds = ["paired data" if len(parts) > 1 else "one matrix" for parts in (new, trained)]
            raise DataError(
                f"{self.method.name}: the new cells are {kinds[0]}, the training cells were "
                f"{kinds[1]}; give the same.",
                code="wrong_modality",
            )
        for part, features in trained.items():
            if list(new[part]) != features:
                other = f"other {part} features" if part else "other features"
                raise DataError(
                    f"{self.method.name}: the new cells have {other} ({len(new[part])}) than "
                    f"the training cells ({len(features)}): {_difference(new[part], features)}; "
                    "select and order them alike.",
                    code="other_features",
                )


def _check_inputs(method: Method, inputs: OptionalInputs) -> None:
    """Raise ``UsageError`` if a method needs an input that is not given."""
    for name in sorted(method.needs()):
        if getattr(inputs, name) is None:
            raise UsageError(
                f"{method.name} needs {name}: pass {name}=... to fit.", code="missing_input"
            )


@contextlib.contextmanager
def errors_with_file(method: Method, path: Path) -> Iterator[None]:
    """Turn an error of a method into a ``MethodError`` with the file and the line of code."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        source = getattr(sys.modules[type(method).__module__], "__file__", "")
        frame = next(f for f in frames if f.filename == source or f is frames[-1])
        text = printable_line(str(error))[:500]
        raise MethodError(
            f"{method.name} failed on {path}: {type(error).__name__}: {text} "
            f"({Path(frame.filename).name}, line {frame.lineno})",
            code="method_failed",
        ) from error


def _difference(new: pd.Index, trained: list[str]) -> str:
    """Return how two lists of features differ: by their names, else by their order."""
    in_new, in_trained = set(new), set(trained)
    missing = [name for name in trained if name not in in_new]
    added = [name for name in new if name not in in_trained]
    if missing or added:
        groups = ((missing, "missing"), (added, "new"))
        return ", ".join(
            f"{len(names)} are {kind} ({quote_names(names)})" for names, kind in groups if names
        )
    pairs = [pair for pair in zip(new, trained, strict=False) if pair[0] != pair[1]]
    if not pairs:
        return "some stand there more than once"
    first = f"'{pairs[0][0]}' in place of '{pairs[0][1]}'"
    return f"the same in another order, {len(pairs)} places differ, first {first}"

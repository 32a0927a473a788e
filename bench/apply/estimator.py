"""A method as a plain estimator, without the harness: ``bench.estimator("vae").fit(adata)``."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bench.contract import (
    PARTS,
    RNA,
    Context,
    Knowledge,
    Method,
    cells_of,
    is_paired,
    keep_known_genes,
    protein_counts,
)
from bench.errors import BenchError, DataError, MethodError, UsageError
from bench.execute.curves import Curves, Listener
from bench.execute.fitting import check_result
from bench.messages import quote_names
from bench.prepare.multiome import describe_data, prepare_data
from bench.prepare.new_cells import Preparation
from bench.registry import methods

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def estimator(name: str, **params: Any) -> Estimator:
    """Return a method as a plain estimator: ``bench.estimator("vae", n_latent=16).fit(adata)``.

    Raises ``UsageError`` for an unknown name or parameter.
    """
    cls = methods().get(name)
    return Estimator(cls(cls.Params.build(params, owner=name)))


class Estimator:
    """Wrap a method: ``fit(adata)`` prepares and fits, then see the attributes.

    After ``fit``: ``fit_`` (all that the method returned), ``embedding_`` (cells × dimensions),
    ``labels_`` (the method's own clusterings), ``curves_`` and ``steps_`` (name → values, and the
    steps they were reported at), ``prepared_``, ``preparation_`` (what new cells are prepared by).
    """

    def __init__(self, method: Method) -> None:
        self.method = method
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
        proteins: np.ndarray | None = None,
        protein_names: tuple[str, ...] | None = None,
        device: str = "cpu",
        threads: int = 1,
        listener: Listener | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """Fit on ``adata.X`` (counts, cells × features); ``adata`` is not changed.

        Paired data are a ``MuData`` with counts of ``rna`` and ``atac``, as ``prepared_`` then is.

        ``listener(step, total, values)`` hears of the progress; ``checkpoints`` is a folder for
        the state of a method that ``resumes``.
        ``n_clusters``, ``batch``, ``labels``, ``markers`` (signature → genes) and ``proteins``
        (counts, cells × proteins; default: ``obsm["ADT"]``) reach the method only if it declares
        their use. Raises ``UsageError`` if it declares one that is not given, ``DataError`` if no
        marker gene is among the features.
        """
        uses = self.method.uses()
        if proteins is None and "proteins" in uses:
            proteins, protein_names = protein_counts(cells_of(adata)) or (None, None)
        given = {"n_clusters": n_clusters, "batch": batch, "labels": labels, "markers": markers,
                 "proteins": proteins}  # fmt: skip
        for name in sorted(uses):
            if given[name] is None:
                raise UsageError(f"{self.method.name} uses {name}: pass {name}=... to fit.")
        info = describe_data(adata, name="data", modality=modality, has_batch=batch is not None)
        recipe = self.method.recipe(info)
        prepared = prepare_data(adata, recipe, None if "batch" not in uses else np.asarray(batch))
        kept = adata.obs_names.get_indexer(prepared.obs_names)
        lists, missing = None, ""
        if "markers" in uses and markers is not None:
            lists, missing = keep_known_genes(markers, prepared.var_names, self.method.name)
        curves = Curves(listener)
        with tempfile.TemporaryDirectory() as scratch:
            context = Context(
                seed=seed,
                n_clusters=n_clusters if "n_clusters" in uses else None,
                device=device,
                threads=threads,
                knowledge=Knowledge(
                    batch=np.asarray(batch)[kept] if "batch" in uses else None,
                    labels=np.asarray(labels)[kept] if "labels" in uses else None,
                    markers=lists,
                    proteins=np.asarray(proteins)[kept] if "proteins" in uses else None,
                    protein_names=protein_names if "proteins" in uses else None,
                ),
                report=curves,
                log=lambda text: None,
                scratch=Path(scratch),
                checkpoints=checkpoints,
            )
            self.fit_ = self.method.fit(prepared, context)
        check_result(self.fit_, prepared.n_obs, self.method.name)
        if missing:
            self.fit_.notes["markers"] = missing
        self.prepared_, self.curves_, self.steps_ = prepared, curves.values, curves.steps
        self.embedding_, self.labels_ = self.fit_.embedding, self.fit_.labels
        if any(hasattr(self.method, name) for name in ("transform", "impute", "save")):
            self.preparation_ = Preparation.of(adata, recipe, prepared)
        return self

    def prepare(self, adata: AnnData | MuData, *, fill_missing: bool = False) -> Any:
        """Return new cells (counts) as the method gets them, by statistics of the training cells.

        Features go by name, in any order, peaks also by coordinates; ``fill_missing`` takes those
        that are missing as zero. Raises ``DataError`` if any is missing otherwise, and
        ``UsageError`` if nothing is known of the training cells.
        """
        if self.preparation_ is None:
            raise UsageError(
                f"{self.method.name}: nothing is known of the preparation of the training cells; "
                "fit, or load what save() wrote."
            )
        return self.preparation_.apply(adata, fill_missing=fill_missing)

    def transform(self, prepared: AnnData | MuData) -> np.ndarray:
        """Return the embedding of new cells, prepared like the training cells (:meth:`prepare`).

        Raises ``UsageError`` if the method has no ``transform``, and ``DataError`` if the cells
        have other features than the training cells, or the same in another order.
        """
        function = self._function("transform", "embed new cells")
        self._check_features(prepared)
        embedding: np.ndarray = function(prepared)
        return embedding

    def impute(self, prepared: AnnData) -> np.ndarray:
        """Return the expected value of each entry, (cells, features), of cells prepared alike.

        Raises ``UsageError`` if the method has no ``impute``, and ``DataError`` as
        :meth:`transform`.
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
        """Read what :meth:`save` wrote; the parameters must be the same.

        What the method's own ``save`` wrote has no preparation: new cells are then checked only if
        the method does so itself. Raises ``UsageError`` if the method has no ``load``.
        """
        self._function("load", "be loaded")(path)
        self.preparation_ = Preparation.load(path)
        return self

    def _function(self, name: str, what: str) -> Any:
        """Return a function that not every method has; raises ``UsageError`` if it is missing."""
        function: Any = getattr(self.method, name, None)
        if function is None:
            raise UsageError(f"{self.method.name} cannot {what}: it has no {name}.")
        return function

    def _check_features(self, data: AnnData | MuData) -> None:
        """Raise ``DataError`` unless the cells have the features of the training cells."""
        if self.preparation_ is None:
            return
        given = _features(data)
        wanted = {part: one.features for part, one in self.preparation_.parts.items()}
        if given.keys() != wanted.keys():
            kinds = ["paired data" if len(one) > 1 else "one matrix" for one in (given, wanted)]
            raise DataError(
                f"{self.method.name}: the new cells are {kinds[0]}, the training cells were "
                f"{kinds[1]}; give the same."
            )
        for part, known in wanted.items():
            if list(given[part]) != known:
                other = f"other {part} features" if part else "other features"
                raise DataError(
                    f"{self.method.name}: the new cells have {other} ({len(given[part])}) than "
                    f"the training cells ({len(known)}): {_difference(given[part], known)}; "
                    "select and order them alike."
                )


@contextlib.contextmanager
def on_file(made: Method, path: Path) -> Iterator[None]:
    """Turn what a method raises into one line with file and place; the cause stays attached.

    Raises ``MethodError``.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = getattr(sys.modules[type(made).__module__], "__file__", "")
        last = next(one for one in frames if one.filename == own or one is frames[-1])
        what = " ".join(str(error).split())[:500]
        raise MethodError(
            f"{made.name} failed on {path}: {type(error).__name__}: {what} "
            f"({Path(last.filename).name}, line {last.lineno})"
        ) from error


def _features(data: AnnData | MuData) -> dict[str, pd.Index]:
    """Return the names of the features by part, ``""`` for a single matrix."""
    if is_paired(data):
        return {part: data[part].var_names for part in PARTS}
    return {"": cells_of(data).var_names}


def _difference(given: pd.Index, known: list[str]) -> str:
    """Return how two lists of features differ: by their names, else by their order."""
    have, wanted = set(given), set(known)
    missing = [name for name in known if name not in have]
    new = [name for name in given if name not in wanted]
    if missing or new:
        parts = [f"{len(names)} are {how} ({quote_names(names)})"
                 for names, how in ((missing, "missing"), (new, "new")) if names]  # fmt: skip
        return ", ".join(parts)
    apart = [pair for pair in zip(given, known, strict=False) if pair[0] != pair[1]]
    if not apart:
        return "some stand there more than once"
    first = f"'{apart[0][0]}' in place of '{apart[0][1]}'"
    return f"the same in another order, {len(apart)} places differ, first {first}"

"""The saved model of a finished fit: a job of the store, or the folder of ``bench fit``."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd

from bench.contract.recipe import recipe_from_dict
from bench.data.cache.cached_dataset import CachedDataset
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels, load_counts
from bench.data.cache.folder_state import read_info
from bench.data.cache.prepared_files import restore_names
from bench.data.name_patterns import DEFAULT_LABEL_KEY
from bench.digests import source_digest
from bench.errors import DataError, UsageError
from bench.plan.job import dataset_folder
from bench.prepare.new_cells import Preparation
from bench.registry import methods

from .result import Result
from .result_store import ResultStore
from .results_table import selected_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.contract import Method
    from bench.plan.job import Job
    from bench.settings import Settings

logger = logging.getLogger(__name__)
MODEL_FOLDER = "model"


@dataclass(frozen=True)
class FittedCells:
    """Embedding and labels of the cells of a fit."""

    embedding: np.ndarray
    labels: dict[str, np.ndarray]
    """Clustering, or ``type``, → label of each cell as text, empty where it has none."""


class SavedModel(ABC):
    """A fitted method and the preparation of its cells."""

    name: str
    """``method · dataset · seed``."""
    method: Method
    params: dict[str, Any]
    """Parameters of the fit, empty where a configuration file replaced them."""
    kept_state: str = ""
    """Name of the file of a state that was kept in the fit; empty: its last state."""

    @property
    @abstractmethod
    def preparation(self) -> Preparation:
        """How new cells are prepared; raises ``DataError`` and ``UsageError``."""

    @abstractmethod
    def cells(self, label_key: str | None) -> tuple[Any, np.ndarray | None]:
        """Return the prepared cells of the fit and the type of each, if types are known.

        The type is empty where a cell has none. Raises ``DataError`` and ``UsageError``.
        """

    @abstractmethod
    def fitted_cells(self) -> FittedCells:
        """Return the embedding, clusters and types of the cells; raises ``DataError``."""


def open_model(
    run: Path,
    settings: Settings,
    *,
    methods: str | None = None,
    datasets: str | None = None,
    seed: int | None = None,
    needs: str,
    lacking: str,
) -> SavedModel:
    """Return the model in a job's artifacts, in a ``bench fit`` folder or in a results folder.

    In a results folder ``methods``, ``datasets`` (names or globs) and ``seed`` must select one
    finished job. ``needs`` is a function that the method must have, ``lacking`` the end of the
    error message if it has none. Raises ``UsageError`` and ``DataError``.
    """
    jobs = [folder for folder in (run, run / "artifacts") if (folder / "result.json").is_file()]
    has_store = bool(settings.tracking_uri) or (run / "mlflow.db").is_file()
    if run.is_file() and (run.parent.parent / "fit.json").is_file():
        return SavedFit(run.parent.parent, settings, needs, lacking, kept_state=run.name)
    if (run / "fit.json").is_file():
        return SavedFit(run, settings, needs, lacking)
    if jobs:
        return SavedJob(jobs[0], settings, needs, lacking)
    if run.is_dir() and has_store:
        folder = _select_job(settings.model_copy(update={"results": run}), methods, datasets, seed)
        return SavedJob(folder, settings, needs, lacking)
    raise UsageError(
        f"{run}: no finished fit; expected a results folder (mlflow.db), the artifacts of a "
        "job (result.json) or what 'bench fit' wrote (fit.json).",
        code="no_results",
    )


class SavedFit(SavedModel):
    """The folder of a ``bench fit``."""

    def __init__(
        self, folder: Path, settings: Settings, needs: str, lacking: str, kept_state: str = ""
    ) -> None:
        self.folder, self.kept_state = folder, kept_state
        try:
            about = json.loads((folder / "fit.json").read_text())
            name, params = str(about["method"]), dict(about["params"])
            self.name = f"{name} · {about['file']} · seed {about['seed']}"
            self.name += f" · {kept_state}" if kept_state else ""
            self.params = params
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder / 'fit.json'}: not what 'bench fit' wrote "
                f"({type(error).__name__}: {error}); fit again.",
                code="damaged_result",
            ) from None
        cls = methods(settings.plugins).get(name)
        self.method = _load_method(cls, params, folder, self.name, needs, lacking, kept_state)

    @property
    def preparation(self) -> Preparation:
        """The saved preparation."""
        preparation = Preparation.load(self.folder / MODEL_FOLDER)
        if preparation is None:
            raise UsageError(
                f"{self.folder}: holds no preparation of new cells; fit again.",
                code="no_preparation",
            )
        return preparation

    def cells(self, label_key: str | None) -> tuple[Any, np.ndarray | None]:
        """Prepare the cells of ``result.h5ad`` or ``result.h5mu``; types are those of a column."""
        path = self._result()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mudata announces changes of its defaults
            read = mudata.read_h5mu if path.suffix == ".h5mu" else anndata.read_h5ad
            data: Any = read(path)
        obs = data.obs
        key = label_key or (DEFAULT_LABEL_KEY if DEFAULT_LABEL_KEY in obs else None)
        if key is not None and key not in obs:
            raise DataError(
                f"{path}: no column '{key}' in obs; pass --label-key with one of: "
                f"{', '.join(map(str, obs.columns))}.",
                code="missing_column",
            )
        prepared = self.preparation.apply(data, where=str(path))
        return prepared, None if key is None else types_as_text(obs[key])

    def fitted_cells(self) -> FittedCells:
        """Read ``latent.csv``, ``clusters.csv`` and the types in the result."""
        try:
            latent = pd.read_csv(self.folder / "latent.csv", index_col=0, dtype={0: str})
            clusters = pd.read_csv(self.folder / "clusters.csv", index_col=0, dtype=str)
            labels = {str(name): types_as_text(clusters[name]) for name in clusters}
            key = json.loads((self.folder / "fit.json").read_text()).get("label_key")
            if key:
                labels["type"] = types_as_text(self._obs()[key])
            return FittedCells(latent.to_numpy(dtype=np.float32), labels)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{self.folder}: the cells of the fit cannot be read "
                f"({' '.join(str(error).split())[:150]}); fit again.",
                code="damaged_result",
            ) from None

    def _result(self) -> Path:
        """Return ``result.h5mu`` if it is there, else ``result.h5ad``."""
        pair = self.folder / "result.h5mu"
        return pair if pair.is_file() else self.folder / "result.h5ad"

    def _obs(self) -> pd.DataFrame:
        """Return the columns of the cells in the result."""
        with h5py.File(self._result(), "r") as file:
            table: pd.DataFrame = anndata.io.read_elem(file["obs"])
        return table


class SavedJob(SavedModel):
    """A finished job of the store; its dataset must still be in the cache."""

    def __init__(self, folder: Path, settings: Settings, needs: str, lacking: str) -> None:
        job = Result.read(folder).job
        self.job: Job = job
        self.name, self._settings, self.artifacts = job.name, settings, folder
        registry = methods(settings.plugins)
        if job.method_name not in registry.entries:
            # The folder names the file; whoever wrote it may name any code.
            raise UsageError(
                f"{job.name}: no method named '{job.method_name}' is installed; it was fitted "
                f"from {job.origin}: if you trust that file, pass it with --plugin.",
                code="unknown_name",
            )
        cls = registry.get(job.method_name)
        origin = registry.entry(job.method_name).origin
        if source_digest(origin, cls.files) != job.facts.get("source"):
            logger.warning(f"{job.method_name}: its source changed since this fit")
        self.method = _load_method(cls, job.params, folder, job.name, needs, lacking)
        self.params = self.method.params.resolved()

    @property
    def preparation(self) -> Preparation:
        """Computed from the dataset in the cache."""
        with self._hint_at_dataset():
            counts = load_counts(self._folder)
            return Preparation.fit(counts, recipe_from_dict(self.job.recipe), self._prepared[0])

    def cells(self, label_key: str | None) -> tuple[Any, np.ndarray | None]:
        """Open the prepared data in the cache; types are those of the dataset."""
        with self._hint_at_dataset():
            data, cells = self._prepared
            types = CellLabels(self._folder).types
        return data, None if types is None else types[cells].astype(str)

    def fitted_cells(self) -> FittedCells:
        """Read the artifacts of the job."""
        try:
            embedding = pd.read_parquet(self.artifacts / "embedding.parquet")
            clusters = pd.read_parquet(self.artifacts / "clusters.parquet")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.artifacts}: the cells of the fit cannot be read "
                f"({' '.join(str(error).split())[:150]}); run the job again.",
                code="damaged_result",
            ) from None
        columns = clusters.columns.difference(["batch"], sort=False)
        labels = {str(name): types_as_text(clusters[name]) for name in columns}
        return FittedCells(embedding.to_numpy(dtype=np.float32), labels)

    @contextlib.contextmanager
    def _hint_at_dataset(self) -> Iterator[None]:
        """Add to an error about damaged data the command that restores the dataset."""
        try:
            yield
        except DataError as error:
            raise DataError(
                f"{self.name}: {str(error).split(';')[0]}; 'bench plan -m random -d "
                f"{self.job.dataset}' puts the dataset back.",
                code=error.code,
            ) from None

    @cached_property
    def _folder(self) -> Path:
        return dataset_folder(self.job, self._settings)

    @cached_property
    def _prepared(self) -> tuple[Any, np.ndarray]:
        """The prepared data and the numbers of their cells; prepared again if they are missing."""
        job, store, key = self.job, DataCache(self._settings.cache_dir), self.job.prepared_key
        if not store.is_prepared(key):
            recipe, info = recipe_from_dict(job.recipe), read_info(self._folder)
            key = store.prepared_key(CachedDataset(self._folder, job.dataset, info), recipe)
            if key != job.prepared_key:
                logger.warning(
                    "the preparation of data changed since this fit; the present one is used"
                )
            store.prepare(self._folder, recipe, key)
        data, cells = store.open_prepared(key)
        return restore_names(data, cells, self._folder), cells


def types_as_text(column: pd.Series) -> np.ndarray:
    """Return types as text, empty where there is none."""
    types: np.ndarray = column.astype(object).where(column.notna(), "").astype(str).to_numpy()
    return types


def _select_job(
    settings: Settings, methods: str | None, datasets: str | None, seed: int | None
) -> Path:
    """Return the artifacts of the one finished job that the names select."""
    seeds: Sequence[int] | None = None if seed is None else [seed]
    table = selected_results(ResultStore(settings), methods, datasets, seeds)
    table = table[table["status"] == "done"]
    names = [f"{row.method} · {row.dataset} · seed {row.seed:.0f}" for row in table.itertuples()]
    if len(names) != 1:
        shown = "; ".join(names[:4]) + ("; …" if len(names) > 4 else "")
        raise UsageError(
            f"{settings.results}: {len(names)} finished jobs match{': ' if names else ''}{shown}; "
            "choose one with -m, -d and --seed.",
            code="several_matches" if names else "no_match",
        )
    folder = table["artifacts"].iloc[0]
    if not folder:
        raise UsageError(
            f"{names[0]}: its artifacts are not on this machine.", code="no_artifacts"
        )
    return Path(folder)


def _load_method(
    cls: type[Method], params: dict[str, Any], folder: Path, name: str, needs: str, lacking: str,
    kept_state: str = "",
) -> Method:  # fmt: skip
    """Return the fitted method; ``kept_state``: name of a file in the folder of its model."""
    if not all(hasattr(cls, function) for function in (needs, "load")):
        raise UsageError(f"{name}: {cls.name} {lacking}.", code="not_supported")
    if not (folder / MODEL_FOLDER).is_dir():
        raise UsageError(f"{folder}: holds no model; fit again.", code="no_model")
    method = cls(cls.Params.build(params, owner=cls.name))
    try:
        method.load(folder / MODEL_FOLDER / kept_state)  # type: ignore[attr-defined]  # by hasattr
    except Exception as error:  # a method may raise anything for files of another version
        raise DataError(
            f"{folder / MODEL_FOLDER / kept_state}: cannot be read by the present {cls.name} "
            f"({' '.join(str(error).split())[:150]}); fit again.",
            code="damaged_model",
        ) from None
    return method

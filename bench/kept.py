"""A finished fit with its kept model, opened again together with prepared paired data."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import Settings
from bench.errors import DataError, UsageError
from bench.pairs import PARTS, interval, is_paired, prepare_data, together
from bench.recipe import PairedRecipe, Recipe, as_recipe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from bench.jobs import Job
    from bench.method import Method

Say = Callable[[str], None]
MODEL = "model"


@dataclass
class Kept:
    """A method that was fitted, and cells prepared as it wants them."""

    name: str
    """``method · dataset · seed``."""
    method: Method
    data: MuData
    recipe: PairedRecipe
    types: np.ndarray | None = None
    """Type of each cell as text, empty where it has none; ``None`` if no cell has one."""


def open_run(
    run: Path,
    settings: Settings,
    *,
    methods: str | None = None,
    datasets: str | None = None,
    seed: int | None = None,
    label_key: str | None = None,
    say: Say,
) -> Kept:
    """Return the fit that ``run`` names: a job's artifacts, a ``bench fit`` or a results folder.

    In a results folder ``methods``, ``datasets`` (names or globs) and ``seed`` must select one
    finished job. ``label_key`` is for a ``bench fit``; types of a job are those of its dataset.
    Raises ``UsageError`` and ``DataError``.
    """
    jobs = [one for one in (run, run / "artifacts") if (one / "result.json").is_file()]
    if (run / "fit.json").is_file():
        kept = _of_fit(run, settings, label_key)
    elif jobs:
        kept = _of_job(jobs[0], settings, say)
    elif settings.tracking_uri or (run / "mlflow.db").is_file():
        chosen = settings.model_copy(update={"results": run})
        kept = _of_job(_selected(chosen, methods, datasets, seed, say), settings, say)
    else:
        raise UsageError(
            f"{run}: no finished fit; expected a results folder (mlflow.db), the artifacts of a "
            "job (result.json) or what 'bench fit' wrote (fit.json)."
        )
    if not is_paired(kept.data):
        raise UsageError(f"{kept.name}: data of one part; links need genes and peaks of a cell.")
    return kept


def _selected(
    settings: Settings, methods: str | None, datasets: str | None, seed: int | None, say: Say
) -> Path:
    """Return the artifacts of the one finished job that the names select."""
    from bench.results import frame, narrow
    from bench.tracking import Tracker

    table = narrow(frame(Tracker(settings)), methods, datasets,
                   None if seed is None else [seed], say)  # fmt: skip
    table = table[table["status"] == "done"]
    names = [f"{row.method} · {row.dataset} · seed {row.seed:.0f}" for row in table.itertuples()]
    if len(names) != 1:
        shown = "; ".join(names[:4]) + ("; …" if len(names) > 4 else "")
        raise UsageError(
            f"{settings.results}: {len(names)} finished jobs match{': ' if names else ''}{shown}; "
            "choose one with -m, -d and --seed."
        )
    folder = table["artifacts"].iloc[0]
    if not folder:
        raise UsageError(f"{names[0]}: its artifacts are not on this machine.")
    return Path(folder)


def _of_job(folder: Path, settings: Settings, say: Say) -> Kept:
    """Open a job of the store."""
    from bench.errors import BenchError
    from bench.keys import source_digest
    from bench.registry import resolve
    from bench.rescore import dataset_folder
    from bench.spool import Result
    from bench.stored import Truth

    job = Result.read(folder).job
    try:
        cls = resolve(job.origin, job.method_name)
        changed = source_digest(job.origin) != job.facts["source"]
    except (BenchError, ImportError, OSError, AttributeError) as error:
        raise UsageError(f"{job.name}: the method cannot be imported: {error}.") from None
    if changed:
        say(f"{job.method_name}: its source changed since this fit")
    place = dataset_folder(job, settings)
    recipe = as_recipe(job.recipe)
    if not isinstance(recipe, PairedRecipe):
        raise UsageError(f"{job.name}: data of one part; links need genes and peaks of a cell.")
    method = _loaded(cls, job.params, folder, job.name)
    data, cells = _prepared(job, recipe, place, settings, say)
    types = Truth(place).types[cells].astype(str)
    return Kept(job.name, method, data, recipe, types)


def _prepared(
    job: Job, recipe: PairedRecipe, place: Path, settings: Settings, say: Say
) -> tuple[Any, np.ndarray]:
    """Return the prepared data of a job from the cache; made again if they are gone."""
    from bench.folders import read_info
    from bench.store import Store
    from bench.stored import StoredDataset

    store, key = Store(settings.cache_dir), job.prepared_key
    if not store.prepared_ready(key):
        key = store.prepared_key(StoredDataset(place, job.dataset, read_info(place)), recipe)
        if key != job.prepared_key:
            say("the preparation of data changed since this fit; prepared in the present way")
        store.prepare(place, recipe, key)
    return store.open_prepared(key)


def _of_fit(folder: Path, settings: Settings, label_key: str | None) -> Kept:
    """Open what ``bench fit`` wrote."""
    import mudata

    from bench.datasets.files import DEFAULT_LABEL_KEY
    from bench.pairs import describe_data
    from bench.recipe import MULTIOME
    from bench.registry import methods

    try:
        about = json.loads((folder / "fit.json").read_text())
    except ValueError as error:
        raise DataError(f"{folder / 'fit.json'}: not what 'bench fit' wrote: {error}.") from None
    name = f"{about['method']} · {about['file']} · seed {about['seed']}"
    if not (folder / "result.h5mu").is_file():
        raise UsageError(f"{folder}: no result.h5mu; links need a fit on paired data.")
    method = _loaded(methods(settings.plugins).get(about["method"]), about["params"], folder, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces changes of its defaults
        data = mudata.read_h5mu(folder / "result.h5mu")
    obs = data.obs
    key = label_key or (DEFAULT_LABEL_KEY if DEFAULT_LABEL_KEY in obs else None)
    if key is not None and key not in obs:
        raise DataError(
            f"{folder / 'result.h5mu'}: no column '{key}' in obs; pass --label-key with one of: "
            f"{', '.join(map(str, obs.columns))}."
        )
    info = describe_data(data, name=name, modality=MULTIOME, has_batch=False)
    recipe = method.recipe(info)
    assert isinstance(recipe, PairedRecipe)
    return Kept(name, method, data, recipe, None if key is None else _as_types(obs[key]))


def _loaded(cls: type[Method], params: dict[str, Any], folder: Path, name: str) -> Method:
    """Return the method in the state of its fit."""
    for hook in ("links", "load"):
        if not hasattr(cls, hook):
            raise UsageError(f"{name}: {cls.name} gives no links between peaks and genes.")
    if not (folder / MODEL).is_dir():
        raise UsageError(f"{folder}: holds no model; fit again with this version.")
    method: Any = cls(cls.Params.build(params, owner=cls.name))
    try:
        method.load(folder / MODEL)
    except Exception as error:  # whatever a method meets in files that are not of this version
        raise DataError(
            f"{folder / MODEL}: cannot be read by the present {cls.name} "
            f"({' '.join(str(error).split())[:150]}); fit again."
        ) from None
    made: Method = method
    return made


def other_cells(kept: Kept, path: Path, reading: dict[str, Any], say: Say) -> Kept:
    """Return the fit with the cells of another file, prepared like those of the fit.

    The features of the fit must all be there, genes by name, peaks by name or coordinates. Depth
    normalisation and the like run over all features of the file; no cell is filtered. ``reading``
    are parameters of the file, as in the brackets behind a path. Raises ``DataError``.
    """
    from bench.datasets.files import FileDataset

    dataset = FileDataset.from_path(
        path, FileDataset.Params.build(reading, owner=str(path)), labels_needed=False
    )
    counts: Any = dataset.load()
    for note in dataset.notes:
        say(note)
    if not is_paired(counts):
        raise DataError(f"{path}: holds one part; give both (.h5mu), or the peaks with --atac.")
    loose = PairedRecipe(**{part: _loose(getattr(kept.recipe, part)) for part in PARTS})
    prepared = prepare_data(counts, loose, where=str(path))
    parts = [
        _alike(kept.data[part], counts[part].var_names, prepared[part], part, str(path))
        for part in PARTS
    ]
    key = dataset.card.label_key
    types = counts["rna"].obs[key] if key else None
    data = together(*parts)
    return replace(
        kept, name=f"{kept.name}, on {path.name}", data=data,
        types=None if types is None else _as_types(types.loc[data.obs_names]),
    )  # fmt: skip


def _as_types(column: pd.Series) -> np.ndarray:
    """Return types as text, empty where there is none."""
    types: np.ndarray = column.astype(object).where(column.notna(), "").astype(str).to_numpy()
    return types


def _loose(recipe: Recipe) -> Recipe:
    """Return a recipe that keeps all cells and features."""
    return replace(recipe, min_features=0, min_cells=0, max_cells=1.0, n_top_features=None,
                   batch_aware=False)  # fmt: skip


def _alike(
    fitted: AnnData, counted: Sequence[str], prepared: AnnData, part: str, where: str
) -> AnnData:
    """Return prepared cells with the features of the fit, which must be among those counted.

    Features without a count in any of the cells were left out by the preparation: they are zero.
    """
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    names = list(fitted.var_names)
    _places(names, list(counted), part, where)
    columns = np.array(_places(names, list(prepared.var_names)))
    known = np.flatnonzero(columns >= 0)
    shape = (prepared.n_vars, len(names))
    chosen = sp.csr_matrix((np.ones(len(known), np.float32), (columns[known], known)), shape=shape)
    alike = AnnData(prepared.X @ chosen, obs=prepared.obs.copy(), var=fitted.var.copy())
    alike.layers["counts"] = prepared.layers["counts"] @ chosen
    return alike


def _places(
    wanted: Sequence[str], there: Sequence[str], part: str = "", where: str = ""
) -> list[int]:
    """Return the number of each wanted feature, -1 if missing; peaks also go by coordinates.

    With ``part`` a missing one raises ``DataError``.
    """
    places: dict[Any, int] = {}
    for number, name in enumerate(there):
        places.setdefault(interval(name) or name, number)
    for number, name in enumerate(there):
        places[name] = number
    found = [places.get(name, places.get(interval(name) or name, -1)) for name in wanted]
    lost = [name for name, place in zip(wanted, found, strict=True) if place < 0]
    if lost and part:
        raise DataError(
            f"{where}: {len(lost)} of {len(wanted)} {part} features of the fit are not there "
            f"(first '{lost[0]}'); count the new cells over the features of the fit."
        )
    return found

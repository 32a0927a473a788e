"""One method on one file of the user's: latent features, imputed matrix, clusters, a picture."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.apply.estimator import Estimator, errors_with_file
from bench.contract import Markers, cells_of, is_paired, read_markers, select_cells
from bench.data.checks import check_data
from bench.data.file_dataset import FileDataset
from bench.digests import source_digest
from bench.errors import UsageError
from bench.execute.output_folder import check_output_folder, replace_results
from bench.execute.threads import THREAD_VARIABLES, pin_threads
from bench.plan.device import resolve_device
from bench.plan.methods import configure_methods
from bench.registry import methods as method_registry
from bench.scoring import clustering as cluster
from bench.scoring.scorer import score
from bench.seeds import derive_seed
from bench.selectors import select_names
from bench.settings import Settings, default_cache_dir
from bench.store.saved_model import MODEL_FOLDER as MODEL

from .checkpoints import checkpoints
from .output_files import (
    annotate,
    draw_picture,
    write_embedding,
    write_imputed,
    write_kept,
    write_result,
    write_tables,
)

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Method
    from bench.scoring.scorer import Scores

logger = logging.getLogger(__name__)
_NOTE = "fit.json"


@dataclass
class FileFit:
    """What :func:`fit_file` made."""

    folder: Path
    files: dict[str, str]
    """File name → what it holds."""
    scores: Scores
    seconds: float


def fit_file(
    method: str,
    path: Path,
    *,
    params: dict[str, Any] | None = None,
    assign: Sequence[str] = (),
    settings: Settings,
    out: Path | None = None,
    n_clusters: int | None = None,
    impute: bool = True,
    umap: bool = True,
    markers: Path | None = None,
    setup: Path | None = None,
    dry_run: bool = False,
    resume: bool = False,
    listener: Callable[[int, int | None, dict[str, float]], None] | None = None,
) -> FileFit | None:
    """Fit one method, such as ``vae[n_latent=16]``, on the counts in a file.

    ``params`` say how to read the file, as in the brackets behind a path of ``bench run``. Labels
    are optional; they colour the picture and are scored, the fit does not see them. ``n_clusters``
    is for methods that use it and for k-means. Everything is written into ``out``
    (default ``<file>_<method>`` in the current folder), which must not hold other things.
    ``markers`` is a file of marker lists, ``setup`` a configuration file in the method's own
    format; with ``dry_run`` it is only said what would be trained, nothing is written, and
    ``None`` returned. ``resume`` goes on with an interrupted fit of the same arguments, for
    methods that keep their state.

    Raises ``UsageError`` and ``DataError``.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(settings.threads))  # for what is not loaded yet
    pin_threads(settings.threads)
    made = _method(method, assign, settings)
    dataset = FileDataset.from_path(
        path, FileDataset.Params.build(params or {}, owner=str(path)), labels_needed=False
    )
    folder = out or Path(f"{dataset.name}_{made.name}")
    check_output_folder(folder, _NOTE)
    if resume and not made.resumes:
        raise UsageError(f"--resume: {made.name} keeps no state while it fits; leave it out.")
    adata = dataset.load()
    card = dataset.card
    for note in dataset.notes:
        logger.info(note)
    checked = check_data(
        adata, where=dataset.where, label_key=card.label_key, batch_key=card.batch_key,
        modality=card.modality,
    )  # fmt: skip
    for line in checked.warnings:
        logger.info(line)
    if card.modality not in made.modalities:
        able = ", ".join(sorted(made.modalities))
        hint = "; take one part with --part" if is_paired(adata) else ""
        raise UsageError(f"{made.name} is made for {able}, {path} holds {card.modality}{hint}.")
    if setup is not None:
        made = _set_up(made, setup, adata)
    if dry_run:
        if not hasattr(made, "describe"):
            raise UsageError(f"--dry-run: {made.name} has nothing to set up without --config.")
        for line in made.describe():
            logger.info(line)
        return None
    lists = _lists(made, markers)
    obs = cells_of(adata).obs
    labels = obs[card.label_key].astype(str).to_numpy() if card.label_key else None
    if n_clusters is None and labels is not None:
        n_clusters = len(set(labels))
        logger.info(f"clusters: {n_clusters}, the number of types in '{card.label_key}'")
    batch = obs[card.batch_key].astype(str).to_numpy() if card.batch_key else None
    about = {
        "method": made.name,
        "params": made.params.resolved(),
        "file": str(path),
        "modality": card.modality,
        "seed": settings.seeds[0],
        "n_clusters": n_clusters,
        "setup": str(setup) if setup else "",
        "markers": lists.source if lists else "",
    }
    decides = about | {
        "contents of the file": dataset.fingerprint()["files"],
        "setup": setup.read_text() if setup else "",
        "markers": lists.lists if lists else None,
        "device": resolve_device(settings.device), "threads": settings.threads,
        "code": source_digest(type(made).__module__),
    }  # fmt: skip
    with _checkpoints(made, folder, decides, resume=resume) as checkpoints:
        started = time.perf_counter()
        with errors_with_file(made, path):
            fitted = Estimator(made).fit(
                adata, modality=card.modality, seed=settings.seeds[0], n_clusters=n_clusters,
                batch=batch, markers=lists.lists if lists else None,
                device=resolve_device(settings.device), threads=settings.threads,
                listener=listener, checkpoints=checkpoints,
            )  # fmt: skip
        seconds = time.perf_counter() - started
        kept = adata.obs_names.get_indexer(fitted.prepared_.obs_names)
        if len(kept) < adata.n_obs:
            logger.info(
                f"{adata.n_obs - len(kept)} of {adata.n_obs} cells were filtered by the method"
            )
        scores = _score(
            fitted, None if labels is None else labels[kept],
            None if batch is None else batch[kept], n_clusters, settings.seeds[0],
        )  # fmt: skip
        about |= {"seconds": seconds, "resumed": resume, "scores": scores.values}
        result = _annotated(fitted, scores, adata, card.label_key, impute=impute)
        files = _finish(
            folder, about, fitted, result, scores, adata, label_key=card.label_key if umap else None, name=dataset.name)  # fmt: skip
    return FileFit(folder, files, scores, seconds)


def _finish(
    folder: Path, about: dict[str, Any], fitted: Estimator, result: Any, scores: Scores,
    adata: AnnData | MuData, *, name: str, label_key: str | None) -> dict[str, str]:  # fmt: skip
    """Write everything and put it in the place of earlier results; ``label_key``: of the picture.

    Without one nothing is drawn.
    """
    method = fitted.method.name
    with replace_results(folder, _NOTE) as partial:
        files = write_embedding(partial, fitted.embedding_, scores.clusters, result.obs_names)
        files |= write_tables(partial, name, fitted, result.obs_names)
        if not is_paired(result):
            files |= write_imputed(partial, fitted, result)
        files |= write_result(partial, result)
        if hasattr(fitted.method, "save"):
            (partial / MODEL).mkdir()
            fitted.save(partial / MODEL)
            files[f"{MODEL}/"] = "the fitted model"
        files |= write_kept(partial, "feature", adata.var_names, result.var_names)
        files |= write_kept(partial, "cell", adata.obs_names, result.obs_names)
        if label_key is not None:
            logger.info("drawing the UMAP")
            os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_dir() / "numba"))
            files |= draw_picture(partial, result, method, label_key)
        files[_NOTE] = "parameters, seed, scores"
        content = about | {"notes": fitted.fit_.notes, "files": sorted(files)}
        (partial / _NOTE).write_text(json.dumps(content, indent=1, default=str) + "\n")
    return files


def _checkpoints(
    made: Method, out: Path, decides: dict[str, Any], *, resume: bool
) -> contextlib.AbstractContextManager[Path | None]:
    """Return the folder for the state of the fit; none for a method that keeps no state."""
    if made.resumes:
        return checkpoints(out, decides, resume=resume)
    return contextlib.nullcontext()


def _method(text: str, assign: Sequence[str], settings: Settings) -> Method:
    registry = method_registry(settings.plugins)
    chosen = select_names(text, registry.entries, lambda name: frozenset(), noun="method")
    if len(chosen) != 1:
        raise UsageError(f"'{text}' selects {len(chosen)} methods; bench fit takes one.")
    registry.get(chosen[0].name)
    configured, _ = configure_methods(chosen, registry, settings, list(assign))
    made = configured[0].method
    if "labels" in made.uses():
        raise UsageError(f"{made.name} is a control that copies the labels; there is no fit.")
    return made


def _set_up(made: Method, path: Path, adata: AnnData) -> Method:
    """Return the method as a file in its own format asks for it; raises ``UsageError``."""
    reader: Any = getattr(made, "from_config", None)
    if reader is None:
        raise UsageError(f"--config {path}: {made.name} reads no configuration of its own.")
    ready: Method = reader(path, adata)
    return ready


def _lists(made: Method, path: Path | None) -> Markers | None:
    """Return the marker lists of the user if the method uses any; raises ``UsageError``."""
    if "markers" not in made.uses():
        if path is not None:
            raise UsageError(f"--markers: {made.name} does not use marker lists.")
        return None
    if path is None:
        raise UsageError(f"{made.name} uses marker lists: give them with --markers FILE.")
    return read_markers(path)


def _score(
    fitted: Estimator,
    labels: np.ndarray | None,
    batch: np.ndarray | None,
    n_clusters: int | None,
    seed: int,
) -> Scores:
    """Return the clusterings, with k-means if a number is known, and scores if there are types."""
    scores = score(
        fitted.embedding_, labels, own_labels=fitted.labels_, seed=derive_seed(seed, "score"),
        batch=batch,
        k=n_clusters if labels is not None else None,
    )  # fmt: skip
    if labels is None and n_clusters is not None:
        points = fitted.embedding_
        scores.clusters["kmeans"] = cluster.kmeans(points, n_clusters, derive_seed(seed, "kmeans"))
    return scores


def _annotated(
    fitted: Estimator, scores: Scores, adata: AnnData | MuData, label_key: str, *, impute: bool
) -> Any:
    """Return the prepared data with embedding, clusters, columns of the file, imputed layers.

    Paired data come as a ``MuData``, whose ``obsm`` and ``obs`` hold what is of the cells.
    """
    result = select_cells(fitted.prepared_, slice(None))
    known = cells_of(adata).obs
    annotate(result, fitted.method.name, fitted.embedding_, scores, known, label_key)
    for name, table in fitted.fit_.tables.items():
        if len(table) == result.n_vars and table.index.equals(result.var_names):
            result.varm[name] = table
        elif len(table) == result.n_obs and table.index.equals(result.obs_names):
            result.obsm[name] = table.copy()  # AnnData renames its index
    if is_paired(result):
        return result
    if impute and hasattr(fitted.method, "impute"):
        result.layers["imputed"] = fitted.method.impute(fitted.prepared_)
    if impute and hasattr(fitted.method, "impute_binary"):
        result.layers["imputed_binary"] = fitted.method.impute_binary(fitted.prepared_)
    return result

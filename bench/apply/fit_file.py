"""Fit one method on one file of the user: latent features, imputed matrix, clusters, UMAP."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import (
    PROTEINS,
    Markers,
    cells_of,
    is_paired,
    protein_counts,
    read_markers,
)
from bench.contract.method import declared_inputs
from bench.data.cell_graph import find_cell_graph
from bench.data.file_names import display_name
from bench.data.user_file import read_user_file
from bench.data.values import text_column
from bench.digests import source_digest
from bench.errors import UsageError
from bench.execute.output_folder import check_output_folder, replace_results
from bench.execute.threads import THREAD_VARIABLES, pin_threads
from bench.plan.device import resolve_device
from bench.plan.methods import configure_methods
from bench.registry import methods as method_registry
from bench.scoring.holdout import VisibleLabels
from bench.scoring.scorer import score
from bench.seeds import derive_seed
from bench.selectors import select_names
from bench.settings import Settings, default_cache_dir
from bench.store.saved_model import MODEL_FOLDER

from .checkpoints import open_checkpoints
from .estimator import Estimator, errors_with_file
from .heads import write_heads
from .inputs import check_graph_use, check_n_clusters
from .output_files import (
    write_clusters,
    write_confusion_files,
    write_imputed,
    write_latent,
    write_markers,
    write_result,
    write_selected,
    write_tables,
    write_umap_files,
)
from .result_data import add_cells, add_tables, imputed_data, result_data
from .result_keys import ResultKeys, choose_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import scipy.sparse as sp

    from bench.contract import Method
    from bench.data.file_dataset import FileDataset
    from bench.execute.curves import ProgressListener
    from bench.scoring.scorer import Scores

logger = logging.getLogger(__name__)
_NOTE = "fit.json"
_NEEDED = {
    "n_clusters": ("a number of clusters", "give --n-clusters N"),
    "batch": ("the batch of each cell", "give --batch-key COLUMN"),
    "markers": ("marker lists", "give --markers FILE"),
    "proteins": ("counts of surface proteins", f"the file must have them in obsm '{PROTEINS}'"),
}
"""Inputs that a method may need, and what gives them."""


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit on one file."""

    n_clusters: int | None = None
    """For methods that use it and for k-means; default: the number of types in the file."""
    markers: Path | None = None
    """File of marker lists."""
    graph: str | None = None
    """Key of ``obsp``, or file, with a graph of the cells."""
    setup: Path | None = None
    """Configuration file in the method's own format."""
    impute: bool = True
    """Whether the imputed matrix is written."""
    umap: bool = True
    """Whether the UMAP is computed."""
    preset: str | None = None
    """A preset of the method."""
    key_added: str | None = None
    """Key of ``obsm`` in the result; default: one that is free, ``X_<method>``."""
    resume: bool = False
    """Whether an interrupted fit of the same arguments goes on."""
    insert: tuple[str, ...] = ()
    """Parts of other fits, ``PART=FIT[:PART][:frozen]``, put in before the training."""
    go_on: Path | None = None
    """Finished fit, or file of a kept state, that goes on."""
    keep_every: int = 0
    """Epochs between two states that are kept; 0: none."""
    dry_run: bool = False
    """Whether only a description of the fit is logged, and nothing is written."""


@dataclass
class FileFit:
    """The files and scores of a fit on one file."""

    folder: Path
    files: dict[str, str]
    """File name → its content in words."""
    scores: Scores
    seconds: float


@dataclass(frozen=True)
class _FileInputs:
    """The content of the user's files."""

    dataset: FileDataset
    data: Any
    labels: np.ndarray | None
    """Type of each cell, empty where it has none."""
    batch: np.ndarray | None
    n_clusters: int | None
    markers: Markers | None
    graph: sp.csr_matrix | None


def fit_file(
    method: str,
    path: Path,
    *,
    settings: Settings,
    params: dict[str, Any] | None = None,
    assign: Sequence[str] = (),
    out: Path | None = None,
    options: FitOptions | None = None,
    listener: ProgressListener | None = None,
) -> FileFit | None:
    """Fit one method on the counts in a file and write everything into a folder.

    ``method`` is a selector such as ``vae[n_latent=16]``, ``params`` are options of reading the
    file, as in the brackets behind a path of ``bench run``. Labels are optional: they colour the
    UMAP and are scored, the fit does not see them. The folder ``out`` (default
    ``<file>_<method>`` in the current one) must not hold other things. Returns ``None`` after a
    dry run. Raises ``UsageError``, ``DataError`` and ``MethodError``.
    """
    options = options or FitOptions()
    _use_threads(settings.threads)
    chosen = _configure_method(method, assign, settings, options.preset)
    folder = out or Path(f"{display_name(path)}_{chosen.name}")
    check_output_folder(folder, _NOTE)
    if options.resume and not chosen.resumes:
        raise UsageError(
            f"--resume: {chosen.name} keeps no state while it fits; leave it out.",
            code="not_supported",
        )
    dataset, data = read_user_file(path, params or {})
    _check_modality(chosen, dataset, data)
    if options.setup is not None:
        chosen = _read_setup(chosen, options.setup, data)
    _prepare_training(chosen, options)
    if options.dry_run:
        _log_description(chosen)
        return None
    inputs = _file_inputs(chosen, dataset, data, options)
    facts = _facts(chosen, inputs, settings, options)
    with _checkpoints(chosen, folder, facts, inputs, settings, options) as checkpoints:
        started = time.perf_counter()
        estimator = _fit(chosen, inputs, settings, listener, checkpoints)
        seconds = time.perf_counter() - started
        scores = _score(estimator, inputs, settings.seeds[0])
        facts |= {"seconds": seconds, "resumed": options.resume, "scores": scores.values}
        if hasattr(chosen, "configuration"):
            facts["configuration"] = chosen.configuration()
        files = _write_files(folder, facts, estimator, scores, inputs, options)
    return FileFit(folder, files, scores, seconds)


def _fit(
    method: Method,
    inputs: _FileInputs,
    settings: Settings,
    listener: ProgressListener | None,
    checkpoints: Path | None,
) -> Estimator:
    """Return the fitted estimator; an error of the method names the file."""
    estimator = Estimator(
        method, device=resolve_device(settings.device), threads=settings.threads,
        listener=listener, checkpoints=checkpoints,
    )  # fmt: skip
    # A method may change the folder; the output is named from here.
    with contextlib.chdir("."), errors_with_file(method, inputs.dataset.path):
        estimator.fit(
            inputs.data, modality=inputs.dataset.card.modality, seed=settings.seeds[0],
            n_clusters=inputs.n_clusters, batch=inputs.batch,
            markers=inputs.markers.lists if inputs.markers else None, graph=inputs.graph,
        )  # fmt: skip
    return estimator


def _configure_method(
    text: str, assign: Sequence[str], settings: Settings, preset: str | None
) -> Method:
    """Return the one method that a selector names, with its parameters."""
    registry = method_registry(settings.plugins)
    selected = select_names(text, registry.entries, lambda name: frozenset(), noun="method")
    if len(selected) != 1:
        raise UsageError(
            f"'{text}' selects {len(selected)} methods; bench fit takes one.",
            code="several_matches",
        )
    registry.get(selected[0].name)
    if preset is not None:
        selected = [replace(selected[0], values={"preset": preset} | selected[0].values)]
    configured, _ = configure_methods(selected, registry, settings, list(assign))
    method = configured[0].method
    if "labels" in method.needs():
        raise UsageError(
            f"{method.name} is a control that copies the labels; there is no fit.",
            code="not_supported",
        )
    return method


def _use_threads(threads: int) -> None:
    """Set the number of threads of libraries, of those not yet loaded, too."""
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    pin_threads(threads)


def _check_modality(method: Method, dataset: FileDataset, data: Any) -> None:
    """Raise ``UsageError`` if a method cannot be applied to the modality of a file."""
    modality = dataset.card.modality
    if modality not in method.modalities:
        modalities = ", ".join(sorted(method.modalities))
        hint = "; take one part with --part" if is_paired(data) else ""
        raise UsageError(
            f"{method.name} is made for {modalities}, {dataset.path} holds {modality}{hint}.",
            code="wrong_modality",
        )


def _read_setup(method: Method, path: Path, data: Any) -> Method:
    """Return the method with the configuration of a file in its own format."""
    from_config: Any = getattr(method, "from_config", None)
    if from_config is None:
        raise UsageError(
            f"--config {path}: {method.name} reads no configuration of its own.",
            code="not_supported",
        )
    configured: Method = from_config(path, data)
    return configured


def _prepare_training(method: Any, options: FitOptions) -> None:
    """Pass on where the training starts and what it keeps, if the user says so."""
    flags: dict[str, Any] = {"--insert": options.insert, "--continue": options.go_on}
    flags["--keep-every"] = options.keep_every
    given = [name for name, value in flags.items() if value]
    if not given:
        return
    if not hasattr(method, "prepare_training"):
        raise UsageError(
            f"{given[0]}: {method.name} trains from the beginning to the end; leave it out.",
            code="not_supported",
        )
    method.prepare_training(options.insert, options.go_on, options.keep_every)


def _log_description(method: Any) -> None:
    """Log what the method would train."""
    if not hasattr(method, "describe"):
        raise UsageError(
            f"--dry-run: {method.name} has nothing to set up without --config.",
            code="not_supported",
        )
    for line in method.describe():
        logger.info(line)


def _file_inputs(
    method: Method, dataset: FileDataset, data: Any, options: FitOptions
) -> _FileInputs:
    """Return the data with labels, batch, number of clusters, marker lists and graph."""
    card, obs = dataset.card, cells_of(data).obs
    check_n_clusters(options.n_clusters, data.n_obs, f"{dataset.path}: --n-clusters")
    labels = text_column(obs[card.label_key]) if card.label_key else None
    batch = obs[card.batch_key].astype(str).to_numpy() if card.batch_key else None
    n_clusters = options.n_clusters
    if n_clusters is None and labels is not None:
        n_clusters = len(set(labels) - {""})
        logger.info(f"clusters: {n_clusters}, the number of types in '{card.label_key}'")
    markers = None
    if options.markers is not None:
        if "markers" not in declared_inputs(method):
            raise UsageError(
                f"--markers: {method.name} does not use marker lists.", code="not_supported"
            )
        markers = read_markers(options.markers)
    given = {
        "n_clusters": n_clusters, "batch": batch, "markers": markers,
        "proteins": protein_counts(cells_of(data)),
    }  # fmt: skip
    for name, (what, how) in _NEEDED.items():
        if name in method.needs() and given[name] is None:
            raise UsageError(f"{method.name} needs {what}: {how}.", code="missing_input")
    check_graph_use(method, options.graph, "--graph")
    graph = find_cell_graph(cells_of(data), options.graph, "--graph")
    return _FileInputs(dataset, data, labels, batch, n_clusters, markers, graph)


def _facts(
    method: Method, inputs: _FileInputs, settings: Settings, options: FitOptions
) -> dict[str, Any]:
    """Return what ``fit.json`` records of the arguments."""
    return {
        "method": method.name,
        "params": method.params.resolved(),
        "file": str(inputs.dataset.path),
        "modality": inputs.dataset.card.modality,
        "label_key": inputs.dataset.card.label_key,
        "seed": settings.seeds[0],
        "n_clusters": inputs.n_clusters,
        "setup": str(options.setup) if options.setup else "",
        "markers": inputs.markers.source if inputs.markers else "",
        "graph": options.graph or "",
        "insert": list(options.insert),
        "continued": str(options.go_on) if options.go_on else "",
        "keep_every": options.keep_every,
    }


def _checkpoints(
    method: Method,
    folder: Path,
    facts: dict[str, Any],
    inputs: _FileInputs,
    settings: Settings,
    options: FitOptions,
) -> contextlib.AbstractContextManager[Path | None]:
    """Return the folder for the state of the fit; none for a method that keeps no state."""
    if not method.resumes:
        return contextlib.nullcontext()
    identity = facts | {
        "contents of the file": inputs.dataset.fingerprint()["files"],
        "setup": options.setup.read_text() if options.setup else "",
        "markers": inputs.markers.lists if inputs.markers else None,
        "device": resolve_device(settings.device),
        "threads": settings.threads,
        "code": source_digest(type(method).__module__, method.files),
    }
    return open_checkpoints(folder, identity, resume=options.resume)


def _score(estimator: Estimator, inputs: _FileInputs, seed: int) -> Scores:
    """Return clusterings, and scores if types are known; k-means needs a number of clusters."""
    rows = _rows(estimator, inputs)
    n_cells = inputs.data.n_obs
    if len(rows) < n_cells:
        logger.info(f"{n_cells - len(rows)} of {n_cells} cells were filtered by the method")
    labels = None if inputs.labels is None else inputs.labels[rows]
    reported = None if labels is None or (labels != "").all() else labels != ""
    return score(
        estimator.embedding_,
        VisibleLabels(labels, reported, inputs.n_clusters),
        own_labels=estimator.own_labels_,
        seed=derive_seed(seed, "score"),
        batch=None if inputs.batch is None else inputs.batch[rows],
    )


def _rows(estimator: Estimator, inputs: _FileInputs) -> np.ndarray:
    """Return the numbers of the cells that the method kept."""
    rows: np.ndarray = inputs.data.obs_names.get_indexer(estimator.prepared_.obs_names)
    return rows


def _write_files(
    folder: Path,
    facts: dict[str, Any],
    estimator: Estimator,
    scores: Scores,
    inputs: _FileInputs,
    options: FitOptions,
) -> dict[str, str]:
    """Write all files into the folder in place of earlier results; returns name → content."""
    method, prepared, clusters = estimator.method, estimator.prepared_, scores.clusters
    result = result_data(inputs.data, prepared)
    keys = choose_keys(result, method.name, clusters, options.key_added)
    if keys.embedding != f"X_{method.name}":
        logger.info(f"the embedding is in obsm['{keys.embedding}'] of the result")
    add_cells(result, keys, estimator.embedding_, clusters)
    add_tables(result, estimator.fit_, prepared, keys)
    with replace_results(folder, _NOTE) as partial:
        files = write_latent(partial, estimator.embedding_, prepared.obs_names)
        files |= write_clusters(partial, clusters, prepared.obs_names)
        files |= write_tables(partial, inputs.dataset.name, estimator, prepared.obs_names)
        files |= _write_imputed(partial, estimator) if options.impute else {}
        if hasattr(method, "save"):
            (partial / MODEL_FOLDER).mkdir()
            estimator.save(partial / MODEL_FOLDER)
            files[f"{MODEL_FOLDER}/"] = "the fitted model"
        files |= write_heads(partial, method, prepared, reconstruct=options.impute)
        files |= write_selected(partial, "feature", inputs.data.var_names, prepared.var_names)
        files |= write_selected(partial, "cell", inputs.data.obs_names, prepared.obs_names)
        files |= _write_cluster_files(partial, result, keys, estimator, scores, inputs, options)
        files |= write_result(partial, result)
        files[_NOTE] = "parameters, seed, scores"
        content = facts | {"obsm": keys.embedding, "notes": estimator.fit_.notes}
        content["files"] = sorted(files)
        (partial / _NOTE).write_text(json.dumps(content, indent=1, default=str) + "\n")
    return files


def _write_imputed(folder: Path, estimator: Estimator) -> dict[str, str]:
    """Write the imputed matrix of a method that has one."""
    imputed = imputed_data(estimator.method, estimator.prepared_)
    if imputed is None:
        logger.info(f"{estimator.method.name} does not impute: no imputed matrix")
        return {}
    return write_imputed(folder, imputed)


def _write_cluster_files(
    folder: Path,
    result: Any,
    keys: ResultKeys,
    estimator: Estimator,
    scores: Scores,
    inputs: _FileInputs,
    options: FitOptions,
) -> dict[str, str]:
    """Write markers, confusion matrix and UMAP; the coordinates are added to the result."""
    name, clusters = estimator.method.name, scores.clusters
    types = None if inputs.labels is None else inputs.labels[_rows(estimator, inputs)]
    files = write_markers(folder, cells_of(result), clusters)
    files |= write_confusion_files(folder, types, clusters, name)
    if options.umap:
        logger.info("computing the UMAP")
        os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_dir() / "numba"))
        panels = {} if types is None else {inputs.dataset.card.label_key: types}
        panels |= {
            one: clusters[one].astype(str) for one in ("leiden", "kmeans") if one in clusters
        }
        shown = dict(list(panels.items())[:2])
        drawn, plane = write_umap_files(
            folder, estimator.embedding_, shown, estimator.prepared_.obs_names, name
        )
        if plane is not None:
            result.obsm[keys.umap] = plane
        files |= drawn
    return files

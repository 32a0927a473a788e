"""Fit one method on one file of the user: latent features, imputed matrix, clusters, UMAP."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import cells_of, is_paired
from bench.contract.method import declared_inputs
from bench.contract.proteins import protein_counts
from bench.data.file_names import display_name
from bench.data.user_file import read_user_file
from bench.digests import source_digest
from bench.errors import UsageError
from bench.execute.output_folder import check_output_folder
from bench.execute.threads import set_threads
from bench.plan.device import resolve_device
from bench.plan.methods import configure_methods
from bench.registry import methods as method_registry
from bench.reports.tables.eligible import told_text, told_words
from bench.scoring.holdout import VisibleLabels
from bench.scoring.scorer import score
from bench.seeds import derive_seed
from bench.selectors import select_names

from .checkpoints import open_checkpoints
from .estimator import Estimator
from .fit_inputs import FileInputs, FitOptions, read_inputs
from .fit_output import FIT_NOTE, write_fit
from .method_errors import errors_with_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contract import Method
    from bench.data.file_dataset import FileDataset
    from bench.execute.curves import ProgressListener
    from bench.scoring.scorer import Scores
    from bench.settings import Settings

logger = logging.getLogger(__name__)


@dataclass
class FileFit:
    """The files and scores of a fit on one file."""

    folder: Path
    files: dict[str, str]
    """File name → its content in words."""
    scores: Scores
    seconds: float
    told: str = ""
    """What the fit was told about the types, in words; empty for counts only."""


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
    """Fit one method on the counts in a file and write all results into a folder.

    ``method`` is a selector such as ``vae[n_latent=16]``. ``params`` are options of reading the
    file, as in the brackets after a path in ``bench run``. Labels are optional: they are used for
    scores and for colours of the UMAP; the fit does not see them. The folder ``out`` (default
    ``<file>_<method>`` in the current folder) must not hold other files. Returns ``None`` after a
    dry run. Raises ``UsageError``, ``DataError`` and ``MethodError``.
    """
    options = options or FitOptions()
    set_threads(settings.threads)
    chosen = _configure_method(method, assign, settings, options.preset)
    folder = out or Path(f"{display_name(path)}_{chosen.name}")
    check_output_folder(folder, FIT_NOTE)
    if options.resume and not chosen.resumes:
        raise UsageError(
            f"--resume: {chosen.name} does not store its state during a fit; leave it out.",
            code="not_supported",
        )
    dataset, data = read_user_file(path, params or {})
    _check_modality(chosen, dataset, data)
    if options.setup is not None:
        chosen = _read_setup(chosen, options.setup, data)
    _prepare_training(chosen, options, data)
    if options.dry_run:
        _log_description(chosen)
        return None
    inputs = read_inputs(chosen, dataset, data, options)
    facts = _facts(chosen, inputs, settings, options)
    with _checkpoints(chosen, folder, facts, inputs, settings, options) as checkpoints:
        started = time.perf_counter()
        estimator = _fit(chosen, inputs, settings, listener, checkpoints)
        seconds = time.perf_counter() - started
        scores = _score(estimator, inputs, settings.seeds[0])
        facts |= {"seconds": seconds, "resumed": options.resume, "scores": scores.values}
        if hasattr(chosen, "configuration"):
            facts["configuration"] = chosen.configuration()
        files = write_fit(folder, facts, estimator, scores, inputs, options)
    return FileFit(folder, files, scores, seconds, _told(chosen, inputs, options))


def _told(method: Method, inputs: FileInputs, options: FitOptions) -> str:
    """Return what a fit was told about the types, in words.

    Without labels a number of clusters is the user's choice.
    """
    given = {
        "n_clusters": inputs.labels is not None, "markers": inputs.markers is not None,
        "proteins": protein_counts(cells_of(inputs.data)) is not None,
    }  # fmt: skip
    told = told_text(name for name in declared_inputs(method) if given.get(name))
    words = [told_words(told)] if told else []
    if options.setup is not None:
        words.append(str(options.setup))
    return " and ".join(words)


def _fit(
    method: Method,
    inputs: FileInputs,
    settings: Settings,
    listener: ProgressListener | None,
    checkpoints: Path | None,
) -> Estimator:
    """Return the fitted estimator; errors of the method name the file."""
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


def _check_modality(method: Method, dataset: FileDataset, data: Any) -> None:
    """Raise ``UsageError`` if a method does not support the modality of a file."""
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


def _prepare_training(method: Any, options: FitOptions, data: Any) -> None:
    """Pass ``--insert``, ``--continue`` and ``--keep-every`` to the method, if given."""
    flags: dict[str, Any] = {"--insert": options.insert, "--continue": options.go_on}
    flags["--keep-every"] = options.keep_every
    given = [name for name, value in flags.items() if value]
    if not given:
        return
    if not hasattr(method, "prepare_training"):
        raise UsageError(
            f"{given[0]}: {method.name} always trains from start to end; leave it out.",
            code="not_supported",
        )
    features = list(cells_of(data).var_names)
    method.prepare_training(options.insert, options.go_on, options.keep_every, features)


def _log_description(method: Any) -> None:
    """Log what the method would train."""
    lines = method.describe() if hasattr(method, "describe") else []
    if not lines:
        raise UsageError(
            f"--dry-run: {method.name} has nothing to set up without --config.",
            code="not_supported",
        )
    for line in lines:
        logger.info(line)


def _facts(
    method: Method, inputs: FileInputs, settings: Settings, options: FitOptions
) -> dict[str, Any]:
    """Return the arguments of the fit for ``fit.json``."""
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
    inputs: FileInputs,
    settings: Settings,
    options: FitOptions,
) -> contextlib.AbstractContextManager[Path | None]:
    """Return the context of the fit's state folder, ``None`` if the method stores no state."""
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


def _score(estimator: Estimator, inputs: FileInputs, seed: int) -> Scores:
    """Return clusterings, and scores if types are known; k-means needs a number of clusters."""
    rows = inputs.rows_of(estimator)
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

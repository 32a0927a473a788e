"""Datasets of a selector: the file or loader of each name, and the excluded names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME, Dataset, FileLocation
from bench.digests import digest, source_digest
from bench.errors import UsageError
from bench.messages import format_size, log_note
from bench.registry import datasets as dataset_registry
from bench.selectors import Exclusion, Selection, select_names, selector_label

from .chosen_types import ChosenTypes
from .file_dataset import FileDataset
from .file_names import find_named_file, is_data_path
from .marker_lists import dataset_markers
from .name_patterns import DEFAULT_LABEL_KEY
from .named_file import NamedFile
from .rare_population import RarePopulation, RarePopulationTask, split_task
from .user_datasets import UserDataset, user_datasets
from .without_labels import HALVES, CountHalf, HiddenLabels, half_label

if TYPE_CHECKING:
    from bench.settings import Settings

    from .cache.data_cache import DataCache


@dataclass(frozen=True)
class ResolvedDataset:
    """A dataset with its identity and its names."""

    dataset: Dataset
    source: str
    """Digest of its loader's code."""
    label: str
    """Display name."""
    selector: str
    """Text that selects it again."""
    reading: Mapping[str, str] = field(default_factory=dict)
    """Parameters of reading the file; shown only where two datasets would have the same name."""


def dataset_names(settings: Settings) -> list[str]:
    """Return the names of all registered and added datasets."""
    registered = dataset_registry(settings.plugins).entries
    return list(dict.fromkeys([*registered, *user_datasets(settings.cache_dir)]))


def dataset_tags(settings: Settings) -> Callable[[str], frozenset[str]]:
    """Return a function from a dataset's name to its tags: modality, organism, own tags."""
    registry, own = dataset_registry(settings.plugins), user_datasets(settings.cache_dir)

    def tags(name: str) -> frozenset[str]:
        cls = registry.entries[name].cls if name in registry.entries else None
        if cls is None and name not in own:
            return frozenset()
        card = own[name].card if cls is None else cls.card
        return frozenset({card.modality, card.organism, *card.tags} - {""})

    return tags


def resolve_datasets(
    text: str, settings: Settings, store: DataCache
) -> tuple[list[ResolvedDataset], list[Exclusion]]:
    """Return the datasets of a selector, and the excluded ones with the reason.

    A path selects that file. A name selects the first of: original files of the user,
    ``<name>.h5ad`` in ``BENCH_DATA_DIR``, a file added by ``bench data add``, earlier downloads.
    Only a name given in full is downloaded; a pattern or tag leaves out what is missing. Raises
    ``UsageError``.
    """
    registered = dataset_registry(settings.plugins).entries
    datasets: list[ResolvedDataset] = []
    exclusions: list[Exclusion] = []
    for selection in _select(text, settings):
        name, optional = selection.name, not selection.explicit
        if optional and name in registered and registered[name].unavailable:
            reason = registered[name].unavailable
            exclusions.append(Exclusion("all", name, "unavailable", reason))
            continue
        dataset = _resolve(selection, settings)
        hint = fetch_hint(dataset, store) if optional else ""
        if hint:
            exclusions.append(Exclusion("all", dataset.label, "skipped", hint))
        else:
            datasets.append(dataset)
    datasets = _name_apart(datasets)
    _check_selection(datasets, exclusions)
    return datasets, exclusions


def resolve_dataset(text: str, settings: Settings) -> ResolvedDataset:
    """Return the dataset of a single name or path; raises ``UsageError``."""
    selections = _select(text, settings)
    if len(selections) > 1:
        names = ", ".join(selection.name for selection in selections)
        raise UsageError(
            f"'{text}' selects {len(selections)} datasets; name one: {names}.",
            code="several_matches",
        )
    return _resolve(selections[0], settings)


def _select(text: str, settings: Settings) -> list[Selection]:
    return select_names(
        text, dataset_names(settings), dataset_tags(settings), noun="dataset",
        is_path=lambda name: _is_file(name, settings),
    )  # fmt: skip


def _is_file(name: str, settings: Settings) -> bool:
    """Return whether a name is a path, not a registered or added dataset."""
    if name in dataset_registry(settings.plugins).entries:
        return False
    if find_named_file(name) is not None:
        return True
    if name in dataset_names(settings):
        return False
    # A file of unknown format gets an error that names the formats.
    return "/" in name or is_data_path(name) or ("." in name and os.path.isfile(name))


def _resolve(selection: Selection, settings: Settings) -> ResolvedDataset:
    """Return the dataset of a selection, with its rare-population task and marker lists."""
    values, task = split_task(selection.values, selection.name)
    types = values.pop("types", None)
    shared = {key: value for key, value in selection.values.items() if key not in values}
    entry = dataset_registry(settings.plugins).entries.get(selection.name)
    # A simulator may have a parameter "markers" of its own; its marker file is --markers.
    own = entry is not None and entry.cls and "markers" in entry.cls.Params.model_fields
    markers = None if own else values.pop("markers", None)
    plain = _resolve_data(replace(selection, values=values), settings)
    dataset, source = plain.dataset, plain.source
    if types is not None:
        dataset = ChosenTypes(dataset, types)
        source += source_digest("bench.data.chosen_types")
    if settings.no_labels:
        _check_hidden(selection, settings, needs_types=types is not None)
        dataset = HiddenLabels(dataset)
        source += source_digest("bench.data.without_labels")
    if task is not None or dataset.paired:
        dataset = RarePopulation(dataset, task or RarePopulationTask())
        source += source_digest("bench.data.rare_population")
    if markers or settings.markers:
        dataset.markers_file = Path(markers) if markers else settings.markers
        dataset_markers(dataset)  # an invalid file is an error before any data are loaded
    shared |= {"markers": markers} if markers else {}
    return ResolvedDataset(
        dataset, source, _add_values(plain.label, shared), _add_values(plain.selector, shared),
        plain.reading,
    )  # fmt: skip


def _check_hidden(selection: Selection, settings: Settings, *, needs_types: bool) -> None:
    """Raise ``UsageError`` if ``--no-labels`` is combined with an option that needs labels."""
    given = {
        "--label-key": settings.label_key, "--labels": settings.labels,
        f"types= of {selection.name}": needs_types,
        f"rare_type= of {selection.name}": "rare_type" in selection.values,
    }  # fmt: skip
    for name, value in given.items():
        if value:
            raise UsageError(
                f"--no-labels: hides the labels, but {name} needs them; leave one of them out.",
                code="contradicting_options",
            )


def halves_of(resolved: ResolvedDataset) -> list[ResolvedDataset]:
    """Return the two halves of the counts of a dataset without labels."""
    return [
        replace(
            resolved, dataset=CountHalf(resolved.dataset, half),
            source=resolved.source + source_digest("bench.data.without_labels"),
            label=half_label(resolved.label, half),
        )
        for half in HALVES
    ]  # fmt: skip


def _name_apart(datasets: list[ResolvedDataset]) -> list[ResolvedDataset]:
    """Return each dataset once; add reading parameters to names that would be equal.

    Different spellings of the same data are one dataset.
    """
    unique: dict[tuple[str, str], ResolvedDataset] = {}
    for one in datasets:
        content = [one.dataset.fingerprint(), _reading_values(one)]
        unique.setdefault((one.label, digest(content)), one)
    counts = Counter(label for label, _ in unique)
    return [
        replace(one, label=_add_values(label, dict(one.reading))) if counts[label] > 1 else one
        for (label, _), one in unique.items()
    ]


def _reading_values(resolved: ResolvedDataset) -> dict[str, Any]:
    """Return the parameters of a dataset, without second files, whose content is compared."""
    values = resolved.dataset.params.resolved()
    if "label_key" in values:
        values["label_key"] = values["label_key"] or DEFAULT_LABEL_KEY
    return {key: value for key, value in values.items() if key not in ("labels", "atac")}


def _add_values(text: str, values: dict[str, str]) -> str:
    """Return a display name with further values in its brackets."""
    brackets = selector_label("", values)
    return f"{text[:-1]},{brackets[1:]}" if brackets and text.endswith("]") else text + brackets


def _resolve_data(selection: Selection, settings: Settings) -> ResolvedDataset:
    if not _is_file(selection.name, settings):
        return resolve_name(selection, settings)
    path = find_named_file(selection.name) or Path(selection.name).expanduser()
    return _file(path, selection, settings)


def resolve_name(selection: Selection, settings: Settings) -> ResolvedDataset:
    """Return the dataset of a registered or added name; raises ``UsageError``."""
    name = selection.name
    registry = dataset_registry(settings.plugins)
    added = user_datasets(settings.cache_dir).get(name)
    if name not in registry.entries and added is not None:
        return _user_dataset(added, selection, settings)
    cls = registry.get(name)
    dataset = cls.from_values(selection.values)
    dataset.configure(settings)
    code = source_digest(registry.entry(name).origin)
    locations = dataset.file_locations()
    source = "" if selection.values else dataset_source(name, locations, is_added=bool(added))
    path = find_named_file(name)
    if source == "stand-in" and path is not None:
        complete = all(location.path is not None for location in locations)
        reason = "comes before the downloads" if complete else "stands in for the original files"
        log_note(f"{name}: reading {path}, which {reason}")
        file = _file(path, selection, settings)
        return replace(
            file, dataset=NamedFile(file.dataset, name, cls.card), source=code + file.source
        )
    if source == "added" and added is not None:
        log_note(f"{name}: reading the file added under this name ({added.origin})")
        return _user_dataset(added, selection, settings)
    text = selector_label(name, selection.values)
    return ResolvedDataset(dataset, code, text, text)


def dataset_source(name: str, locations: list[FileLocation], *, is_added: bool) -> str:
    """Return where the data of a registered dataset come from.

    The first that applies: ``ready`` (needs no file), ``local`` (original files of the user),
    ``stand-in`` (``<name>.h5ad`` of the user), ``added``, ``downloaded`` and ``to fetch``.
    """
    kinds = {location.kind for location in locations}
    if kinds <= {"local", "mirror"}:
        return "local" if locations else "ready"
    if find_named_file(name) is not None:
        return "stand-in"
    if is_added:
        return "added"
    return "to fetch" if "missing" in kinds else "downloaded"


def fetch_hint(resolved: ResolvedDataset, store: DataCache) -> str:
    """Return the command that fetches a dataset; empty if it is available."""
    dataset = resolved.dataset
    locations = dataset.file_locations()
    if all(location.path is not None for location in locations) or store.find_dataset(
        dataset, resolved.source, resolved.label
    ):
        return ""
    return f"not fetched: bench data fetch {dataset.name}{download_size(locations)}"


def download_size(locations: list[FileLocation]) -> str:
    """Return the size of the missing files as `` (about 12 MB)``; empty if one is unknown."""
    sizes = [
        location.file.size or location.file.approximate_size
        for location in locations
        if location.path is None
    ]
    total = sum(size or 0 for size in sizes)
    return f" ({format_size(total)})" if sizes and None not in sizes else ""


def _user_dataset(added: UserDataset, selection: Selection, settings: Settings) -> ResolvedDataset:
    """Return the dataset of a file that was added under a name."""
    card = added.card
    defaults = {"label_key": card.label_key, "batch_key": card.batch_key}
    if card.modality != MULTIOME:
        defaults["modality"] = card.modality
    file = _file(added.path, selection, settings, defaults)
    return replace(file, dataset=NamedFile(file.dataset, selection.name, card))


def _file(
    path: Path, selection: Selection, settings: Settings, defaults: Mapping[str, Any] | None = None
) -> ResolvedDataset:
    """Return the dataset of a path. Brackets override settings, settings override defaults.

    These values only control how the file is read; they are not in its display name.
    """
    keys = {
        "label_key": settings.label_key, "batch_key": settings.batch_key, "layer": settings.layer,
        "labels": str(settings.labels) if settings.labels else None,
    }  # fmt: skip
    values = selection.values
    params = {**(defaults or {}), **{key: v for key, v in keys.items() if v}, **values}
    file = FileDataset.from_path(
        path, FileDataset.Params.build(params, owner=selection.name),
        labels_needed=not settings.no_labels,
    )  # fmt: skip
    file.configure(settings)
    return ResolvedDataset(
        file,
        source_digest("bench.data.file_dataset"),
        file.name,
        selector_label(selection.name, values),
        values,
    )


def _check_selection(datasets: list[ResolvedDataset], exclusions: list[Exclusion]) -> None:
    if not datasets:
        reasons = "; ".join(f"{one.dataset}: {one.reason}" for one in exclusions)
        raise UsageError(
            f"none of the selected datasets is available ({reasons}).", code="not_fetched"
        )
    counts = Counter(dataset.label for dataset in datasets)
    duplicate = next((name for name, count in counts.items() if count > 1), None)
    if duplicate:
        files = ", ".join(one.dataset.where for one in datasets if one.label == duplicate)
        raise UsageError(
            f"two datasets have the name '{duplicate}' ({files}); rename one of the files.",
            code="duplicate_names",
        )

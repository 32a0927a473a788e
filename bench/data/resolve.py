"""From a selector to datasets: which file or loader a name stands for, and what is left out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import MULTIOME, Card, Dataset, FileLocation
from bench.data.user_datasets import UserDataset, user_datasets
from bench.digests import source_digest
from bench.errors import UsageError
from bench.registry import datasets as dataset_registry
from bench.selectors import Selection, select_names, selector_label
from bench.settings import Settings

from .known_markers import dataset_markers

if TYPE_CHECKING:
    from bench.selectors import Exclusion

    from .cache.data_cache import DataCache

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResolvedDataset:
    """A dataset of the plan."""

    dataset: Dataset
    source: str
    """Digest of its loader's code."""
    label: str
    """Display name."""
    selector: str
    """Text that selects it again."""


def dataset_names(settings: Settings) -> list[str]:
    """Return all names: registered and added."""
    registered = dataset_registry(settings.plugins).entries
    return [
        *registered,
        *(name for name in user_datasets(settings.cache_dir) if name not in registered),
    ]


def dataset_tags(settings: Settings) -> Callable[[str], frozenset[str]]:
    """Return the function that gives a dataset's tags: modality, organism, own tags."""
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
    """Return the datasets that a selector stands for, and those left out with the reason.

    A selector that is a path loads that file. A name stands for the first of: original files of
    the user, ``<name>.h5ad`` in ``BENCH_DATA_DIR``, a file added by ``bench data add``, earlier
    downloads. Only a name given in full is fetched. Raises ``UsageError``.
    """
    from bench.selectors import Exclusion

    registered = dataset_registry(settings.plugins).entries
    found: list[ResolvedDataset] = []
    left: list[Exclusion] = []
    for one in _selected(text, settings):
        if one.name in registered and registered[one.name].unavailable and not one.explicit:
            left.append(
                Exclusion("all", one.name, "unavailable", registered[one.name].unavailable)
            )
            continue
        made = _chosen(one, settings)
        if not one.explicit and (wanted := fetch_hint(made, store)):
            left.append(Exclusion("all", made.label, "skipped", wanted))
            continue
        found.append(made)
    _check(found, left)
    return found, left


def resolve_dataset(text: str, settings: Settings) -> ResolvedDataset:
    """Return the dataset that a name or path stands for; raises ``UsageError``."""
    selected = _selected(text, settings)
    if len(selected) > 1:
        names = ", ".join(one.name for one in selected)
        raise UsageError(f"'{text}' stands for {len(selected)} datasets; name one: {names}.")
    return _chosen(selected[0], settings)


def _selected(text: str, settings: Settings) -> list[Selection]:
    return select_names(
        text, dataset_names(settings), dataset_tags(settings), noun="dataset",
        is_path=lambda name: _is_file(name, settings),
    )  # fmt: skip


def _is_file(name: str, settings: Settings) -> bool:
    """Return whether a name stands for a path, not for a registered or added dataset."""
    from .file_names import find_named_file, is_data_path

    if name in dataset_registry(settings.plugins).entries:
        return False
    if find_named_file(name) is not None:
        return True
    return name not in dataset_names(settings) and ("/" in name or is_data_path(name))


def _chosen(one: Selection, settings: Settings) -> ResolvedDataset:
    """Return what a selector stands for; any dataset takes a rare-population task and markers."""
    from .rare_population import RarePopulation, RarePopulationTask, split_task

    rest, task = split_task(one.values, one.name)
    own = {key: value for key, value in one.values.items() if key not in rest}
    entry = dataset_registry(settings.plugins).entries.get(one.name)
    # A simulator may have a parameter of that name; its marker file comes by --markers.
    taken = entry is not None and entry.cls and "markers" in entry.cls.Params.model_fields
    markers = None if taken else rest.pop("markers", None)
    found = _plain(replace(one, values=rest), settings)
    dataset, source = found.dataset, found.source
    if task is not None or dataset.paired:
        dataset = RarePopulation(dataset, task or RarePopulationTask())
        source += source_digest("bench.data.rare_population")
    if markers or settings.markers:
        dataset.markers_file = Path(markers) if markers else settings.markers
        dataset_markers(dataset)  # a file that cannot be used is said before anything is loaded
    own |= {"markers": markers} if markers else {}
    return ResolvedDataset(dataset, source, _with(found.label, own), _with(found.selector, own))


def _with(text: str, values: dict[str, str]) -> str:
    """Return a display name with further values in its brackets."""
    more = selector_label("", values)
    return f"{text[:-1]},{more[1:]}" if more and text.endswith("]") else text + more


def _plain(one: Selection, settings: Settings) -> ResolvedDataset:
    from .file_names import find_named_file

    if not _is_file(one.name, settings):
        return resolve_name(one, settings)
    return _file(find_named_file(one.name) or Path(one.name).expanduser(), one, settings)


def resolve_name(one: Selection, settings: Settings) -> ResolvedDataset:
    """Return what a registered or added name stands for; raises ``UsageError``."""
    from .file_names import find_named_file

    registry = dataset_registry(settings.plugins)
    own = user_datasets(settings.cache_dir).get(one.name)
    if one.name not in registry.entries and own is not None:
        return _added(own, one, settings)
    cls = registry.get(one.name)
    dataset = cls.from_values(one.values)
    dataset.configure(settings)
    source = source_digest(registry.entry(one.name).origin)
    state = (
        "" if one.values else dataset_source(one.name, dataset.file_locations(), own is not None)
    )
    path = find_named_file(one.name)
    if state == "stand-in" and path is not None:
        here = all(held.path is not None for held in dataset.file_locations())
        why = "comes before the downloads" if here else "stands in for the original files"
        logger.info(f"{one.name}: reading {path}, which {why}")
        return _stand_in(path, one, cls.card, source, settings)
    if state == "added" and own is not None:
        logger.info(f"{one.name}: reading the file added under this name ({own.origin})")
        return _added(own, one, settings)
    text = selector_label(one.name, one.values)
    return ResolvedDataset(dataset, source, text, text)


def dataset_source(name: str, held: list[FileLocation], is_added: bool) -> str:
    """Return what the name of a registered dataset stands for.

    ``ready`` (needs no file), ``local`` (original files of the user), ``stand-in``
    (``<name>.h5ad`` of the user), ``user_datasets``, ``downloaded`` or ``to fetch``, the first that holds.
    """
    from .file_names import find_named_file

    kinds = {one.kind for one in held}
    if kinds <= {"local", "mirror"}:
        return "local" if held else "ready"
    if find_named_file(name) is not None:
        return "stand-in"
    if is_added:
        return "added"
    return "to fetch" if "missing" in kinds else "downloaded"


def fetch_hint(one: ResolvedDataset, store: DataCache) -> str:
    """Return how to get a dataset that would have to be fetched; empty if it is here."""
    held = one.dataset.file_locations()
    if all(file.path is not None for file in held) or store.known(
        one.dataset, one.source, one.label
    ):
        return ""
    return f"not fetched: bench data fetch {one.dataset.name}{download_size(held)}"


def download_size(held: list[FileLocation]) -> str:
    """Return `` (about 12 MB)`` for the files that are missing; empty if a size is unknown."""
    from bench.messages import format_size

    sizes = [one.file.size or one.file.approximate_size for one in held if one.path is None]
    known = [size for size in sizes if size is not None]
    return f" ({format_size(sum(known))})" if known and len(known) == len(sizes) else ""


def _stand_in(
    path: Path, one: Selection, card: Card, source: str, settings: Settings
) -> ResolvedDataset:
    """Return a file under the name of a registered dataset, whose card is known."""
    from .named_file import NamedFile

    file = _file(path, one, settings)
    return replace(
        file, dataset=NamedFile(file.dataset, one.name, card), source=source + file.source
    )


def _added(own: UserDataset, one: Selection, settings: Settings) -> ResolvedDataset:
    """Return a file that was added under a name."""
    from .named_file import NamedFile

    card = own.card
    known = {"label_key": card.label_key, "batch_key": card.batch_key}
    if card.modality != MULTIOME:
        known["modality"] = card.modality
    file = _file(own.path, one, settings, known)
    return replace(file, dataset=NamedFile(file.dataset, one.name, card))


def _file(
    path: Path, one: Selection, settings: Settings, known: Mapping[str, Any] | None = None
) -> ResolvedDataset:
    """Return the dataset of a path; what its brackets leave open comes from the settings.

    The display name shows what tells apart two views of one file, not how the file is laid out.
    """
    from .file_dataset import FileDataset

    keys = {"label_key": settings.label_key, "batch_key": settings.batch_key}
    given = {**(known or {}), **{key: v for key, v in keys.items() if v}, **one.values}
    file = FileDataset.from_path(path, FileDataset.Params.build(given, owner=one.name))
    shown = {key: v for key, v in one.values.items() if key not in ("labels", "transpose", "atac")}
    source = source_digest("bench.data.file_dataset")
    return ResolvedDataset(
        file, source, selector_label(file.name, shown), selector_label(one.name, one.values)
    )


def _check(found: list[ResolvedDataset], left: list[Exclusion]) -> None:
    if not found:
        reasons = "; ".join(f"{one.dataset}: {one.reason}" for one in left)
        raise UsageError(f"none of the selected datasets is here ({reasons}).")
    counts = Counter(one.label for one in found)
    double = next((name for name, count in counts.items() if count > 1), None)
    if double:
        raise UsageError(f"two datasets would be named '{double}'; rename one of the files.")

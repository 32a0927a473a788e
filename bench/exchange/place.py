"""What a text of the user stands for: a results folder, an MLflow server, an address of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

from .address import AddressSource
from .source import FolderSource, ResultSource, ServerSource

if TYPE_CHECKING:
    from bench.settings import Settings

_TRACKING = ("http", "https", "postgresql", "mysql", "mssql", "sqlite", "databricks")


def is_server(place: str) -> bool:
    """Return whether a place is one that MLflow itself opens."""
    scheme, separator, _ = place.partition("://")
    return bool(separator) and scheme.partition("+")[0] in _TRACKING


def file_address(place: str) -> str:
    """Return the address of a place of files; empty for a server and a results folder.

    A folder that ``bench push`` filled is one, too.
    """
    if "://" in place:
        return "" if is_server(place) else place
    folder = Path(place)
    pushed = (folder / "bench.json").is_file() and not (folder / "mlflow.db").is_file()
    return folder.resolve().as_uri() if pushed else ""


def open_source(
    place: str, settings: Settings, held: set[tuple[str, str]] | None = None
) -> ResultSource:
    """Return the results at a place, for reading.

    Parameters
    ----------
    place
        Results folder, address of an MLflow server, or address or folder that ``bench push``
        filled.
    settings
        The experiment of folders and servers.
    held
        Score keys and digests of results that an address of files need not give.

    Raises
    ------
    UsageError
        If there are no results.
    StoreError
        If the place cannot be used.
    """
    if is_server(place):
        return ServerSource(place, settings)
    address = file_address(place)
    return AddressSource(address, held) if address else FolderSource(Path(place), settings)


def open_sources(places: list[str], settings: Settings) -> list[ResultSource]:
    """Return several sources; raises ``UsageError`` if two of them are one."""
    sources = [open_source(place, settings) for place in places]
    if len(set(map(_identity, places))) < len(places):
        raise UsageError("the same results are named twice; name each once.", code="same_place")
    return sources


def store_at(place: str, settings: Settings, scratch: Path) -> Settings:
    """Return the settings of the store at a place, for writing.

    Results for a server wait in ``scratch`` until they are stored.
    """
    if is_server(place):
        return settings.model_copy(update={"tracking_uri": place, "results": scratch})
    return settings.model_copy(update={"tracking_uri": "", "results": Path(place)})


def require_other_place(place: str, sources: list[str], remedy: str) -> None:
    """Raise ``UsageError`` if a place to write is one to read: those are never written."""
    if _identity(place) in map(_identity, sources):
        raise UsageError(f"{place}: is read and would be written; {remedy}.", code="same_place")


def _identity(place: str) -> str:
    """Return a place without different spellings of a folder."""
    return place if "://" in place else str(Path(place).resolve())

"""Merge, pull, push and audit by the names of places."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.errors import UsageError

from .address import AddressTarget
from .audit import AuditOutcome, audit
from .place import file_address, open_source, open_sources, require_other_place, store_at
from .record import row_digest
from .transfer import (
    TransferSummary,
    compare_stores,
    merge_into_store,
    push_to_address,
    target_rows,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bench.settings import Settings


def merge_places(
    places: list[str], into: Path | None, settings: Settings, console: Console
) -> TransferSummary:
    """Unite the results of several places in a results folder; without one only compare them.

    Raises ``UsageError`` for fewer than two places, and if a place would be read and written.
    """
    if len(places) < 2:
        raise UsageError(
            f"bench merge {places[0]}: needs two places or more; 'bench pull {places[0]}' adds "
            "one to your results.",
            code="too_few",
        )
    sources = open_sources(places, settings)
    if into is None:
        return compare_stores(sources)
    remedy = f"name a new folder, or 'bench pull OTHER --results {into}'"
    require_other_place(str(into), places, remedy)
    target = settings.model_copy(update={"tracking_uri": "", "results": into})
    return merge_into_store(sources, target, console)


def pull_place(place: str, settings: Settings, console: Console) -> TransferSummary:
    """Copy the results of a folder or address into the store that the settings name."""
    require_other_place(place, [_own_place(settings)], "name another")
    held = {(row["score_key"], row_digest(row)) for row in target_rows(settings)}
    return merge_into_store([open_source(place, settings, held)], settings, console)


def push_place(place: str, settings: Settings, console: Console) -> TransferSummary:
    """Add the results of the store of the settings to a place."""
    own = _own_place(settings)
    require_other_place(place, [own], "name another")
    source = open_source(own, settings)
    if address := file_address(place):
        return push_to_address(source, AddressTarget(address), console)
    with TemporaryDirectory(prefix="bench-push-") as scratch:
        return merge_into_store([source], store_at(place, settings, Path(scratch)), console)


def _own_place(settings: Settings) -> str:
    return settings.tracking_uri or str(settings.results)


def audit_place(
    place: str, settings: Settings, console: Console, *, share: float, seed: int | None
) -> AuditOutcome:
    """Compare the results of a place with what this machine computes (see :func:`audit`)."""
    return audit(open_source(place, settings), settings, console, share=share, seed=seed)

"""Bring results from sources into a store, or from a store to an address; and what that gave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.progress import Progress

from bench.data.cache.data_cache import DataCache
from bench.errors import DataError
from bench.execute.driver import Driver
from bench.plan.job import Plan
from bench.store.result_store import ResultStore

from .data_files import InvalidFile
from .record import Row, row_name
from .union import Union, plan_union

if TYPE_CHECKING:
    from rich.console import Console

    from bench.settings import Settings

    from .address import AddressTarget
    from .source import ResultSource


@dataclass
class TransferSummary:
    """What a merge, pull or push gave."""

    union: Union
    target: str = ""
    """The place that was written; empty if nothing was to be written."""
    copied: int = 0
    bytes_sent: int = 0
    """Of a push to an address of files."""
    problems: list[str] = field(default_factory=list)
    """Results that were not taken, with the reason."""
    left_behind: set[str] = field(default_factory=set)
    """Names of files that are no data and stayed where they are."""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 if results disagree, 3 if some were not taken, else 0."""
        if self.interrupted:
            return 130
        if self.union.different:
            return 1
        return 3 if self.problems or self.union.problems else 0


def target_rows(settings: Settings) -> list[Row]:
    """Return the rows of the store of these settings; none if it does not exist yet."""
    if not settings.tracking_uri and not settings.database.is_file():
        return []
    with closing(ResultStore(settings)) as store:
        return store.rows()


def compare_stores(sources: Sequence[ResultSource]) -> TransferSummary:
    """Return what the union of sources would be; nothing is written."""
    return TransferSummary(plan_union([], sources))


def merge_into_store(
    sources: Sequence[ResultSource], settings: Settings, console: Console
) -> TransferSummary:
    """Write what a store lacks of some sources into it, by its spool as any result.

    An interrupt loses nothing: the next call goes on.

    Parameters
    ----------
    settings
        Results folder or server, and experiment, that is written.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    union = plan_union(target_rows(settings), sources, settings.public_name)
    summary = TransferSummary(union, settings.public_name)
    if not union.copies:
        return summary
    driver = Driver(settings, DataCache(settings.cache_dir), Plan(), console)
    _ = driver.tracker  # makes the store, so that the driver does not load libraries for fits
    driver.open()
    with driver.session() as session, _progress(console, len(union.copies)) as step:
        for copies in union.copies.values():
            if _store_first(copies, driver, session, summary):
                driver.outcome.fitted = summary.copied = summary.copied + 1
            step()
    summary.interrupted = driver.outcome.interrupted
    return summary


def _store_first(
    copies: Sequence[tuple[ResultSource, Row]],
    driver: Driver,
    session: str,
    summary: TransferSummary,
) -> bool:
    """Store the first of some equal results that can be read; returns whether one can."""
    for source, row in copies:
        try:
            return _store(source, row, driver, session, summary)
        except DataError as error:
            problem = f"{source.name}: {row_name(row)}: {error}"
    summary.problems.append(problem)
    return False


def _store(
    source: ResultSource, row: Row, driver: Driver, session: str, summary: TransferSummary
) -> bool:
    """Put a result into the spool of a store and commit it; false if it was there meanwhile."""
    result = source.result(row)
    work = driver.spool.work_folder(result.job)
    try:
        summary.left_behind.update(source.copy_files(row, work / "artifacts"))
        config = json.dumps(result.job.as_dict(), indent=1)
        (work / "artifacts" / "config.json").write_text(config)
        facts = result.facts | {"from": source.name}
        folder = driver.spool.add(work, replace(result, session=session, facts=facts))
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    try:
        return driver.tracker.commit(folder) is not None
    except DataError:
        driver.spool.reject(folder)
        raise


def push_to_address(
    source: ResultSource, target: AddressTarget, console: Console
) -> TransferSummary:
    """Write the results that an address lacks to it.

    Other numbers of a job that is there already are written beside it: who pulls sees both.
    """
    rows = source.rows()
    union = Union()
    union.found[source.name] = len(rows)
    missing = [row for row in rows if not target.has(row)]
    union.doubled = len(rows) - len(missing)
    summary = TransferSummary(union, target.name)
    with _progress(console, len(missing)) as step:
        for row in missing:
            with TemporaryDirectory(prefix="bench-push-") as scratch:
                try:
                    result = source.result(row)
                    left = source.copy_files(row, Path(scratch))
                except InvalidFile as error:
                    summary.problems.append(f"{source.name}: {row_name(row)}: {error}")
                    continue
                summary.left_behind.update(left)
                names = sorted(
                    path.relative_to(scratch).as_posix()
                    for path in Path(scratch).rglob("*") if path.is_file()
                )  # fmt: skip
                summary.bytes_sent += target.add(result, Path(scratch), names)
            summary.copied += 1
            step()
    return summary


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar in a terminal; yields the function that moves it on."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("results", total=total)
        yield lambda: bar.advance(task)

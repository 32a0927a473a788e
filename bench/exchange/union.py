"""The union of the results of several stores, and where they disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .differences import DIFFERENT, EQUAL, RowDifference, SeedSpreads, compare_rows
from .record import Row, row_name

if TYPE_CHECKING:
    from .source import ResultSource

TARGET = ""
"""Stands for the store that is written, in the place of the name of a source."""


@dataclass(frozen=True)
class Disagreement:
    """Two results of one job with other numbers; the first one is kept."""

    row: Row
    other: Row
    places: tuple[str, str]
    difference: RowDifference

    def as_dict(self) -> dict[str, object]:
        """Return one line of a table."""
        found = self.difference
        return {
            "job": row_name(self.row),
            "score": found.score,
            "kept": found.first,
            "from": self.places[0],
            "other": found.second,
            "in": self.places[1],
            "verdict": found.verdict,
            "reason": found.reason or "same processor and versions",
        }


@dataclass
class Union:
    """What a merge does."""

    copies: dict[str, list[tuple[ResultSource, Row]]] = field(default_factory=dict)
    """Score key → places of a result that the target lacks; the first that can be read counts."""
    found: Counter[str] = field(default_factory=Counter)
    """Place → number of its finished jobs."""
    doubled: int = 0
    """Results that are there already, or in an earlier source."""
    disagreements: list[Disagreement] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Results that cannot be taken, with the reason."""

    @property
    def different(self) -> list[Disagreement]:
        """The disagreements that neither machine nor versions nor seeds explain."""
        return [one for one in self.disagreements if one.difference.verdict == DIFFERENT]


@dataclass
class _Held:
    """The result of a job that counts until now."""

    row: Row
    place: str
    copies: list[tuple[ResultSource, Row]]


def plan_union(
    target: Sequence[Row], sources: Sequence[ResultSource], target_name: str = TARGET
) -> Union:
    """Return the union of a target and sources by score key.

    A finished job comes before a failed one, the target before the sources, and these in their
    order.
    """
    union = Union()
    held = {row["score_key"]: _Held(row, target_name, []) for row in target}
    pairs: list[tuple[_Held, Row, str]] = []
    for source in sources:
        rows = source.rows()
        union.found[source.name] += len(rows) + source.n_held
        union.doubled += source.n_held
        union.problems += [f"{source.name}: {text}" for text in source.damaged]
        for row in rows:
            before = held.get(row["score_key"])
            done, was_done = row["status"] == "done", before and before.row["status"] == "done"
            if before is None or (done and not was_done):
                held[row["score_key"]] = _Held(row, source.name, [(source, row)])
            elif done:
                pairs.append((before, row, source.name))
                if before.copies:
                    before.copies.append((source, row))
            else:
                union.doubled += 1
    spreads = SeedSpreads(one.row for one in held.values())
    for first, row, place in pairs:
        difference = compare_rows(first.row, row, spreads)
        if difference.verdict == EQUAL:
            union.doubled += 1
            continue
        union.disagreements.append(Disagreement(first.row, row, (first.place, place), difference))
        first.copies = [one for one in first.copies if one[1] is not row]
    union.copies = {key: one.copies for key, one in held.items() if one.copies}
    return union

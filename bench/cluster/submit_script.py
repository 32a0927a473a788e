"""Scripts that submit the tasks of an array, for four schedulers."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from bench.settings import EngineOptions

    from .resources import Request

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
_HEAD = """\
#!/bin/sh
# {purpose}
set -e
BENCH_ARRAY=$(cd "$(dirname "$0")" && pwd)
export BENCH_ARRAY
cd "$BENCH_ARRAY"
"""


@dataclass(frozen=True)
class Chunk:
    """Tasks that are one array of the scheduler."""

    number: int
    first: int
    last: int
    request: Request

    @property
    def script(self) -> str:
        """Name of the script of each task."""
        return f"array-{self.number}.sh"


def index_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive numbers."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ranges


def _slurm(chunk: Chunk, ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [f"sbatch --array={_list(ranges)} {chunk.script}"]


def _lsf(chunk: Chunk, ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [f'bsub -J "bench-{chunk.number}[{_list(ranges)}]" < {chunk.script}']


def _pbs(chunk: Chunk, ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [
        f"qsub -v BENCH_ARRAY,BENCH_INDEX={first} {chunk.script}"  # it refuses arrays of one
        if first == last
        else f"qsub -v BENCH_ARRAY -J {first}-{last} {chunk.script}"
        for first, last in ranges
    ]


def _sge(chunk: Chunk, ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [f"qsub -v BENCH_ARRAY -t {first}-{last} {chunk.script}" for first, last in ranges]


def _list(ranges: Sequence[tuple[int, int]]) -> str:
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


_SUBMIT: dict[str, Callable[[Chunk, Sequence[tuple[int, int]]], list[str]]] = {
    "slurm": _slurm, "pbs": _pbs, "lsf": _lsf, "sge": _sge,
}  # fmt: skip


def write_submit_script(
    folder: Path, engine: str, chunks: Sequence[Chunk], options: EngineOptions
) -> None:
    """Write the script of each chunk, and ``submit.sh``, which submits all of them."""
    template = _TEMPLATES.get_template(f"{engine}.sh.j2")
    for chunk in chunks:
        text = template.render(
            chunk=chunk, offset=chunk.first - 1, request=chunk.request, options=options,
            python=options.python or shlex.quote(sys.executable),
        )  # fmt: skip
        (folder / chunk.script).write_text(text)
    tasks = [(chunk, range(chunk.first, chunk.last + 1)) for chunk in chunks]
    _write(folder / "submit.sh", f"Submit all tasks to {engine.upper()}.", engine, tasks)


def write_resubmit_script(
    folder: Path, engine: str, chunks: Sequence[Chunk], tasks: Iterable[int]
) -> Path:
    """Write ``resubmit.sh``, which submits some of the tasks; returns its path."""
    chosen = set(tasks)
    parts = [
        (chunk, [number for number in range(chunk.first, chunk.last + 1) if number in chosen])
        for chunk in chunks
    ]
    path = folder / "resubmit.sh"
    purpose = f"Submit the tasks that have not ended to {engine.upper()}."
    _write(path, purpose, engine, [(chunk, numbers) for chunk, numbers in parts if numbers])
    return path


def _write(
    path: Path, purpose: str, engine: str, tasks: Sequence[tuple[Chunk, Sequence[int]]]
) -> None:
    lines = [
        line
        for chunk, numbers in tasks
        for line in _SUBMIT[engine](
            chunk, index_ranges(number - chunk.first + 1 for number in numbers)
        )
    ]
    path.write_text(_HEAD.format(purpose=purpose) + "\n".join(lines) + "\n")
    path.chmod(0o755)

"""The whole job on many cells: seconds and peak memory of each stage, and how they grow.

    python benchmarks/whole_job.py [--cells 10000,1000000] [--methods pca,nmf,ae,vae,scimta]

Counts of 28,000 genes (3 % not zero) in cells of 20 types and two batches are written once into an
``.h5ad``. Each method then runs through a ``bench run`` of its own, with one seed, a UMAP and the
report. Its processes are watched from outside. The stages are those of ``bench run``: `read` (the
file is read, checked and written into the cache; first method only), `prepare` (unless another
method has the same recipe), `fit`, `score`, and `report` (commit, tables, figures and UMAP: what
follows the scores). Seconds are from start to end of the process, libraries included; CPU seconds
depend less on what else runs, so exponents are theirs. Memory is the peak resident memory of the
process, with the pages of mapped files that it has read. `driver` is the process of the command
itself. An exponent is log(seconds / seconds) / log(cells / cells) of the smallest and the largest
number of cells. Sizes and methods may be run one by one into one ``--json``, with ``--keep`` on
one file, whose cache then has the results of `read` and `prepare`. ``--profile quick`` takes fewer
epochs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import prepare
from _figures import show

if TYPE_CHECKING:
    from collections.abc import Iterator

N_TYPES, N_BATCHES = 20, 2
METHODS = "pca,nmf,ae,vae,scimta"
_POLL_SECONDS = 0.1


def main() -> None:
    options = arguments()
    if options.generate:
        simulate(int(options.cells), options.generate)
        return
    sizes = [2000] if options.quick else [int(text) for text in options.cells.split(",")]
    figures: dict[str, float] = {}
    if options.json and options.json.exists():
        figures = json.loads(options.json.read_text())
    for n_cells in sizes:
        with job_folder(n_cells, options) as folder:
            for method in options.methods.split(","):
                for stage, costs in one_run(method, folder, options).items():
                    for unit, value in costs.items():
                        key = f"{method} {stage}/{n_cells:,} cells, {unit}"
                        figures[key] = value
                        print(f"{key} {value:.3g}", flush=True)
                figures |= exponents(figures)
                show(figures, options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 cells")
    parser.add_argument(
        "--json", type=Path, help="write the figures to this file, beside those that it has"
    )
    parser.add_argument("--cells", default="10000,30000,100000")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--profile", default="default", help="profile of bench run")
    parser.add_argument("--threads", default="1", help="threads of each process")
    parser.add_argument("--memory", default="15", help="GiB that one process may use")
    parser.add_argument("--timeout", default="36000", help="seconds that one fit may take")
    parser.add_argument("--scratch", type=Path, help="folder of the files, 50 GB at 1,000,000")
    parser.add_argument("--keep", action="store_true", help="keep the files there for a next run")
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


@contextlib.contextmanager
def job_folder(n_cells: int, options: argparse.Namespace) -> Iterator[Path]:
    """Yield a folder with ``counts.h5ad``, made now unless it was kept."""
    scratch = options.scratch or Path(tempfile.gettempdir())
    folder = scratch / f"whole_job_{n_cells}"
    if not (folder / "counts.h5ad").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [sys.executable, __file__, "--generate", folder, "--cells", str(n_cells)]
        subprocess.run(command, check=True)
    try:
        yield folder
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def simulate(n_cells: int, folder: Path) -> None:
    """Write ``counts.h5ad`` into ``folder``; it has this name once it is complete."""
    new, n_blocks = folder / "new", -(-n_cells // prepare.BLOCK)
    new.mkdir()
    prepare.generate(n_cells, new, n_types=N_TYPES, n_batches=N_BATCHES, distinct=n_blocks)
    prepare.write_h5ad(new, n_types=N_TYPES, n_batches=N_BATCHES)
    (new / "counts.h5ad").rename(folder / "counts.h5ad")
    shutil.rmtree(new)


def one_run(method: str, folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the costs of each stage of ``bench run`` of one method."""
    command = [
        sys.executable, "-m", "bench", "run", "-m", method, "-d", str(folder / "counts.h5ad"),
        "--seeds", "1", "--jobs", "1", "--threads", options.threads, "--device", "cpu",
        "--profile", options.profile, "--memory", options.memory, "--timeout", options.timeout,
        "--results", str(folder / "results"), "--cache-dir", str(folder / "cache"),
    ]  # fmt: skip
    shutil.rmtree(folder / "results", ignore_errors=True)
    started = time.monotonic()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        watcher = Watcher(process.pid)
        while process.poll() is None:
            watcher.look()
            time.sleep(_POLL_SECONDS)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{(folder / 'output.txt').read_text()}")
    return watcher.stages(started, time.monotonic())


@dataclass
class Process:
    """What was seen of a process."""

    parent: int
    first: float
    command: list[str] = field(default_factory=list)
    last: float = 0.0
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """Time of a look and CPU seconds until then."""
    gib: float = 0.0

    def cpu_seconds(self, since: float = 0.0) -> float:
        """Return the CPU seconds after a time."""
        before = [seconds for time_, seconds in self.cpu if time_ <= since]
        return self.cpu[-1][1] - (before[-1] if before else 0.0)


class Watcher:
    """Looks at a command and all processes that it starts."""

    def __init__(self, pid: int) -> None:
        self._command = psutil.Process(pid)
        self._seen: dict[int, Process] = {}

    def look(self) -> None:
        """Note CPU seconds and peak memory of each process until now."""
        with contextlib.suppress(psutil.Error):
            for process in (self._command, *self._command.children(recursive=True)):
                with contextlib.suppress(psutil.Error, OSError, StopIteration):
                    self._note(process)

    def _note(self, process: psutil.Process) -> None:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20
        times, now = process.cpu_times(), time.monotonic()
        if process.pid not in self._seen:
            self._seen[process.pid] = Process(process.ppid(), now)
        seen = self._seen[process.pid]
        seen.command = process.cmdline() or seen.command
        seen.last, seen.gib = now, max(seen.gib, peak)
        seen.cpu.append((now, times.user + times.system))

    def stages(self, started: float, ended: float) -> dict[str, dict[str, float]]:
        """Return seconds, CPU seconds and peak memory (GiB) of each stage."""
        driver = self._seen[self._command.pid]
        children = {p: one for p, one in self._seen.items() if one.parent == self._command.pid}
        # Processes forked by the server have its command line, programs that they call have not.
        work = [
            one
            for one in self._seen.values()
            if one.parent in children and one.command == children[one.parent].command
        ]
        # The last two are fit and score; a file is read before its recipe is carried out.
        names = dict(zip(("read", "prepare", "fit", "score")[-len(work) :], work, strict=True))
        costs = {name: _costs(one.last - one.first, one) for name, one in names.items()}
        scored = names["score"].last
        umaps = [one for one in children.values() if "figures.umaps" in " ".join(one.command)]
        costs["report"] = {
            "s": ended - scored,
            "CPU s": driver.cpu_seconds(scored) + sum(one.cpu_seconds() for one in umaps),
            "GiB": max(one.gib for one in (driver, *umaps)),
        }
        costs["driver"] = _costs(ended - started, driver)
        return costs


def _costs(seconds: float, process: Process) -> dict[str, float]:
    return {"s": seconds, "CPU s": process.cpu_seconds(), "GiB": process.gib}


def exponents(figures: dict[str, float]) -> dict[str, float]:
    """Return the exponent of the CPU seconds of each stage, from the fewest to the most cells."""
    found = {}
    for row in dict.fromkeys(key.split("/")[0] for key in figures):
        seconds = {
            int(key.split("/")[1].split()[0].replace(",", "")): value
            for key, value in figures.items()
            if key.startswith(f"{row}/") and key.endswith("CPU s") and value > 0
        }
        if len(seconds) > 1:
            small, large = min(seconds), max(seconds)
            growth = math.log(seconds[large] / seconds[small]) / math.log(large / small)
            found[f"{row}/exponent"] = growth
    return found


if __name__ == "__main__":
    main()

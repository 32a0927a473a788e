"""All benchmarks, one after the other, and the page of their figures.

    python benchmarks/performance.py [--quick] [--only NAME ...] [--out docs/performance.md]

Each runs in a process of its own; its figures stay in ``results/benchmarks``, so that an
interrupted run goes on where it was. Nothing else should run on the machine meanwhile: the page
says how busy it was. ``--quick`` runs small cases and writes no page unless ``--out`` is given.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from _figures import lines

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
HEAD = """# Performance

Ratios are of figures that were taken side by side. Each section names the command that makes it;
`make benchmarks` runs all of them and writes this page.
"""


@dataclass(frozen=True)
class Benchmark:
    """A script, its words, and what the reader should know beside its figures."""

    script: str
    words: tuple[str, ...] = ()
    remark: str = ""

    @property
    def command(self) -> str:
        """Return the command as a user types it."""
        return " ".join(["python", f"benchmarks/{self.script}.py", *self.words])


BENCHMARKS = (
    Benchmark("overhead", remark="The aim is 0.15 s a job in all."),
    Benchmark("store_scale"),
    Benchmark(
        "startup",
        remark="The aims are half a second, and three times the interpreter; the two lists build "
        "the parameters of all methods and the cards of all datasets.",
    ),
    Benchmark("report_page"),
    Benchmark("training", remark="The aim is half the rate of sgemm at batches of 512."),
    Benchmark("peers", remark="The aim is half of a peer's time to the same loss."),
    Benchmark(
        "factorization",
        remark="`lsnmf` is Lin's algorithm: a gradient step is several passes in NumPy, "
        "where coordinate descent makes one compiled sweep. `nmf` minimises the same objective by "
        "coordinate descent; use it where time matters.",
    ),
    Benchmark(
        "whole_job",
        ("--cells", "10000,1000000", "--threads", "2"),
        remark="The aims at 1,000,000 cells, reading and preparation included: 16 GiB for every "
        "process, `pca` within 15 minutes, the others within 60, no exponent above 1.1. Leiden "
        "and graph connectivity use approximate neighbours; LISI, kBET and purity the exact "
        "neighbours of 10,000 cells, as the scores say.",
    ),
    Benchmark(
        "prepare",
        ("--cells", "10000,100000"),
        remark="Memory is that of one block of 4 million values, whatever the number of cells: "
        "`prepare` above has 1,000,000. Before cached arrays are used, size, times and inode of "
        "their files are compared with the record of their last check. A file that differs is "
        "read and compared with its checksum, and so are all files by `bench data verify`.",
    ),
    Benchmark(
        "scale",
        ("--cells", "100000", "--threads", "2"),
        remark="First clusters and the gene graph come from at most 100,000 and 25,000 random "
        "cells, so these stages stop growing. Updates see only edges within parts of the graph, "
        "whose share falls with the number of cells.",
    ),
    Benchmark(
        "scsmd",
        remark="The aims are ten times for `cluster` and five for as many epochs of each. What is "
        "left are mostly convolutions, which run as fast as a matrix product on this thread.",
    ),
    Benchmark("sccrossrec"),
    Benchmark("engine"),
)


def main() -> None:
    """Run what has no figures yet, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small cases")
    parser.add_argument("--only", nargs="+", choices=[one.script for one in BENCHMARKS])
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = options.results / ("quick" if options.quick else "whole")
    wanted = [one for one in BENCHMARKS if not options.only or one.script in options.only]
    failed = []
    for number, one in enumerate(wanted, 1):
        print(f"[{number}/{len(wanted)}] {one.command}", flush=True)
        if not run(one, folder, quick=options.quick):
            failed.append(one.script)
    out = options.out or (None if options.quick or options.only else PAGE)
    if out is not None:
        out.write_text(page(folder), encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(one: Benchmark, folder: Path, *, quick: bool) -> bool:
    """Run a benchmark that has no figures yet; return whether there are some."""
    path = folder / f"{one.script}.json"
    if path.is_file():
        return True
    fresh = path.with_suffix(".running")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    words = ["--quick"] * quick + ["--json", str(fresh)]
    load, started = os.getloadavg()[0], time.time()
    command = [sys.executable, str(HERE / f"{one.script}.py"), *one.words, *words]
    if subprocess.run(command, check=False).returncode:
        return False
    facts = {
        "date": datetime.date.today().isoformat(), "machine": machine(), "load before": load,
        "seconds": time.time() - started, "figures": json.loads(fresh.read_text()),
    }  # fmt: skip
    path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    fresh.unlink()
    return True


def machine() -> str:
    """Return the processor, the number of cores, and the version of torch."""
    from importlib.metadata import version

    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] or [platform.processor()]
    return f"{names[0]}, {os.cpu_count()} cores, torch {version('torch')}"


def page(folder: Path) -> str:
    """Return the page of all benchmarks that have figures."""
    parts = [HEAD]
    for one in BENCHMARKS:
        path = folder / f"{one.script}.json"
        if not path.is_file():
            continue
        facts = json.loads(path.read_text())
        title, *text = explanation(one.script)
        head, _, content = title.rstrip(".").partition(": ")
        parts.append(f"## {head}\n")
        parts.append(f"`{one.command}`" + (f": {content}.\n" if content else "\n"))
        parts += [f"{paragraph}\n" for paragraph in text]
        parts.append("\n".join(lines(facts["figures"])) + "\n")
        parts += [f"{one.remark}\n"] if one.remark else []
        parts.append(
            f"{facts['date']}, {facts['machine']}, load {facts['load before']:.1f} before, "
            f"{facts['seconds'] / 60:.0f} min.\n"
        )
    return "\n".join(parts)


def explanation(script: str) -> list[str]:
    """Return the paragraphs of a script's docstring, without its usage."""
    text = ast.get_docstring(ast.parse((HERE / f"{script}.py").read_text())) or ""
    found = [" ".join(part.split()) for part in text.split("\n\n") if not part.startswith("    ")]
    return [part.replace("``", "`") for part in found]


if __name__ == "__main__":
    main()

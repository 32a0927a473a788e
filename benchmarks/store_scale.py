"""What reading costs as a store grows: plan, resume, report, load_results and commit.

    python benchmarks/store_scale.py [--quick] [--json FILE]

A store has 100, 1,000 and 10,000 jobs (with ``--quick`` 100 and 1,000): 20 of a method that does
nothing on simulated cells, the others copies of these in the tables of MLflow. Each command runs
in a process of its own and asks for the 20 jobs, ``load_results`` for all. Figures: CPU seconds
and peak memory in MiB of that process, imports included, and the exponent of the CPU seconds in
the number of stored jobs (0: they do not grow). ``first`` is the reading that makes the index
anew, ``commit`` the CPU seconds of the driver for looking up and storing one more job.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from rich.console import Console

from _figures import flags, show
from bench.execute.run import run
from overhead import PLUGIN

ASKED = 20
DATA = "sim_rna[n_cells=300]"
SETTINGS = "results=Path('results'), cache_dir=Path('cache'), plugins=('nothing.py',)"
PLANNED = f"'nothing', {DATA!r}, seeds={ASKED}, {SETTINGS}"
COMMANDS = {
    "first": "bench.load_results('results', columns='all')",
    "load_results": "bench.load_results('results', columns='all')",
    "plan": (
        "from bench.cli.main import app; app(['plan', '-m', 'nothing', '-d', "
        f"{DATA!r}, '--seeds', '{ASKED}', '--results', 'results', '--cache-dir', 'cache', "
        "'--plugin', 'nothing.py'], standalone_mode=False)"
    ),
    "resume": f"assert bench.run({PLANNED}, report=False).fitted == 0",
    "report": (
        "from bench.cli.main import app; app(['report', '--results', 'results', '-d', 'sim_rna*', "
        "'--no-umap', '--no-static'], standalone_mode=False)"
    ),
    "commit": """
from bench.settings import load_settings
from bench.store.mlflow_store import Tracker
from bench.store.result import Result
from bench.store.spool import Spool
import dataclasses, shutil
settings = load_settings(dict(results=Path('results')))
tracker, spool = Tracker(settings), Spool(Path('results/spool'))
row = tracker.rows(score_keys=[SCORE_KEY])[0]
result = Result.read(Path(row['artifacts']))
started, n = time.process_time(), 10
for number in range(n):
    result.job = dataclasses.replace(result.job, score_key=f'new{time.time_ns()}')
    work = spool.work_folder(result.job)
    shutil.copytree(row['artifacts'], work / 'artifacts', dirs_exist_ok=True)
    assert tracker.find(result.job.score_key) is None
    tracker.commit(spool.add(work, result))
figures['per_job'] = (time.process_time() - started) / n
""",
}
MEASURED = """
import json, sys, time
from pathlib import Path
import bench
figures = {}
%s
peak = next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
figures |= {"cpu_s": time.process_time(), "memory_mib": int(peak.split()[1]) / 1024}
Path(sys.argv[1]).write_text(json.dumps(figures))
"""


def main() -> None:
    options = flags(__doc__)
    sizes = (100, 1_000) if options.quick else (100, 1_000, 10_000)
    figures: dict[str, float] = {}
    cpu: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        score_key = make_jobs(folder)
        for size in sizes:
            copy_jobs(folder / "results", size)
            for command, code in COMMANDS.items():
                found = measure(folder, code.replace("SCORE_KEY", repr(score_key)))
                seconds = found.get("per_job", found["cpu_s"])
                cpu.setdefault(command, []).append(seconds)
                figures[f"{command}/{size:,} jobs: CPU s"] = seconds
                if "per_job" not in found:
                    figures[f"{command}/{size:,} jobs: MiB"] = found["memory_mib"]
    for command, values in cpu.items():
        slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
        figures[f"{command}/exponent"] = float(slope)
    show(figures, options.json)


def make_jobs(folder: Path) -> str:
    """Run the jobs that are asked for; returns the score key of one."""
    plugin = folder / "nothing.py"
    plugin.write_text(PLUGIN)
    outcome = run(
        "nothing", DATA, seeds=ASKED, results=folder / "results", cache_dir=folder / "cache",
        plugins=(str(plugin),), report=False, console=Console(quiet=True),
    )  # fmt: skip
    assert outcome.table is not None
    return str(outcome.table["score_key"].iloc[0])


def copy_jobs(results: Path, size: int) -> None:
    """Copy finished jobs in the tables of MLflow until there are ``size``; removes the index."""
    (results / "index.db").unlink(missing_ok=True)
    with closing(sqlite3.connect(results / "mlflow.db")) as store, store:
        jobs = [run for (run,) in store.execute("SELECT run_uuid FROM tags WHERE value = 'job'")]
        tables = {}
        for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
            names = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            tables[table] = ", ".join(name for name in names if name != "run_uuid")
        for number in range(len(jobs), size):
            copy = f"copy{number:028d}"
            for table, columns in tables.items():
                store.execute(
                    f"INSERT INTO {table} (run_uuid, {columns}) SELECT ?, {columns} FROM {table} "
                    "WHERE run_uuid = ?",
                    (copy, jobs[number % ASKED]),
                )
            own = {
                "score_key": f"s{number}",
                "fit_key": f"f{number}",
                "dataset": f"d{number % 100}",
            }
            for key, value in own.items():
                store.execute(
                    "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?", (value, copy, key)
                )


def measure(folder: Path, code: str) -> dict[str, float]:
    """Run code in a process of its own and return its figures."""
    target = folder / "figures.json"
    subprocess.run(
        [sys.executable, "-c", MEASURED % code, str(target)], cwd=folder, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    shutil.rmtree(folder / "results" / "reports", ignore_errors=True)
    figures: dict[str, float] = json.loads(target.read_text())
    return figures


if __name__ == "__main__":
    main()

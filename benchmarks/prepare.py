"""Preparation from the disk beside scanpy: 28,000 genes, 3 % of the entries not zero.

    python benchmarks/prepare.py [--quick] [--json FILE] [--cells 10000,100000,1000000]

Counts of eight cell types are drawn block by block into files; after 50,000 cells they repeat,
which makes no difference to the time. Each stage then runs in a process of its own, so that
seconds and peak resident memory (GiB, libraries included) are the stage's. `loading` is what a run
does with a file of its user: the same counts as an `.h5ad` are read, checked and written into the
cache by a process of its own; its GiB are those of the process that asks for it. `filters` reads
the counts through the filters; `normalisation` does the same and normalises every cell; `variable`
does the same and selects 2,000 variable genes; `matrix` is the whole recipe (filters,
normalisation, log, 2,000 genes, scaled and clipped), written to the disk and verified. Up to
100,000 cells `scanpy` does the last in memory, without writing.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from _figures import show
from bench.contract import Recipe
from bench.data.cache.array_folder import load_array, new_array_folder
from bench.execute.dataset_reading import open_cache
from bench.plan.build import load_datasets
from bench.prepare.blocks import Csr
from bench.prepare.pipeline import FilteredCounts, apply_recipe, variable_features
from bench.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

N_GENES, DENSITY, N_TYPES, BLOCK, DISTINCT = 28_000, 0.03, 8, 10_000, 5
LARGEST_IN_MEMORY = 100_000
RECIPE = Recipe(
    min_cells=2, target_sum=1e4, log1p=True, n_top_features=2000, scale=True, max_value=10.0
)


def main() -> None:
    options = arguments()
    if options.stage == "generate":
        generate(int(options.cells), options.folder)
        return
    if options.stage == "h5ad":
        write_h5ad(options.folder)
        return
    if options.stage:
        print(json.dumps(measure(options.stage, options.folder)))
        return
    sizes = [2000] if options.quick else [int(text) for text in options.cells.split(",")]
    figures: dict[str, float] = {}
    for n_cells in sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            found = one_size(n_cells, Path(folder), options.stages.split(","))
            figures |= {f"{row}/{n_cells:,} cells: {unit}": v for (row, unit), v in found.items()}
    show(figures, options.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 cells")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--cells", default="10000,100000,1000000")
    parser.add_argument("--scratch", type=Path, help="folder for the files, 30 GB at 1,000,000")
    parser.add_argument("--stages", default=",".join(STAGES), help="default: %(default)s")
    parser.add_argument("--stage", choices=["generate", "h5ad", *STAGES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def one_size(n_cells: int, folder: Path, stages: list[str]) -> dict[tuple[str, str], float]:
    """Return the figures of one number of cells by stage and unit."""
    values = n_cells * N_GENES * DENSITY
    needed, free = 27 * values + 10_000 * n_cells, shutil.disk_usage(folder).free
    if needed > free:
        sys.exit(
            f"{n_cells} cells need {needed / 1e9:.0f} GB in {folder.parent}, {free / 1e9:.0f} GB "
            "are free: pass --scratch or fewer --cells."
        )
    this = [sys.executable, __file__, "--folder", str(folder), "--cells", str(n_cells)]
    subprocess.run([*this, "--stage", "generate"], check=True)
    figures: dict[tuple[str, str], float] = {}
    for stage in stages:
        if stage == "scanpy" and n_cells > LARGEST_IN_MEMORY:
            continue
        if stage == "loading":
            subprocess.run([*this, "--stage", "h5ad"], check=True)
        command = [*this, "--stage", stage]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        print(n_cells, stage, output.splitlines()[-1], flush=True)
        for unit, value in json.loads(output.splitlines()[-1]).items():
            figures[stage, unit] = value
    if ("scanpy", "CPU s") in figures:
        for unit in ("CPU s", "GiB"):
            figures["matrix ÷ scanpy", unit] = figures["matrix", unit] / figures["scanpy", unit]
    return figures


def generate(
    n_cells: int, folder: Path, *, n_types: int = N_TYPES, n_batches: int = 1,
    distinct: int = DISTINCT,
) -> None:  # fmt: skip
    """Write counts with 3 % of the entries above zero, block by block.

    Cell i has type i mod ``n_types``, and batch i div ``n_types`` mod ``n_batches``. After
    ``distinct`` blocks they repeat.
    """
    rng = np.random.default_rng(0)
    shares = rng.gamma(1.0, size=N_GENES) * np.exp(rng.normal(0, 0.7, (n_types, N_GENES)))
    if n_batches > 1:
        factors = np.exp(rng.normal(0, 0.2, (n_batches, 1, N_GENES)))
        shares = (factors * shares).reshape(-1, N_GENES)
    shares /= shares.sum(axis=1, keepdims=True)
    low, high = 1.0, 1e6
    for _ in range(60):
        depth = (low * high) ** 0.5
        dense = np.mean(1 - np.exp(-depth * shares))
        low, high = (depth, high) if dense < DENSITY else (low, depth)
    sums = np.cumsum(shares, axis=1)
    with new_array_folder(folder) as writer:
        writer.append("indptr", np.zeros(1, dtype=np.int64))
        repeated: list[tuple[np.ndarray, ...]] = []
        end, n_blocks = 0, -(-n_cells // BLOCK)
        for number in range(n_blocks):
            if number < distinct:
                block = draw(rng, sums, depth, min(BLOCK, n_cells - number * BLOCK))
                if n_blocks > distinct:
                    repeated.append(block)
            counts, genes, ends = repeated[number % distinct] if repeated else block
            writer.append("data", counts)
            writer.append("indices", genes)
            writer.append("indptr", ends + end)
            end += len(counts)
        writer.finish(folder / "counts", {})


def draw(
    rng: np.random.Generator, sums: np.ndarray, depth: float, n_cells: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the molecules of some cells; returns counts, genes, and where each cell ends."""
    totals = rng.poisson(depth * rng.gamma(10, 0.1, n_cells))
    cells = np.repeat(np.arange(n_cells), totals)
    genes = np.empty(len(cells), dtype=np.int64)
    for kind in range(len(sums)):
        here = cells % len(sums) == kind
        drawn = rng.random(np.count_nonzero(here)) * sums[kind, -1]
        genes[here] = np.minimum(np.searchsorted(sums[kind], drawn), N_GENES - 1)
    places, counts = np.unique(cells * N_GENES + genes, return_counts=True)
    rows = np.bincount(places // N_GENES, minlength=n_cells)
    genes = (places % N_GENES).astype(np.int32)
    return counts.astype(np.float32), genes, np.cumsum(rows)


def stored(folder: Path) -> Csr:
    """Return the counts, memory-mapped."""
    read = [load_array(folder / "counts", name) for name in ("data", "indices", "indptr")]
    return Csr(read[0], read[1], read[2], (len(read[2]) - 1, N_GENES))


def measure(stage: str, folder: Path) -> dict[str, float]:
    """Run one stage in this process and return its seconds and the peak of its memory."""
    counts = stored(folder)
    started, cpu = time.perf_counter(), time.process_time()
    timed = STAGES[stage](counts, folder)
    seconds, cpu_seconds = timed or (time.perf_counter() - started, time.process_time() - cpu)
    if stage == "loading":
        return {"s": seconds, "GiB": peak_memory()}
    return {"s": seconds, "CPU s": cpu_seconds, "GiB": peak_memory()}


def peak_memory() -> float:
    """Return the peak resident memory of this program in GiB.

    ``ru_maxrss`` would be that of the parent if it was larger: it outlives the exec.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def write_h5ad(folder: Path, *, n_types: int = N_TYPES, n_batches: int = 1) -> None:
    """Write the counts as ``counts.h5ad``, block by block."""
    counts, step = stored(folder), 20_000_000
    n_cells, n_genes = counts.shape
    with h5py.File(folder / "counts.h5ad", "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        matrix = file.create_group("X")
        matrix.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0",
                             "shape": np.array([n_cells, n_genes])})  # fmt: skip
        for name, values in (("data", counts.data), ("indices", counts.indices)):
            written = matrix.create_dataset(name, len(values), values.dtype, chunks=(1 << 20,))
            for start in range(0, len(values), step):
                written[start : start + step] = values[start : start + step]
        matrix.create_dataset("indptr", data=np.asarray(counts.indptr))
        kinds = [f"type{number % n_types}" for number in range(n_cells)]
        names = [str(number) for number in range(n_cells)]
        cells = pd.DataFrame({"cell_type": pd.Categorical(kinds)}, names)
        if n_batches > 1:
            batches = [f"batch{number // n_types % n_batches}" for number in range(n_cells)]
            cells["batch"] = pd.Categorical(batches)
        genes = pd.DataFrame(index=[f"gene{number}" for number in range(n_genes)])
        for name, table in (("obs", cells), ("var", genes)):
            write_elem(file, name, table)


def loading(counts: Csr, folder: Path) -> None:
    settings = load_settings({"cache_dir": folder / "cache", "jobs": 1, "memory": 64.0})
    ((dataset,), _) = load_datasets(str(folder / "counts.h5ad"), settings, open_cache(settings))
    assert dataset.info.n_cells == counts.shape[0]


def filters(counts: Csr, folder: Path) -> None:
    FilteredCounts(counts, RECIPE, None)


def normalisation(counts: Csr, folder: Path) -> None:
    for _block, values, _groups in FilteredCounts(counts, RECIPE, None):
        assert np.isfinite(values[-1])


def variable(counts: Csr, folder: Path) -> None:
    chosen = variable_features(FilteredCounts(counts, RECIPE, None), RECIPE)
    assert chosen is not None


def matrix(counts: Csr, folder: Path) -> None:
    with new_array_folder(folder) as writer:
        kept = apply_recipe(counts, RECIPE, writer)
        writer.save("cells", kept.cells)
        writer.finish(folder / "prepared", {})


def scanpy(counts: Csr, folder: Path) -> tuple[float, float]:
    """Do the same in memory; reading the counts and loading scanpy do not count."""
    import scanpy as sc
    import scipy.sparse as sp
    from anndata import AnnData

    parts = (np.array(counts.data), np.array(counts.indices), np.array(counts.indptr))
    data = AnnData(sp.csr_matrix(parts, shape=counts.shape))
    warm = AnnData(data.X[:50])
    for one in (warm, data):  # the first compiles
        started, cpu = time.perf_counter(), time.process_time()
        sc.pp.filter_genes(one, min_cells=3)
        one.layers["counts"] = one.X.copy()
        sc.pp.normalize_total(one, target_sum=1e4)
        sc.pp.log1p(one)
        sc.pp.highly_variable_genes(one, n_top_genes=min(2000, one.n_vars - 1))
        one = one[:, one.var["highly_variable"].to_numpy()].copy()
        sc.pp.scale(one, max_value=10)
    return time.perf_counter() - started, time.process_time() - cpu


STAGES: dict[str, Callable[[Csr, Path], tuple[float, float] | None]] = {
    "loading": loading,
    "filters": filters,
    "normalisation": normalisation,
    "variable": variable,
    "matrix": matrix,
    "scanpy": scanpy,
}


if __name__ == "__main__":
    main()

"""Code blocks of the Markdown pages, and the small files that their commands name."""

from __future__ import annotations

import gzip
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "docs" / "results" / "README.md", *(ROOT / "docs").glob("*.md")]
)
REASONS = ("installs", "needs ", "serves ", "the tests run ", "fits each trial ")
"""How the reason of a block that is not run begins."""
_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\w+)(?P<words>.*?)$(?P<text>.*?)^(?P=fence)$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One block of code of a page.

    Parameters
    ----------
    line
        Where it begins in its page.
    language
        Such as ``sh``.
    words
        What stands behind the language: ``file=NAME`` or ``no-run: REASON``.
    text
        The code.
    """

    line: int
    language: str
    words: str
    text: str

    @property
    def file(self) -> str:
        """Name of the file that the block is written to; empty if there is none."""
        return self.words.removeprefix("file=") if self.words.startswith("file=") else ""

    @property
    def reason(self) -> str:
        """Why the block is not run; empty if it is."""
        return self.words.removeprefix("no-run: ") if self.words.startswith("no-run: ") else ""

    @property
    def runs(self) -> bool:
        """Whether a test runs the block."""
        return self.language in ("sh", "python") and not self.file and not self.reason


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order; directives are left out."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, found.start()) + 1,
            found["language"], found["words"].strip(), found["text"].lstrip("\n"),
        )
        for found in _FENCE.finditer(text)
    ]  # fmt: skip


def bench_commands(block: Block) -> list[list[str]]:
    """Return the words behind ``bench`` of each call in a block for the shell."""
    calls = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for i, word in enumerate(words):
            if word.rpartition("/")[2] == "bench" and (i == 0 or words[i - 1] in ("&&", "|")):
                calls.append(words[i + 1 :])
    return calls


def write_files(folder: Path) -> None:
    """Write the small files of a user that commands of the pages name."""
    import anndata
    import mudata
    from sklearn.neighbors import kneighbors_graph

    from bench.registry import datasets

    simulate = datasets().get("sim_rna")
    cells = simulate(
        simulate.Params(n_cells=240, n_features=120, n_types=4, rare=0.1, n_batches=2)
    ).load()
    cells = anndata.AnnData(cells.X, obs=cells.obs[["cell_type", "batch"]], var=cells.var[[]])
    cells.var_names = [f"gene{number}" for number in range(cells.n_vars)]
    graph = kneighbors_graph(cells.X.toarray(), 10)
    cells.write_h5ad(folder / "new_cells.h5ad")
    cells.obsp["connectivities"] = graph + graph.T
    cells.write_h5ad(folder / "my_cells.h5ad")
    for name, part in (("ctrl", cells[::2]), ("stim", cells[1::2])):
        one = anndata.AnnData(part.X.copy(), obs=part.obs[["cell_type"]], var=part.var.copy())
        one.write_h5ad(folder / f"{name}.h5ad")
        species = {"ctrl": "mouse", "stim": "human"}[name]
        one.var_names = [f"{species.upper()}{number}" for number in range(one.n_vars)]
        one.write_h5ad(folder / f"{species}.h5ad")
    pairs = [f"MOUSE{number}\tHUMAN{number}" for number in range(cells.n_vars)]
    (folder / "map.tsv").write_text("mouse\thuman\n" + "\n".join(pairs) + "\n")
    _write_text(folder, cells)
    _write_ten_x(folder / "filtered_feature_bc_matrix", cells)
    both = datasets().get("sim_multiome")
    pair = both(both.Params(n_cells=200, n_genes=80, n_peaks=200)).load()
    for name, part in (("rna", pair["rna"]), ("peaks", pair["atac"])):
        part = anndata.AnnData(part.X, obs=pair["rna"].obs[["cell_type"]], var=part.var[[]])
        part.write_h5ad(folder / f"{name}.h5ad")
    parts = {
        key: anndata.read_h5ad(folder / f"{name}.h5ad")
        for key, name in (("rna", "rna"), ("atac", "peaks"))
    }
    mudata.MuData(parts).write(folder / "brain.h5mu")


def _write_text(folder: Path, cells) -> None:
    header = ["cell", *cells.var_names]
    rows = [
        ",".join([name, *(f"{value:g}" for value in row)])
        for name, row in zip(cells.obs_names, cells.X.toarray(), strict=True)
    ]
    with gzip.open(folder / "counts.csv.gz", "wt") as file:
        file.write("\n".join([",".join(header), *rows]) + "\n")
    types = [f"{name},{kind}" for name, kind in cells.obs["cell_type"].items()]
    (folder / "types.csv").write_text("\n".join(["barcode,type", *types]) + "\n")
    (folder / "types.tsv").write_text(
        "\n".join(["barcode\tcell_type", *(line.replace(",", "\t") for line in types)]) + "\n"
    )


def _write_ten_x(folder: Path, cells) -> None:
    import scipy.io

    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", cells.X.T.astype(int))
    (folder / "barcodes.tsv").write_text("\n".join(cells.obs_names) + "\n")
    genes = [f"{name}\t{name}\tGene Expression" for name in cells.var_names]
    (folder / "features.tsv").write_text("\n".join(genes) + "\n")

"""Mixtures of cell lines by several protocols: labels known from the genotype."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from bench.contract import RNA, Card, Parameters, RemoteFile

from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_FOLDER = "https://raw.githubusercontent.com/LuyiTian/sc_mixology/master/data/csv/"
_RUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "3cl": {"10x": ("10x",), "celseq2": ("celseq2",), "dropseq": ("dropseq",)},
    "5cl": {
        "10x": ("10x_5cl",),
        "celseq2": ("celseq2_5cl_p1", "celseq2_5cl_p2", "celseq2_5cl_p3"),
    },
}
"""Runs of each design by protocol, as the files name them."""
_CHECKSUMS: dict[str, tuple[str, int]] = {
    "sc_dropseq.count.csv.gz": (
        "sha256:98c0bb6a9fbf4b93967ef82cef9985d7691cf59a31dc5b0b3699f70ed1a0fd08", 1_299_691,
    ),
    "sc_dropseq.metadata.csv.gz": (
        "sha256:4c48f3e13778e89192d9861095bc102cc0deb9eba1a7f47a093f5a058ce1aa6a", 10_611,
    ),
}  # fmt: skip
"""Checksum and size of files, where a file has been checked."""


def _files(design: str, protocol: str) -> tuple[RemoteFile, ...]:
    """Return counts and metadata of each run, in this order."""
    protocols = _RUNS[design] if protocol == "all" else [protocol]
    runs = [run for name in protocols for run in _RUNS[design][name]]
    names = [f"sc_{run}.{kind}.csv.gz" for run in runs for kind in ("count", "metadata")]
    return tuple(RemoteFile(name, _FOLDER + name, *_CHECKSUMS.get(name, ())) for name in names)


class CellBench(Published):
    """Lung cancer cell lines, mixed and sequenced by 10x, CEL-seq2 and Drop-seq.

    ``design=3cl`` holds H1975, H2228 and HCC827 by three protocols, ``design=5cl`` A549 and H838
    besides, by 10x and by CEL-seq2 on three plates. The line of each cell is called from its
    genotype (column cell_line_demuxlet), independent of expression: certain labels. Cells that
    demuxlet does not call a singlet are dropped. Batch is the run; genes are those in all runs.
    An easy task within one protocol, a real one across them.
    """

    name = "cellbench"
    card = Card(
        modality=RNA,
        summary="3 or 5 cell lines by up to 3 protocols, labels from the genotype",
        label_key="cell_line_demuxlet",
        batch_key="batch",
        n_types=3,
        organism="human",
        reference="Tian et al. 2019, Nature Methods 16:479, doi 10.1038/s41592-019-0425-8",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE118767",
        licence="MIT (repository sc_mixology)",
        labels_from="the genotype of each cell (demuxlet), independent of expression",
        tags=("lines", "batches", "certain-labels"),
        files=_files("3cl", "all"),
        documented="https://github.com/LuyiTian/sc_mixology/blob/master/misc/make_annotations.Rmd",
    )

    class Params(Parameters):
        """Design and protocol."""

        design: Literal["3cl", "5cl"] = Field("3cl", description="three or five cell lines")
        protocol: Literal["all", "10x", "celseq2", "dropseq"] = Field(
            "all", description="all of the design, or one"
        )

        @model_validator(mode="after")
        def _check_protocol(self) -> Self:
            if self.protocol != "all" and self.protocol not in _RUNS[self.design]:
                protocols = ", ".join(_RUNS[self.design])
                raise ValueError(
                    f"design {self.design} has no {self.protocol}; it has {protocols}"
                )
            return self

    params: Params

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        design, protocol = self.params.design, self.params.protocol
        files = _files(design, protocol)
        self.card = replace(
            self.card,
            files=files,
            n_types=int(design[0]),
            batch_key="batch" if len(files) > 2 else None,
            verified=all(file.checksum for file in files),
        )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts of the runs over the genes (Ensembl ids) that all have."""
        from ._cellbench import read_runs

        return read_runs(list(files.values()))

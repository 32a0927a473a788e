"""What the verbs of the command line share: their options, and how they print."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Methods = Annotated[
    str, typer.Option("--methods", "-m", help="'all', 'vae,tag:baseline', 'vae\\[n_latent=16]'")
]
Datasets = Annotated[
    str,
    typer.Option(
        "--datasets", "-d", help="names, 'tag:atac', or paths, as in 'x.csv\\[labels=y.csv]'"
    ),
]
Assign = Annotated[
    list[str] | None, typer.Option("--set", help="method.parameter=value; may be repeated")
]
ParamsFiles = Annotated[
    list[Path] | None,
    typer.Option("--params", help="YAML file of parameters, such as best.yaml of a search"),
]
Protocol = Annotated[
    str,
    typer.Option(help="whose labels choose: holdout (a fifth of the cells), unsupervised, oracle"),
]
Seeds = Annotated[
    str | None, typer.Option(help="'3': 0, 1 and 2; '7,11': those two; '7,': only 7")
]
ProfileName = Annotated[str | None, typer.Option("--profile", help="quick, default or faithful")]
Results = Annotated[Path | None, typer.Option(help="folder of store and reports \\[results]")]
Cache = Annotated[Path | None, typer.Option(help="folder of prepared data")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", help="processes at a time")]
Threads = Annotated[int | None, typer.Option(help="threads of each process [1]")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda")]
Timeout = Annotated[float | None, typer.Option(help="seconds a fit may take [3600]")]
Memory = Annotated[float | None, typer.Option(help="GiB a fit may use beyond the libraries")]
Retry = Annotated[
    str | None, typer.Option(help="run stored failures again: failed, timeout, oom or all")
]
Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", help="file with methods or datasets of yours")
]
LabelKey = Annotated[str | None, typer.Option(help="column of the true types in files")]
BatchKey = Annotated[str | None, typer.Option(help="column of the batch in files")]
# How a file is read, as in the brackets behind a path.
LabelsFile = Annotated[
    Path | None, typer.Option("--labels", help="second file with types, joined by barcode")
]
Transposed = Annotated[
    bool | None,
    typer.Option("--transpose/--no-transpose", help="features are in rows / cells are"),
]
ModalityName = Annotated[
    str | None, typer.Option("--modality", help="rna or atac \\[by the features]")
]
Part = Annotated[
    str | None,
    typer.Option("--part", help="part of an .h5mu or 10x file, or both \\[rna with atac]"),
]
PeaksFile = Annotated[
    Path | None,
    typer.Option("--atac", help="second file: peaks of the same cells, for paired methods"),
]
MarkersFile = Annotated[
    Path | None, typer.Option("--markers", help="marker lists: .yaml, .json or .gmt")
]
Uri = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow server [SQLite]")]
Experiment = Annotated[str | None, typer.Option(help="MLflow experiment \\[bench]")]
Config = Annotated[Path | None, typer.Option(help="settings file \\[bench.toml]")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs")]

_FILE_WIDTH = 160
"""Columns of a table that is not printed to a terminal."""


def flags(**values: Any) -> dict[str, Any]:
    """Drop what was not given."""
    given = {name: value for name, value in values.items() if value is not None}
    if "plugins" in given:
        given["plugins"] = tuple(given["plugins"])
    return given


def reading(
    *, labels: Path | None, label_key: str | None, batch_key: str | None, transpose: bool | None,
    modality: str | None, part: str | None, atac: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the parameters that say how a file is read."""
    return flags(
        labels=str(labels) if labels else None, label_key=label_key, batch_key=batch_key,
        transpose=transpose, modality=modality, part=part, atac=str(atac) if atac else None,
    )  # fmt: skip


def said_scores(scores: dict[str, float]) -> list[str]:
    """Return ARI and NMI of the usual clusterings, a line each, if there are any."""
    lines = []
    for name in ("kmeans", "leiden"):
        ari, nmi = (scores.get(f"{name}/{metric}") for metric in ("ari", "nmi"))
        if ari is not None and nmi is not None:
            lines.append(f"  {name}: ARI {ari:.3f}, NMI {nmi:.3f}")
    return lines


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that leaves long lines whole; files and pipes get wide tables."""
    import os

    from rich.console import Console

    console = Console(stderr=stderr, soft_wrap=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


class _ConsoleHandler(logging.Handler):
    """Prints each message as it is; a progress bar on the same terminal stays whole."""

    def __init__(self) -> None:
        super().__init__()
        self._console = make_console(stderr=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        self._console.print(record.getMessage(), markup=False, highlight=False)


def show_log() -> None:
    """Print what the logger ``bench`` gets, from ``INFO`` on, on stderr."""
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(_ConsoleHandler())


def plain(console: Console) -> Any:
    """Return a function that prints a line as it is."""
    return lambda text: console.print(text, markup=False, highlight=False)


def print_json(value: Any) -> None:
    """Print JSON to stdout."""
    typer.echo(json.dumps(value, indent=1, default=str))

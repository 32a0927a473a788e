"""Verbs that write the file of a new method, dataset or metric."""

from __future__ import annotations

import keyword
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from bench.errors import DataError, UsageError

from .options import argument, option

new_app = typer.Typer(
    help="Write the file of a new method, dataset or metric.", no_args_is_help=True
)
Name = Annotated[str, argument("NAME", "lower case, such as my_svd; the file is NAME.py")]
Folder = Annotated[Path, option("FOLDER", "folder to write the file to", "--out")]
_TEMPLATES = Path(__file__).parent / "templates"


@new_app.command("method")
def method_command(name: Name, folder: Folder = Path()) -> None:
    """Write a method that works, to be changed into yours."""
    path = write_template("method", name, folder)
    typer.echo(f"{path}: check it with 'bench test-method {path}'")


@new_app.command("dataset")
def dataset_command(name: Name, folder: Folder = Path()) -> None:
    """Write a dataset that works, to be changed into yours."""
    path = write_template("dataset", name, folder)
    typer.echo(f"{path}: check it with 'bench run -m pca -d {name} --plugin {path}'")


@new_app.command("metric")
def metric_command(name: Name, folder: Folder = Path()) -> None:
    """Write a metric that works, to be changed into yours."""
    path = write_template("metric", name, folder)
    typer.echo(f"{path}: check it with 'bench run -m pca -d sim_rna --plugin {path}'")


def check_name(kind: str, name: str) -> None:
    """Raise ``UsageError`` if a name cannot be that of a module."""
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name):
        raise UsageError(
            f"'{name}' cannot be the name of a {kind}; use lower-case letters, digits and _.",
            code="invalid_name",
        )


def write_template(kind: str, name: str, folder: Path) -> Path:
    """Write the file of a new method, dataset or metric and return its path.

    Raises ``UsageError`` if the name cannot be that of a module or the file exists.
    """
    check_name(kind, name)
    path = folder / f"{name}.py"
    if path.exists():
        raise UsageError(f"{path} exists; choose another name or folder.", code="file_exists")
    words = name.split("_")
    text = Template((_TEMPLATES / f"{kind}.py.txt").read_text(encoding="utf-8")).substitute(
        name=name, title=" ".join(words).capitalize(), class_name="".join(map(str.title, words))
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}.", code="not_writable"
        ) from None
    return path

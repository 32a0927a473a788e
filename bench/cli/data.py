"""Verbs for the files of datasets: ``bench data fetch``, ``verify``, ``add``, …."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.contract import read_markers
from bench.data.file_dataset import FileDataset
from bench.data.manage import check_new_name, clean_cache, fetch_files, locate_files, verify_files
from bench.data.user_datasets import remove_dataset
from bench.errors import UsageError
from bench.messages import format_size
from bench.settings import Settings, split_commas

from .completion import complete_datasets
from .options import AsJson, argument, flag, option, verb
from .output import make_console, print_json
from .tables import show

data_app = typer.Typer(
    help="Fetch, verify, add, annotate, join and clean up datasets.", no_args_is_help=True
)
_NAMES = argument("NAMES", "names, 'tag:atac', all", autocompletion=complete_datasets)
_WINDOWS = ("centre", "start")
_SIZE_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@data_app.command("fetch")
@verb("offline", "mirror", "cache_dir", "plugins")
def fetch_command(
    names: Annotated[list[str], _NAMES], as_json: AsJson = False, *, settings: Settings
) -> None:
    """Fetch the original files and check them; exit 2 if one is missing."""
    rows, problems = fetch_files(",".join(names), settings)
    _print_rows(rows, ("dataset", "file", "state", "bytes"), as_json=as_json)
    for line in problems:
        typer.echo(f"bench: {line}", err=True)
    if problems:
        raise typer.Exit(2)


@data_app.command("verify")
@verb("cache_dir", "plugins")
def verify_command(
    names: Annotated[list[str] | None, _NAMES] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Compare local files with their checksums; exit 1 if one is damaged."""
    rows = verify_files(",".join(names) if names else None, settings)
    _print_rows(rows, ("dataset", "file", "state", "bytes", "note"), as_json=as_json)
    if any(row["state"] == "damaged" for row in rows):
        raise typer.Exit(1)


@data_app.command("add")
@verb("markers", "cache_dir", "plugins", file=True)
def add_command(
    name: Annotated[str, argument("NAME", "name for --datasets")],
    file: Annotated[Path, argument("FILE", "file or folder of counts in any format")],
    summary: Annotated[str, option("WORDS", "one line for lists")] = "",
    citation: Annotated[str, option("WORDS", "with DOI")] = "",
    licence: Annotated[str, option("NAME", "licence of the data")] = "",
    organism: Annotated[str, option("NAME", "human, mouse, …")] = "",
    labels_from: Annotated[str, option("WORDS", "origin of the labels, such as sorting")] = "",
    replace: Annotated[bool, flag("replace a dataset of this name", "--replace")] = False,
    *,
    settings: Settings,
    reading: dict[str, Any],
) -> None:
    """Check a file and keep it as a dataset with a name."""
    from bench.data.user_dataset_writer import add_dataset

    check_new_name(name, settings, replace=replace)
    source = FileDataset.from_path(file, FileDataset.Params.build(reading, owner=str(file)))
    facts = {"summary": summary, "reference": citation, "licence": licence,
             "organism": organism, "labels_from": labels_from}  # fmt: skip
    lists = read_markers(settings.markers) if settings.markers else None
    card = add_dataset(name, source, file, settings.cache_dir, facts, lists).card
    typer.echo(
        f"{name}: {card.n_cells} cells × {card.n_features} features, {card.n_types} "
        f"types in '{card.label_key}', {card.modality}; now in '--datasets {name}'"
    )
    if not card.licence or not card.reference:
        typer.echo(f"{name}: reports will have no citation or licence; add them with --replace")


@data_app.command("annotate")
@verb()
def annotate_command(
    files: Annotated[
        list[Path], argument("FILES", "paired .h5mu, or two .h5ad: genes, then peaks")
    ],
    out: Annotated[Path, option("FILE", ".h5mu file to write")],
    tss: Annotated[
        Path | None, option("FILE", "GTF, or BED with a TSS a line; may be .gz")
    ] = None,
    genome: Annotated[
        Path | None, option("FILE", "FASTA of the genome; a missing .fai is written")
    ] = None,
    window: Annotated[
        str, option("NAME", "DNA of a peak, around its centre or from its start", choices=_WINDOWS)
    ] = "centre",
    width: Annotated[int, option("N", "bases of each peak", min=1, max=100000)] = 256,
) -> None:
    """Add places of genes and peaks, DNA of peaks and variability of genes to paired data."""
    from bench.data.tools.annotate import Window, annotate

    if window not in _WINDOWS:
        raise UsageError(f"--window {window}: expected centre or start.", code="invalid_value")
    cells = annotate(files, tss=tss, genome=genome, window=Window(window, width), out=out)
    genes, peaks = (cells[part].n_vars for part in ("rna", "atac"))
    typer.echo(f"{out}: {cells.n_obs} cells, {genes} genes, {peaks} peaks")


@data_app.command("join")
@verb("cache_dir", "plugins")
def join_command(
    first: Annotated[str, argument("FIRST", "file or dataset, one species")],
    second: Annotated[str, argument("SECOND", "file or dataset, the other species")],
    orthologs: Annotated[
        Path, option("FILE", "table with a header: genes of the first, of the second")
    ],
    out: Annotated[Path, option("FILE", ".h5ad file to write")],
    names: Annotated[str, option("NAMES", "values of the column 'species'")] = "first,second",
    columns: Annotated[
        str | None, option("NAMES", "two columns of the table", show_default="the first two")
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Join two species over their one-to-one orthologous genes."""
    from bench.data.tools.join_species import join_datasets

    joined = join_datasets(
        first, second, orthologs=orthologs, out=out, names=tuple(split_commas(names)),
        columns=tuple(split_commas(columns or "")), settings=settings)  # fmt: skip
    sizes = joined.obs["species"].astype(str).value_counts(sort=False)
    cells = ", ".join(f"{size:,} cells of {name}" for name, size in sizes.items())
    typer.echo(f"{out}: {joined.n_vars:,} genes, {cells}")


@data_app.command("concat")
@verb("cache_dir", "plugins", "label_key", "layer")
def concat_command(
    files: Annotated[list[str], argument("FILES", "files or datasets of one kind of data")],
    out: Annotated[Path, option("FILE", ".h5ad file to write")],
    batch_key: Annotated[
        str, option("COLUMN", "column that says from which file a cell comes")
    ] = "batch",
    names: Annotated[
        str | None, option("NAMES", "values of that column", show_default="names of the files")
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Join the cells of several files over the features that all of them have."""
    from bench.data.tools.concat import concat_datasets

    joined = concat_datasets(
        files, out=out, batch_key=batch_key, names=split_commas(names or ""), settings=settings
    )
    sizes = joined.obs[batch_key].astype(str).value_counts(sort=False)
    cells = ", ".join(f"{size:,} cells of {name}" for name, size in sizes.items())
    typer.echo(f"{out}: {joined.n_vars:,} features, {cells}; batches in '{batch_key}'")


@data_app.command("remove")
@verb("cache_dir")
def remove_command(
    name: Annotated[str, argument("NAME", "a dataset of 'bench data add'")],
    *,
    settings: Settings,
) -> None:
    """Remove a dataset that was added; results stay."""
    removed = remove_dataset(name, settings.cache_dir)
    typer.echo(f"{name}: removed ({removed.path}); {removed.origin} is untouched")


@data_app.command("where")
@verb("cache_dir", "plugins")
def where_command(
    name: Annotated[
        str | None,
        argument("NAME", "show each file of one dataset", autocompletion=complete_datasets),
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Show the paths of the files of datasets."""
    rows = locate_files(name, settings)
    columns = ("dataset", "file", "state", "bytes", "path") if name else (
        "dataset", "state", "bytes", "path")  # fmt: skip
    _print_rows(rows, columns, as_json=as_json)


@data_app.command("clean")
@verb("cache_dir")
def clean_command(
    max_size: Annotated[str, option("SIZE", "size to shrink to, such as 500MB")] = "20GB",
    everything: Annotated[bool, flag("remove all copies", "--all")] = False,
    downloads: Annotated[
        bool, flag("also remove downloaded and unpacked files", "--downloads")
    ] = False,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Shrink the cache: the least recently used copies are removed first."""
    rows = clean_cache(
        settings, max_bytes=_parse_size(max_size), everything=everything, downloads=downloads
    )
    _print_rows(rows, ("dataset", "file", "bytes"), as_json=as_json)
    if not as_json:
        total = sum(row["bytes"] for row in rows)
        typer.echo(f"{len(rows)} folders removed, {total:,} bytes")


def _parse_size(text: str) -> int:
    """Return the bytes of a text such as ``20GB``."""
    number, unit = text.strip()[:-2], text.strip()[-2:].upper()
    try:
        size = float(number) * _SIZE_UNITS[unit]
        if 0 <= size < float("inf"):
            return int(size)
    except (ValueError, KeyError):
        pass
    raise UsageError(
        f"--max-size={text}: expected a size such as '20GB' or '500MB'.", code="invalid_value"
    )


def _print_rows(rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print rows of files as JSON or as a table of some columns."""
    if as_json:
        print_json(rows)
    elif rows:
        show([_as_text(row, columns) for row in rows], make_console())


def _as_text(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, str]:
    texts = {}
    for column in columns:
        value = row.get(column)
        if column == "bytes":
            texts["size"] = format_size(value).removeprefix("about ")
        else:
            texts[column] = "" if value is None else str(value)
    return texts

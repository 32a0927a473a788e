"""Verbs for the files of datasets: ``bench data fetch``, ``verify_files``, ``add_dataset``, ``locate_files``, …."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.options import (
    AsJson,
    BatchKey,
    Cache,
    Config,
    LabelKey,
    LabelsFile,
    MarkersFile,
    ModalityName,
    Part,
    PeaksFile,
    Plugins,
    Transposed,
    flags,
    make_console,
    plain,
    print_json,
    reading,
)
from bench.errors import UsageError

data_app = typer.Typer(
    help="Fetch, verify, add, annotate, join and show the files of datasets.", no_args_is_help=True
)
Names = Annotated[list[str] | None, typer.Argument(metavar="NAMES", help="names, 'tag:atac', all")]


@data_app.command("fetch")
def fetch_command(
    names: Annotated[list[str], typer.Argument(metavar="NAMES", help="names, 'tag:atac', all")],
    offline: Annotated[
        bool, typer.Option("--offline", help="fetch nothing: say which file to put where")
    ] = False,
    mirror: Annotated[str | None, typer.Option(help="folder or address to try first")] = None,
    cache_dir: Cache = None,
    plugins: Plugins = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the original files and check them; exit 2 if one is missing."""
    from bench.data.manage import fetch_files
    from bench.settings import load_settings

    settings = load_settings(
        flags(cache_dir=cache_dir, plugins=plugins, mirror=mirror, offline=offline or None), config
    )
    rows, problems = fetch_files(",".join(names), settings)
    _show(rows, ("dataset", "file", "state", "bytes"), as_json=as_json)
    for line in problems:
        typer.echo(f"bench: {line}", err=True)
    if problems:
        raise typer.Exit(2)


@data_app.command("verify")
def verify_command(
    names: Names = None,
    cache_dir: Cache = None,
    plugins: Plugins = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compare the files that are here with their checksums; exit 1 if one is damaged."""
    from bench.data.manage import verify_files
    from bench.settings import load_settings

    settings = load_settings(flags(cache_dir=cache_dir, plugins=plugins), config)
    rows = verify_files(",".join(names) if names else None, settings)
    _show(rows, ("dataset", "file", "state", "bytes", "note"), as_json=as_json)
    if any(row["state"] == "damaged" for row in rows):
        raise typer.Exit(1)


@data_app.command("add")
def add_command(
    name: Annotated[str, typer.Argument(help="what it is called in --datasets")],
    file: Annotated[Path, typer.Argument(help="file or folder of counts in any format")],
    labels: LabelsFile = None,
    label_key: LabelKey = None,
    batch_key: BatchKey = None,
    transpose: Transposed = None,
    modality: ModalityName = None,
    part: Part = None,
    atac: PeaksFile = None,
    summary: Annotated[str, typer.Option(help="one line for lists")] = "",
    citation: Annotated[str, typer.Option(help="with DOI")] = "",
    licence: Annotated[str, typer.Option(help="of the data")] = "",
    organism: Annotated[str, typer.Option(help="human, mouse, …")] = "",
    labels_from: Annotated[str, typer.Option(help="how the labels were obtained")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="take a name that is in use")] = False,
    markers: MarkersFile = None,
    cache_dir: Cache = None,
    plugins: Plugins = None,
    config: Config = None,
) -> None:
    """Check a file of yours and keep it as a dataset with a name."""
    from bench.contract import read_markers
    from bench.data.file_dataset import FileDataset
    from bench.data.manage import check_new_name
    from bench.data.user_datasets import add_dataset
    from bench.settings import load_settings

    settings = load_settings(flags(cache_dir=cache_dir, plugins=plugins), config)
    check_new_name(name, settings, replace=replace)
    how = reading(
        labels=labels, label_key=label_key, batch_key=batch_key, transpose=transpose,
        modality=modality, part=part, atac=atac,
    )  # fmt: skip
    source = FileDataset.from_path(file, FileDataset.Params.build(how, owner=str(file)))
    facts = {"summary": summary, "reference": citation, "licence": licence,
             "organism": organism, "labels_from": labels_from}  # fmt: skip
    say = plain(make_console())
    lists = read_markers(markers) if markers else None
    one = add_dataset(name, source, file, settings.cache_dir, facts, lists)
    say(
        f"{name}: {one.card.n_cells} cells × {one.card.n_features} features, {one.card.n_types} "
        f"types in '{one.card.label_key}', {one.card.modality}; now in '--datasets {name}'"
    )
    if not one.card.licence or not one.card.reference:
        say(f"{name}: reports will have no citation or licence; add them with --replace")


@data_app.command("annotate")
def annotate_command(
    files: Annotated[
        list[Path], typer.Argument(help="paired .h5mu, or two .h5ad: genes, then peaks")
    ],
    out: Annotated[Path, typer.Option(help=".h5mu file to write")],
    tss: Annotated[
        Path | None, typer.Option(help="genes: GTF, or BED with one TSS a line; may be .gz")
    ] = None,
    genome: Annotated[
        Path | None, typer.Option(help="FASTA of the genome; its index .fai is made if missing")
    ] = None,
    window: Annotated[str, typer.Option(help="DNA of a peak: around its centre, or its start")] = (
        "centre"
    ),
    width: Annotated[int, typer.Option(min=1, max=100_000, help="bases of each peak")] = 256,
) -> None:
    """Add places of genes and peaks, DNA of peaks and variability of genes to paired data."""
    from bench.data.tools.annotate import Window, annotate

    if window not in ("centre", "start"):
        raise UsageError(f"--window {window}: expected centre or start.")
    say = plain(make_console())
    made = annotate(files, tss=tss, genome=genome, window=Window(window, width), out=out)
    genes, peaks = (made[part].n_vars for part in ("rna", "atac"))
    say(f"{out}: {made.n_obs} cells, {genes} genes, {peaks} peaks")


@data_app.command("join")
def join_command(
    first: Annotated[str, typer.Argument(help="file or name of a dataset, one species")],
    second: Annotated[str, typer.Argument(help="the other; genes get its names")],
    orthologs: Annotated[
        Path, typer.Option(help="table with a header line: genes of the first, of the second")
    ],
    out: Annotated[Path, typer.Option(help=".h5ad file to write")],
    names: Annotated[str, typer.Option(help="of the species, for the column 'species'")] = (
        "first,second"
    ),
    columns: Annotated[
        str | None, typer.Option(help="two columns of the table, by name \\[the first two]")
    ] = None,
    cache_dir: Cache = None,
    plugins: Plugins = None,
    config: Config = None,
) -> None:
    """Join two species over their one-to-one orthologous genes."""
    from bench.data.tools.join_species import join_datasets
    from bench.settings import load_settings

    settings = load_settings(flags(cache_dir=cache_dir, plugins=plugins), config)
    say = plain(make_console())
    joined = join_datasets(
        first, second, orthologs=orthologs, out=out, names=_two(names),
        columns=_two(columns or ""), settings=settings)  # fmt: skip
    sizes = joined.obs["species"].astype(str).value_counts(sort=False)
    cells = ", ".join(f"{size:,} cells of {name}" for name, size in sizes.items())
    say(f"{out}: {joined.n_vars:,} genes, {cells}")


def _two(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


@data_app.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(help="a dataset added by 'bench data add'")],
    cache_dir: Cache = None,
    config: Config = None,
) -> None:
    """Remove a dataset that was added; results stay."""
    from bench.data.user_datasets import remove_dataset
    from bench.settings import load_settings

    one = remove_dataset(name, load_settings(flags(cache_dir=cache_dir), config).cache_dir)
    plain(make_console())(f"{name}: removed ({one.path}); {one.origin} is untouched")


@data_app.command("where")
def where_command(
    name: Annotated[str | None, typer.Argument(help="show each file of one dataset")] = None,
    cache_dir: Cache = None,
    plugins: Plugins = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show where the files of datasets are, and what a name stands for."""
    from bench.data.manage import locate_files
    from bench.settings import load_settings

    settings = load_settings(flags(cache_dir=cache_dir, plugins=plugins), config)
    rows = locate_files(name, settings)
    columns = ("dataset", "file", "state", "bytes", "path") if name else (
        "dataset", "state", "bytes", "path")  # fmt: skip
    _show(rows, columns, as_json=as_json)


@data_app.command("clean")
def clean_command(
    max_size: Annotated[str, typer.Option(help="what may stay: '20GB', '500MB'")] = "20GB",
    everything: Annotated[bool, typer.Option("--all", help="remove all copies")] = False,
    downloads: Annotated[
        bool, typer.Option("--downloads", help="remove what was fetched and unpacked too")
    ] = False,
    cache_dir: Cache = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Bound the cache: the least recently used copies go first."""
    from bench.data.manage import clean_cache
    from bench.settings import load_settings

    settings = load_settings(flags(cache_dir=cache_dir), config)
    rows = clean_cache(settings, max_bytes=_bytes(max_size), everything=everything, downloads=downloads)
    _show(rows, ("dataset", "file", "bytes"), as_json=as_json)
    if not as_json:
        total = sum(row["bytes"] for row in rows)
        plain(make_console())(f"{len(rows)} folders removed, {total:,} bytes")


def _bytes(text: str) -> int:
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    number, unit = text.strip()[:-2], text.strip()[-2:].upper()
    try:
        value = float(number) * units[unit]
    except (ValueError, KeyError):
        raise UsageError(
            f"--max-size={text}: expected a size such as '20GB' or '500MB'."
        ) from None
    if not 0 <= value < float("inf"):
        raise UsageError(f"--max-size={text}: expected a size such as '20GB' or '500MB'.")
    return int(value)


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    if not rows:
        return
    from bench.messages import format_size

    from .tables import show

    def text(row: dict[str, Any], column: str) -> str:
        value = row.get(column, "")
        if column == "bytes":
            return format_size(value).removeprefix("about ")
        return "" if value is None else str(value)

    shown = [
        {("size" if column == "bytes" else column): text(row, column) for column in columns}
        for row in rows
    ]
    show(shown, make_console())

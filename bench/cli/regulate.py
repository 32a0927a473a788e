"""The verb ``bench regulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    AsJson,
    Cache,
    Config,
    Experiment,
    LabelKey,
    Plugins,
    Uri,
    flags,
    make_console,
    plain,
    print_json,
)


def regulate_command(
    run: Annotated[
        Path,
        typer.Argument(help="results folder (with -m, -d, --seed), job's artifacts, or bench fit"),
    ],
    out: Annotated[Path, typer.Option(help="folder to write")],
    methods: Annotated[
        str | None, typer.Option("--methods", "-m", help="names as shown, or globs")
    ] = None,
    datasets: Annotated[
        str | None, typer.Option("--datasets", "-d", help="names as shown, or globs")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of the fit")] = None,
    data: Annotated[
        Path | None, typer.Option(help="other cells, counts over the same features \\[the run's]")
    ] = None,
    atac: Annotated[Path | None, typer.Option(help="their peaks, if in a second file")] = None,
    cell_types: Annotated[
        str | None, typer.Option(help="types with a map of their own, by commas \\[all]")
    ] = None,
    binding: Annotated[
        list[Path] | None,
        typer.Option(help="peaks bound by a factor (BED, narrowPeak); may be repeated"),
    ] = None,
    tss_window: Annotated[
        float | None, typer.Option(min=0, help="kb: only links so near the gene's start")
    ] = None,
    cells: Annotated[int, typer.Option(min=1, help="single cells whose links are written")] = 20,
    top: Annotated[int, typer.Option(min=1, help="most links in a table")] = 20_000,
    gene: Annotated[str | None, typer.Option(help="gene whose locus is drawn")] = None,
    figures: Annotated[bool, typer.Option(help="draw maps and the locus")] = True,
    label_key: LabelKey = None,
    plugins: Plugins = None,
    cache_dir: Cache = None,
    tracking_uri: Uri = None,
    experiment: Experiment = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Which peaks regulate which genes, by a finished fit: links, maps, bound peaks."""
    from bench.errors import UsageError
    from bench.regulation.fitted_multiome import open_run, other_cells
    from bench.regulation.regulate import Asked, regulate
    from bench.settings import load_settings

    console = make_console(stderr=as_json)
    say = plain(console)
    settings = load_settings(
        flags(cache_dir=cache_dir, tracking_uri=tracking_uri, experiment=experiment,
              plugins=plugins),
        config,
    )  # fmt: skip
    kept = open_run(
        run, settings, methods=methods, datasets=datasets, seed=seed, label_key=label_key
    )
    if data is not None:
        reading = flags(atac=str(atac) if atac else None, label_key=label_key)
        kept = other_cells(kept, data, reading)
    elif atac is not None:
        raise UsageError("--atac is the second file of --data; give both.")
    asked = Asked(
        cell_types=tuple(filter(None, (one.strip() for one in (cell_types or "").split(",")))),
        binding=tuple(binding or ()),
        tss_window=None if tss_window is None else round(1000 * tss_window),
        n_cells=cells, top=top, gene=gene, figures=figures,
    )  # fmt: skip
    say(f"{kept.name}: {kept.data.n_obs} cells")
    done = regulate(kept, asked, out)
    table = done.binding
    if as_json:
        rows = [] if table is None else table.to_dict("records")
        print_json({"shares": done.shares, "binding": rows, "files": done.files})
        return
    for line in done.lines():
        say(line)

"""The verb ``bench regulate``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UsageError
from bench.settings import Settings, split_commas

from .options import AsJson, StoredDatasets, StoredMethods, StoredSeed, verb
from .output import print_json

logger = logging.getLogger(__name__)


@verb("label_key", "plugins", "cache_dir", "tracking_uri", "experiment")
def regulate_command(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="FIT", help="folder of bench fit, artifacts of a job, or a results folder"
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="folder to write")],
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    seed: StoredSeed = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="those of the fit",
            help="counts of other cells over the same features",
        ),
    ] = None,
    atac: Annotated[
        Path | None, typer.Option(metavar="FILE", help="their peaks, if in a second file")
    ] = None,
    cell_types: Annotated[
        str | None,
        typer.Option(metavar="NAMES", show_default="all", help="types with a map of their own"),
    ] = None,
    binding: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="peaks bound by a factor (BED, narrowPeak); repeatable"),
    ] = None,
    tss_window: Annotated[
        float | None,
        typer.Option(metavar="KB", min=0, help="largest distance of a link from the gene's start"),
    ] = None,
    cells: Annotated[
        int, typer.Option(metavar="N", min=1, help="single cells whose links are written")
    ] = 20,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="most links in a table")] = 20_000,
    gene: Annotated[
        str | None, typer.Option(metavar="NAME", help="gene whose locus is drawn")
    ] = None,
    figures: Annotated[bool, typer.Option(help="draw maps and the locus")] = True,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Link peaks to genes with a finished fit: links, maps, bound peaks."""
    from bench.regulation.fitted_multiome import load_fitted_multiome, replace_cells
    from bench.regulation.regulate import RegulateOptions, regulate

    fitted = load_fitted_multiome(
        run, settings, methods=methods, datasets=datasets, seed=seed, label_key=settings.label_key
    )
    if data is not None:
        reading = {"atac": str(atac) if atac else None, "label_key": settings.label_key}
        reading = {name: value for name, value in reading.items() if value is not None}
        fitted = replace_cells(fitted, data, reading)
    elif atac is not None:
        raise UsageError(
            "--atac is the second file of --data; give both.", code="option_needs_another"
        )
    options = RegulateOptions(
        cell_types=tuple(split_commas(cell_types or "")),
        binding=tuple(binding or ()),
        tss_window=None if tss_window is None else round(1000 * tss_window),
        n_cells=cells, top=top, gene=gene, figures=figures,
    )  # fmt: skip
    logger.info(f"{fitted.name}: {fitted.data.n_obs} cells")
    output = regulate(fitted, options, out)
    table = output.binding
    if as_json:
        rows = [] if table is None else table.to_dict("records")
        print_json({"shares": output.shares, "binding": rows, "files": output.files})
        return
    for line in output.summary_lines():
        typer.echo(line)

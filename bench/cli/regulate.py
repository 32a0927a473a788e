"""The verb ``bench regulate``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UsageError
from bench.settings import Settings, split_commas

from .options import (
    AsJson,
    StoredDatasets,
    StoredMethods,
    StoredSeed,
    argument,
    flag,
    option,
    verb,
)
from .output import print_json

if TYPE_CHECKING:
    from bench.regulation.regulate import RegulateOutput

logger = logging.getLogger(__name__)

_CELL = option("NAME", "one of them by name, instead of --cells; repeatable")
_OTHER_CELLS = option(
    "FILE", "counts of other cells over the same features", show_default="those of the fit"
)


@verb("label_key", "plugins", "cache_dir", "tracking_uri", "experiment")
def regulate_command(
    run: Annotated[
        Path, argument("FIT", "folder of bench fit, artifacts of a job, or a results folder")
    ],
    out: Annotated[Path, option("FOLDER", "folder to write")],
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    seed: StoredSeed = None,
    data: Annotated[Path | None, _OTHER_CELLS] = None,
    atac: Annotated[Path | None, option("FILE", "their peaks, if in a second file")] = None,
    cell_types: Annotated[
        str | None, option("NAMES", "types with a map of their own", show_default="all")
    ] = None,
    binding: Annotated[
        list[Path] | None, option("FILE", "peaks bound by a factor (BED, narrowPeak); repeatable")
    ] = None,
    tss_window: Annotated[
        float | None, option("KB", "largest distance of a link from the gene's start", min=0)
    ] = None,
    cells: Annotated[int, option("N", "single cells whose links are written", min=1)] = 20,
    cell: Annotated[list[str] | None, _CELL] = None,
    top: Annotated[int, option("N", "most links in a table", min=1)] = 20_000,
    gene: Annotated[str | None, option("NAME", "gene whose locus is drawn")] = None,
    figures: Annotated[bool, flag("draw maps and the locus")] = True,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """Link peaks to genes with a finished fit; write link tables, maps and scores."""
    from bench.regulation.fitted_multiome import load_fitted_multiome, replace_cells
    from bench.regulation.regulate import RegulateOptions, regulate

    if atac is not None and data is None:
        raise UsageError(
            "--atac is the second file of --data; give both.", code="option_needs_another"
        )
    fitted = load_fitted_multiome(
        run, settings, methods=methods, datasets=datasets, seed=seed, label_key=settings.label_key
    )
    if data is not None:
        fitted = replace_cells(fitted, data, _reading(atac, settings.label_key))
    options = RegulateOptions(
        cell_types=tuple(split_commas(cell_types or "")),
        binding=tuple(binding or ()),
        tss_window=None if tss_window is None else round(1000 * tss_window),
        n_cells=cells, cells=tuple(cell or ()), top=top, gene=gene, figures=figures,
    )  # fmt: skip
    logger.info(f"{fitted.name}: {fitted.data.n_obs} cells")
    _print_links(regulate(fitted, options, out), as_json=as_json)


def _print_links(output: RegulateOutput, *, as_json: bool) -> None:
    """Print the shares of linked peaks and what was written."""
    if as_json:
        rows = [] if output.binding is None else output.binding.to_dict("records")
        print_json({"shares": output.shares, "binding": rows, "files": output.files})
    else:
        typer.echo("\n".join(output.summary_lines()))


def _reading(atac: Path | None, label_key: str | None) -> dict[str, str]:
    """Return the options by which the file of other cells is read."""
    reading = {"atac": str(atac) if atac else None, "label_key": label_key}
    return {name: value for name, value in reading.items() if value is not None}

"""Readers of the two archives of Tabula Muris."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.data.formats import read_10x_mtx, read_text
from bench.errors import DataError

from ._labelled_counts import (
    drop_spike_ins,
    join_annotation,
    keep_labelled,
    require_columns,
    stack,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from ._published import Published


def read_droplets(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the UMI counts of a tissue, one folder a channel."""
    archive, annotation = files.values()
    tissue = dataset.options["tissue"]
    prefix = f"{tissue}-"
    dataset.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dataset.cache) as folder:
        paths = extract_members(archive, Path(folder), lambda name: name.startswith(prefix))
        parts = {}
        for run in sorted({path.parent for path in paths}):
            part = read_10x_mtx(run)
            channel = run.name.removeprefix(prefix)
            # The annotation calls "AAAC…-1" of a channel "10X_P7_14_AAAC…".
            barcodes = part.obs_names.str.removesuffix("-1")
            part.obs_names = [f"{channel}_{barcode}" for barcode in barcodes]
            parts[channel] = part
    return _annotate(stack(parts, "channel"), annotation, tissue)


def read_plates(dataset: Published, files: dict[str, Path]) -> AnnData:
    """Return the reads of a tissue, one table of genes × cells."""
    archive, annotation = files.values()
    tissue = dataset.options["tissue"]
    member = f"FACS/{tissue}-counts.csv"
    dataset.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dataset.cache) as folder:
        (table,) = extract_members(archive, Path(folder), lambda name: name == member)
        adata = read_text(table, orientation="genes")
    return _annotate(adata, annotation, tissue)


def _annotate(adata: AnnData, annotation: Path, tissue: str) -> AnnData:
    """Return the annotated cells of the tissue, without spike-ins."""
    table = pd.read_csv(annotation, dtype=str)
    require_columns(table, annotation, "cell", "tissue", "cell_ontology_class", "mouse.id")
    table = table[table["tissue"] == tissue].set_index("cell")
    table = table[["cell_ontology_class", "mouse.id"]]
    adata = drop_spike_ins(join_annotation(adata, table, f"Tabula Muris, {tissue}"))
    return keep_labelled(adata, "cell_ontology_class", without=("unknown",))


def extract_members(archive: Path, folder: Path, is_member: Callable[[str], bool]) -> list[Path]:
    """Unpack the chosen members into ``folder``, two levels deep, and return their paths.

    ``is_member`` selects names like ``Limb_Muscle-10X_P7_14/genes.tsv``: the archives hold every
    tissue. Raises ``DataError`` for a damaged archive, or if nothing is selected.
    """
    paths = []
    try:
        with zipfile.ZipFile(archive) as members:
            for member in members.namelist():
                parent, name = Path(member).parent.name, Path(member).name
                if not is_member(f"{parent}/{name}") or member.startswith("__MACOSX"):
                    continue
                target = folder / parent.replace("..", "") / name
                target.parent.mkdir(exist_ok=True)
                with members.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                paths.append(target)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive}: damaged or incomplete archive ({error}); remove it and run again.",
            code="damaged_archive",
        ) from None
    if not paths:
        raise DataError(
            f"{archive}: the expected files are not in it; fetch it again.", code="missing_file"
        )
    return paths

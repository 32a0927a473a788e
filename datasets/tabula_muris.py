"""Tissues of the mouse atlas Tabula Muris, known in papers as the sets "Quake"."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contract import RNA, Card, RemoteFile
from bench.errors import DataError

from ._published import Published
from ._rna_tables import drop_spikes, join, keep_labelled, stack

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

_FIGSHARE = "https://ndownloader.figshare.com/files/"


def _card(**facts: Any) -> Card:
    return Card(
        modality=RNA,
        label_key="cell_ontology_class",
        batch_key="mouse.id",
        organism="mouse",
        reference="The Tabula Muris Consortium 2018, Nature 562:367, "
        "doi 10.1038/s41586-018-0590-4",
        licence="CC BY 4.0",
        labels_from="the consortium's clustering of the same counts, named by marker genes",
        documented="https://github.com/czbiohub-sf/tabula-muris/tree/master/00_data_ingest",
        **facts,
    )


class _Tissue(Published):
    """One tissue of one of the two archives, with the consortium's annotation."""

    tissue: ClassVar[str]

    def annotation(self, path: Path) -> pd.DataFrame:
        """Return the annotation of the tissue's cells, index = names of cells."""
        import pandas as pd

        table = pd.read_csv(path, dtype=str)
        for column in ("cell", "tissue", "cell_ontology_class", "mouse.id"):
            if column not in table:
                there = ", ".join(map(str, table.columns))
                raise DataError(f"{path}: no column '{column}'; columns there: {there}.")
        own = table[table["tissue"] == self.tissue].set_index("cell")
        return own[["cell_ontology_class", "mouse.id"]]

    def labelled(self, adata: AnnData, annotation: Path) -> AnnData:
        """Return the annotated cells, without spike-ins."""
        adata = join(adata, self.annotation(annotation), self.name)
        return keep_labelled(drop_spikes(adata), "cell_ontology_class", no_type=("unknown",))


def unzip(archive: Path, folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """Unpack the wanted members into ``folder``, two levels deep, and return their paths.

    The archives hold every tissue, ten times what one needs. Raises ``DataError`` for a damaged
    archive or if nothing in it is wanted.
    """
    found = []
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                above, name = Path(member).parent.name, Path(member).name
                if not wanted(f"{above}/{name}") or member.startswith("__MACOSX"):
                    continue
                target = folder / above.replace("..", "") / name
                target.parent.mkdir(exist_ok=True)
                with opened.open(member) as packed, target.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
                found.append(target)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive}: damaged or incomplete archive ({error}); remove it and run again."
        ) from None
    if not found:
        raise DataError(f"{archive}: the expected files are not in it; fetch it again.")
    return found


class QuakeLimbMuscle(_Tissue):
    """Limb muscle of two mice (10x), the annotated cells of the atlas' final release.

    Papers on deep clustering use 3,909 cells of an earlier release with the same 6 types; the
    column cell_ontology_class of annotations_droplet.csv is read here. Cells without an
    annotation are left out. Types are clusters of the same counts named by marker genes. Batch
    is the mouse.
    """

    name = "quake_10x_limb_muscle"
    tissue = "Limb_Muscle"
    card = _card(
        summary="mouse limb muscle of Tabula Muris (10x)",
        n_features=23341,
        n_types=6,
        url="https://figshare.com/articles/dataset/5968960",
        tags=("muscle", "deep-clustering", "batches"),
        files=(
            RemoteFile("droplet.zip", f"{_FIGSHARE}10700167"),
            RemoteFile("annotations_droplet.csv", f"{_FIGSHARE}13088039"),
        ),
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the UMI counts of the annotated cells."""
        from bench.data.formats import read_10x_mtx

        archive, annotation = files.values()
        start = f"{self.tissue}-"
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            paths = unzip(archive, Path(folder), lambda name: name.startswith(start))
            parts = {}
            for run in sorted({path.parent for path in paths}):
                part = read_10x_mtx(run)
                channel = run.name.removeprefix(start)
                # The annotation calls "AAAC…-1" of a channel "10X_P7_14_AAAC…".
                barcodes = part.obs_names.str.removesuffix("-1")
                part.obs_names = [f"{channel}_{barcode}" for barcode in barcodes]
                parts[channel] = part
        return self.labelled(stack(parts, "channel"), annotation)


class QuakeDiaphragm(_Tissue):
    """870 cells of the diaphragm of mice (Smart-seq2, reads).

    The column cell_ontology_class of annotations_facs.csv, 5 types; wells without an annotation
    are left out, spike-ins too. Types are clusters of the same counts named by marker genes.
    Batch is the mouse. Counts are reads, not UMIs: larger and more dispersed.
    """

    name = "quake_ss2_diaphragm"
    tissue = "Diaphragm"
    card = _card(
        summary="mouse diaphragm of Tabula Muris (Smart-seq2)",
        n_cells=870,
        n_features=23341,
        n_types=5,
        url="https://figshare.com/articles/dataset/5829687",
        tags=("muscle", "deep-clustering", "batches"),
        files=(
            RemoteFile("FACS.zip", f"{_FIGSHARE}10700143", about=304_000_000),
            RemoteFile("annotations_facs.csv", f"{_FIGSHARE}13088129"),
        ),
    )

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the reads of the annotated cells (870 × 23,341)."""
        from bench.data.formats import read_text

        archive, annotation = files.values()
        wanted = f"FACS/{self.tissue}-counts.csv"
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            (table,) = unzip(archive, Path(folder), lambda name: name == wanted)
            adata = read_text(table, orientation="genes")
        return self.labelled(adata, annotation)

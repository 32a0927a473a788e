"""Human bone marrow, expression and chromatin of each nucleus (GSE194122, NeurIPS 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.contract import ATAC, MULTIOME, RNA, Card, RemoteFile

from ._paired import Paired, Part

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_NAME = "GSE194122_openproblems_neurips2021_multiome_BMMC_processed.h5ad.gz"


class NeuripsMultiome(Paired):
    """Bone marrow of ten donors measured at four sites, expression and chromatin of each nucleus.

    Thirteen samples are the batches. The types were annotated sample by sample from both parts
    and brought to one list, so they are a consensus of clusterings; neighbouring progenitors
    and T-cell types have soft borders. Both parts lie in one file, which is unpacked for
    reading (several GB for a moment in the cache folder).
    """

    name = "neurips_multiome"
    variants: ClassVar = {
        "part": {
            "rna": {"modality": RNA, "n_features": 13431},
            "atac": {"modality": ATAC, "n_features": 116490},
        }
    }
    card = Card(
        modality=MULTIOME,
        summary="69,249 nuclei of human bone marrow, 13 samples, paired (10x Multiome)",
        label_key="cell_type",
        batch_key="batch",
        n_cells=69249,
        n_features=13431 + 116490,
        n_types=22,
        organism="human",
        reference="Luecken et al. 2021, NeurIPS Datasets and Benchmarks, "
        "https://openreview.net/forum?id=gN35BGa1Rt",
        url="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE194122",
        licence="none stated (GEO)",
        labels_from="annotation of each sample by marker genes and peaks, brought to one list",
        tags=("paired", "blood", "batches"),
        files=(
            RemoteFile(
                _NAME,
                f"https://ftp.ncbi.nlm.nih.gov/geo/series/GSE194nnn/GSE194122/suppl/{_NAME}",
                approximate_size=2_700_000_000,
            ),
        ),
        documented="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE194122 (file); "
        "https://openproblems.bio/datasets/openproblems_neurips2021/bmmc_multiome (sizes, "
        "columns cell_type and batch, layer counts)",
    )

    def read_part(self, files: dict[str, Path], part: Part) -> AnnData:
        """Return one part (CSR) with ``obs["cell_type"]`` and ``obs["batch"]``."""
        from ._neurips_multiome import read_part

        return read_part(files[_NAME], part, self.cache)

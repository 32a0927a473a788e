"""A method whose parameters decide how good it is, and a dataset whose labels can be others."""

from typing import Annotated, Literal

from pydantic import Field

from bench.contract import ATAC, RNA, Card, Dataset, Fit, Method, Parameters, Search


class Tunable(Method):
    name = "tunable"
    summary = "sums of gene groups with noise"
    reference = "none"
    modalities = frozenset({RNA})
    family = "baseline"
    loss_measures = ("unit",)

    class Params(Parameters):
        noise: Annotated[float, Search(0.1, 4.0)] = Field(3.0, ge=0)
        kind: Annotated[Literal["sum", "mean"], Search(choices=("sum", "mean"))] = "sum"
        power: Annotated[float, Search(0.1, 1.0, zero=True, when=(("kind", ("sum",)),))] = Field(
            0.0, ge=0
        )
        unit: float = Field(1.0, gt=0)
        known_k: bool = False
        steps: int = Field(12, ge=1)
        pause: float = Field(0.0, ge=0, description="seconds a step")
        fails: bool = False

    def needs(self):
        return frozenset({"n_clusters"}) if self.params.known_k else frozenset()

    def fit(self, data, context):
        import time

        import numpy as np

        if self.params.fails:
            raise RuntimeError("told to fail")
        for step in range(1, self.params.steps + 1):
            time.sleep(self.params.pause)
            loss = self.params.noise + 1 / step
            context.report(step, self.params.steps, loss=loss, held_out_loss=loss)
        counts = np.asarray(data.layers["counts"].todense())
        groups = np.stack([counts[:, i * 8 : i * 8 + 8].mean(axis=1) for i in range(3)], axis=1)
        rng = np.random.default_rng(context.seed)
        return Fit(groups + self.params.noise * rng.normal(size=groups.shape))


class Rigid(Tunable):
    name = "rigid"
    summary = "nothing to search"
    modalities = frozenset({RNA, ATAC})
    loss_measures = None

    class Params(Parameters):
        noise: float = 2.0
        steps: int = 1
        pause: float = 0.0
        fails: bool = False
        known_k: bool = False


class Lossless(Tunable):
    name = "lossless"
    summary = "does not say its loss"
    loss_measures = None


class Blobs(Dataset):
    name = "blobs"
    card = Card("rna", "three types and a rare one", label_key="cell_type")

    class Params(Parameters):
        labels: Literal["plain", "other", "mixed"] = "plain"

    def load(self):
        import os

        import numpy as np
        import scipy.sparse as sp
        from anndata import AnnData

        rng = np.random.default_rng(0)
        kinds = np.array([*"abc" * 40, *"ddd"])
        rate = np.full((len(kinds), 30), 0.5)
        for number, name in enumerate("abc"):
            rate[kinds == name, number * 8 : number * 8 + 8] = 4.0
        adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
        adata.obs_names = [f"cell{i}" for i in range(len(kinds))]
        adata.var_names = [f"gene{i}" for i in range(30)]
        if self.params.labels == "other":
            kinds = np.array([f"t{i % 7}" for i in range(len(kinds))])
        if self.params.labels == "mixed":
            report = ~np.load(os.environ["BLOBS_SPLIT"])
            kinds = kinds.copy()
            kinds[report] = rng.permutation(kinds[report])
        adata.obs["cell_type"] = kinds
        return adata


class SmallBlobs(Blobs):
    name = "small_blobs"
    card = Card("rna", "the same without some cells", label_key="cell_type")

    def load(self):
        return super().load()[10:].copy()


class BlobPeaks(Blobs):
    name = "blob_peaks"
    card = Card("atac", "the same as peaks", label_key="cell_type")

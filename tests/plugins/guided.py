"""A method that uses markers and proteins, and a dataset that has both."""

from typing import ClassVar

from pydantic import Field

from bench.contract import RNA, Card, Dataset, Fit, Markers, Method, Parameters


class Guided(Method):
    name = "guided"
    summary = "sums of markers beside proteins"
    reference = "none"
    modalities: ClassVar = frozenset({RNA})
    family = "baseline"

    class Params(Parameters):
        what: str = Field("markers,proteins")

    def needs(self):
        return frozenset(self.params.what.split(","))

    def fit(self, data, context):
        import numpy as np

        known, parts = context.knowledge, []
        if known.markers is not None:
            names = list(data.var_names)
            parts += [
                np.asarray(data.X[:, [names.index(gene) for gene in genes]].sum(axis=1)).ravel()
                for genes in known.markers.values()
            ]
        if known.proteins is not None:
            assert known.proteins.shape == (data.n_obs, len(known.protein_names))
            parts += list(known.proteins.T)
        unknown = {"batch": known.batch, "labels": known.labels}
        assert not any(value is not None for value in unknown.values())
        told = f"{sorted(known.markers or {})} {known.protein_names}"
        return Fit(np.column_stack(parts), notes={"told": told})


class Marked(Dataset):
    name = "marked"
    card = Card(
        "rna", "three types", label_key="cell_type",
        markers=Markers({"a": ("gene0", "gene1", "GONE"), "b": ("gene9",)}, "a paper"),
    )  # fmt: skip

    def load(self):
        import numpy as np
        import pandas as pd
        import scipy.sparse as sp
        from anndata import AnnData

        rng = np.random.default_rng(0)
        types = np.arange(60) % 3
        rate = np.full((60, 30), 0.5)
        for number in range(3):
            rate[types == number, number * 8 : number * 8 + 8] = 5.0
        adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
        adata.obs_names = [f"cell{i}" for i in range(60)]
        adata.var_names = [f"gene{i}" for i in range(30)]
        adata.obs["cell_type"] = np.array(["a", "b", "c"])[types]
        counts = rng.poisson(np.where(np.eye(3)[types], 30, 3))
        adata.obsm["ADT"] = pd.DataFrame(counts, adata.obs_names, ["CD3", "CD4", "CD8"])
        return adata

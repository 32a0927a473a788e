"""Two small datasets with three known types."""

from pydantic import Field

from bench.contract import Card, Dataset, Parameters


class Toy(Dataset):
    name = "toy"
    card = Card("rna", "three types", label_key="cell_type")

    class Params(Parameters):
        n_cells: int = Field(90, ge=30)

    def load(self):
        import numpy as np
        import scipy.sparse as sp
        from anndata import AnnData

        n_cells = self.params.n_cells
        rng = np.random.default_rng(0)
        types = np.array(["a", "b", "c"])[np.arange(n_cells) % 3]
        rate = np.full((n_cells, 30), 0.5)
        for number, name in enumerate("abc"):
            rate[types == name, number * 8 : number * 8 + 8] = 5.0
        adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
        adata.obs_names = [f"cell{i}" for i in range(n_cells)]
        adata.var_names = [f"gene{i}" for i in range(30)]
        adata.obs["cell_type"] = types
        return adata


class ToyPeaks(Toy):
    name = "toy_peaks"
    card = Card("atac", "three types", label_key="cell_type")

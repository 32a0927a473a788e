"""DESC 2.1.1 (Li et al. 2020), with the settings of its tutorial."""

import sys

import anndata
import desc
import numpy as np
import scanpy as sc
import scipy.io

for module in list(sys.modules.values()):  # its picture of the network needs graphviz
    if getattr(module, "__name__", "").startswith("desc") and hasattr(module, "plot_model"):
        module.plot_model = lambda *words, **more: None
counts, out = sys.argv[1:3]
data = anndata.AnnData(scipy.io.mmread(counts).tocsr().astype("float32"))
sc.pp.normalize_per_cell(data, counts_per_cell_after=1e4)
sc.pp.log1p(data)
sc.pp.highly_variable_genes(data, n_top_genes=min(2000, data.n_vars - 1), subset=True)
sc.pp.scale(data, max_value=6)
fitted = desc.train(
    data,
    dims=[data.n_vars, 64, 32],
    tol=0.005,
    n_neighbors=10,
    batch_size=256,
    louvain_resolution=[0.8],
    save_dir="desc",
    do_tsne=False,
    do_umap=False,
    use_GPU=False,
    num_Cores=1,
    save_encoder_weights=False,
    use_ae_weights=False,
)
np.save(out + "/embedding.npy", fitted.obsm["X_Embeded_z0.8"])
with open(out + "/clusters.csv", "w") as file:
    file.write("\n".join(fitted.obs["desc_0.8"].astype(str)) + "\n")

"""scMGCA (Yu et al. 2023), with the settings of its ``tutorial/demo.py``."""
# ruff: noqa: NPY002

import json
import sys
from pathlib import Path

import anndata
import numpy as np
import scipy.io
from sklearn.cluster import KMeans

sys.path.insert(0, str(Path(sys.prefix, "scmgca")))
import tensorflow as tf
from scMGCA.graph_function import get_adj
from scMGCA.preprocess import normalize
from scMGCA.scmgca import SCMGCA
from spektral.layers import GraphConv

counts, out = sys.argv[1], Path(sys.argv[2])
settings = json.loads(Path("parameters.json").read_text())
np.random.seed(settings["seed"])
tf.random.set_seed(settings["seed"])

cells = anndata.AnnData(scipy.io.mmread(counts).toarray().astype(int))
values = normalize(
    cells,
    copy=True,
    highly_genes=500,
    size_factors=True,
    normalize_input=True,
    logtrans_input=True,
).X
graph = get_adj(values)
normalized_graph = GraphConv.preprocess(graph)
model = SCMGCA(values, adj=graph, adj_n=normalized_graph)
model.pre_train(epochs=1000)
start = model.embedding(values, normalized_graph)
centers = KMeans(settings["n_clusters"], n_init=20).fit(start).cluster_centers_
fitted = model.train(epochs=300, centers=centers)
np.save(out / "embedding.npy", fitted.latent)
(out / "clusters.csv").write_text("".join(f"{name}\n" for name in fitted.y_pred))

"""scTAG (Yu et al. 2022), with the settings of its ``train.py``."""
# ruff: noqa: NPY002

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import scipy.io
from sklearn.cluster import SpectralClustering

sys.path.insert(0, str(Path(sys.prefix, "sctag")))
import tensorflow as tf
from graph_function import get_adj
from preprocess import normalize
from sctag import SCTAG

counts, out = sys.argv[1], Path(sys.argv[2])
settings = json.loads(Path("parameters.json").read_text())
k, seed = settings["n_clusters"], settings["seed"]
np.random.seed(seed)
tf.random.set_seed(seed)
# It leaves eager execution at the end, and could not be asked for the embedding afterwards.
tf.compat.v1.disable_eager_execution = lambda: None
tf.compat.v1.Session = lambda: SimpleNamespace(run=lambda tensor: tensor.numpy())

cells = anndata.AnnData(scipy.io.mmread(counts).toarray().astype(int))
values = normalize(
    cells,
    copy=True,
    highly_genes=500,
    size_factors=True,
    normalize_input=True,
    logtrans_input=True,
).X
graph, normalized_graph = get_adj(values)
model = SCTAG(values, adj=graph, adj_n=normalized_graph)
model.pre_train(epochs=1000)
start = model.embedding(values, normalized_graph)
groups = SpectralClustering(
    k, affinity="precomputed", assign_labels="discretize", random_state=0
).fit_predict(graph)
centers = np.array([start[groups == group].mean(axis=0) for group in range(k)])
model.alt_train(None, epochs=300, centers=centers)
np.save(out / "embedding.npy", model.embedding(values, normalized_graph))
(out / "clusters.csv").write_text("".join(f"{name}\n" for name in model.y_pred))

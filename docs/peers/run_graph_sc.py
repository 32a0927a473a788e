"""graph-sc 0.0.3 (Ciortan and Defrance 2022), with its defaults; its clusters are k-means."""
# ruff: noqa: NPY002

import json
import sys
from pathlib import Path

import numpy as np
import scipy.io
import torch
from graph_sc import train

counts, out = sys.argv[1], Path(sys.argv[2])
settings = json.loads(Path("parameters.json").read_text())
np.random.seed(settings["seed"])
torch.manual_seed(settings["seed"])
scores = train.fit(scipy.io.mmread(counts).toarray(), n_clusters=settings["n_clusters"])
np.save(out / "embedding.npy", scores["features"])
(out / "clusters.csv").write_text("".join(f"{name}\n" for name in scores["kmeans_pred"]))

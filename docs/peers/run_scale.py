"""SCALE 1.1.2 (Xiong et al. 2019): ``run_scale.py COUNTS OUT UPDATES``; its default is 30000."""

import json
import sys
from pathlib import Path

import anndata
import numpy as np
import scale.dataset
import scipy.io

from scale import SCALE_function

counts, out, n_updates = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
settings = json.loads(Path("parameters.json").read_text())
loader = scale.dataset.DataLoader  # processes of its own start anew in each epoch, and take longer
scale.dataset.DataLoader = lambda *words, **more: loader(*words, **{**more, "num_workers": 0})
anndata.AnnData(scipy.io.mmread(counts).tocsr().astype("float32")).write_h5ad("cells.h5ad")
fitted = SCALE_function(
    ["cells.h5ad"], seed=settings["seed"], batch_size=32, max_iter=n_updates,
    min_peaks=0, min_cells=3, n_feature=-1, embed="none",
)  # fmt: skip
np.save(out / "embedding.npy", fitted.obsm["latent"])
(out / "clusters.csv").write_text("".join(f"{name}\n" for name in fitted.obs["leiden"]))

"""contrastive-sc (Ciortan and Defrance 2021), with its defaults; its clusters are k-means."""
# ruff: noqa: NPY002

import json
import sys
from pathlib import Path

import numpy as np
import scipy.io
import torch

sys.path.insert(0, str(Path(sys.prefix, "contrastive_sc")))
import train

counts, out = sys.argv[1], Path(sys.argv[2])
settings = json.loads(Path("parameters.json").read_text())
np.random.seed(settings["seed"])
torch.manual_seed(settings["seed"])
if not torch.cuda.is_available():  # it asks for a GPU in any case
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *words, **more: self

values = train.preprocess(scipy.io.mmread(counts).toarray())
no_labels = np.zeros(len(values), dtype=int)  # it wants some, for scores that are not used
results = train.run(
    values, settings["n_clusters"], "cells", Y=no_labels, save_to=str(Path.cwd() / "saved")
)
np.save(out / "embedding.npy", results["features_0"])

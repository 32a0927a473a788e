"""scDeepCluster (Tian et al. 2019) in PyTorch: its repository is a command line."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import scipy.io

counts, out = sys.argv[1], Path(sys.argv[2])
settings = json.loads(Path("parameters.json").read_text())
with h5py.File("data.h5", "w") as file:
    file["X"] = scipy.io.mmread(counts).toarray()
script = Path(sys.prefix, "scdeepcluster", "run_scDeepCluster.py")
options = {
    "data_file": "data.h5",
    "n_clusters": settings["n_clusters"],
    "final_latent_file": out / "embedding.csv",
    "predict_label_file": out / "clusters.csv",
    "device": "cpu",
}
words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
subprocess.run([sys.executable, str(script), *words], check=True)

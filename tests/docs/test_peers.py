"""The scripts of docs/peers.md, run with stand-ins that take the arguments of the real programs.

A stand-in stands where the program would, as a package or a clone in the environment's folder, and
refuses other arguments. What the programs themselves compute is not tested.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _method_data import typed_counts
from _pages import ROOT, bench_commands, blocks

from bench.contract.external_files import read_clusters, read_embedding, write_counts

SCRIPTS = ROOT / "docs" / "peers"
PAGE = ROOT / "docs" / "peers.md"
START = "import runpy, sys; sys.prefix = sys.argv.pop(1); sys.argv = sys.argv[1:]; \
runpy.run_path(sys.argv[0], run_name='__main__')"
N_CELLS, N_CLUSTERS = 60, 3

TORCH = """
from types import SimpleNamespace
seeds = []
manual_seed = seeds.append
class Tensor: pass
nn = SimpleNamespace(Module=type("Module", (), {}))
cuda = SimpleNamespace(is_available=lambda: False)
"""
TENSORFLOW = """
from types import SimpleNamespace
def _closed(): raise RuntimeError("eager execution is off")
random = SimpleNamespace(set_seed=lambda seed: None)
compat = SimpleNamespace(v1=SimpleNamespace(disable_eager_execution=_closed, Session=_closed))
"""
NORMALIZE = """
from types import SimpleNamespace
import numpy as np
def normalize(adata, copy=True, highly_genes=None, filter_min_counts=True, size_factors=True,
              normalize_input=True, logtrans_input=True):
    assert (adata.X.astype(int) == adata.X).all() and highly_genes == 500
    return SimpleNamespace(X=np.log1p(adata.X)[:, :20])
"""
STAND_INS = {
    "scdeepcluster": {
        "scdeepcluster/run_scDeepCluster.py": """
import argparse, h5py, numpy as np
parser = argparse.ArgumentParser()
for name, kind in (("n_clusters", int), ("data_file", str), ("final_latent_file", str),
                   ("predict_label_file", str), ("device", str)):
    parser.add_argument(f"--{name}", type=kind, required=True)
options = parser.parse_args()
assert options.device == "cpu"
with h5py.File(options.data_file) as file:
    x = np.array(file["X"])
np.savetxt(options.final_latent_file, x[:, :5], delimiter=",")
np.savetxt(options.predict_label_file, np.arange(len(x)) % options.n_clusters, fmt="%i")
"""
    },
    "sctag": {
        "packages/tensorflow.py": TENSORFLOW,
        "sctag/preprocess.py": NORMALIZE,
        "sctag/graph_function.py": """
def get_adj(count, k=15, pca=50, mode="connectivity"):
    graph = count @ count.T
    return graph, graph / graph.max()
""",
        "sctag/sctag.py": """
import tensorflow as tf
class SCTAG:
    def __init__(self, X, adj, adj_n, hidden_dim=128, latent_dim=15): self.n = len(X)
    def pre_train(self, epochs=1000): assert epochs == 1000
    def embedding(self, count, adj_n): return count[:, :15]
    def alt_train(self, y, epochs=300, centers=None):
        assert y is None and centers.shape == (3, 15)
        tf.compat.v1.disable_eager_execution()
        class Tensor:
            def numpy(tensor): return [row % 3 for row in range(self.n)]
        self.y_pred = tf.compat.v1.Session().run(Tensor())
        return self
""",
    },
    "scmgca": {
        "packages/tensorflow.py": TENSORFLOW,
        "packages/spektral/layers.py": """
class GraphConv:
    @staticmethod
    def preprocess(adj): return adj / adj.max()
""",
        "scmgca/scMGCA/preprocess.py": NORMALIZE,
        "scmgca/scMGCA/graph_function.py": "def get_adj(count): return count @ count.T",
        "scmgca/scMGCA/scmgca.py": """
class SCMGCA:
    def __init__(self, X, adj, adj_n, hidden_dim=128, latent_dim=15): self.X = X
    def pre_train(self, epochs=1000): assert epochs == 1000
    def embedding(self, count, adj_n): return count[:, :15]
    def train(self, epochs=300, centers=None):
        assert centers.shape == (3, 15)
        self.latent, self.y_pred = self.X[:, :15], [row % 3 for row in range(len(self.X))]
        return self
""",
    },
    "contrastive_sc": {
        "packages/torch.py": TORCH,
        "contrastive_sc/train.py": """
import os, torch
def preprocess(X, nb_genes=500): return X[:, :nb_genes]
def run(X, cluster_number, dataset, Y=None, nb_epochs=20, save_to="data/"):
    assert cluster_number == 3 and len(Y) == len(X)
    assert torch.Tensor().cuda() is not None and torch.nn.Module().cuda() is not None
    os.makedirs(save_to)
    return {"features_0": X[:, :32], "dataset": dataset}
""",
    },
    "graph_sc": {
        "packages/torch.py": TORCH,
        "packages/graph_sc/train.py": """
def fit(X, Y=None, n_clusters=None, device=None, cluster_methods=["KMeans"]):
    return {"features": X[:, :30], "kmeans_pred": [row % n_clusters for row in range(len(X))]}
""",
    },
    "scale": {
        "packages/scale/dataset.py": "def DataLoader(data, num_workers): assert num_workers == 0",
        "packages/scale/__init__.py": """
import anndata
from . import dataset
def SCALE_function(data_list, seed, batch_size, max_iter, min_peaks, min_cells, n_feature, embed):
    assert (max_iter, min_peaks, n_feature) == (600, 0, -1)
    dataset.DataLoader([], num_workers=4)
    cells = anndata.read_h5ad(*data_list)
    cells.obsm["latent"] = cells.X[:, :10].toarray()
    cells.obs["leiden"] = [str(row % 3) for row in range(cells.n_obs)]
    return cells
""",
    },
    "scsmd": {
        "scsmd/Network.py": """
import torch
myBottleneck = object()
class AutoEncoder(torch.nn.Module):
    def __init__(self, block, layers):
        super().__init__()
        self.code = torch.nn.Linear(784, 10)
    def forward(self, x):
        code = self.code(x.flatten(1))
        return None, None, code, x
class Mutual_net(torch.nn.Linear):
    def __init__(self, num_cluster): super().__init__(10, num_cluster)
""",
        "scsmd/scSMD.py": """
import torch
from Metrics import nmi, acc, ari
class DeepScena(torch.nn.Module):
    def __init__(self, AE, MNet, data_loader, dataset_size, batch_size, pretraining_epoch,
                 MaxIter1, MaxIter2, num_cluster, m, T1, T2, latent_size, zeta, gamma,
                 dataset_name, a):
        super().__init__()
        self.AE, self.MNet, self.loader, self.name = AE, MNet, data_loader, dataset_name
    def pretrain(self):
        for x, target, index in self.loader:
            assert x.shape[1:] == (1, 28, 28) and self.AE(x.cuda())[2].shape[1] == 10
    def first_module(self): pass
    def second_module(self):
        assert ari([0, 0], [0, 1]) > 0
        torch.save(self.AE, "AE_Second_module_200" + self.name)
        torch.save(self.MNet, "MNet_Second_module_200" + self.name)
""",
    },
}


def run_script(name: str, folder: Path) -> Path:
    """Run a script as a fit would, with its stand-in; returns the folder of its results."""
    for path, text in STAND_INS[name].items():
        target = folder / "environment" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "out").mkdir()
    counts = write_counts(typed_counts(N_CELLS, 1000), folder, "mtx")
    settings = {"seed": 1, "n_clusters": N_CLUSTERS, "parameters": {}, "threads": 1}
    (folder / "parameters.json").write_text(json.dumps(settings))
    words = [START, folder / "environment", SCRIPTS / f"run_{name}.py", counts, folder / "out"]
    if name == "scale":
        words.append("600")
    packages = {"PYTHONPATH": str(folder / "environment" / "packages")}
    ended = subprocess.run(
        [sys.executable, "-c", *map(str, words)], cwd=folder, env=os.environ | packages,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder / "out"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "scsmd" else ())
             for name in STAND_INS]
)  # fmt: skip
def test_script_calls_its_program_and_writes_an_embedding(name: str, tmp_path: Path):
    out = run_script(name, tmp_path)
    embedding = read_embedding(out, [f"cell{number}" for number in range(N_CELLS)])
    assert embedding.shape[0] == N_CELLS
    assert np.isfinite(embedding).all()
    clusters = read_clusters(out, N_CELLS)
    if name != "contrastive_sc":
        assert clusters is not None
        assert len(set(clusters)) <= N_CLUSTERS


def test_every_script_is_on_the_page_and_every_recipe_names_one():
    scripts = {path.name for path in SCRIPTS.glob("run_*.py")}
    calls = [words for block in blocks(PAGE) for words in bench_commands(block)]
    called = {
        Path(words[words.index("--run") + 1].split()[0]).name
        for words in calls if words[0] == "add-method"
    }  # fmt: skip
    assert called == scripts
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"peers/(run_\w+\.py)\)", text)) == scripts

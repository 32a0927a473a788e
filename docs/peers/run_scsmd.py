"""scSMD (Cui et al. 2025), with the settings of its ``runscSMD.py``."""
# ruff: noqa: E402, NPY002

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import scanpy as sc
import scipy.io
import torch

counts, out = sys.argv[1], Path(sys.argv[2])
settings = json.loads(Path("parameters.json").read_text())
k = settings["n_clusters"]
np.random.seed(settings["seed"])
torch.manual_seed(settings["seed"])
if not torch.cuda.is_available():  # it asks for a GPU in any case
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *words, **more: self
load = torch.load  # it stores whole networks
torch.load = lambda file: load(file, weights_only=False)


def score(labels, clusters):
    """Return a score above 0, with which it stores each round: there are no labels."""
    return 1.0


sys.modules["Metrics"] = SimpleNamespace(nmi=score, acc=score, ari=score)  # not in its repository
sys.path.insert(0, str(Path(sys.prefix, "scsmd")))
from Network import AutoEncoder, Mutual_net, myBottleneck
from scSMD import DeepScena

cells = anndata.AnnData(scipy.io.mmread(counts).tocsr().astype("float32"))
sc.pp.filter_genes(cells, min_cells=3)
sc.pp.normalize_total(cells, target_sum=1e4)
sc.pp.log1p(cells)
sc.pp.highly_variable_genes(cells, n_top_genes=784, subset=True)  # a picture of 28 × 28
pictures = torch.from_numpy(cells.X.toarray().reshape(-1, 1, 28, 28))
dataset = torch.utils.data.TensorDataset(
    pictures, torch.zeros(len(pictures), dtype=torch.long), torch.arange(len(pictures))
)
batches = torch.utils.data.DataLoader(dataset, batch_size=100, shuffle=True)


def start(layer):
    """Set the weights of a layer as its program does."""
    if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
        torch.nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)


encoder, clusterer = AutoEncoder(myBottleneck, [1, 1, 1]), Mutual_net(k)
encoder.apply(start)
clusterer.apply(start)
model = DeepScena(
    encoder, clusterer, batches, len(pictures), batch_size=100, pretraining_epoch=20, MaxIter1=20,
    MaxIter2=20, num_cluster=k, m=1.5, T1=2, T2=1, latent_size=10, zeta=0.8, gamma=0.2,
    dataset_name="cells", a=0.2,
)  # fmt: skip
model.pretrain()
model.first_module()
model.second_module()
encoder, clusterer = (
    torch.load("AE_Second_module_200cells"),
    torch.load("MNet_Second_module_200cells"),
)
with torch.no_grad():
    codes = torch.cat([encoder(part)[2] for part in pictures.split(100)])
    clusters = clusterer(codes).argmax(dim=1)
np.save(out / "embedding.npy", codes.numpy())
(out / "clusters.csv").write_text("".join(f"{name}\n" for name in clusters.tolist()))

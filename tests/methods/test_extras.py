"""Methods over packages that the harness does not need: how to get them, and what they add."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from _method_data import fit_context, typed_counts
from anndata import AnnData
from mudata import MuData
from scipy.linalg import subspace_angles
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from bench.contract import ATAC, MULTIOME, Knowledge
from bench.execute.curves import Curves
from bench.registry import methods

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
BY_EXTRA = {
    entry.name: found[1]
    for entry in methods()
    if (found := re.fullmatch(r"pip install 'aebench\[(\w+)\]'", entry.cls.install))
}


def method(name: str, **params: object) -> Any:
    entry = methods().entry(name)
    if entry.unavailable:
        pytest.skip(entry.unavailable)
    return entry.cls(entry.cls.Params.build(params, owner=name))


def test_which_methods_need_an_extra():
    assert BY_EXTRA == {
        "glmpca": "glmpca", "linear_scvi": "scvi", "mofa": "mofa", "multivi": "scvi",
        "pacmap": "pacmap", "pca_harmony": "integration", "peakvi": "scvi", "poissonvi": "scvi",
        "scanorama": "integration", "scvi": "scvi",
    }  # fmt: skip


@pytest.mark.parametrize("name", BY_EXTRA)
def test_the_extra_installs_what_the_method_requires(name: str):
    """An adapter is found, and says what it lacks, without its package."""
    entry = methods().entry(name)
    packages = [re.split(r"[><=\[]", one)[0] for one in EXTRAS[BY_EXTRA[name]]]
    modules = {package.replace("scvi-tools", "scvi") for package in packages}
    assert set(entry.cls.requires) <= modules
    assert BY_EXTRA[name] in "".join(EXTRAS["methods"])
    if entry.unavailable:
        assert entry.unavailable.endswith(entry.cls.install)


@pytest.mark.slow
def test_glmpca_is_that_of_its_authors():
    """Scores span the same space; one component more takes the place of their intercepts."""
    ours = method("glmpca", n_components=3, tol=1e-7, max_iter=300)
    reference = pytest.importorskip("glmpca.glmpca")
    data = typed_counts(120)
    fit = ours.fit(data, fit_context())
    counts = data.X.toarray().astype(float)
    np.random.seed(0)  # noqa: NPY002 - it draws from the global generator
    theirs = reference.glmpca(counts.T, 2, fam="poi", ctl={"maxIter": 1000, "eps": 1e-6})
    angles = subspace_angles(fit.embedding - fit.embedding.mean(axis=0), theirs["factors"])
    assert np.cos(angles).min() > 0.99


def batched_cells(modality: str) -> tuple[AnnData | MuData, np.ndarray]:
    """Return cells of three types in two batches that differ in all features, and their batch."""
    batch = np.array(["a", "b"])[np.arange(400) // 3 % 2]
    genes, peaks = typed_counts(400), typed_counts(400, 240, high=1.0, low=0.2, seed=1)
    values = genes.X.toarray()
    values[batch == "b", ::2] *= 4
    genes.X = sp.csr_matrix(values)
    # No factor shows in peaks that are open or closed: each batch closes half of every second.
    closed = np.random.default_rng(2).random(peaks.shape) < 0.5
    closed[batch == "a", ::2] = closed[batch == "b", 1::2] = False
    peaks.X = sp.csr_matrix(np.where(closed, 0, peaks.X.toarray() > 0).astype(np.float32))
    if modality == MULTIOME:
        return MuData({"rna": genes, "atac": peaks}), batch
    return (peaks if modality == ATAC else genes), batch


def neighbor_accuracy(embedding: np.ndarray, names: np.ndarray) -> float:
    """Return the balanced accuracy with which neighbours predict the name of a held-out cell."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(KNeighborsClassifier(15), embedding, names, cv=folds)
    return float(balanced_accuracy_score(names, predicted))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scvi", "linear_scvi", "peakvi", "poissonvi", "multivi"])
def test_scvi_removes_a_batch_that_it_is_given(name: str):
    """Neighbours no longer predict the batch, by chance 0.5; the types stay."""
    data, batch = batched_cells(next(iter(methods().entry(name).cls.modalities)))
    training = {"max_epochs": 200, "early_stopping": False, "learning_rate": 0.01}
    accuracy = {}
    for use in (True, False):
        one = method(name, n_latent=10, n_hidden=64, **training)
        known = Knowledge(batch=batch) if use else Knowledge()
        fit = one.fit(data, replace(fit_context(), knowledge=known))
        assert neighbor_accuracy(fit.embedding, np.arange(400) % 3) > 0.9
        accuracy[use] = neighbor_accuracy(fit.embedding, batch)
    assert accuracy[True] < 0.7
    assert accuracy[False] > 0.85
    if name == "linear_scvi":
        assert list(fit.tables["loadings"].index) == list(data.var_names)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scvi", "peakvi"])
def test_scvi_notes_the_epoch_of_the_lowest_held_out_loss(name: str):
    """The last state is the embedding, as in scvi-tools; the note says how far it went on."""
    data, _ = batched_cells(next(iter(methods().entry(name).cls.modalities)))
    curves = Curves()
    one = method(name, n_latent=10, n_hidden=64, max_epochs=90, learning_rate=0.02)
    fit = one.fit(data, fit_context(curves))
    losses = curves.values["held_out_loss"]
    lowest = int(np.argmin(losses)) + 1
    assert lowest < len(losses)
    assert fit.notes["epochs"] == f"{len(losses)}, held-out loss lowest after {lowest}"

"""Methods over packages that the harness does not need: how to get them, and what they add."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _method_data import fit_context, typed_counts
from scipy.linalg import subspace_angles
from sklearn.metrics import silhouette_score

from bench.contract import Knowledge
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scvi", "linear_scvi"])
def test_scvi_removes_a_batch_that_it_is_given(name: str):
    data = typed_counts(200)
    batch = np.array(["a", "b"])[np.arange(200) // 3 % 2]
    counts = data.X.toarray()
    counts[batch == "b", ::2] *= 4
    data.X = type(data.X)(counts)
    knowledge = Knowledge(batch=batch)
    scores = {}
    for use in (True, False):
        one = method(name, max_epochs=100, use_batch=use, n_top_genes=60)
        known = knowledge if use else Knowledge()
        fit = one.fit(data, replace(fit_context(), knowledge=known))
        scores[use] = silhouette_score(fit.embedding, batch)
    assert scores[True] < 0.1 < scores[False]
    if name == "linear_scvi":
        assert list(fit.tables["loadings"].index) == list(data.var_names)

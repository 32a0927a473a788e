"""A notebook of a user, in cells: data in memory, a class of its own, tables and figures.

`test_notebook.py` executes it; it is also a script without a ``__main__`` guard.
"""
# ruff: noqa: B018, PT017

# %%
from pathlib import Path
from typing import Annotated

import anndata as ad
import numpy as np
import scipy.sparse as sp
from mudata import MuData
from pydantic import Field
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD

import bench
from bench.contract import RNA, Fit, Method, Parameters, Recipe, Search

TARGET = 1e4
OPTIONS = {"seeds": 1, "jobs": 2, "cache_dir": "cache", "results": "results", "umap": False}

# %%
rng = np.random.default_rng(0)
types = np.repeat(["a", "b", "c"], 30)
means = rng.gamma(1.0, 3.0, (3, 40))
adata = ad.AnnData(sp.csr_matrix(rng.poisson(means.repeat(30, axis=0)).astype("float32")))
adata.obs["kind"] = types
adata.obs["mixed"] = [None, 1, "x"] * 30
adata.uns["not writable"] = {"function": len}
before = adata.copy()


# %%
def scale(points: np.ndarray) -> np.ndarray:
    return points / TARGET


class Svd(Method):
    """Truncated SVD."""

    name = "own_svd"
    summary = "truncated SVD"
    reference = "none"
    modalities = frozenset({RNA})
    family = "baseline"

    class Params(Parameters):
        n_components: Annotated[int, Search(2, 10)] = Field(5, ge=1, description="dimensions")

    def recipe(self, info):
        return Recipe(target_sum=TARGET, log1p=True)

    def fit(self, data, context):
        svd = TruncatedSVD(self.params.n_components, random_state=context.seed)
        return Fit(scale(svd.fit_transform(data.X)))


# %%
named = {"first": adata, "second": adata[::2]}
outcome = bench.run(
    ["pca", Svd, Svd(Svd.Params(n_components=3))], [named, "sim_rna[n_cells=100]"],
    label_key="kind", **OPTIONS,
)  # fmt: skip
outcome

# %%
assert outcome.counts == {"done": 9}, outcome
assert outcome.report.is_file()
assert set(outcome.results["method"]) == {"pca", "own_svd", "own_svd[n_components=3]"}
assert set(outcome.results["dataset"]) == {"first", "second", "sim_rna[n_cells=100]"}
assert outcome.results["kmeans/ari"].notna().all()
assert set(outcome.load_results(long=True)["score"]) > {"kmeans/ari", "leiden/nmi", "seconds"}
assert "<table" in outcome._repr_html_()
assert "own_svd[n_components=3]" in repr(outcome)
assert "9 fitted now" in repr(outcome)
assert list(adata.obs["mixed"]) == list(before.obs["mixed"])
assert (adata.X != before.X).nnz == 0

# %%
for figure in (outcome.plot.heatmap(), outcome.plot.cost(), outcome.plot.umap("own_svd")):
    assert figure.axes
    assert figure._repr_png_().startswith(b"\x89PNG")

# %%
again = bench.run(Svd, {"first": adata.copy()}, label_key="kind", **OPTIONS)
assert (again.fitted, again.reused) == (0, 1)
assert len(bench.load_results("results", columns="all")) == 9


# %%
class Peeking(Svd):
    name = "peeking"

    def fit(self, data, context):
        return Fit(np.asarray(adata.obs["kind"] == "a", dtype=float))


try:
    bench.run(Peeking, adata, label_key="kind", **OPTIONS)
except bench.errors.UsageError as error:
    assert error.code == "missing_names"
    assert "'adata'" in str(error)
else:
    raise AssertionError("a class took the labels of the notebook into its fit")

# %%
# As scanpy's pbmc68k_reduced: X is normalised, the counts are in a layer; and paired data.
analysed = adata.copy()
analysed.layers["counts"] = analysed.X.copy()
analysed.X = np.log1p(analysed.X.toarray())
peaks = ad.AnnData(sp.csr_matrix(rng.poisson(0.6, (90, 50)).astype("float32")), adata.obs.copy())
peaks.var_names = [f"chr1:{1000 * n}-{1000 * n + 500}" for n in range(50)]
pair = MuData({"rna": ad.AnnData(adata.X.copy(), adata.obs.copy()), "atac": peaks})
other = bench.run(
    "pca,pca_lsi", {"analysed": analysed, "pair": pair}, label_key="kind", report=False, **OPTIONS
)
assert other.counts["done"] == 2, other
scored = other.results.set_index(["method", "dataset"])["kmeans/ari"].dropna()
first = outcome.results.set_index(["method", "dataset"])["kmeans/ari"]
assert scored["pca", "analysed"] == first["pca", "first"]
assert set(scored.index) == {("pca", "analysed"), ("pca_lsi", "pair")}

# %%
unlabelled = bench.run("pca", adata, no_labels=True, report=False, **OPTIONS)
assert "<table" in unlabelled._repr_html_()
assert "kmeans/ari" not in unlabelled.load_results(columns="all").dropna(axis=1)

# %%
found = bench.search(
    "own_svd", {"mine": adata}, trials=2, label_key="kind", report=False,
    plugins=str(next(Path("cache/notebook").rglob("Svd.py"))), **OPTIONS,
)  # fmt: skip
assert len(found.studies) == 1

# %%
model = bench.estimator("pca", n_components=4).fit(analysed, key_added="X_mine", n_clusters=3)
model

# %%
assert repr(model) == "bench.estimator('pca', n_components=4)"
assert analysed.obsm["X_mine"].shape == (90, 4)
assert list(analysed.obs["kmeans_mine"]) == [str(one) for one in model.labels_]
assert np.allclose(model.transform(adata[:5]), model.embedding_[:5], rtol=1e-3, atol=1e-3)
assert clone(model).fit_transform(adata).shape == (90, 4)
faithful = bench.estimator("scmgca", preset="faithful")
assert faithful.presets["faithful"]
assert repr(faithful) != repr(bench.estimator("scmgca", profile="quick"))

# %%
scores = bench.score(adata.X.toarray(), adata.obs["kind"], metrics="ari,nmi")
by_table = bench.score(analysed.obsm["X_mine"], None, batch=["x", "y", "y"] * 30)
assert "embedding/ilisi" in by_table.dropna().index
assert set(scores.index) == {f"{c}/{m}" for c in ("kmeans", "leiden") for m in ("ari", "nmi")}
assert "pca" in bench.list_methods().index
assert "sim_rna" in bench.list_datasets(cache_dir="cache").index
assert "ari" in bench.list_metrics().index
print("the notebook has ended")

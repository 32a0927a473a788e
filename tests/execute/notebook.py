"""A notebook of a user, in cells: data in memory, a class of its own, tables and figures.

`test_notebook.py` executes it; it is also a script without a ``__main__`` guard.
"""
# ruff: noqa: B018, PT017

# %%
from typing import Annotated

import anndata as ad
import numpy as np
import scipy.sparse as sp
from pydantic import Field
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
scores = bench.score(adata.X.toarray(), adata.obs["kind"], metrics="ari,nmi")
assert set(scores.index) == {f"{c}/{m}" for c in ("kmeans", "leiden") for m in ("ari", "nmi")}
assert "pca" in bench.list_methods().index
assert "sim_rna" in bench.list_datasets(cache_dir="cache").index
assert "ari" in bench.list_metrics().index
print("the notebook has ended")

"""Carry out a recipe: counts in, the matrix a method asked for out.

Filters and scalings are those of scanpy (``pp.normalize_total``, ``pp.log1p``,
``pp.highly_variable_genes``, ``pp.scale``); tests compare the results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    from bench.recipe import DatasetInfo, Recipe


def describe(counts: sp.csr_matrix, *, name: str, modality: str, has_batch: bool) -> DatasetInfo:
    """Return the facts about a matrix of counts (cells × features) that recipes may use."""
    import numpy as np

    from bench.recipe import DatasetInfo

    values = counts.data
    return DatasetInfo(
        name=name,
        modality=modality,
        n_cells=counts.shape[0],
        n_features=counts.shape[1],
        binary=bool(np.all((values == 0) | (values == 1))),
        integer=bool(np.all(values == np.rint(values))),
        has_batch=has_batch,
        mean_counts=float(values.sum(dtype=np.float64) / counts.shape[0]),
        density=float(np.count_nonzero(values) / (counts.shape[0] * counts.shape[1])),
    )


def prepare(counts: AnnData, recipe: Recipe) -> AnnData:
    """Return a new AnnData with the prepared matrix; ``counts`` is not changed.

    ``counts.X`` holds counts (CSR, cells × features). The result has ``X`` (CSR float32, or dense
    if scaled), ``layers["counts"]`` (CSR float32, same features), ``obs["size_factor"]`` (total
    over the kept features before any variable-feature selection, divided by the median of the
    totals above zero) and nothing else of ``counts``.

    Raises ``DataError`` if no cell or no feature is left, ``UsageError`` if the recipe needs a
    package that is not installed.
    """
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    matrix = sp.csr_matrix(counts.X, dtype=np.float32, copy=True)
    # Stored zeros would count as detected, and binarising would turn them into ones.
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    cells = np.flatnonzero(np.diff(matrix.indptr) >= recipe.min_features)
    matrix = matrix[cells]
    features = _detected(matrix, recipe)
    if not len(cells) or not len(features):
        what = "cell" if not len(cells) else "feature"
        raise DataError(
            f"the filters leave no {what}: min_features={recipe.min_features}, "
            f"min_cells={recipe.min_cells}, max_cells={recipe.max_cells}; loosen them."
        )
    matrix = matrix[:, features]
    raw = matrix.copy()
    totals = np.asarray(raw.sum(axis=1), dtype=np.float64).ravel()
    median = np.median(totals[totals > 0]) if np.any(totals > 0) else 1.0

    data = AnnData(X=matrix)
    data.obs_names = counts.obs_names[cells]
    data.var_names = counts.var_names[features]
    data.layers["counts"] = raw
    data.obs["size_factor"] = (totals / median).astype(np.float32)
    _transform(data, recipe)
    if recipe.n_top_features is not None and recipe.n_top_features < data.n_vars:
        data = data[:, _variable(data, recipe)].copy()
    if recipe.max_abs:
        largest = np.asarray(abs(data.X).max(axis=0).todense()).ravel()
        data.X = sp.csr_matrix(data.X.multiply(1.0 / np.where(largest > 0, largest, 1.0)))
    if recipe.scale:
        _scale(data, recipe.max_value)
    data.uns.clear()
    data.var = data.var[[]]
    return data


def _detected(matrix: sp.csr_matrix, recipe: Recipe) -> np.ndarray:
    """Return the features detected in more than ``min_cells`` and less than ``max_cells``."""
    import numpy as np

    n_cells = matrix.shape[0]
    seen = np.bincount(matrix.indices, minlength=matrix.shape[1])
    keep = seen > 0
    if recipe.min_cells:
        keep &= seen > (recipe.min_cells * n_cells if recipe.min_cells < 1 else recipe.min_cells)
    if recipe.max_cells < 1:
        keep &= seen < recipe.max_cells * n_cells
    return np.flatnonzero(keep)


def _transform(data: AnnData, recipe: Recipe) -> None:
    """Binarise, weight and normalise ``data.X`` in place."""
    import numpy as np
    import scanpy as sc
    import scipy.sparse as sp

    if recipe.binarize:
        data.X.data[:] = 1.0
    if recipe.tfidf:
        seen = np.bincount(data.X.indices, minlength=data.n_vars)
        idf = np.where(seen > 0, data.n_obs / np.maximum(seen, 1), 0.0)
        depth = np.asarray(data.X.sum(axis=1)).ravel()
        term = sp.diags(1.0 / np.where(depth > 0, depth, 1.0)) @ data.X @ sp.diags(idf)
        term = sp.csr_matrix(term, dtype=np.float32)
        term.data = np.log1p(term.data * 1e4)
        data.X = term
    if recipe.target_sum is not None:
        sc.pp.normalize_total(data, target_sum=recipe.target_sum)
    if recipe.log1p:
        sc.pp.log1p(data)


def _variable(data: AnnData, recipe: Recipe) -> np.ndarray:
    """Return a mask of the highly variable features."""
    import importlib.util

    import numpy as np
    import scanpy as sc

    assert recipe.n_top_features is not None
    if recipe.flavor == "seurat_v3":
        if importlib.util.find_spec("skmisc") is None:
            raise UsageError(
                "flavor='seurat_v3' needs the package scikit-misc, which is not installed: "
                "pip install scikit-misc, or choose flavor='seurat'."
            )
        table = sc.pp.highly_variable_genes(
            data, n_top_genes=recipe.n_top_features, flavor="seurat_v3", layer="counts",
            inplace=False,
        )  # fmt: skip
    else:
        table = sc.pp.highly_variable_genes(
            data, n_top_genes=recipe.n_top_features, flavor="seurat", inplace=False
        )
    return np.asarray(table["highly_variable"])


def _scale(data: AnnData, max_value: float | None) -> None:
    """Centre and scale to unit variance (n - 1), features without variance become zero."""
    import numpy as np

    dense = data.X.toarray().astype(np.float32)
    mean = dense.mean(axis=0, dtype=np.float64)
    spread = dense.std(axis=0, ddof=1, dtype=np.float64) if len(dense) > 1 else np.ones_like(mean)
    dense -= mean.astype(np.float32)
    dense /= np.where(spread > 0, spread, 1.0).astype(np.float32)
    if max_value is not None:
        np.clip(dense, -max_value, max_value, out=dense)
    data.X = dense

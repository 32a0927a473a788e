"""Controls for guided methods: what marker genes give without a model, or with a linear one.

A guided method is worth its cost only where it is better than these: they get the same lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bench.contract import RNA, Context, DatasetInfo, Fit, Method, Parameters, Recipe, Search

from .pca import decompose

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from anndata import AnnData

_MAX_VALUE = 10.0
"""Scaled values are clipped there, as in the standard recipe."""


class MarkerSum(Method):
    """The sum of the marker genes and nothing else: no model, no other gene.

    For each list the log-normalised values of its genes are added and divided by the standard
    deviation over the cells, so that lists of unlike length or expression count alike.
    """

    name = "marker_sum"
    summary = "control: log-normalised sum of each marker list, no model"
    reference = "none; a control"
    modalities = frozenset({RNA})
    family = "control"

    def uses(self) -> frozenset[str]:
        """Return that it knows the marker lists."""
        return frozenset({"markers"})

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised values of all genes: a marker need not be a variable one."""
        return _all_genes()

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores, (cells, lists)."""
        import numpy as np
        import pandas as pd

        lists = _lists(context)
        self._genes = [data.var_names.get_indexer(list(genes)) for genes in lists.values()]
        sums = self._sums(data)
        spread = sums.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        scores = (sums / self._spread).astype(np.float32)
        table = pd.DataFrame(scores, data.obs_names, list(lists))
        return Fit(scores, tables={"marker_sums": table})

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the scores of new cells, prepared alike, (cells, lists)."""
        import numpy as np

        return (self._sums(data) / self._spread).astype(np.float32)

    def _sums(self, data: AnnData) -> np.ndarray:
        import numpy as np

        parts = [np.asarray(data.X[:, genes].sum(axis=1)).ravel() for genes in self._genes]
        return np.column_stack(parts).astype(np.float64)

    def save(self, path: Path) -> None:
        """Write genes and scales into the folder ``path``."""
        import numpy as np

        lists = {f"list{number}": genes for number, genes in enumerate(self._genes)}
        np.savez(path / "marker_sum.npz", spread=self._spread, **lists)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        import numpy as np

        with np.load(path / "marker_sum.npz") as kept:
            self._spread = kept["spread"]
            self._genes = [kept[f"list{number}"] for number in range(len(self._spread))]


class MarkerPca(Method):
    """Principal components of scaled variable genes and markers, the markers counting more.

    Genes have unit variance; then those of the lists are multiplied so that together they have
    ``weight`` times the variance of all other genes. A linear counterpart of guidance.
    """

    name = "pca_markers"
    summary = "control: principal components with up-weighted marker genes"
    reference = "none; a control"
    modalities = frozenset({RNA})
    family = "control"

    class Params(Parameters):
        """Parameters of the decomposition."""

        n_components: Annotated[int, Search(10, 100, log=True)] = Field(
            50, ge=1, description="components kept (at most cells or genes minus one)"
        )
        n_top_genes: int = Field(2000, ge=10, description="variable genes beside the markers")
        weight: Annotated[float, Search(0.01, 10.0, log=True)] = Field(
            1.0, gt=0, description="variance of all markers over that of all other genes"
        )

    params: Params

    def uses(self) -> frozenset[str]:
        """Return that it knows the marker lists."""
        return frozenset({"markers"})

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised values of all genes; variable ones are chosen in the fit."""
        return _all_genes()

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the scores of the components, (cells, n_components)."""
        import numpy as np
        from anndata import AnnData

        names = sorted({gene for genes in _lists(context).values() for gene in genes})
        markers = np.zeros(data.n_vars, dtype=bool)
        markers[data.var_names.get_indexer(names)] = True
        self._genes = np.flatnonzero(markers | _variable(data, self.params.n_top_genes))
        chosen = _dense(data, self._genes)
        self._mean, spread = chosen.mean(axis=0), chosen.std(axis=0)
        scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
        marked = markers[self._genes]
        others = max(1, int(np.sum(~marked & (spread > 0))))
        boost = np.sqrt(self.params.weight * others / max(1, int(marked.sum())))
        self._scale, self._boost = scale, np.where(marked, boost, 1.0)
        scaled = AnnData(self._scaled(chosen))
        model, embedding = decompose(scaled, self.params.n_components, context.seed)
        self._center, self._components = model.mean_, model.components_
        return Fit(
            embedding,
            n_parameters=int(model.components_.size + model.mean_.size),
            notes={"markers": f"{marked.sum()} genes, each counts {boost**2:.3g} times"},
        )

    def transform(self, data: AnnData) -> np.ndarray:
        """Return the scores of new cells, prepared alike, (cells, n_components)."""
        import numpy as np

        scaled = self._scaled(_dense(data, self._genes))
        return np.asarray((scaled - self._center) @ self._components.T, dtype=np.float32)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        import numpy as np

        unit = np.clip((values - self._mean) * self._scale, -_MAX_VALUE, _MAX_VALUE)
        return (unit * self._boost).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write genes, scales and components into the folder ``path``."""
        import numpy as np

        np.savez(path / "pca_markers.npz", **{name: getattr(self, f"_{name}") for name in _KEPT})

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        import numpy as np

        with np.load(path / "pca_markers.npz") as kept:
            for name in _KEPT:
                setattr(self, f"_{name}", kept[name])


_KEPT = ("genes", "mean", "scale", "boost", "center", "components")


def _all_genes() -> Recipe:
    """Return the recipe of both: 10,000 counts a cell, log1p, genes in more than two cells."""
    return Recipe(min_cells=2, target_sum=1e4, log1p=True)


def _lists(context: Context) -> dict[str, tuple[str, ...]]:
    markers = context.knowledge.markers
    assert markers  # uses() names them
    return markers


def _dense(data: AnnData, genes: np.ndarray) -> np.ndarray:
    """Return the values of some genes, cells × genes, float64."""
    import numpy as np

    block: Any = data.X[:, genes]
    return np.asarray(block.toarray() if hasattr(block, "toarray") else block, dtype=np.float64)


def _variable(data: AnnData, n_top: int) -> np.ndarray:
    """Return the mask of the genes that vary most for their mean, as in the standard recipe."""
    import numpy as np
    import scipy.sparse as sp

    from bench.prepare.moments import FeatureSums
    from bench.prepare.variable_features import seurat

    if data.n_vars <= n_top:
        return np.ones(data.n_vars, dtype=bool)
    block = sp.csr_matrix(data.X)
    sums = FeatureSums(1, data.n_vars)
    sums.add(block, np.expm1(block.data), np.zeros(data.n_obs, dtype=np.int64))
    return seurat(sums, n_top, by_group=False)

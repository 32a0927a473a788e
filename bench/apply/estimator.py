"""A method as a plain estimator, without the harness: ``bench.estimator("vae").fit(adata)``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from bench.contract import MULTIOME, Method, cells_of, is_paired, protein_counts
from bench.contract.method import declared_inputs
from bench.data.cell_graph import find_cell_graph
from bench.data.file_reader import guess_modality
from bench.errors import UsageError
from bench.execute.curves import Curves, ProgressListener
from bench.execute.fitting import FitConditions, OptionalInputs, fit_method
from bench.messages import did_you_mean
from bench.prepare.in_memory import describe_data, prepare_data
from bench.prepare.new_cells import Preparation
from bench.registry import methods
from bench.scoring.clustering import kmeans, leiden
from bench.seeds import derive_seed
from bench.settings import Profile

from .inputs import (
    DATA_NAME,
    batch_values,
    cell_values,
    check_graph_use,
    check_inputs,
    check_modality,
    check_n_clusters,
    checked_counts,
    require_annotated,
)
from .result_keys import ResultKeys

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)
_OWN_PARAMS: dict[str, Any] = {"device": "cpu", "threads": 1, "layer": None, "key_added": None}


def estimator(
    name: str,
    *,
    preset: str | None = None,
    profile: str = "default",
    device: str = "cpu",
    threads: int = 1,
    layer: str | None = None,
    key_added: str | None = None,
    **params: Any,
) -> Estimator:
    """Return a method as a plain estimator: ``bench.estimator("vae", n_latent=16).fit(adata)``.

    Parameters
    ----------
    name
        Name of the method, as in ``bench.list_methods()``.
    preset
        One of the method's presets, such as ``"faithful"``: the published settings.
    profile
        ``"quick"``, ``"default"`` or ``"faithful"``: like ``preset``, but without an error if the
        method has no such preset.
    device, threads, layer, key_added
        As for :class:`Estimator`.
    params
        Parameters of the method, which override those of the preset.

    Returns
    -------
    Estimator
        Not yet fitted.

    Raises
    ------
    UsageError
        For an unknown name, preset, profile or parameter.

    Examples
    --------
    >>> import bench
    >>> model = bench.estimator("scmgca", preset="faithful")
    >>> model.fit(adata, key_added="X_scmgca")  # doctest: +SKIP
    >>> adata.obsm["X_scmgca"], model.labels_  # doctest: +SKIP
    """
    cls = methods().get(name)
    presets = _presets(cls, profile, preset)
    method = cls(cls.Params.build(params, presets=presets, owner=name))
    return Estimator(method, device=device, threads=threads, layer=layer, key_added=key_added)


def _presets(cls: type[Method], profile: str, preset: str | None) -> tuple[str, ...]:
    """Return the presets of a profile, then ``preset``; raises ``UsageError``."""
    if profile not in get_args(Profile):
        hint = did_you_mean(profile, list(get_args(Profile)))
        raise UsageError(f"no profile '{profile}'.{hint}", code="unknown_name")
    own = (profile,) if profile in cls.Params.presets else ()
    return own if preset is None else (*own, preset)


class Estimator:
    """A method with the interface of a scikit-learn estimator, for data of scanpy.

    Parameters
    ----------
    method
        The method with its parameters.
    device
        ``cpu`` or ``cuda``.
    threads
        Number of threads of the method's libraries.
    layer
        Where the counts are: ``X``, ``raw`` or the name of a layer. Default: ``X`` or, if ``X`` is
        normalised, the layer or ``raw`` that holds counts.
    key_added
        Key of ``obsm`` under which ``fit`` and ``transform`` write embeddings into the data.
        Default: data are not changed.
    listener
        ``listener(step, total, values)`` is called at every report of the fit.
    checkpoints
        Folder for the state of a method that ``resumes``.

    Attributes
    ----------
    embedding_
        Embedding of the cells, shape (n_cells, n_dimensions).
    labels_
        Cluster of each cell, shape (n_cells,): the method's own clustering, else k-means if
        ``n_clusters`` was given, else Leiden.
    clustering_
        Name of that clustering, such as ``leiden``.
    own_labels_
        All clusterings of the method by name, each of shape (n_cells,).
    fit_
        The ``Fit`` that the method returned.
    curves_, steps_
        Name of a reported value → its values, and the steps of its reports.
    prepared_
        The prepared training cells. A method may leave cells out; ``prepared_.obs_names`` are the
        ``n_cells`` of the results.
    preparation_
        The fitted preparation of new cells; ``None`` if the method cannot embed new cells.
    """

    def __init__(
        self,
        method: Method,
        *,
        device: str = "cpu",
        threads: int = 1,
        layer: str | None = None,
        key_added: str | None = None,
        listener: ProgressListener | None = None,
        checkpoints: Path | None = None,
    ) -> None:
        self.method, self.device, self.threads = method, device, threads
        self.layer, self.key_added = layer, key_added
        self.listener, self.checkpoints = listener, checkpoints
        self.preparation_: Preparation | None = None
        self._clustering: tuple[str, np.ndarray] | None = None

    def __repr__(self) -> str:
        usual = type(self.method).Params.build(owner=self.method.name).resolved()
        values = self.method.params.resolved()
        shown = {name: value for name, value in values.items() if value != usual[name]}
        shown |= {
            name: value for name, value in self._own_params().items() if value != _OWN_PARAMS[name]
        }
        words = [repr(self.method.name), *(f"{name}={value!r}" for name, value in shown.items())]
        return f"bench.estimator({', '.join(words)})"

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """Name of a preset of the method → the values that differ from the defaults."""
        return {name: dict(values) for name, values in self.method.params.presets.items()}

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 – scikit-learn's signature
        """Return the arguments of :func:`bench.estimator` that create this estimator.

        Parameters
        ----------
        deep
            Ignored; part of scikit-learn's interface.
        """
        values = self.method.params
        own = {name: getattr(values, name) for name in type(values).model_fields}
        return {"name": self.method.name, **own, **self._own_params()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters of the method or of the estimator, which is then not fitted.

        Raises ``UsageError`` for an unknown parameter or an invalid value.
        """
        own = {name: params.pop(name) for name in _OWN_PARAMS if name in params}
        if params.get("name") == self.method.name:
            del params["name"]
        values = self.method.params.resolved() | params
        built = type(self.method).Params.build(values, owner=self.method.name)
        for name, value in own.items():
            setattr(self, name, value)
        self.method = type(self.method)(built)
        self._forget()
        return self

    def fit(  # noqa: PLR0913 – what people set by name
        self,
        adata: Any,
        y: Any = None,
        *,
        modality: str | None = None,
        seed: int = 0,
        n_clusters: int | None = None,
        batch: str | np.ndarray | None = None,
        labels: str | np.ndarray | None = None,
        markers: dict[str, tuple[str, ...]] | None = None,
        graph: Any = None,
        key_added: str | None = None,
    ) -> Self:
        """Prepare the cells and fit the method.

        The method gets optional inputs, such as proteins in ``obsm["ADT"]``, only if it declares
        that it needs or may use them.

        Parameters
        ----------
        adata
            Raw counts, cells × features: AnnData, a data frame or a matrix; paired data as
            ``MuData`` of ``rna`` and ``atac``.
        y
            Has no meaning here; scikit-learn passes it.
        modality
            ``rna`` or ``atac``, for a single matrix. Default: ``atac`` if features are named like
            genome intervals.
        seed
            Seed of the fit.
        n_clusters
            Number of clusters, for methods that use it, and for k-means.
        batch, labels
            Batch and true type of each cell: shape (n_cells,), or a column of ``obs``. A type may
            be missing, a batch may not.
        markers
            Marker lists: name of a signature → its genes.
        graph
            Similarities of the cells, for methods that learn from a graph: a key of ``obsp``, a
            matrix, shape (n_cells, n_cells), or a file. Default: the method makes its graph.
        key_added
            Key of ``obsm``, such as ``"X_vae"``: the embedding is written there, and ``labels_``
            into the column ``<clustering>_vae`` of ``obs``. Cells that the method left out have
            missing values. Default: ``adata`` is not changed.

        Returns
        -------
        Estimator
            This object, fitted.

        Raises
        ------
        UsageError
            If an input that the method needs is missing; if the method is for another modality.
        DataError
            If the data are not counts; if a batch is missing; if no marker gene is among the
            features; if the graph does not fit the cells.
        """
        self._forget()
        counts = checked_counts(adata, self.layer)
        method, cells = self.method, cells_of(counts)
        modality = modality or (MULTIOME if is_paired(counts) else guess_modality(cells))
        check_modality(method, modality)
        uses = declared_inputs(method)
        batch, labels = batch_values(cells, batch), cell_values(cells, labels, "labels")
        inputs = OptionalInputs(
            n_clusters, batch, labels, markers, graph=find_cell_graph(cells, graph, "graph")
        )
        check_graph_use(method, graph, "graph=")
        if "proteins" in uses and (proteins := protein_counts(cells)) is not None:
            inputs = replace(inputs, proteins=proteins[0], protein_names=proteins[1])
        check_inputs(method, inputs)
        info = describe_data(counts, name="data", modality=modality, has_batch=batch is not None)
        recipe = method.recipe(info)
        prepared = prepare_data(counts, recipe, batch if "batch" in uses else None)
        check_n_clusters(n_clusters, prepared.n_obs, "n_clusters")
        rows = counts.obs_names.get_indexer(prepared.obs_names)
        curves = Curves(self.listener)
        conditions = FitConditions(seed, self.device, self.threads, checkpoints=self.checkpoints)
        self.fit_ = fit_method(method, prepared, inputs.select_cells(rows), curves, conditions)
        self.prepared_, self.curves_, self.steps_ = prepared, curves.values, curves.steps
        self.embedding_, self.own_labels_ = self.fit_.embedding, self.fit_.labels
        self._seed, self._n_clusters = seed, n_clusters
        if any(hasattr(method, name) for name in ("transform", "impute", "save")):
            self.preparation_ = Preparation.fit(counts, recipe, prepared)
        key = key_added or self.key_added
        if key is not None:
            self._write_results(adata, ResultKeys(key))
        return self

    def fit_transform(self, adata: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Fit the method and return ``embedding_``; arguments as for :meth:`fit`."""
        return self.fit(adata, y, **options).embedding_

    def transform(
        self, adata: Any, *, fill_missing: bool = False, key_added: str | None = None
    ) -> np.ndarray:
        """Embed new cells, prepared by the statistics of the training cells.

        Parameters
        ----------
        adata
            Raw counts, as for :meth:`fit`. Features are matched by name, in any order, peaks also
            by coordinates; other features are ignored.
        fill_missing
            Whether missing features of the fit count as zero; else they are an error.
        key_added
            Key of ``obsm`` for the embedding; default: ``adata`` is not changed.

        Returns
        -------
        ndarray
            Embedding, shape (n_cells, n_dimensions).

        Raises
        ------
        UsageError
            If the method has no ``transform`` or is not fitted.
        DataError
            If the data are not counts; if features are missing and ``fill_missing`` is false.
        """
        function = self._function("transform", "embed new cells")
        embedding: np.ndarray = function(self._prepare(adata, fill_missing=fill_missing))
        key = key_added or self.key_added
        if key is not None:
            require_annotated(adata)
            adata.obsm[ResultKeys(key).embedding] = np.asarray(embedding, dtype=np.float32)
        return embedding

    def impute(self, adata: Any, *, fill_missing: bool = False) -> np.ndarray:
        """Return the expected value of each entry.

        Parameters
        ----------
        adata, fill_missing
            As for :meth:`transform`.

        Returns
        -------
        ndarray
            Expected values, shape (n_cells, n_features), of the features of ``prepared_``.

        Raises
        ------
        UsageError
            If the method has no ``impute`` or is not fitted.
        DataError
            As :meth:`transform`.
        """
        function = self._function("impute", "impute")
        imputed: np.ndarray = function(self._prepare(adata, fill_missing=fill_missing))
        return imputed

    @property
    def labels_(self) -> np.ndarray:
        """Cluster of each cell, shape (n_cells,)."""
        return self._main_clustering()[1]

    @property
    def clustering_(self) -> str:
        """Name of the clustering of ``labels_``."""
        return self._main_clustering()[0]

    def save(self, path: Path) -> None:
        """Write the fitted method and the preparation of new cells into the folder ``path``.

        Raises ``UsageError`` if the method has no ``save``.
        """
        self._function("save", "be saved")(path)
        if self.preparation_ is not None:
            self.preparation_.save(path)

    def load(self, path: Path) -> Self:
        """Load the folder of :meth:`save` into an estimator with the same parameters.

        A folder of the method's own ``save`` has no preparation: :meth:`transform` then needs a
        fit. Raises ``UsageError`` if the method has no ``load``.
        """
        self._function("load", "be loaded")(path)
        self.preparation_ = Preparation.load(path)
        return self

    def __sklearn_clone__(self) -> Estimator:
        """Return an unfitted estimator with the same parameters."""
        return Estimator(
            type(self.method)(self.method.params), listener=self.listener,
            checkpoints=self.checkpoints, **self._own_params(),
        )  # fmt: skip

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fit_") or self.preparation_ is not None

    def __sklearn_tags__(self) -> Any:
        return BaseEstimator.__sklearn_tags__(self)

    def _own_params(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OWN_PARAMS}

    def _forget(self) -> None:
        """Remove the results of a fit."""
        for name in ("fit_", "prepared_", "curves_", "steps_", "embedding_", "own_labels_"):
            vars(self).pop(name, None)
        self.preparation_, self._clustering = None, None

    def _prepare(self, adata: Any, *, fill_missing: bool) -> Any:
        """Return new cells prepared for the method."""
        if self.preparation_ is None:
            raise UsageError(
                f"{self.method.name}: new cells cannot be prepared without the statistics of the "
                "training cells; call fit(), or load() a folder that Estimator.save() wrote.",
                code="not_fitted",
            )
        counts = checked_counts(adata, self.layer)
        return self.preparation_.apply(counts, where=DATA_NAME, fill_missing=fill_missing)

    def _main_clustering(self) -> tuple[str, np.ndarray]:
        """Return the name and the labels of the clustering of ``labels_``, computed once."""
        if not hasattr(self, "fit_"):
            raise AttributeError(f"{self.method.name} is not fitted; call fit().")
        if self._clustering is None:
            # The clusterings of `bench fit` with this seed.
            seed, k = derive_seed(self._seed, "score"), self._n_clusters
            if self.own_labels_:
                name, labels = next(iter(self.own_labels_.items()))
            elif k is not None:
                name = "kmeans"
                labels = kmeans(self.embedding_, k, derive_seed(seed, "score", name))
            else:
                name = "leiden"
                labels = leiden(self.embedding_, derive_seed(seed, "score", name))
            self._clustering = name, np.asarray(labels)
        return self._clustering

    def _write_results(self, adata: Any, keys: ResultKeys) -> None:
        """Write embedding and clusters into the user's data."""
        require_annotated(adata)
        rows = adata.obs_names.get_indexer(self.prepared_.obs_names)
        embedding = np.full((adata.n_obs, self.embedding_.shape[1]), np.nan, dtype=np.float32)
        embedding[rows] = self.embedding_
        name, labels = self._main_clustering()
        clusters = np.full(adata.n_obs, None, dtype=object)
        clusters[rows] = labels.astype(str)
        adata.obsm[keys.embedding] = embedding
        adata.obs[keys.column(name)] = pd.Categorical(clusters)
        if len(rows) < adata.n_obs:
            logger.info(f"{adata.n_obs - len(rows)} cells were left out and have no embedding")

    def _function(self, name: str, action: str) -> Any:
        """Return an optional function of the method; raises ``UsageError`` if it is missing."""
        function: Any = getattr(self.method, name, None)
        if function is None:
            raise UsageError(
                f"{self.method.name} cannot {action}: it has no {name}.", code="not_supported"
            )
        return function

"""Checks of fits and of fitted methods."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from bench.contract.method import declared_inputs
from bench.contract.multiome import cells_of, is_paired, matrices_of, select_cells
from bench.errors import Pruned
from bench.scoring.clustering import kmeans

from .case import Case, CaseFit, NotApplicable, check_list

if TYPE_CHECKING:
    from bench.contract import Method

CHECKS, check = check_list()


def _all_close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-3, atol=1e-4))


def _check_output(result: CaseFit) -> None:
    embedding = np.asarray(result.fit.embedding)
    assert embedding.ndim == 2, f"the embedding has {embedding.ndim} dimensions, expected 2"
    n_cells = result.prepared.n_obs
    assert len(embedding) == n_cells, f"{len(embedding)} rows of embedding for {n_cells} cells"
    assert embedding.dtype.kind == "f", f"the embedding holds {embedding.dtype}"
    assert np.isfinite(embedding).all(), "the embedding has values that are not finite"
    for name, labels in result.fit.labels.items():
        assert np.shape(labels) == (n_cells,), f"labels '{name}' have shape {np.shape(labels)}"


@check("The embedding has shape (cells, dimensions) and finite floats; one label a cell.")
def _finite_output(case: Case) -> None:
    _check_output(case.short_fit())


@check("The same seed gives the same embedding; 0 is a valid seed.")
def _reproducible_by_seed(case: Case) -> None:
    first, second = case.short_fit(), case.fit(case.short(), case.counts(), seed=0)
    assert np.array_equal(first.fit.embedding, second.fit.embedding), "two fits with seed 0 differ"


@check("A fit does not use the global random states of random, numpy and torch.")
def _unchanged_global_random_state(case: Case) -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state is what is checked
    torch.manual_seed(0)

    def states() -> tuple[Any, ...]:
        numpy_state = repr(np.random.get_state())  # noqa: NPY002
        return random.getstate(), numpy_state, torch.get_rng_state().numpy().tobytes()

    method, data = case.short(), case.counts()
    prepared = case.prepared(method, data)
    before = states()
    case.fit(method, data, prepared=prepared)
    for name, then, now in zip(("random", "numpy", "torch"), before, states(), strict=True):
        assert then == now, f"the global state of {name} changed"


@check("A fit does not change its input.")
def _unchanged_input(case: Case) -> None:
    data = case.counts()
    method = case.short()
    prepared = case.prepared(method, data)
    inputs = _arrays(prepared)
    before = {name: array.copy() for name, array in inputs.items()}
    case.fit(method, data, prepared=prepared)
    after = _arrays(prepared)
    assert after.keys() >= before.keys(), f"{sorted(before.keys() - after.keys())[0]} was removed"
    assert after.keys() == before.keys(), f"{sorted(after.keys() - before.keys())[0]} was added"
    for name, original in before.items():
        for array in (inputs[name], after[name]):
            same = array.dtype == original.dtype and np.array_equal(
                array, original, equal_nan=original.dtype.kind == "f"
            )
            assert same, f"{name} was changed"


def _arrays(data: Any) -> dict[str, np.ndarray]:
    """Return name → array of matrices, table columns and names of the data, not copied."""
    found: dict[str, np.ndarray] = {}

    def add(name: str, value: Any) -> None:
        if hasattr(value, "columns"):
            found[f"{name}.index"] = value.index.to_numpy()
            for column in value.columns:
                found[f"{name}[{column!r}]"] = value[column].to_numpy()
        elif hasattr(value, "indptr"):
            for part in ("data", "indices", "indptr"):
                found[f"{name}.{part}"] = getattr(value, part)
        else:
            found[name] = np.asarray(value)

    parts = {f"{number}." if number else "": part for number, part in enumerate(matrices_of(data))}
    if is_paired(data):
        parts["pair."] = data
    for where, part in parts.items():
        for field in ("X", "obs", "var"):
            if hasattr(part, field):
                add(where + field, getattr(part, field))
        for field in ("layers", "obsm", "varm", "obsp", "varp"):
            for name, value in dict(getattr(part, field, None) or {}).items():
                add(f"{where}{field}[{name!r}]", value)
        found[f"{where}uns"] = np.asarray(repr(dict(part.uns)))
    return found


@check("Dense counts lead to the same embedding as sparse counts.")
def _same_for_sparse_and_dense(case: Case) -> None:
    dense = case.counts()
    for part in matrices_of(dense):
        part.X = part.X.toarray()
    of_sparse, of_dense = case.short_fit().fit, case.fit(case.short(), dense).fit
    assert _all_close(of_sparse.embedding, of_dense.embedding), "the embeddings differ"


@check("Labels do not change the fit, unless the method declares them as an input.")
def _labels_not_used(case: Case) -> None:
    if "labels" in declared_inputs(case.short()):
        raise NotApplicable("labels are a declared input")
    reversed_labels = case.counts()
    for part in matrices_of(reversed_labels):
        part.obs["cell_type"] = list(part.obs["cell_type"])[::-1]
    one, other = case.short_fit().fit, case.fit(case.short(), reversed_labels).fit
    assert _all_close(one.embedding, other.embedding), "other labels change the embedding"
    for name, labels in one.labels.items():
        same = list(labels) == list(other.labels[name])
        assert same, f"other labels change the clustering '{name}'"


@check("A fit works with a constant feature, with a cell without counts and with 12 cells.")
def _unusual_data(case: Case) -> None:
    adata = case.counts()
    for part in matrices_of(adata):
        dense = part.X.toarray()
        dense[:, 0] = 1.0
        dense[5, :] = 0.0
        part.X = dense.astype(np.float32)
    _check_output(case.fit(case.short(), adata))
    _check_output(case.fit(case.short(), case.counts(n_cells=12, n_features=24)))


@check("A fit works on data that lack all that the method may use.")
def _without_optional_inputs(case: Case) -> None:
    method = case.short()
    if not method.may_use():
        raise NotApplicable("it has no inputs that it may use")
    _check_output(case.fit(method, case.counts(), absent=method.may_use()))


@check("A method that uses the number of clusters returns no more than that.")
def _number_of_clusters(case: Case) -> None:
    if "n_clusters" not in declared_inputs(case.short()):
        raise NotApplicable("it does not use the number of clusters")
    clusterings = case.short_fit().fit.labels
    if not clusterings:
        raise NotApplicable("it has no clustering of its own")
    for name, labels in clusterings.items():
        n_clusters = len(set(labels))
        assert n_clusters <= 3, f"'{name}' has {n_clusters} clusters, expected at most 3"


_STEP_PARAMETERS = ("max_epochs", "max_iter")
"""Parameters that limit the number of steps of a fit."""


def _method_with_three_steps(case: Case) -> tuple[Method, str]:
    """Return the method with three epochs or iterations, and the name of that parameter."""
    fields = case.cls.Params.model_fields
    name = next((name for name in _STEP_PARAMETERS if name in fields), None)
    if name is None:
        raise NotApplicable(f"it has no parameter {' or '.join(_STEP_PARAMETERS)}")
    return case.short(**{name: 3}), name


def _check_reports_expected(name: str) -> None:
    """Raise ``NotApplicable`` for iterations, which a library may not report."""
    if name == "max_iter":
        raise NotApplicable("it does not report its iterations")


@check("Every epoch is reported; every iteration, if any is reported.")
def _reports_every_epoch(case: Case) -> None:
    method, name = _method_with_three_steps(case)
    curves = case.fit(method, case.counts()).curves
    if not curves.steps:
        _check_reports_expected(name)
    assert max((len(steps) for steps in curves.steps.values()), default=0) >= 3, (
        f"fewer than 3 reports with {name}=3"
    )


@check("The exception Pruned, raised by a report, ends the fit at once.")
def _stops_when_pruned(case: Case) -> None:
    method, name = _method_with_three_steps(case)
    calls = 0

    def report(step: int, total: int | None = None, /, **values: float) -> None:
        nonlocal calls
        calls += 1
        raise Pruned

    try:
        case.fit(method, case.counts(), report=report)
    except Pruned:
        assert calls == 1, f"the fit went on for {calls - 1} reports after Pruned"
    else:
        if not calls:
            _check_reports_expected(name)
        raise AssertionError("the fit went on after Pruned")


@check("transform() returns the embedding of the training cells.")
def _transform_equals_fit(case: Case) -> None:
    fitted, transform = _fit_with_transform(case)
    embedding = transform(fitted.prepared)
    assert _all_close(embedding, fitted.fit.embedding), "fit() returned another embedding"


@check("transform() embeds a cell in the same way, whatever the other cells are.")
def _transform_of_each_cell_alone(case: Case) -> None:
    fitted, transform = _fit_with_transform(case)
    few = transform(select_cells(fitted.prepared, slice(10, 20)))
    same = _all_close(few, transform(fitted.prepared)[10:20])
    assert same, "the embedding of a cell depends on the other cells"


def _fit_with_transform(case: Case) -> tuple[CaseFit, Any]:
    if not hasattr(case.cls, "transform"):
        raise NotApplicable("it has no transform")
    fitted = case.short_fit()
    method: Any = fitted.method
    return fitted, method.transform


@check("A loaded method embeds cells as the saved one.")
def _save_and_load(case: Case) -> None:
    if not hasattr(case.cls, "save"):
        raise NotApplicable("it has no save")
    fitted = case.short_fit()
    method: Any = fitted.method
    loaded: Any = case.short()
    with tempfile.TemporaryDirectory() as folder:
        method.save(Path(folder))
        loaded.load(Path(folder))
    one, other = method.transform(fitted.prepared), loaded.transform(fitted.prepared)
    assert _all_close(one, other), "the loaded method returns another embedding"


@check("With its default parameters the method separates three clear types.")
def _separates_clear_types(case: Case) -> None:
    data = case.counts(n_cells=120)
    fitted = case.fit(case.cls(case.cls.Params()), data)
    rows = data.obs_names.get_indexer(fitted.prepared.obs_names)
    types = cells_of(data).obs["cell_type"].to_numpy()[rows]
    ari = adjusted_rand_score(types, kmeans(fitted.fit.embedding, 3, seed=0))
    assert ari > 0.3, f"ARI {ari:.2f} on three clear types"

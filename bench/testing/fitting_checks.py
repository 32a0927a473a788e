"""Checks of what a method does when it is fitted."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from bench.contract.multiome import cells_of, is_paired, matrices_of, select_cells
from bench.errors import Pruned
from bench.scoring.clustering import kmeans

from .case import Case, NotApplicable, CaseFit, checks

if TYPE_CHECKING:
    from bench.contract import Method

CHECKS, check = checks()


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-3, atol=1e-4))


def _finite(result: CaseFit) -> None:
    embedding = np.asarray(result.fit.embedding)
    assert embedding.ndim == 2, f"the embedding has {embedding.ndim} dimensions, expected 2"
    n_cells = result.prepared.n_obs
    assert len(embedding) == n_cells, f"{len(embedding)} rows of embedding for {n_cells} cells"
    assert embedding.dtype.kind == "f", f"the embedding holds {embedding.dtype}"
    assert np.isfinite(embedding).all(), "the embedding has values that are not finite"
    for name, labels in result.fit.labels.items():
        assert np.shape(labels) == (n_cells,), f"labels '{name}' have shape {np.shape(labels)}"


@check("The embedding is cells × dimensions, floating point and finite; labels fit the cells.")
def _output_finite(case: Case) -> None:
    _finite(case.fit(case.short(), case.counts()))


@check("The same seed gives the same embedding; 0 is a valid seed.")
def _seed_decides(case: Case) -> None:
    first, again = (case.fit(case.short(), case.counts(), seed=0) for _ in range(2))
    assert np.array_equal(first.fit.embedding, again.fit.embedding), "two fits with seed 0 differ"


@check("A fit neither seeds nor draws from the global random states.")
def _global_state_untouched(case: Case) -> None:
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


@check("A fit does not write into the data it is given.")
def _input_unchanged(case: Case) -> None:
    data = case.counts()
    method = case.short()
    prepared = case.prepared(method, data)
    given = _arrays(prepared)
    before = {name: array.copy() for name, array in given.items()}
    case.fit(method, data, prepared=prepared)
    now = _arrays(prepared)
    assert now.keys() >= before.keys(), f"{sorted(before.keys() - now.keys())[0]} is gone"
    assert now.keys() == before.keys(), f"{sorted(now.keys() - before.keys())[0]} is new"
    for name, then in before.items():
        for array in (given[name], now[name]):
            same = array.dtype == then.dtype and np.array_equal(
                array, then, equal_nan=then.dtype.kind == "f"
            )
            assert same, f"{name} changed"


def _arrays(data: Any) -> dict[str, np.ndarray]:
    """Return all that a method is given by name, not copied: matrices, tables, their names."""
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


@check("Counts given dense lead to the same embedding as counts given sparse.")
def _sparse_equals_dense(case: Case) -> None:
    sparse = case.counts()
    dense = select_cells(sparse, slice(None))
    for part in matrices_of(dense):
        part.X = part.X.toarray()
    one, other = case.fit(case.short(), sparse), case.fit(case.short(), dense)
    assert _same(one.fit.embedding, other.fit.embedding), "the embeddings differ"


@check("Permuting the labels changes nothing, unless they are a declared input.")
def _labels_unreachable(case: Case) -> None:
    if "labels" in case.short().uses():
        raise NotApplicable("labels are a declared input")
    adata = case.counts()
    permuted = select_cells(adata, slice(None))
    for part in matrices_of(permuted):
        part.obs["cell_type"] = list(part.obs["cell_type"])[::-1]
    one, other = case.fit(case.short(), adata), case.fit(case.short(), permuted)
    assert _same(one.fit.embedding, other.fit.embedding), "permuted labels change the embedding"
    for name, labels in one.fit.labels.items():
        same = list(labels) == list(other.fit.labels[name])
        assert same, f"permuted labels change the clustering '{name}'"


@check("A feature that never varies, a cell without counts and very few cells are survived.")
def _odd_data(case: Case) -> None:
    adata = case.counts()
    for part in matrices_of(adata):
        dense = part.X.toarray()
        dense[:, 0] = 1.0
        dense[5, :] = 0.0
        part.X = dense.astype(np.float32)
    _finite(case.fit(case.short(), adata))
    _finite(case.fit(case.short(), case.counts(n_cells=12, n_features=24)))


@check("A method that is told the number of clusters finds no more than that.")
def _clusters_as_asked(case: Case) -> None:
    method = case.short()
    if "n_clusters" not in method.uses():
        raise NotApplicable("it is not told the number of clusters")
    found = case.fit(method, case.counts()).fit.labels
    if not found:
        raise NotApplicable("it has no clustering of its own")
    for name, labels in found.items():
        assert len(set(labels)) <= 3, f"'{name}' has {len(set(labels))} clusters, asked for 3"


_ROUNDS = ("max_epochs", "max_iter")
"""Parameters that say how often a fit goes round."""


def _three_rounds(case: Case) -> tuple[Method, str]:
    """Return the method with three epochs or iterations, and which of the two."""
    name = next((name for name in _ROUNDS if name in case.cls.Params.model_fields), None)
    if name is None:
        raise NotApplicable(f"it has no parameter {' or '.join(_ROUNDS)}")
    return case.short(**{name: 3}), name


def _silent(name: str) -> None:
    """Raise ``NotApplicable`` where iterations may be those of a library that reports none."""
    if name == "max_iter":
        raise NotApplicable("nothing is reported of its iterations")


@check("A method that iterates over epochs reports each of them; iterations if any is reported.")
def _reports_progress(case: Case) -> None:
    method, name = _three_rounds(case)
    curves = case.fit(method, case.counts()).curves
    if not curves.steps:
        _silent(name)
    assert max((len(steps) for steps in curves.steps.values()), default=0) >= 3, (
        f"fewer than 3 reports with {name}=3"
    )


@check("Pruned, raised by a report, ends the fit at once and reaches the harness.")
def _stops_when_pruned(case: Case) -> None:
    method, name = _three_rounds(case)
    calls = 0

    def report(step: int, total: int | None = None, /, **values: float) -> None:
        nonlocal calls
        calls += 1
        raise Pruned

    try:
        case.fit(method, case.counts(), report=report)
    except Pruned:
        assert calls == 1, f"it reported {calls} times after the search had stopped it"
    else:
        if not calls:
            _silent(name)
        raise AssertionError("the fit went on after the search had stopped it")


def _optional(method: Method) -> Any:
    """Return the method untyped: what a method may leave out is not part of its class."""
    return method


@check("transform() gives the training cells their embedding.")
def _new_cells_consistent(case: Case) -> None:
    done, transform = _with_transform(case)
    whole = transform(done.prepared)
    assert _same(whole, done.fit.embedding), "the training cells are embedded otherwise"


@check("transform() gives a new cell the same embedding whatever cells are around it.")
def _new_cells_independent(case: Case) -> None:
    done, transform = _with_transform(case)
    few = transform(select_cells(done.prepared, slice(10, 20)))
    assert _same(few, transform(done.prepared)[10:20]), (
        "a cell's embedding depends on the cells around it"
    )


def _with_transform(case: Case) -> tuple[CaseFit, Any]:
    if not hasattr(case.cls, "transform"):
        raise NotApplicable("it has no transform")
    done = case.fit(case.short(), case.counts())
    return done, _optional(done.method).transform


@check("A loaded method embeds cells as the saved one did.")
def _save_and_load(case: Case) -> None:
    if not hasattr(case.cls, "save"):
        raise NotApplicable("it has no save")
    done = case.fit(case.short(), case.counts())
    method, loaded = _optional(done.method), _optional(case.short())
    with tempfile.TemporaryDirectory() as folder:
        method.save(Path(folder))
        loaded.load(Path(folder))
    one = method.transform(done.prepared)
    other = loaded.transform(done.prepared)
    assert _same(one, other), "the loaded method embeds cells otherwise"


@check("With its default parameters it separates three clear types better than noise.")
def _beats_the_negative_control(case: Case) -> None:
    adata = case.counts(n_cells=120)
    done = case.fit(case.cls(case.cls.Params()), adata)
    kept = adata.obs_names.get_indexer(done.prepared.obs_names)
    found = kmeans(done.fit.embedding, 3, seed=0)
    agreement = adjusted_rand_score(cells_of(adata).obs["cell_type"].to_numpy()[kept], found)
    assert agreement > 0.3, f"ARI {agreement:.2f} on three clear types"

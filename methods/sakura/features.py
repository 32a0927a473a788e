"""Features, phenotype values, scales and training rows of a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from sklearn.preprocessing import KBinsDiscretizer
from torch import Tensor

from bench.errors import DataError
from bench.messages import did_you_mean
from bench.prepare.blocks import row_blocks
from bench.prepare.moments import FeatureMoments, FeatureSums
from bench.prepare.variable_features import seurat

from ..nn.batches import Cells
from .config_model import fail
from .guidance import EMBEDDING
from .objective import TrainingRows, signature_targets

if TYPE_CHECKING:
    from .guidance import ExtraRows, Guidance, Phenotype, Signature
    from .insertion import InsertedParts
    from .network import Reader, SakuraNetwork

_LARGEST_TARGET = 10.0
"""Largest scaled target. Genes in few cells have tiny standard deviations."""
_ROWS_OF_COMPONENT = 2000


def choose_features(data: AnnData, n_top: int | None, always: Sequence[str]) -> list[str]:
    """Return the variable features and those in ``always``, in the data's order.

    Variability is that of ``bench.prepare`` (Seurat) over all cells.
    """
    names = np.asarray(data.var_names)
    if n_top is None or n_top >= len(names):
        return [str(name) for name in names]
    sums = FeatureSums(1, len(names))
    for _, block in row_blocks(data.X):
        groups = np.zeros(block.shape[0], dtype=np.int64)
        sums.add(block, np.expm1(block.data), groups)
    chosen = seurat(sums, n_top, by_group=False) | np.isin(names, list(always))
    return [str(name) for name in names[chosen]]


def select(data: AnnData, features: Sequence[str], filtered: Sequence[str] = ()) -> Any:
    """Return the columns ``features`` of ``data.X``, CSR or dense float32.

    Those in ``filtered`` are 0 if they are missing. Raises ``DataError`` if another is missing.
    """
    at = data.var_names.get_indexer(pd.Index(features))
    lost = [feature for feature, where in zip(features, at, strict=True) if where < 0]
    if lost and set(lost) <= set(filtered):
        found = sp.csr_matrix(data.X)[:, np.maximum(at, 0)]
        return (found @ sp.diags((at >= 0).astype(np.float32))).tocsr()
    if lost:
        raise DataError(
            f"the cells lack {len(lost)} of the {len(features)} features that the model reads "
            f"(the first is '{lost[0]}'); prepare them like the training cells.",
            code="other_features",
        )
    matrix = data.X if np.array_equal(at, np.arange(data.n_vars)) else data.X[:, at]
    return matrix.tocsr() if hasattr(matrix, "tocsr") else np.asarray(matrix)


def as_cells(matrix: Any, device: str) -> Cells:
    return Cells(AnnData(matrix), counts=False, device=device)


def with_extra(matrix: Any, features: Sequence[str], extra: ExtraRows | None) -> Any:
    """Return the matrix with the extra profiles below it; features that they lack are 0."""
    if extra is None:
        return matrix
    at = pd.Index(extra.features).get_indexer(pd.Index(features))
    if (at < 0).all():
        message = "extra_rows: none of their features is among those of the model."
        raise DataError(message, code="unknown_gene")
    rows = np.where(at >= 0, np.asarray(extra.values, dtype=np.float32)[:, at], np.float32(0))
    if sp.issparse(matrix):
        return sp.vstack([matrix, sp.csr_matrix(rows)], format="csr")
    return np.concatenate([matrix, rows])


def read_phenotypes(
    guidance: Guidance, obs: pd.DataFrame, obsm: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Return the values of each phenotype from the cells' table and embeddings.

    Shapes: (cells,) if categorical, (cells, columns) if numerical. Raises ``UsageError``
    for a missing column or embedding, or one that holds no numbers.
    """
    values: dict[str, np.ndarray] = {}
    for one in guidance.phenotypes:
        parts = [_read_key(one, key, obs, obsm or {}) for key in one.columns]
        values[one.name] = parts[0] if one.categorical else np.concatenate(parts, axis=1)
    return values


def _read_key(one: Phenotype, key: str, obs: pd.DataFrame, obsm: Mapping[str, Any]) -> np.ndarray:
    """Return the values of one key of a phenotype."""
    embedding = key.removeprefix(EMBEDDING)
    if embedding != key:
        if embedding not in obsm:
            message = f"the cells have no embedding '{embedding}' in obsm."
            hint = did_you_mean(embedding, [str(name) for name in obsm])
            fail(one.owner, f"{message}{hint}", "unknown_column")
        table = obsm[embedding]
        numbers = table.toarray() if hasattr(table, "toarray") else table
        numbers = np.asarray(numbers).reshape(len(obs), -1)
    elif key not in obs.columns:
        hint = did_you_mean(key, [str(column) for column in obs.columns])
        fail(one.owner, f"the cells have no column '{key}'.{hint}", "unknown_column")
    elif one.categorical and one.bins is None:
        names: np.ndarray = obs[key].astype(object).to_numpy()
        return names
    else:
        numbers = obs[[key]].to_numpy()
    try:
        found = numbers.astype(np.float32)
    except (TypeError, ValueError):
        fail(one.owner, f"'{key}' holds values that are no numbers.", "not_numbers")
    return found[:, 0] if one.categorical else found


def cut_numbers(one: Phenotype, values: np.ndarray) -> np.ndarray:
    """Return the name of the interval of each number, (cells,), and ``None`` for NaN.

    Intervals are cut once, from all known numbers, and named by number and bounds, such as
    ``1: [0.5, 2)``. Raises ``DataError`` if fewer than two intervals differ.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(numbers)
    if len(np.unique(numbers[known])) < 2:
        message = f"{one.owner}: bins need at least two different numbers."
        raise DataError(message, code="too_few_classes")
    binner = KBinsDiscretizer(
        one.bins, encode="ordinal", strategy=one.bin_edges, subsample=None, random_state=0
    )
    with warnings.catch_warnings():
        # Equal quantiles are joined, which leaves fewer intervals.
        warnings.simplefilter("ignore")
        at = binner.fit_transform(numbers[known, None])[:, 0].astype(int)
    edges = binner.bin_edges_[0]
    names = [
        f"{number + 1}: [{low:.4g}, {high:.4g}{']' if number == len(edges) - 2 else ')'}"
        for number, (low, high) in enumerate(pairwise(edges))
    ]
    found = np.full(len(numbers), None, dtype=object)
    found[known] = np.asarray(names, dtype=object)[at]
    return found


def class_numbers(one: Phenotype, values: np.ndarray) -> tuple[Tensor, list[str]]:
    """Return the class number of each cell, -1 if unknown, and the class names.

    Raises ``DataError`` if fewer than two classes occur.
    """
    if one.bins is not None:
        values = cut_numbers(one, values)
    table = pd.Series(np.asarray(values, dtype=object))
    text = table.where(table.isna(), table.astype(str))
    # The names of intervals begin with their number, which may have several digits.
    order = _interval_number if one.bins is not None else None
    classes = list(one.classes) or sorted(text.dropna().unique(), key=order)
    numbers = np.asarray(pd.Categorical(text, categories=classes).codes, dtype=np.int64)
    if len(np.unique(numbers[numbers >= 0])) < 2:
        message = f"fewer than two of its classes ({', '.join(classes[:5])}) occur."
        raise DataError(f"{one.owner}: {message}", code="too_few_classes")
    return torch.from_numpy(numbers), classes


def _interval_number(name: str) -> int:
    return int(name.partition(":")[0])


def class_weights(one: Phenotype, numbers: Tensor, classes: Sequence[str]) -> Tensor:
    if isinstance(one.class_weight, Mapping):
        return torch.tensor([float(one.class_weight.get(name, 1.0)) for name in classes])
    if one.class_weight is None:
        return torch.ones(len(classes))
    sizes = torch.bincount(numbers[numbers >= 0], minlength=len(classes)).float()
    weights = torch.where(sizes > 0, 1.0 / sizes.clamp_min(1.0), torch.zeros_like(sizes))
    return weights * sizes.sum() / (weights * sizes).sum()


def numbers_of(one: Phenotype, values: np.ndarray, n_cells: int) -> Tensor:
    """Return numerical phenotype values, (cells, columns), NaN where unknown."""
    table = np.asarray(values, dtype=np.float32).reshape(n_cells, -1)
    if np.isnan(table).any(axis=1).all():
        message = f"{one.owner}: no cell has a value in all of its columns."
        raise DataError(message, code="no_values")
    return torch.from_numpy(table.copy())


def set_scales(network: SakuraNetwork, trained: Any, parts: InsertedParts) -> None:
    """Set the scales of features and targets from the training rows, rows × features.

    Features of an inserted encoder or decoder keep the scales that were stored with it.
    """
    settings = network.settings
    moments = FeatureMoments(trained.shape[1])
    for _, block in row_blocks(trained):
        moments.add(block)
    mean = torch.from_numpy(np.asarray(moments.mean, dtype=np.float32))
    spread = torch.from_numpy(np.asarray(moments.standard_deviations(), dtype=np.float32))
    if settings.scale or settings.center:
        network.scaler.center.copy_(mean)
    if settings.scale:
        network.scaler.spread.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))
    parts.copy_scales(network)
    set_unit(network, trained)
    for guide in network.guidance.all_signatures:
        _set_targets(network, guide, trained, spread)


def set_unit(network: SakuraNetwork, trained: Any) -> None:
    """Set the unit of relative weights; set the scales of features first."""
    if network.settings.relative_weights and network.guidance.guides:
        network.unit = leading_variance(network, trained)


def _set_targets(network: SakuraNetwork, guide: Signature, trained: Any, spread: Tensor) -> None:
    """Set the unit of a signature's targets and the variance of their mean."""
    reader = network.reader(guide.name)
    at = reader.columns.cpu()
    raw = _dense(trained[:, at.numpy()])
    # Scaled features are scaled targets already.
    if not network.settings.scale and guide.scale_targets and guide.binarize is None:
        unit = torch.maximum(spread[at], raw.max(dim=0).values / _LARGEST_TARGET)
        reader.unit.copy_(torch.where(unit > 0, unit, torch.ones_like(unit)))
    scaler = network.scaler
    seen = (raw - scaler.center.cpu()[at]) / scaler.spread.cpu()[at]
    columns = torch.arange(len(at))
    target = signature_targets(guide, columns, reader.unit.cpu(), raw, seen)
    variance = float(target.mean(dim=1).var()) if len(target) > 1 else 0.0
    reader.score_variance.fill_(variance if variance > 0 else 1.0)


def _dense(matrix: Any) -> Tensor:
    values = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return torch.from_numpy(np.array(values, dtype=np.float32))


def leading_variance(network: SakuraNetwork, matrix: Any) -> float:
    """Return the variance of the first principal component per input feature.

    This is what a code of this component removes from the mean squared error. Subspace iteration
    on at most 2,000 evenly spread rows; 1 if nothing varies.
    """
    step = -(-matrix.shape[0] // _ROWS_OF_COMPONENT)
    seen = network.scaler(_dense(matrix[::step]).to(network.inputs.device))[:, network.inputs]
    seen = seen - seen.mean(dim=0)
    # A block of directions, so that few steps are enough.
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(seen.shape[1], 8, generator=generator).to(seen.device)
    for _ in range(8):
        directions = torch.linalg.qr(seen.T @ (seen @ directions)).Q
    variance = float(torch.linalg.matrix_norm(seen @ directions, 2)) ** 2 / max(1, len(seen) - 1)
    return variance / seen.shape[1] if variance > 0 else 1.0


def training_rows(
    network: SakuraNetwork, matrix: Any, phenotypes: Mapping[str, Tensor],
    splits: Mapping[str, np.ndarray], held_out: np.ndarray, has_units: Callable[[str], bool],
) -> TrainingRows:  # fmt: skip
    """Return all rows on the device.

    Numerical phenotypes are scaled by mean and standard deviation of the training rows, or by
    stored units if ``has_units(name)``.
    """
    guidance, weights = network.guidance, torch.ones(matrix.shape[0])
    n_extra = 0 if guidance.extra_rows is None else len(guidance.extra_rows.names)
    if guidance.extra_rows is not None:
        weights[len(weights) - n_extra :] = guidance.extra_rows.weight
    values = {}
    for one in guidance.phenotypes:
        tensor = phenotypes[one.name]
        if not one.categorical and one.scale_targets:
            reader = network.reader(one.name)
            if not has_units(one.name):
                _set_units(reader, tensor, splits["train"])
            tensor = (tensor - reader.offset.cpu()) / reader.unit.cpu()
        unknown = -1 if one.categorical else float("nan")
        extra = torch.full((n_extra, *tensor.shape[1:]), unknown, dtype=tensor.dtype)
        values[one.name] = torch.cat([tensor, extra])
    cells = as_cells(matrix, str(network.inputs.device))
    return TrainingRows(cells, weights, values, splits, held_out)


def _set_units(reader: Reader, values: Tensor, rows: np.ndarray) -> None:
    whole = values[torch.from_numpy(rows[rows < len(values)])]
    whole = whole[~torch.isnan(whole).any(dim=1)]
    if len(whole) > 1:
        spread = whole.std(dim=0)
        reader.offset.copy_(whole.mean(dim=0))
        reader.unit.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))

"""Optional inputs that a guided method predicts for cells held out of its fit.

The fit process writes the predictions and never sees the truth of these cells; the scoring process
reads both. The predictions are files in ``artifacts/predicted``.
"""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.contract import select_cells

from .metrics import PredictedInputs, ProteinScores, TypeScores

if TYPE_CHECKING:
    from pathlib import Path

    from .holdout import VisibleLabels

FOLDER = "predicted"
INPUTS = ("labels", "proteins")
"""Optional inputs whose predictions are scored."""


def predict_held_out(method: Any, data: Any, train: np.ndarray, artifacts: Path) -> None:
    """Write the predictions for the cells that are not in ``train``, a mask over ``data``.

    ``missing.json`` holds, for each input without predictions, the reason.
    """
    folder = artifacts / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    missing, tables = dict[str, str](), dict[str, pd.DataFrame]()
    held_out = select_cells(data, ~train)
    if not hasattr(method, "predict_inputs"):
        missing = dict.fromkeys(INPUTS, f"{method.name} has no predict_inputs")
    else:
        try:
            tables = method.predict_inputs(held_out)
        except MemoryError:
            raise
        except Exception as error:  # a fault of the method loses these scores only
            traceback.print_exc()
            text = " ".join(f"predict_inputs failed: {type(error).__name__}: {error}".split())
            missing = dict.fromkeys(INPUTS, text[:160])
    for name, table in tables.items():
        values = table.to_numpy(dtype=np.float32)
        if not np.isfinite(values).all() or not table.index.equals(held_out.obs_names):
            missing[name] = "predict_inputs returned other cells, or values that are not finite"
            continue
        table.rename_axis(index="cell").to_parquet(folder / f"{name}.parquet")
    (folder / "missing.json").write_text(json.dumps(missing, indent=1))


def read_predicted_inputs(
    artifacts: Path, cells: pd.Index, seen: VisibleLabels,
    proteins: tuple[np.ndarray, list[str]] | None,
) -> PredictedInputs:  # fmt: skip
    """Return predictions and truth for held-out cells.

    ``seen`` and ``proteins`` (counts and names) describe ``cells``. Cells with a hidden type and
    cells that are not reported are left out.
    """
    folder = artifacts / FOLDER
    if not folder.is_dir():
        reason = "the fit predicted nothing, fit again"
        return PredictedInputs(missing=dict.fromkeys(INPUTS, reason))
    missing = json.loads((folder / "missing.json").read_text())
    tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    found = PredictedInputs(missing=missing)
    if "labels" in tables and seen.types is not None:
        found = _with_types(found, tables["labels"], cells, seen)
    if "proteins" in tables and proteins is not None:
        found = _with_proteins(found, tables["proteins"], cells, *proteins)
    return found


def _with_types(
    found: PredictedInputs, table: pd.DataFrame, cells: pd.Index, seen: VisibleLabels
) -> PredictedInputs:
    rows = cells.get_indexer(table.index)
    types = np.asarray(seen.types).astype(str)[rows]
    visible = types != ""
    if seen.reported is not None:
        visible &= np.asarray(seen.reported)[rows]
    scores = TypeScores(
        types[visible], table.to_numpy(np.float64)[visible], tuple(map(str, table.columns))
    )
    return PredictedInputs(scores, found.proteins, found.missing)


def _with_proteins(
    found: PredictedInputs, table: pd.DataFrame, cells: pd.Index, counts: np.ndarray,
    names: list[str],
) -> PredictedInputs:  # fmt: skip
    """Add the predicted proteins; the truth is log(1 + 10,000 x / depth of a cell)."""
    shared = [name for name in names if name in table.columns]
    if not shared:
        missing = {**found.missing, "proteins": "the predictions name none of the proteins"}
        return PredictedInputs(found.types, None, missing)
    counts = counts[cells.get_indexer(table.index)].astype(np.float64)
    depth = counts.sum(axis=1, keepdims=True)
    known = depth[:, 0] > 0
    truth = np.log1p(1e4 * counts[known] / depth[known])[:, [names.index(name) for name in shared]]
    scores = ProteinScores(truth, table[shared].to_numpy(np.float64)[known])
    return PredictedInputs(found.types, scores, found.missing)

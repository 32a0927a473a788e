"""Metrics of predicted types and proteins, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from bench.scoring.holdout import VisibleLabels
from bench.scoring.metrics import PredictedInputs, ProteinScores, TypeScores, metrics
from bench.scoring.predicted_inputs import predict_held_out, read_predicted_inputs
from bench.scoring.scorer import score

PREDICTED = {name: one for name, one in metrics().items() if one.kind == "predicted"}


def scores(task: PredictedInputs) -> Any:
    points = np.random.default_rng(0).normal(size=(30, 2))
    unseen = {"predicted": task}
    return score(points, VisibleLabels(None), seed=0, chosen=PREDICTED, unseen=unseen)


def test_types_by_hand():
    true = np.array(["a", "a", "a", "b", "c"])
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.7, 0.3]])
    found = scores(PredictedInputs(TypeScores(true, chances, ("a", "b"))))
    # a: two of three, b: all, c: was not seen.
    assert found.values["predicted/type_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    # a: ranks 1, 2 and 5; b: rank 2.
    expected = ((1 + 1 + 3 / 5) / 3 + 1 / 2) / 2
    assert found.values["predicted/type_ap"] == pytest.approx(expected)
    assert "predicted/protein_correlation" in found.missing
    assert found.facts["predicted/type_ap/types"] == 2


def test_proteins_by_hand():
    true = np.array([[0.0, 1.0, 5.0, 1.0], [1.0, 2.0, 5.0, 2.0], [2.0, 3.0, 5.0, 6.0]])
    predicted = np.array([[1.0, 3.0, 1.0, 7.0], [3.0, 2.0, 2.0, 7.0], [5.0, 1.0, 3.0, 7.0]])
    found = scores(PredictedInputs(proteins=ProteinScores(true, predicted)))
    # Right, inverted, equal in all cells, and a prediction that is equal in all cells.
    assert found.values["predicted/protein_correlation"] == pytest.approx(0.0)
    right = scores(PredictedInputs(proteins=ProteinScores(true[:, :1], predicted[:, :1])))
    assert right.values["predicted/protein_correlation"] == pytest.approx(1.0)


def test_without_predictions_there_are_reasons():
    found = scores(PredictedInputs(missing={"labels": "no head", "proteins": "too bad"}))
    assert found.values == {}
    assert found.missing["predicted/type_ap"] == "no head"
    assert found.missing["predicted/protein_correlation"] == "too bad"


def method(tables: dict[str, pd.DataFrame] | Exception) -> Any:
    def predict_inputs(data: AnnData) -> dict[str, pd.DataFrame]:
        if isinstance(tables, Exception):
            raise tables
        return {name: table.loc[data.obs_names] for name, table in tables.items()}

    return SimpleNamespace(name="x", predict_inputs=predict_inputs)


def test_predictions_are_read_with_the_truth_of_their_cells(tmp_path: Path):
    cells = pd.Index([f"c{n}" for n in range(6)])
    data = AnnData(np.ones((6, 2), dtype=np.float32))
    data.obs_names = cells
    train = np.array([True, True, False, False, False, False])
    chances = pd.DataFrame({"a": np.linspace(0, 1, 6), "b": np.linspace(1, 0, 6)}, index=cells)
    proteins = pd.DataFrame({"CD8": np.arange(6.0), "CD4": -np.arange(6.0)}, index=cells)
    predict_held_out(method({"labels": chances, "proteins": proteins}), data, train, tmp_path)
    counts = np.array([[1, 1], [1, 1], [1, 3], [0, 0], [3, 1], [1, 0]], dtype=np.float32)
    seen = VisibleLabels(np.array(["a", "b", "a", "b", "", "b"]), None, 2)
    order = np.arange(6)[::-1]
    seen = VisibleLabels(seen.types[order], None, 2)
    found = read_predicted_inputs(tmp_path, cells[order], seen, (counts[order], ["CD4", "CD8"]))
    # Of the held-out cells one has a hidden type, and another no proteins.
    assert list(found.types.true) == ["a", "b", "b"]
    np.testing.assert_allclose(found.types.probabilities[:, 0], [0.4, 0.6, 1.0])
    np.testing.assert_allclose(found.proteins.true[0], np.log1p([2500, 7500]))
    np.testing.assert_allclose(found.proteins.predicted[:, 1], [2, 4, 5])


@pytest.mark.parametrize("fault", [ValueError("no\nhead"), {"labels": "nan"}, None])
def test_a_faulty_method_loses_these_scores_only(tmp_path: Path, fault: Any):
    data = AnnData(np.ones((3, 2), dtype=np.float32))
    if fault is None:
        plain: Any = SimpleNamespace(name="x")
    elif isinstance(fault, dict):
        plain = method({"labels": pd.DataFrame({"a": [np.nan] * 3}, index=data.obs_names)})
    else:
        plain = method(fault)
    predict_held_out(plain, data, np.array([True, False, False]), tmp_path)
    seen = VisibleLabels(np.array(["a", "b", "a"]), None, 2)
    found = read_predicted_inputs(tmp_path, data.obs_names, seen, None)
    assert found.types is None
    assert "\n" not in found.missing["labels"]


def test_a_fit_without_the_folder_has_a_reason(tmp_path: Path):
    found = read_predicted_inputs(tmp_path, pd.Index(["c"]), VisibleLabels(None), None)
    assert set(found.missing) == {"labels", "proteins"}

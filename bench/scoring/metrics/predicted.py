"""Types and proteins of held-out cells, predicted by a guided method."""

from __future__ import annotations

from bench.contract import (
    Metric,
    MetricResult,
    PredictedInputs,
    ProteinScores,
    TypeScores,
    UndefinedMetric,
)


def _types(task: PredictedInputs) -> TypeScores:
    if task.types is None or not len(task.types.true):
        raise UndefinedMetric(task.missing.get("labels", "no types are predicted"))
    return task.types


def balanced_accuracy(task: PredictedInputs) -> MetricResult:
    """Return the mean over types of the share of held-out cells with the correct predicted type.

    The predicted type is the one with the largest probability.

    Notes
    -----
    Only types with held-out cells count. A type without training cells has a share of 0. Fact:
    ``cells``, the number of cells.

    Raises
    ------
    UndefinedMetric
        If no types are predicted.
    """
    import numpy as np

    scores = _types(task)
    names = np.asarray(scores.classes)[scores.probabilities.argmax(axis=1)]
    shares = [float((names[scores.true == one] == one).mean()) for one in np.unique(scores.true)]
    return float(np.mean(shares)), {"cells": float(len(names))}


def type_average_precision(task: PredictedInputs) -> MetricResult:
    """Return the mean over types of the average precision of the predicted probability.

    Notes
    -----
    Only types with training and held-out cells count; fact ``types`` is their number. An
    uninformative probability has about the share of the type. All types have the same weight.

    Raises
    ------
    UndefinedMetric
        If no types are predicted, or one type holds all cells.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score

    scores = _types(task)
    values = [
        average_precision_score(scores.true == name, scores.probabilities[:, number])
        for number, name in enumerate(scores.classes)
        if 0 < (scores.true == name).sum() < len(scores.true)
    ]
    if not values:
        raise UndefinedMetric("one type holds all held-out cells")
    return float(np.mean(values)), {"types": float(len(values))}


def protein_correlation(task: PredictedInputs) -> MetricResult:
    """Return the mean over proteins of the correlation (Pearson) of prediction and truth.

    Over held-out cells. The truth is log(1 + 10,000 x / depth) of the counts.

    Notes
    -----
    Proteins with equal values in all held-out cells are left out. A protein with equal predictions
    in all cells has the correlation 0. Fact: ``proteins``, the number of proteins.

    Raises
    ------
    UndefinedMetric
        If no proteins are predicted, or none varies between held-out cells.
    """
    import numpy as np

    scores: ProteinScores | None = task.proteins
    if scores is None:
        raise UndefinedMetric(task.missing.get("proteins", "no proteins are predicted"))
    varies = np.ptp(scores.true, axis=0) > 0 if len(scores.true) > 1 else np.zeros(0, dtype=bool)
    if not varies.any():
        raise UndefinedMetric("no protein varies among the held-out cells")
    true = scores.true[:, varies] - scores.true[:, varies].mean(axis=0)
    predicted = scores.predicted[:, varies] - scores.predicted[:, varies].mean(axis=0)
    norms = np.linalg.norm(true, axis=0) * np.linalg.norm(predicted, axis=0)
    products = (true * predicted).sum(axis=0)
    values = np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)
    return float(values.mean()), {"proteins": float(len(values))}


METRICS = (
    Metric(
        name="type_accuracy",
        kind="predicted",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Types of held-out cells that a guided method predicts: balanced accuracy",
        reference="Brodersen et al. 2010, doi:10.1109/ICPR.2010.764",
        function=balanced_accuracy,
    ),
    Metric(
        name="type_ap",
        kind="predicted",
        version=1,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        summary="Types of held-out cells that a guided method predicts: mean average precision",
        reference="Davis and Goadrich 2006, doi:10.1145/1143844.1143874",
        function=type_average_precision,
    ),
    Metric(
        name="protein_correlation",
        kind="predicted",
        version=1,
        higher_is_better=True,
        bounds=(-1.0, 1.0),
        summary="Proteins of held-out cells that a guided method predicts: mean correlation",
        reference="Zhou et al. 2020, doi:10.1038/s41467-020-14391-0",
        function=protein_correlation,
    ),
)

"""Metrics of paired data, by hand and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.scoring.holdout import VisibleLabels
from bench.scoring.metrics import (
    PairedTasks,
    PairScores,
    RecoveryScores,
    TranslationScores,
    UndefinedMetric,
    metrics,
    metrics_version,
)
from bench.scoring.metrics._ranking import average_precisions, roc_areas
from bench.scoring.scorer import score

PAIRED = {name: one for name, one in metrics().items() if one.kind == "paired"}


def value(name: str, tasks: PairedTasks) -> float:
    found = PAIRED[name].function(tasks)
    return found[0] if isinstance(found, tuple) else found


def test_areas_and_precisions_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 25)) < rng.random((40, 1))
    scores = np.round(rng.standard_normal((40, 25)), 1)  # many ties
    truth[0], truth[1] = True, False
    ours, ap = roc_areas(truth, scores), average_precisions(truth, scores)
    assert np.isnan(ours[:2]).all()
    assert np.isnan(ap[:2]).all()
    for row in range(2, 40):
        if truth[row].all() or not truth[row].any():
            assert np.isnan(ours[row])
            continue
        assert ours[row] == pytest.approx(roc_auc_score(truth[row], scores[row]))
        assert ap[row] == pytest.approx(average_precision_score(truth[row], scores[row]))


def test_easy_and_hard_negatives():
    same = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    hard = np.array([0, 0, 0, 1, 1, 0, 0], bool)
    scores = np.array([3.0, 2.0, 5.0, 4.0, 2.0, 1.0, 0.0])
    tasks = PairedTasks(pairs=PairScores(same, scores, hard=hard, easy=~same & ~hard))
    # True 3, 2, 5 against hard 4, 2: wins 1, .5, 2 of 6; against easy 1, 0: all 6 of 6.
    assert value("match_auroc_hard", tasks) == pytest.approx(3.5 / 6)
    assert value("match_auroc_easy", tasks) == 1.0
    assert value("match_auroc", tasks) == pytest.approx(9.5 / 12)
    kept = same | hard
    assert value("match_ap_hard", tasks) == average_precision_score(same[kept], scores[kept])
    # Monotone changes of the score change no rank, so nothing.
    moved = PairedTasks(pairs=PairScores(same, np.exp(scores), hard=hard, easy=~same & ~hard))
    for name in ("match_auroc", "match_ap_hard", "match_accuracy"):
        assert value(name, moved) == pytest.approx(value(name, tasks))


def test_accuracy_splits_at_the_median():
    same = np.array([1, 1, 0, 0], bool)
    at = [value("match_accuracy", PairedTasks(pairs=PairScores(same, np.array(s, float))))
          for s in ([4, 3, 2, 1], [1, 2, 3, 4], [4, 2, 3, 1], [7, 7, 7, 7])]  # fmt: skip
    assert at == [1.0, 0.0, 0.5, 0.5]


def test_reasons_without_a_value():
    same = np.array([1, 0], bool)
    pairs = PairScores(same, np.ones(2))
    for name, tasks, reason in (
        ("match_auroc_easy", PairedTasks(pairs=pairs), "types of the cells are unknown"),
        (
            "match_auroc_hard",
            PairedTasks(pairs=PairScores(same, np.ones(2), same, ~same)),
            "one type",
        ),
        ("match_ap", PairedTasks(missing={"pairs": "x has no match"}), "x has no match"),
        ("foscttm", PairedTasks(retrieval=np.ones((1, 1))), "only 1 unseen"),
        ("retrieval_top5", PairedTasks(retrieval=np.ones((5, 5))), "only 5 unseen"),
        ("translation_auroc_genes", PairedTasks(), "nothing was translated"),
        ("recovery_ap", PairedTasks(), "no genes were hidden"),
    ):
        with pytest.raises(UndefinedMetric, match=reason):
            value(name, tasks)


def test_foscttm_and_retrieval_by_hand():
    table = np.array([[5.0, 6.0, 1.0], [0.0, 4.0, 4.0], [2.0, 7.0, 3.0]])
    tasks = PairedTasks(retrieval=table)
    # Rows: 1 of 2 higher; a tie; 1 higher. Columns: none; 2 higher; 1 higher (the 4).
    assert value("foscttm", tasks) == pytest.approx(np.mean([0.5, 0.25, 0.5, 0, 1, 0.5]))
    # Best of its row: no, one of two tied, no; of its column: yes, no, no.
    assert value("retrieval_top1", tasks) == pytest.approx(1.5 / 6)
    perfect = PairedTasks(retrieval=np.eye(20))
    assert (value("foscttm", perfect), value("retrieval_top1", perfect)) == (0.0, 1.0)
    useless = PairedTasks(retrieval=np.ones((20, 20)))
    assert value("foscttm", useless) == pytest.approx(0.5)
    assert value("retrieval_top5", useless) == pytest.approx(5 / 20)
    # The order of the cells and the direction do not matter.
    order = np.random.default_rng(0).permutation(3)
    assert value("foscttm", PairedTasks(retrieval=table[order][:, order].T)) == value(
        "foscttm", tasks
    )


def test_translation_per_cell_and_per_gene_beside_the_detection_rate():
    rng = np.random.default_rng(1)
    detected = rng.random((30, 12)) < np.linspace(0.1, 0.9, 12)
    detected[:, 0] = False  # never: no AUROC of its own
    scores, rate = rng.random((30, 12)), detected.mean(axis=0)
    tasks = PairedTasks(translation=TranslationScores(scores, detected, rate))
    cells = [roc_auc_score(detected[i], scores[i]) for i in range(30)]
    genes = [average_precision_score(detected[:, g], scores[:, g]) for g in range(1, 12)]
    assert value("translation_auroc_cells", tasks) == pytest.approx(np.mean(cells))
    assert value("translation_ap_genes", tasks) == pytest.approx(np.mean(genes))
    assert PAIRED["translation_ap_genes"].function(tasks)[1] == {"genes": 11.0}
    of_rate = [roc_auc_score(detected[i], rate) for i in range(30)]
    assert value("translation_auroc_cells_baseline", tasks) == pytest.approx(np.mean(of_rate))
    assert value("translation_ap_genes_baseline", tasks) == pytest.approx(rate[1:].mean())


def test_recovery_is_a_mean_over_cells():
    cell = np.array([0, 0, 0, 0, 1, 1])
    hidden = np.array([1, 1, 0, 0, 1, 0], bool)
    tasks = PairedTasks(
        recovery=RecoveryScores(cell, hidden, np.array([4.0, 1, 2, 0, 1, 2]), np.array([1.0] * 6))
    )
    assert value("recovery_auroc", tasks) == pytest.approx((3 / 4 + 0) / 2)
    assert value("recovery_auroc_baseline", tasks) == 0.5
    assert PAIRED["recovery_auroc"].function(tasks)[1] == {"cells": 2.0, "hidden": 3.0}


def test_scores_of_paired_data_need_no_labels():
    rng = np.random.default_rng(0)
    points, types = rng.standard_normal((40, 3)), np.repeat(["a", "b"], 20)
    plain = score(points, VisibleLabels(types), seed=0, chosen=PAIRED)
    assert not plain.values.keys() | plain.missing.keys()
    tasks = PairedTasks(retrieval=np.eye(40), missing=dict.fromkeys(("pairs",), "no match"))
    found = score(points, VisibleLabels(None), seed=0, chosen=PAIRED, unseen={"paired": tasks})
    assert found.values["paired/foscttm"] == 0.0
    assert found.missing["paired/match_auroc"] == "no match"
    assert found.values.keys() | found.missing.keys() == {f"paired/{name}" for name in PAIRED}


def test_paired_metrics_do_not_change_the_version_of_others():
    some_data = ("paired", "rare", "counts", "predicted")
    others = {name: one for name, one in metrics().items() if one.kind not in some_data}
    assert metrics_version() == metrics_version(others)

"""The page of the rare-population task, on a table by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rare_types import main, page, tasks


@pytest.fixture
def table() -> pd.DataFrame:
    rows = []
    for plant in range(5):
        for prevalence in ("0.01", "0.05"):
            for guide in ("", ",guide=random"):
                dataset = (
                    f"toy[rare_type=b,prevalence={prevalence},plant_seed={plant},train=0.7,"
                    f"signatures=B{guide}]"
                )
                for method, uses, family, value in (
                    ("guided", "markers", "autoencoder", 0.9 if not guide else 0.3),
                    ("guided_not", "", "autoencoder", 0.4),
                    ("marker_sum", "markers", "control", 0.95 if not guide else 0.01),
                ):
                    rows.append({
                        "method": method, "method_name": method, "uses": uses, "family": family,
                        "dataset": dataset, "rare_type": "b", "seed": 0, "status": "done",
                        "artifacts": None, "kmeans/ari": 0.5,
                        "embedding/rare_ap": value + 0.01 * plant,
                        "embedding/rare_ap_held_out": value if plant else np.nan,
                    })  # fmt: skip
    rows.append(
        rows[0] | {"dataset": "batches", "rare_type": "", "method": "pca", "kmeans/ari": 0.77}
    )
    return pd.DataFrame(rows)


def test_tasks_are_read_from_the_names_of_the_datasets(table):
    found = tasks(table)
    assert set(found["shown"]) == {
        "guided · signatures=B", "guided · signatures=B, guide=random", "guided_not",
        "marker_sum · signatures=B", "marker_sum · signatures=B, guide=random",
    }  # fmt: skip
    assert set(found["prevalence"]) == {0.01, 0.05}
    assert set(found["set"]) == {"toy"}
    # An unguided method has one row a planting, not one for each control of the markers.
    assert len(found[found["shown"] == "guided_not"]) == 10


def test_the_page_shows_curves_controls_and_paired_differences(table):
    text = page(table)
    assert "## toy: b made rare" in text
    assert "| method | 1 % | 5 % |" in text
    assert "| marker_sum · signatures=B | 0.970 ± 0.020 | 0.970 ± 0.020 |" in text
    # Paired: the planting's own level drops out, so the interval is a point.
    assert "**+0.500 (+0.500 to +0.500)**" in text
    assert "| guided · signatures=B | guided_not | 1 % |" in text
    assert "| guided · signatures=B | guided · signatures=B, guide=random | 5 % |" in text
    assert "| marker_sum · signatures=B | guided" not in text
    assert "## batches" in text
    assert "| pca | 0.770 |" in text


def test_variants_are_compared_with_others_of_the_same_parameters(table):
    small = table[table["method"].isin(["guided", "guided_not"])].copy()
    small["method"] += "[n_latent=2]"
    weak = table[table["method"] == "guided"].assign(method="guided[guide_score=0.1]")
    text = page(pd.concat([table, small, weak]))
    row = "| guided[n_latent=2] · signatures=B | {} | 1 % |"
    assert row.format("guided_not[n_latent=2]") in text
    assert row.format("guided_not") not in text
    assert "| guided · signatures=B | guided_not[n_latent=2] |" not in text
    # What guides is no parameter of the twin.
    assert "| guided[guide_score=0.1] · signatures=B | guided_not | 1 % |" in text


def test_of_results_of_one_job_the_newest_is_shown(table):
    times = pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True)
    old, new = table.assign(started=times[0]), table.assign(started=times[1])
    old["embedding/rare_ap"], old["kmeans/ari"] = 0.111, 0.222
    for both in (pd.concat([old, new]), pd.concat([new, old])):
        assert page(both) == page(table)


def test_no_task_is_an_empty_page(table):
    assert "made rare" not in page(table[table["rare_type"] == ""])


def test_wrong_arguments(capsys):
    assert main([]) == 2
    assert "RESULTS_FOLDER" in capsys.readouterr().err

from __future__ import annotations

import base64
import json

import numpy as np
import pandas as pd
import pytest

from bench.reports.figures import umap_panels as panels
from bench.reports.figures import umaps
from bench.reports.figures.umap_panels import umap_groups
from bench.reports.page.score_tables import job_table as page_jobs


def job_table(make_job, make_artifacts, folder, dims=2, seeds=3):
    rows = []
    for seed in range(seeds):
        place = folder / f"art{seed}"
        make_artifacts(place, 40, seed, 0.7, dims)
        rows.append(make_job("vae", seed=seed, ari=0.5 + seed / 10, artifacts=str(place)))
    return pd.DataFrame(rows)


def test_the_median_seed_is_chosen(make_job, make_artifacts, tmp_path):
    (panel,) = umaps.choose_panels(job_table(make_job, make_artifacts, tmp_path))
    assert (panel.seed, panel.score, panel.missing) == ("1", 0.6, "")


def test_missing_artifacts_start_no_process(make_job, tmp_path, monkeypatch):
    table = pd.DataFrame([make_job("x", ari=0.5, artifacts=str(tmp_path / "gone"))])
    monkeypatch.setattr(umaps.subprocess, "run", None)
    (panel,) = chosen = umaps.choose_panels(table)
    assert umaps.compute_umaps(chosen, tmp_path / "umaps") == {}
    assert "not on this machine" in panel.missing


def test_coordinates_are_computed_once_and_a_broken_embedding_costs_one_panel(
    make_job, make_artifacts, tmp_path, monkeypatch
):
    table = job_table(make_job, make_artifacts, tmp_path, seeds=2)
    table["method"] = ["good", "broken"]
    (tmp_path / "art1" / "embedding.parquet").write_bytes(b"nothing")
    chosen = umaps.choose_panels(table)
    found = umaps.compute_umaps(chosen, tmp_path / "umaps")
    assert list(found) == ["vae-a-0"]
    assert [bool(panel.missing) for panel in chosen] == [False, True]
    assert found["vae-a-0"].columns.tolist() == ["x", "y", "type", "n_dims"]
    monkeypatch.setattr(umaps.subprocess, "run", None)
    again = umaps.compute_umaps(chosen, tmp_path / "umaps")
    pd.testing.assert_frame_equal(again["vae-a-0"], found["vae-a-0"])


def test_reason_of_a_failed_process(make_job, make_artifacts, tmp_path, monkeypatch):
    chosen = umaps.choose_panels(job_table(make_job, make_artifacts, tmp_path))
    monkeypatch.setattr(umaps.sys, "executable", "/bin/false")
    assert umaps.compute_umaps(chosen, tmp_path / "umaps") == {}
    assert "ended with code 1" in chosen[0].missing


def test_one_dimension_and_few_cells_need_no_umap():
    assert umaps.plane_coordinates(np.arange(9.0)[:, None]).shape == (9, 2)
    assert umaps.plane_coordinates(np.eye(3, 8)).shape == (3, 2)


def test_reason_of_a_collapsed_embedding():
    with pytest.raises(ValueError, match="one point"):
        umaps.plane_coordinates(np.zeros((40, 5)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "points", [np.eye(4).repeat(50, axis=0), np.random.default_rng(0).normal(size=(6, 5))]
)
def test_umap_of_doubled_or_few_points_is_finite(points):
    plane = umaps.plane_coordinates(points.astype(np.float32))
    assert plane.shape == (len(points), 2)
    assert np.isfinite(plane).all()


def test_a_sample_of_large_data(make_job, make_artifacts, tmp_path, monkeypatch):
    make_artifacts(tmp_path / "big", umaps.MAX_CELLS + 10, 0, 0.5, 2)
    umaps._write_umap(tmp_path / "big", tmp_path / "out.parquet")
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == umaps.MAX_CELLS


def test_types_keep_their_colour_in_all_panels_of_a_dataset():
    tables = {
        "k1": pd.DataFrame({"x": [0.0, 1], "y": [0.0, 1], "type": ["b", "c"], "n_dims": 2}),
        "k2": pd.DataFrame({"x": [0.0, 1], "y": [0.0, 1], "type": ["a", "b"], "n_dims": 2}),
    }
    wanted = [umaps.UmapPanel(m, "d", "0", 0.5, k, "") for m, k in (("m", "k1"), ("n", "k2"))]
    (group,) = panels.umap_groups(wanted, tables)
    legend = group.legends["type"]
    assert [name for name, _ in legend] == ["a", "b", "c"]
    for picture, table in zip(group.pictures, tables.values(), strict=True):
        shown = json.loads(picture.points)["by"]["type"]
        assert list(zip(shown["names"], shown["colours"], strict=True)) == legend
        codes = base64.b64decode(shown["codes"])
        assert [shown["names"][code] for code in codes] == table["type"].tolist()


def test_cells_carry_their_clusters_and_batch(make_job, make_artifacts, tmp_path):
    results = job_table(make_job, make_artifacts, tmp_path, seeds=1)
    path = tmp_path / "art0" / "clusters.parquet"
    known = pd.read_parquet(path)
    known["kmeans"] = np.arange(40) % 3
    known["batch"] = ["one", "two"] * 20
    known.to_parquet(path)
    (tmp_path / "umaps").mkdir()
    umaps._write_umap(tmp_path / "art0", tmp_path / "umaps" / "vae-a-0.parquet")
    chosen = umaps.choose_panels(results)
    found = panels.umap_groups(chosen, umaps.compute_umaps(chosen, tmp_path / "umaps"))
    assert panels.umap_colourings(found) == ["type", "k-means cluster", "batch"]
    shown = json.loads(found[0].pictures[0].points)
    by = shown["by"]["k-means cluster"]
    clusters = [by["names"][code] for code in base64.b64decode(by["codes"])]
    assert clusters == [str(i % 3) for i in range(40)]
    x = np.frombuffer(base64.b64decode(shown["x"]), "<u2")
    kept = pd.read_parquet(tmp_path / "umaps" / "vae-a-0.parquet")["x"]
    assert np.array_equal(np.argsort(x, kind="stable"), np.argsort(kept, kind="stable"))
    assert (x.min(), x.max()) == (0, 65535)


def test_coordinates_of_other_cells_get_no_clusters(make_artifacts, tmp_path):
    make_artifacts(tmp_path / "art", 40, 0, 0.5, 2)
    table = pd.DataFrame({"x": [0.0, 1], "y": [0.0, 1], "type": ["b", "c"], "n_dims": 2})
    panel = umaps.UmapPanel("m", "d", "0", 0.5, "k", str(tmp_path / "art"))
    (group,) = panels.umap_groups([panel], {"k": table})
    assert list(json.loads(group.pictures[0].points)["by"]) == ["type"]


@pytest.mark.parametrize("n", [1, 8, 9, 18, 40])
def test_colours_are_distinct(n):
    found = panels.palette(n)
    assert len(set(found)) == n
    assert all(len(colour) == 7 for colour in found)


def test_texts_of_data_without_labels_name_no_scores_of_types(make_job, make_artifacts, tmp_path):
    table = job_table(make_job, make_artifacts, tmp_path, seeds=2).drop(columns="kmeans/ari")
    table["labels_digest"] = "none"
    unlabelled = umaps.choose_panels(table)
    assert [(panel.seed, panel.labelled) for panel in unlabelled] == [("0", False)]
    labelled = umaps.choose_panels(job_table(make_job, make_artifacts, tmp_path))
    captions = [umaps.umap_caption(panels) for panels in (unlabelled, labelled)]
    assert [("ARI" in text, "type" in text) for text in captions] == [(False, False), (True, True)]
    assert "ARI" in umaps.umap_caption([*unlabelled, *labelled])
    (group,) = umap_groups(unlabelled, {})
    assert "ARI" not in group.pictures[0].alt + group.pictures[0].score
    columns = [[column.text for column in page_jobs(jobs).columns] for jobs in (
        table.assign(run_url="", run_id="x"),
        job_table(make_job, make_artifacts, tmp_path).assign(run_url="", run_id="x"),
    )]  # fmt: skip
    assert [any("ARI" in name for name in names) for names in columns] == [False, True]

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.plan.job import Job, with_seed

GUIDED = Path(__file__).parents[1] / "plugins" / "guided.py"


@pytest.fixture
def guided_run(bench_run, flags):
    return lambda methods, datasets, **more: bench_run(
        methods, datasets, plugins=(*flags["plugins"], str(GUIDED)), **more
    )


def notes(outcome, method: str = "guided") -> str:
    results = outcome.table
    return str(results.loc[results["method"] == method, "notes"].iloc[0])


def test_markers_and_proteins_reach_who_declares_them(guided_run):
    outcome = guided_run("guided", "marked")
    assert outcome.exit_code == 0, outcome.text
    found = notes(outcome)
    assert "['a', 'b'] ('CD3', 'CD4', 'CD8')" in found
    assert "1 of 4 marker genes are not among the features" in found


def test_only_what_is_declared_arrives(guided_run):
    found = notes(guided_run("guided[what=proteins]", "marked"), "guided[what=proteins]")
    assert "[] ('CD3', 'CD4', 'CD8')" in found
    assert "not among" not in found


def test_data_without_the_knowledge_are_left_out_with_a_reason(guided_run):
    outcome = guided_run("guided[what=markers],guided[what=proteins],random", "toy")
    reasons = {one.reason for one in outcome.plan.excluded}
    assert reasons == {
        "needs marker lists, the dataset has none (--markers FILE)",
        "needs counts of proteins, the dataset has none (obsm['ADT'])",
    }


def test_lists_of_the_user_take_the_place_of_the_known_ones(guided_run, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine: [gene3, gene4]\n")
    outcome = guided_run("guided[what=markers]", f"toy,marked[markers={path}]", markers=path)
    assert outcome.exit_code == 0, outcome.text
    assert outcome.table["notes"].str.contains(r"\['mine'\] None", regex=True).all()


def job(**more) -> Job:
    facts = {
        "modality": "rna", "rare_type": "", "train_digest": "", "fitted_on": "",
        "counts_digest": "c", "labels_digest": "l", "batch_digest": "b", "proteins_digest": "p",
        "version": 1, "source": "s", "packages": {},
    }  # fmt: skip
    made = Job(
        "pca", "pca", "baseline", "x", "toy", 0, "default", "default", {"n": 1}, {"log1p": True},
        (), None, 1, "cpu", 1.0, 1.0, "folder", "prepared", "", "", facts,
    )  # fmt: skip
    return with_seed(replace(made, **more), 0)


def test_other_lists_are_another_fit():
    one = job(uses=("markers",), markers={"a": ["x"]})
    other = job(uses=("markers",), markers={"a": ["y"]})
    assert len({one.fit_key, other.fit_key, job().fit_key, job(uses=("proteins",)).fit_key}) == 4

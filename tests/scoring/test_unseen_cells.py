"""Predictions for both parts of unseen cells: tasks, scores, and hidden information."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bench.contract import MULTIOME, Recipe, pair_data, select_cells
from bench.prepare.in_memory import prepare_counts
from bench.scoring import unseen_cells
from bench.scoring.metrics import metrics

N, GENES = 60, 30
RECIPES = {"sparse": Recipe(), "scaled": Recipe(target_sum=1e4, log1p=True, scale=True)}


def mudata(recipe: Recipe = RECIPES["sparse"]):
    """Return prepared parts of 60 cells; the last feature of both counts the cell's number."""
    from anndata import AnnData

    rng = np.random.default_rng(0)
    parts = {}
    for part, size in (("rna", GENES), ("atac", 50)):
        counts = rng.poisson(1.0, (N, size))
        counts[:, -1] = np.arange(1, N + 1)
        adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
        adata.obs_names = [f"cell{number}" for number in range(N)]
        adata.var_names = [f"{part}{number}" for number in range(size)]
        parts[part] = prepare_counts(adata, recipe if part == "rna" else Recipe())
    return pair_data(**parts)


def unseen(data=None, cells=None, **more) -> unseen_cells.UnseenCells:
    train = np.ones(N, bool)
    train[::3] = False
    cells = np.arange(N) if cells is None else cells
    return unseen_cells.UnseenCells(data or mudata(), cells, train, "digest", **more)


class Oracle:
    """Reads the cell's number out of the counts of both parts."""

    name = "oracle"

    def match(self, data, rna_cells, atac_cells):
        numbers = [
            data[part].layers["counts"].toarray()[cells, -1]
            for part, cells in (("rna", rna_cells), ("atac", atac_cells))
        ]
        self.seen = data
        return -np.abs(numbers[0] - numbers[1])

    def translate(self, data, rna=None):
        self.rna = rna
        return np.zeros((data.n_obs, GENES))


def job(**facts) -> dict:
    return {"method_name": "oracle", "facts": {"modality": MULTIOME, **facts}}


def predictions(folder, types=None):
    cells = pd.Index([f"cell{number}" for number in range(N)])
    return unseen_cells.read_paired_tasks(job(), folder, cells, types)


def test_pairs_and_retrieval(tmp_path):
    method = Oracle()
    unseen_cells.predict_unseen_cells(method, unseen(), tmp_path)
    types = np.arange(N) % 2
    found = predictions(tmp_path, types)
    table = pd.read_parquet(tmp_path / "paired" / "pairs.parquet")
    assert found.pairs.same.sum() == 20 == (~found.pairs.same).sum()
    assert set(table["rna"]) == {f"cell{number}" for number in range(0, N, 3)}
    assert (table["rna"] == table["atac"]).equals(table["same"])
    number = table.map(lambda x: int(x[4:]) if isinstance(x, str) else x)
    assert (table["score"] == -(number["rna"] - number["atac"]).abs()).all()
    equal = types[number["rna"]] == types[number["atac"]]
    assert (found.pairs.hard == equal).all()
    assert (found.pairs.easy == ~equal).all()
    for name, expected in (("match_auroc", 1.0), ("match_ap", 1.0), ("match_accuracy", 1.0),
                           ("foscttm", 0.0), ("retrieval_top1", 1.0)):  # fmt: skip
        assert metrics()[name].function(found)[0] == expected


def test_numbers_and_names_do_not_identify_pairs(tmp_path):
    method = Oracle()
    unseen_cells.predict_unseen_cells(method, unseen(), tmp_path)
    rna, atac = (method.seen[part].layers["counts"].toarray()[:, -1] for part in ("rna", "atac"))
    assert sorted(rna) == sorted(atac)
    assert (rna == atac).mean() < 0.3
    assert list(method.seen.obs_names) == [f"unseen{number}" for number in range(20)]
    assert list(method.seen["rna"].obs.columns) == ["size_factor"]


def test_tasks_depend_on_the_dataset_only_and_dropped_cells_leave_both_pairs():
    one, same = unseen().pairs, unseen().pairs
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    rna, atac = one
    assert (rna[20:] != atac[20:]).all()
    assert set(rna) == set(range(0, N, 3))
    kept = np.arange(1, N)  # the preparation drops cell 0, which is unseen
    less = unseen(select_cells(mudata(), kept), kept)
    pairs = {(kept[a], kept[b]) for a, b in zip(*less.pairs, strict=True)}
    partner = {a for a, b in zip(rna[20:], atac[20:], strict=True) if b == 0}
    expected = {(a, b) for a, b in zip(*one, strict=True) if a not in {0} | partner}
    assert pairs == expected
    assert len(unseen(n_retrieval=7).sample("retrieval", 7)) == 7


def test_hidden_genes_look_undetected_and_nothing_else_changes():
    for recipe in RECIPES.values():
        data = mudata(recipe)
        q = unseen(data)
        blank = unseen_cells.zero_values(data["rna"])
        rows = q.sample("translation", 500)
        cell, gene, hidden = unseen_cells._hidden_entries(q, rows, np.isfinite(blank))
        counts = data["rna"].layers["counts"].toarray()[rows]
        assert (counts[cell, gene] > 0).tolist() == hidden.tolist()
        for number in range(len(rows)):
            on = int((counts[number] > 0)[np.isfinite(blank)].sum())
            assert hidden[cell == number].sum() == max(1, round(0.1 * on))
            assert (~hidden[cell == number]).sum() == hidden[cell == number].sum()
        rna = unseen_cells._anonymous_cells(data["rna"], rows)
        unseen_cells._hide_counts(rna, cell[hidden], gene[hidden], blank)
        changed = np.zeros(counts.shape, bool)
        changed[cell[hidden], gene[hidden]] = True
        now = rna.layers["counts"].toarray()
        assert (now[changed] == 0).all()
        assert (now[~changed] == counts[~changed]).all()
        before, after = (
            np.asarray(x.todense()) if sp.issparse(x) else np.asarray(x)
            for x in (data["rna"].X[rows], rna.X)
        )
        assert (before[~changed] == after[~changed]).all()
        zeros = np.broadcast_to(blank, counts.shape)
        np.testing.assert_allclose(after[changed], zeros[changed])
        # A zero has that value wherever the gene is not detected.
        seen = (counts == 0) & np.isfinite(zeros)
        np.testing.assert_allclose(before[seen], zeros[seen], rtol=1e-5)


def test_a_scaled_gene_detected_everywhere_is_never_hidden():
    blank = unseen_cells.zero_values(mudata(RECIPES["scaled"])["rna"])
    assert np.isnan(blank[-1])  # the counter
    assert np.isfinite(blank[:-1]).all()
    q = unseen(mudata(RECIPES["scaled"]))
    _, gene, hidden = unseen_cells._hidden_entries(
        q, q.sample("translation", 500), np.isfinite(blank)
    )
    assert GENES - 1 not in set(gene[hidden])


def test_translation_and_recovery(tmp_path):
    method = Oracle()
    q = unseen(n_translated=8)
    unseen_cells.predict_unseen_cells(method, q, tmp_path)
    found = predictions(tmp_path).translation
    assert found.score.shape == (8, GENES) == found.detected.shape
    counts = mudata()["rna"].layers["counts"].toarray()
    np.testing.assert_allclose(found.rate, (counts[q.train] > 0).mean(axis=0), rtol=1e-6)
    assert method.rna.shape == (8, GENES)
    recovered = predictions(tmp_path).recovery
    assert recovered.hidden.mean() == 0.5
    assert metrics()["recovery_auroc"].function(predictions(tmp_path))[0] == 0.5


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (None, "odd has no match"),
        (lambda d, r, a: np.ones(3), r"match returned shape \(3,\), expected \(40,\)"),
        (lambda d, r, a: np.full(len(r), np.nan), "40 of 40 scores that are not finite"),
        (lambda d, r, a: 1 / 0, "match failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_faulty_prediction_loses_its_own_task_only(tmp_path, match, reason):
    import re

    method = SimpleNamespace(name="odd", match=match, translate=Oracle().translate)
    unseen_cells.predict_unseen_cells(method, unseen(), tmp_path)
    found = predictions(tmp_path)
    assert re.search(reason, found.missing["pairs"])
    assert found.pairs is None
    assert found.translation is not None
    assert set(json.loads((tmp_path / "paired" / "missing.json").read_text())) == {
        "pairs", "retrieval",
    }  # fmt: skip


def test_reasons_without_predictions(tmp_path):
    cells = pd.Index(["a"])
    assert (
        unseen_cells.read_paired_tasks({"facts": {"modality": "rna"}}, tmp_path, cells, None)
        is None
    )
    none = unseen_cells.read_paired_tasks(job(), tmp_path, cells, None)
    assert set(none.missing.values()) == {"no cells are held out (train=0.8)"}
    whole = unseen_cells.read_paired_tasks(job(train_digest="x"), tmp_path, cells, None)
    assert set(whole.missing.values()) == {"oracle has no transform and was fitted on all cells"}


def test_hidden_types_make_a_pair_neither_easy_nor_hard(tmp_path):
    unseen_cells.predict_unseen_cells(Oracle(), unseen(), tmp_path)
    types = np.array(["a", "", "a"] * 20)
    found = predictions(tmp_path, np.where(np.arange(N) % 2, "", types)).pairs
    table = pd.read_parquet(tmp_path / "paired" / "pairs.parquet")
    odd = table[["rna", "atac"]].map(lambda x: int(x[4:]) % 2).any(axis=1).to_numpy()
    assert not (found.hard | found.easy)[odd].any()
    assert found.hard[~odd].all()

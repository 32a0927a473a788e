"""``bench regulate``: distances, bound peaks, maps, files, and the planted links."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import pearsonr

from bench.errors import BenchError, DataError
from bench.regulation.binding import (
    BindingIntervals,
    check_genome,
    find_bound_peaks,
    permute_within_chromosomes,
    read_binding,
    score_bound_peaks,
    signal_agreement,
    signal_heights,
)
from bench.regulation.fitted_multiome import FittedMultiome, load_fitted_multiome, replace_cells
from bench.regulation.links import (
    FeaturePositions,
    codetection_rate,
    near_tss_shares,
    signed_distance,
)
from bench.regulation.regulate import ALL_CELLS, RegulateOptions, file_names, regulate
from bench.settings import Settings

CHROMOSOMES = np.array(["chr1", "chr2", "chrX"])


def intervals(rng: np.random.Generator, number: int, width: int) -> pd.DataFrame:
    start = rng.integers(0, 5000, number)
    chrom, end = rng.choice(CHROMOSOMES, number), start + rng.integers(1, width, number)
    signal = np.where(rng.random(number) < 0.2, np.nan, rng.random(number))
    return pd.DataFrame({"chrom": chrom, "start": start, "end": end, "signal": signal})


# Bound peaks.


@pytest.mark.parametrize("width", [2, 30, 2000])
def test_bound_peaks_equal_those_of_a_plain_loop(width: int):
    rng = np.random.default_rng(width)
    peaks, factor = intervals(rng, 120, 40), intervals(rng, 60, width)
    bound, signal = find_bound_peaks(peaks, factor)
    for number, peak in enumerate(peaks.itertuples()):
        hits = [one.signal for one in factor.itertuples() if one.chrom == peak.chrom
                and one.start < peak.end and peak.start < one.end]  # fmt: skip
        assert bound[number] == bool(hits)
        known = [one for one in hits if not np.isnan(one)]
        np.testing.assert_equal(signal[number], max(known, default=np.nan))
    assert 0 < bound.sum() < len(peaks)


def test_intervals_that_only_touch_do_not_overlap():
    peaks = pd.DataFrame({"chrom": ["chr1"] * 2, "start": [100, 200], "end": [200, 300]})
    one = pd.DataFrame({"chrom": ["chr1"], "start": [200], "end": [201], "signal": [1.0]})
    assert find_bound_peaks(peaks, one)[0].tolist() == [False, True]


def test_areas_equal_those_of_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    bound, weight, opened = rng.random(300) < 0.2, rng.integers(0, 9, 300) * 1.0, rng.random(300)
    weight += 3 * bound
    chrom = rng.choice(CHROMOSOMES, 300)
    found = score_bound_peaks(bound, weight, weight, opened, chrom, seed=3)
    assert found["auroc"] == pytest.approx(roc_auc_score(bound, weight))
    assert found["auprc"] == pytest.approx(average_precision_score(bound, weight))
    assert found["auroc_accessibility"] == pytest.approx(roc_auc_score(bound, opened))
    assert abs(found["auroc_permuted"] - 0.5) < 0.1 < found["auroc"] - 0.5
    assert found["signal_correlation"] == pytest.approx(1.0)
    assert found == score_bound_peaks(bound, weight, weight, opened, chrom, seed=3)


def test_signals_and_weights_are_compared_as_published():
    """Cosine, Pearson and Jaccard of the highest peaks, each beside both controls."""
    rng = np.random.default_rng(0)
    bound = rng.random(200) < 0.3
    signal = np.where(bound, rng.random(200) + 1, np.nan)
    signal[np.flatnonzero(bound)[0]] = np.nan  # bound, not measured
    weight, opened = np.nan_to_num(signal) + rng.random(200), rng.random(200)
    found = score_bound_peaks(bound, signal, weight, opened, rng.choice(CHROMOSOMES, 200), 0, 20)
    height = np.nan_to_num(signal)
    for suffix, values in (("", weight), ("_accessibility", opened)):
        cosine = values @ height / np.sqrt((values @ values) * (height @ height))
        assert found["cosine" + suffix] == pytest.approx(cosine)
        assert found["pearson" + suffix] == pytest.approx(pearsonr(values, height).statistic)
        top = [set(np.argsort(-one, kind="stable")[:20]) for one in (values, height)]
        assert found["jaccard" + suffix] == len(top[0] & top[1]) / len(top[0] | top[1])
    assert abs(found["pearson_permuted"]) < 0.1 < found["pearson"]
    assert found["jaccard_permuted"] < found["jaccard"]
    assert np.isnan(list(signal_agreement(weight, height * 0, 20).values())).all()
    none = signal_agreement(weight * 0, height * 0, 20)
    assert all(np.isnan(value) for value in none.values())
    # Without any measured signal a bound peak counts 1, and peaks of 0 are in no top.
    np.testing.assert_array_equal(signal_heights(bound, signal * np.nan), bound)
    assert signal_agreement(bound * 1.0, bound * 1.0, 10_000)["jaccard"] == 1


def test_permutations_stay_within_chromosomes():
    rng = np.random.default_rng(0)
    chrom, values = rng.choice(CHROMOSOMES, 90), rng.random(90)
    dealt = permute_within_chromosomes(values, chrom, rng)
    assert (dealt != values).sum() > 60
    for name in CHROMOSOMES:
        here = chrom == name
        np.testing.assert_array_equal(np.sort(dealt[here]), np.sort(values[here]))


def test_bed_and_narrowpeak(tmp_path: Path):
    narrow = tmp_path / "CTCF.narrowPeak.gz"
    with gzip.open(narrow, "wt") as stream:
        stream.write("track name=x\n1\t10\t20\t.\t500\t.\t7.5\t-1\t-1\t4\n")
    found = read_binding(narrow)
    assert (found.factor, *found.table.iloc[0]) == ("CTCF", "chr1", 10, 20, 7.5)
    plain = tmp_path / "GATA1.bed"
    plain.write_text("chr1\t10\t20\tx\t3\nchrX\t5\t6\n")
    np.testing.assert_array_equal(read_binding(plain).table["signal"], [3.0, np.nan])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("chr1\t10\n", "not_bed"),
        ("chr1\t1\t2\nchr1\tx\t3\n", "not_bed"),
        ("chr1\t20\t20\n", "empty_interval"),
        ("# nothing\n", "empty_file"),
    ],
)
def test_wrong_bed_files_raise(text: str, code: str, tmp_path: Path):
    (tmp_path / "f.bed").write_text(text)
    with pytest.raises(DataError) as error:
        read_binding(tmp_path / "f.bed")
    assert error.value.code == code


def test_binding_of_another_genome_raises_or_warns():
    rng = np.random.default_rng(0)
    peaks = intervals(rng, 200, 40)

    def check(table: pd.DataFrame) -> str:
        one = BindingIntervals("f", "f.bed", table)
        return check_genome(peaks, one, find_bound_peaks(peaks, table)[0])

    for table, code in (
        (peaks.assign(chrom="chrIV"), "other_genome"),
        (peaks.assign(start=peaks["start"] + 10**6, end=peaks["end"] + 10**6), "no_bound_peaks"),
        (peaks, "all_peaks_bound"),
    ):
        with pytest.raises(DataError) as error:
            check(table)
        assert error.value.code == code
    assert check(peaks[:20]) == ""
    by_chance = pd.concat([peaks[:20], peaks[:30].assign(
        start=peaks["start"] - 10**6, end=peaks["end"] - 10**6)])  # fmt: skip
    assert "same genome assembly?" in check(by_chance)


# Links.


def test_distance_is_positive_downstream():
    tss, centre = np.array([100, 100, 100, -1]), np.array([150, 150, 150, 150])
    found = signed_distance(tss, centre, np.array(["+", "-", ".", "+"]))
    np.testing.assert_array_equal(found, [50, -50, 50, np.nan])


def test_codetection_is_the_share_of_cells_with_both():
    rng = np.random.default_rng(0)
    genes, peaks = rng.poisson(0.5, (50, 7)), rng.poisson(0.5, (50, 9))
    rows, columns = rng.integers(0, 7, 40), rng.integers(0, 9, 40)
    found = codetection_rate(sp.csr_matrix(genes), sp.csr_matrix(peaks), rows, columns)
    expected = ((genes[:, rows] > 0) & (peaks[:, columns] > 0)).mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_near_shares_count_every_pair_on_a_chromosome():
    rng = np.random.default_rng(1)
    genes = pd.DataFrame({"chrom": rng.choice(CHROMOSOMES, 30), "strand": "+",
                          "tss": rng.integers(-1, 3_000_000, 30)})  # fmt: skip
    start = rng.integers(0, 3_000_000, 80)
    peaks = pd.DataFrame({"chrom": rng.choice(CHROMOSOMES, 80), "start": start, "end": start + 2})
    table = pd.DataFrame({"distance": [-5.0, 2e5, 2e6, np.nan], "weight": [6.0, 1, 1, 9]})
    found = near_tss_shares(table, FeaturePositions(genes, peaks))
    apart = np.abs(genes["tss"].to_numpy()[:, None] - (start + 1))
    same = genes["chrom"].to_numpy()[:, None] == peaks["chrom"].to_numpy()
    same &= genes["tss"].to_numpy()[:, None] >= 0
    assert found["pairs_100kb"] == pytest.approx((apart[same] <= 100_000).mean())
    assert found["pairs_1000kb"] == pytest.approx((apart[same] <= 1_000_000).mean())
    assert (found["links_100kb"], found["weight_1000kb"]) == (1 / 3, 7 / 8)


def test_file_names_differ():
    assert file_names([ALL_CELLS, "B cell", "B/cell", "all", "β"]) == {
        ALL_CELLS: "all", "B cell": "B_cell", "B/cell": "B_cell_2", "all": "all_2", "β": "β",
    }  # fmt: skip


# The verb.


class Planted:
    """A method whose links are known; ``mean``: the share of the cells, else always the same."""

    name = "planted"

    def __init__(self, *, mean: bool) -> None:
        self.mean = mean

    def links(self, data) -> pd.DataFrame:
        genes, peaks = data["rna"], data["atac"]
        rows = np.repeat(np.arange(genes.n_vars), 3)
        columns = (2 * rows + np.tile(range(3), genes.n_vars)) % peaks.n_vars
        both = ((genes.layers["counts"].toarray()[:, rows] > 0)
                & (peaks.layers["counts"].toarray()[:, columns] > 0))  # fmt: skip
        weight = (rows + 1.0) * (both.mean(axis=0) if self.mean else both.any(axis=0))
        table = pd.DataFrame({"gene": genes.var_names[rows], "peak": peaks.var_names[columns],
                              "weight": weight})  # fmt: skip
        return table[table["weight"] > 0]


def planted(*, mean: bool = False) -> FittedMultiome:
    """Return a fit on 30 cells whose method has known links."""
    from bench.contract import MULTIOME, PairedRecipe, Recipe
    from bench.methods.pca_lsi import JointPCALSI
    from bench.prepare.in_memory import prepare_data
    from bench.prepare.new_cells import Preparation
    from bench.testing.case import Case

    counts = Case(JointPCALSI, MULTIOME).counts(n_cells=30, n_features=24)
    recipe = PairedRecipe(Recipe(min_cells=1), Recipe(min_cells=1))
    data = prepare_data(counts, recipe)
    types = counts["rna"].obs["cell_type"].astype(str).to_numpy()
    preparation = Preparation.fit(counts, recipe, data)
    return FittedMultiome(
        "planted · x · seed 0", Planted(mean=mean), data, lambda: preparation, types
    )


@pytest.mark.parametrize("mean", [False, True])
def test_the_map_of_a_type_is_the_mean_of_its_cells(mean: bool, tmp_path: Path, caplog):
    from bench.contract import select_cells

    fitted = planted(mean=mean)
    caplog.set_level("INFO", logger="bench")
    name = sorted(set(fitted.types))[0]
    bed = tmp_path / "TF.bed"
    sites = FeaturePositions.of(fitted.data)
    sites.peaks.iloc[::3].to_csv(bed, sep="\t", header=False, index=False)
    options = RegulateOptions(cell_types=(name,), binding=(bed,), n_cells=5, figures=False)
    done = regulate(fitted, options, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(done.files)
    found = sp.load_npz(tmp_path / "out" / f"map_{done.names[name]}.npz")
    rows = np.flatnonzero(fitted.types == name)
    single = [fitted.method.links(select_cells(fitted.data, np.array([row]))) for row in rows]
    sums = pd.concat(single).groupby(["gene", "peak"])["weight"].sum() / len(rows)
    for (gene, peak), value in sums.items():
        place = sites.genes.index.get_loc(gene), sites.peaks.index.get_loc(peak)
        assert found[place] == pytest.approx(value, rel=1e-5)
    assert found.sum() == pytest.approx(sums.sum(), rel=1e-5)
    about = json.loads((tmp_path / "out" / "regulate.json").read_text())
    assert about["weights"] == ("mean over the cells" if mean else "the same in each cell")
    assert len(done.binding) == (2 if mean else 4)
    assert (done.binding["bound"] > 0).all()
    cells = pd.read_csv(tmp_path / "out" / "cells.csv.gz")
    assert cells["cell"].nunique() == 5
    assert set(cells["type"]) == {name}
    assert "cell types only group cells here; the fit did not see them" in caplog.messages


@pytest.mark.slow
def test_figures_are_drawn(tmp_path: Path):
    fitted = planted()
    one = str(fitted.types[0])
    options = RegulateOptions(cell_types=(one,), n_cells=2, top=30)
    done = regulate(fitted, options, tmp_path / "out")
    for name in ("cell.png", "cell.svg", "locus.png"):
        assert (tmp_path / "out" / name).stat().st_size > 5000
        assert name in done.files


def test_cells_by_name_and_cells_without_links(tmp_path: Path):
    fitted = planted()
    names = list(fitted.data.obs_names)
    for part in ("rna", "atac"):
        counts = fitted.data[part].layers["counts"].tolil()
        counts[7] = 0
        fitted.data[part].layers["counts"] = counts.tocsr()
    options = RegulateOptions(cells=(names[9], names[7]), figures=False)
    done = regulate(fitted, options, tmp_path / "out")
    assert set(pd.read_csv(tmp_path / "out" / "cells.csv.gz")["cell"]) == {names[9]}
    assert done.unlinked == [names[7]]
    assert any(names[7] in line for line in done.summary_lines())
    about = json.loads((tmp_path / "out" / "regulate.json").read_text())
    assert about["single_cells"] == [names[9], names[7]]
    assert about["without_links"] == [names[7]]
    assert about["weights"] == "the same in each cell"


def test_the_map_of_the_peaks_stands_beside_the_signal(tmp_path: Path):
    fitted = planted()
    sites = FeaturePositions.of(fitted.data)
    bed = tmp_path / "TF.bed"
    bound = sites.peaks.iloc[::3].assign(name=".", score=5.0)
    bound.to_csv(bed, sep="\t", header=False, index=False)
    one = str(fitted.types[0])
    options = RegulateOptions(cell_types=(one,), binding=(bed,), n_cells=2)
    done = regulate(fitted, options, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / f"peaks_{done.names[one]}.csv.gz", index_col="peak")
    assert list(table.index) == list(sites.peaks.index)
    np.testing.assert_array_equal(table["signal_TF"] > 0, np.arange(len(table)) % 3 == 0)
    sums = sp.load_npz(tmp_path / "out" / f"map_{done.names[one]}.npz").sum(axis=0)
    np.testing.assert_allclose(table["per_cell"], np.asarray(sums).ravel(), rtol=1e-3)
    rows = np.flatnonzero(fitted.types == one)
    opened = (fitted.data["atac"].layers["counts"][rows].toarray() > 0).mean(axis=0)
    np.testing.assert_allclose(table["accessible"], opened, rtol=1e-3)
    for name in ("peaks.png", "peaks.svg"):
        assert (tmp_path / "out" / name).stat().st_size > 5000
        assert name in done.files


def test_cells_without_a_type_are_counted(tmp_path: Path, caplog):
    fitted = planted()
    caplog.set_level("INFO", logger="bench")
    fitted.types[:4] = ""
    done = regulate(fitted, RegulateOptions(figures=False, n_cells=2), tmp_path / "out")
    assert "4 of 30 cells have no type and are in no type's map" in caplog.messages
    about = json.loads((tmp_path / "out" / "regulate.json").read_text())
    assert about["cells"]["all"] == 30 == 4 + sum(about["cells"].values()) - 30
    assert len(done.names) == 1 + len(set(fitted.types) - {""})


def test_wrong_options_raise_their_code(tmp_path: Path):
    fitted, out = planted(), tmp_path / "out"

    bed = tmp_path / "f.bed"
    bed.write_text("chr1\t1\t2\n")
    for values, code in (
        ({"cell_types": ("typ",)}, "unknown_name"),
        ({"gene": "nobody"}, "unknown_name"),
        ({"cells": ("nobody",)}, "unknown_name"),
        ({"tss_window": 0}, "no_links"),
        ({"binding": (bed, bed)}, "duplicate_names"),
        ({"binding": (tmp_path / "none.bed",)}, "missing_file"),
    ):
        with pytest.raises(BenchError) as error:
            regulate(fitted, RegulateOptions(**values), out)
        assert error.value.code == code


def test_other_cells_need_the_features_of_the_fit(tmp_path: Path):
    from bench.contract.multiome import select_cells, write_pair

    fitted = planted()
    counts = select_cells(fitted.data, slice(None))
    for part in ("rna", "atac"):
        counts[part].X = counts[part].layers["counts"].copy()
        del counts[part].layers["counts"]
    new = select_cells(counts, np.arange(12))
    write_pair(new, tmp_path / "new.h5mu")
    other = replace_cells(fitted, tmp_path / "new.h5mu", {})
    for part in ("rna", "atac"):
        assert list(other.data[part].var_names) == list(fitted.data[part].var_names)
        one, two = (each.data[part].layers["counts"].toarray() for each in (other, fitted))
        np.testing.assert_array_equal(one, two[:12])
    from bench.contract import pair_data as pair

    write_pair(pair(new["rna"][:, 3:].copy(), new["atac"].copy()), tmp_path / "few.h5mu")
    with pytest.raises(DataError) as error:
        replace_cells(fitted, tmp_path / "few.h5mu", {})
    assert error.value.code == "missing_features"


@pytest.mark.slow
def test_regulate_after_bench_fit(tmp_path: Path):
    from typer.testing import CliRunner

    from bench.cli.main import app
    from bench.contract.multiome import write_pair
    from bench.datasets.sim_multiome import SimMultiome

    data = SimMultiome(SimMultiome.Params(n_cells=60, n_genes=40, n_peaks=120)).load()
    data.uns.clear()
    for part in ("rna", "atac"):
        data[part].uns.clear()
        data[part].varm.clear()
    write_pair(data, tmp_path / "sim.h5mu")

    def invoke(*words: str | Path) -> str:
        return CliRunner().invoke(app, [str(word) for word in words]).output

    short = ["max_epochs=1", "link_passes=3", "id_dim=8", "hidden=8"]
    sets = [word for one in short for word in ("--set", f"sccrossrec.{one}")]
    words = [tmp_path / "sim.h5mu", "--no-umap", "--out"]
    invoke("fit", "sccrossrec", *words, tmp_path / "fit", *sets)
    invoke("fit", "pca_lsi", *words, tmp_path / "other")
    out = ["--out", tmp_path / "out", "--no-figures", "--top", "50", "--cells", "3"]
    output = invoke("regulate", tmp_path / "fit", *out, "--cell-types", "type1,type2")
    assert "within 100 kb" in output
    table = pd.read_csv(tmp_path / "out" / "links_type2.csv.gz")
    assert 0 < len(table) <= 50
    assert table["per_cell"].is_monotonic_decreasing
    assert sp.load_npz(tmp_path / "out" / "map_type1.npz").shape[0] <= 40
    name = data["rna"].obs_names[3]
    words = ["--data", tmp_path / "sim.h5mu", "--cell", name]
    output = invoke("regulate", tmp_path / "fit", *out, *words)
    assert "on sim.h5mu: 60 cells" in output
    about = json.loads((tmp_path / "out" / "regulate.json").read_text())
    assert about["single_cells"] == [name]
    for folder, label_key, code in (
        ("other", None, "not_supported"),
        ("fit", "kind", "missing_column"),
    ):
        with pytest.raises(BenchError) as error:
            load_fitted_multiome(tmp_path / folder, Settings(), label_key=label_key)
        assert error.value.code == code


@pytest.mark.slow
def test_planted_links_come_back(tmp_path: Path):
    from sklearn.metrics import average_precision_score
    from typer.testing import CliRunner

    from bench.cli.main import app
    from bench.contract.multiome import write_pair
    from bench.datasets.sim_multiome import SimMultiome

    data = SimMultiome(SimMultiome.Params.build(presets=("links",), owner="test")).load()
    truth = data.uns.pop("truth")["links"]
    for part in ("rna", "atac"):
        data[part].uns.clear()
        data[part].varm.clear()
    write_pair(data, tmp_path / "sim.h5mu")
    # The links are learned without the network.
    fit = ["fit", "sccrossrec", tmp_path / "sim.h5mu", "--set", "sccrossrec.max_epochs=0",
           "--no-umap", "--out", tmp_path / "fit"]  # fmt: skip
    ask = ["regulate", tmp_path / "fit", "--out", tmp_path / "out", "--cell-types", "type1",
           "--top", "1000000"]  # fmt: skip
    for words in (fit, ask):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, (done.output, done.exception)
    table = pd.read_csv(tmp_path / "out" / "links.csv.gz")
    real = set(zip(truth["gene"], truth["peak"], strict=True))
    right = [pair in real for pair in zip(table["gene"], table["peak"], strict=True)]
    assert average_precision_score(right, table["weight"]) > 5 * np.mean(right)
    near = json.loads((tmp_path / "out" / "regulate.json").read_text())["shares"]
    assert near["weight_100kb"] > near["pairs_100kb"]

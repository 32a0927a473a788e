from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import DataError, UsageError
from bench.methods.sakura.guidance_file import held_out_half, peaks_in_regions, read_bulk


def test_bulk_profiles_are_normalised_over_all_their_genes(tmp_path: Path, caplog):
    caplog.set_level("INFO", logger="bench")
    path = tmp_path / "bulk.tsv"
    path.write_text("gene\tliver\tlung\nA\t1\t0\nB\t3\t5\nC\t6\t5\n")
    rows = read_bulk(path, ["C", "A", "Z"], weight=2.0, target_sum=10)
    assert (rows.names, rows.features, rows.weight) == (("liver", "lung"), ("A", "C"), 2.0)
    assert rows.values == pytest.approx(np.log1p([[1, 6], [0, 5]]), rel=1e-6)
    assert "bulk.tsv: 2 profiles, 2 of 3 genes" in caplog.text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("g\ts\nA\t-1\n", "not_counts"),
        ("g\ts\nA\tx\n", "not_counts"),
        ("g\ts\nA\t0\n", "no_counts"),
        ("g\ts\nA\t1\nA\t2\n", "duplicate_names"),
        ("g\ts\nQ\t1\n", "unknown_gene"),
    ],
)
def test_a_bulk_table_without_usable_counts_is_refused(tmp_path: Path, text: str, code: str):
    path = tmp_path / "bulk.tsv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_bulk(path, ["A"])
    assert error.value.code == code


def test_peaks_are_found_by_half_open_overlap(tmp_path: Path, caplog):
    caplog.set_level("INFO", logger="bench")
    path = tmp_path / "set.bed"
    path.write_text("#x\nchr1\t100\t200\tone\nchr2\t0\t50\ttwo\nchr3\t1\t2\tthree\n")
    peaks = ["chr1:200-300", "chr1_150_160", "1-90-101", "chr2-50-60", "chr2:49-60", "chr1:1-100"]
    found = peaks_in_regions(path, peaks)
    assert found == {"one": ("chr1_150_160", "1-90-101"), "two": ("chr2:49-60",)}
    assert "set.bed: 2 sets of peaks, 3 peaks; without a peak: three" in caplog.text
    for text, features, code in (
        ("chr9\t1\t2\n", peaks, "no_overlap"),
        ("chr9\t1\t2\n", ["CD4"], "not_intervals"),
        ("chr9 1 2\n", peaks, "invalid_line"),
        ("#\n", peaks, "no_regions"),
    ):
        path.write_text(text)
        with pytest.raises(DataError) as error:
            peaks_in_regions(path, features)
        assert error.value.code == code


def test_halves_are_disjoint_and_seeded():
    genes = tuple("ABCDE")
    half = held_out_half("x", genes, 0)
    assert len(half) == 2
    assert set(half) < set(genes)
    assert half == held_out_half("x", genes, 0)
    assert len({held_out_half("x", genes, seed) for seed in range(20)}) > 3
    with pytest.raises(UsageError) as error:
        held_out_half("x", ("A",), 0)
    assert error.value.code == "too_few_genes"

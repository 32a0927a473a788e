from __future__ import annotations

import pytest

from bench.contract import format_peak_names, parse_interval


@pytest.mark.parametrize(
    ("name", "formatted"),
    [
        ("chr1_100_200", "chr1:100-200"),
        ("chr1-100-200", "chr1:100-200"),
        ("chr1:100-200", "chr1:100-200"),
        ("1-100-200", "chr1:100-200"),
        ("X:5-9", "chrX:5-9"),
        ("chr4_GL456216_random_1_2", "chr4_GL456216_random:1-2"),
        ("GL000195.1:22-937", "GL000195.1:22-937"),
        ("NOC2L", "NOC2L"),
        ("7", "7"),
    ],
)
def test_peaks_are_named_in_one_way(name: str, formatted: str):
    assert format_peak_names([name]) == [formatted]


PEAKS = [
    "chr1:100-200",
    "chr1_100_200",
    "chr1-100-200",
    "chr1.100.200",
    "chr1:100:200",
    "chr1|100|200",
    "chr1:100..200",
    "Chr1:100-200",
    "1:100-200",
    "X1.100.200",
    "chr1:100-200:+",
    "chr1:100-200(-)",
]
OTHER_CONTIGS = {
    "GRCh38_chr1:5-90": "GRCh38_chr1", "GL000194.1-5-90": "GL000194.1", "MT_5_90": "chrM",
    "NC_000001.11:5-90": "NC_000001.11", "chr1_KI270706v1_random_5_90": "chr1_KI270706v1_random",
    "chrUn_GL000195v1:5-90": "chrUn_GL000195v1", "2L:5-90": "chr2L", "hs37d5-5-90": "hs37d5",
    "chrXII_5_90": "chrXII", "scaffold_12:5-90": "scaffold_12",
}  # fmt: skip
NO_PEAKS = [
    "01_02_03",
    "P1-12-13",
    "GSM1234567_1_10",
    "plate_a_1_96",
    "RP11-34-90",
    "HLA-DRB1-1-2",
    "MIR10-510",
    "4933401J01-1-5",
    "Hist1h2a.1.5",
    "chromatin_1_2",
    "chr1:200-100",
    "chr1:100-100",
    "run_2_1_7",
    "S1.1.7",
]


def test_styles_of_peaks():
    for name in [*PEAKS, "chr1 100 200", "chr1\t100\t200"]:
        assert parse_interval(name) == ("chr1", 100, 200), name
    assert parse_interval("chr1:1,000-2,000") == ("chr1", 1000, 2000)
    for name, contig in OTHER_CONTIGS.items():
        assert parse_interval(name) == (contig, 5, 90), name


def test_names_of_cells_and_genes_are_no_peaks():
    assert [name for name in NO_PEAKS if parse_interval(name)] == []

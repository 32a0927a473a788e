from __future__ import annotations

import pytest

from bench.contract import format_peak_names


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

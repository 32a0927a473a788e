"""Citations read from references, and ``bench cite``."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from bench.registry import datasets, methods
from bench.reports.tables.citations import LIBRARIES, bibtex, read_reference
from bench.scoring.metrics import built_in_metrics


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Lin 2007, Neural Computation 19:2756, doi 10.1162/neco.2007.19.10.2756",
            [("Lin", "2007", "Neural Computation", "19", "2756", "10.1162/neco.2007.19.10.2756")],
        ),
        (
            "Lee and Seung 2001, NIPS 13; Huang et al. 2021, Symmetry 13:1467, doi 10.3390/sym1",
            [("Lee and Seung", "2001", "NIPS", "13", "", ""),
             ("Huang and others", "2021", "Symmetry", "13", "1467", "10.3390/sym1")],
        ),
        (
            "as prepared by Cao and Gao 2022, doi 10.1038/s41587-022-01284-4",
            [("Cao and Gao", "2022", "", "", "", "10.1038/s41587-022-01284-4")],
        ),
        (
            "counts after Splatter (Zappia, Phipson and Oshlack 2017, doi 10.1186/s1) and more",
            [("Zappia and Phipson and Oshlack", "2017", "", "", "", "10.1186/s1")],
        ),
        (
            "Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7",
            [("Rousseeuw", "1987", "", "", "", "10.1016/0377-0427(87)90125-7")],
        ),
        ("The Tabula Muris Consortium 2018, Nature 562:367",
         [("{The Tabula Muris Consortium}", "2018", "Nature", "562", "367", "")]),
        ("none; a control", []),
    ],
)  # fmt: skip
def test_fields_of_a_reference(text, expected):
    found = [
        (one.author, one.year, one.journal, one.volume, one.pages, one.doi)
        for one in read_reference(text)
    ]
    assert found == expected


def test_a_program_without_a_paper_keeps_its_text_and_address():
    (found,) = read_reference("SAKURA, version 0.1.0, https://yip-sakura.readthedocs.io")
    assert (found.author, found.url) == ("", "https://yip-sakura.readthedocs.io")
    assert found.note == "SAKURA, version 0.1.0"


def test_every_doi_of_the_registries_is_cited():
    references = {e.name: e.cls.reference for e in methods() if e.cls}
    references |= {
        e.name: e.cls.card.reference for e in datasets() if e.cls and hasattr(e.cls, "card")
    }
    references |= {name: metric.reference for name, metric in built_in_metrics().items()}
    references |= LIBRARIES
    text = bibtex(references)
    written = re.compile(r"doi[: ]\s*(10\.[^\s;,()]+)(?=[;,)\s]|$)")
    expected = {doi.lower() for one in references.values() for doi in written.findall(one)}
    found = {doi.lower() for doi in re.findall(r"doi = \{(.+)\}", text)}
    assert expected <= found
    keys = re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)
    assert len(set(keys)) == len(keys) == text.count("\n@")
    assert text.count("{") == text.count("}")


def test_a_work_stands_once_with_all_who_cite_it():
    text = bibtex(
        {
            "a": "Zheng et al. 2017, doi 10.1000/x",
            "b": "Zheng et al. 2017, Nature 8:1, doi 10.1000/x",
        }
    )
    assert text.startswith("% a, b\n@article{zheng2017,")
    assert text.count("@") == 1


def test_works_of_one_author_and_year_have_different_keys():
    text = bibtex({"a": "Yu et al. 2022, doi 10.1000/x", "b": "Yu et al. 2022, doi 10.1000/y"})
    assert "@misc{yu2022," in text
    assert "@misc{yu2022b," in text


def test_cite_by_names():
    done = CliRunner().invoke(app, ["cite", "pca,vae", "pbmc68k"])
    assert done.exit_code == 0
    for key in ("luecken2019", "kingma2014", "zheng2017", "wolf2018"):
        assert f"{{{key}," in done.output


def test_cite_refuses_an_unknown_name():
    done = CliRunner().invoke(app, ["cite", "nothing_of_this_name"])
    assert done.exit_code == 2

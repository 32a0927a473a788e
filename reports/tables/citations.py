"""Citations as BibTeX, read from the references of methods, datasets and metrics.

A field that a reference does not hold is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import yaml

_NAME = r"(?:van |de |von )?(?:10x )?[A-ZÄÖÜ][\w’'-]+"
_WORK = re.compile(
    rf"(?P<authors>{_NAME}(?:(?:, | and | )(?:{_NAME}|et al\.))*) (?P<year>(?:19|20)\d\d)\b"
    r"(?P<rest>[^;()]*(?:\(\d+\)[^;()]*)*)"
)
_DOI = re.compile(r"doi[: ]\s*(10\.\d{4,}/[^\s;,()]+(?:\(\d+\)[^\s;,()]+)?)")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_URL = re.compile(r"https?://[^\s;,)]+")
_JOURNAL = re.compile(
    r"^, (?P<journal>(?!doi\b|arXiv|https?:)[A-Z][^,]*?)"
    r"(?: (?P<volume>\d+)(?::(?P<pages>[\w-]+))?)?\s*(?:,|$)"
)
_NOTHING = re.compile(r"^(?:none\b|a count$|$)")

LIBRARIES = {
    "anndata": "Virshup et al. 2024, Journal of Open Source Software 9:4371, "
    "doi 10.21105/joss.04371",
    "igraph": "Csardi and Nepusz 2006, InterJournal",
    "leidenalg": "Traag, Waltman and van Eck 2019, Scientific Reports 9:5233, "
    "doi 10.1038/s41598-019-41695-z",
    "mlflow": "Zaharia et al. 2018, IEEE Data Engineering Bulletin 41:39",
    "mudata": "Bredikhin, Kats and Stegle 2022, Genome Biology 23:42, "
    "doi 10.1186/s13059-021-02577-8",
    "muon": "Bredikhin, Kats and Stegle 2022, Genome Biology 23:42, "
    "doi 10.1186/s13059-021-02577-8",
    "nimfa": "Zitnik and Zupan 2012, Journal of Machine Learning Research 13:849",
    "numpy": "Harris et al. 2020, Nature 585:357, doi 10.1038/s41586-020-2649-2",
    "optuna": "Akiba et al. 2019, doi 10.1145/3292500.3330701",
    "pandas": "McKinney 2010, doi 10.25080/Majora-92bf1922-00a",
    "scanpy": "Wolf, Angerer and Theis 2018, Genome Biology 19:15, doi 10.1186/s13059-017-1382-0",
    "scikit-learn": "Pedregosa et al. 2011, Journal of Machine Learning Research 12:2825",
    "scipy": "Virtanen et al. 2020, Nature Methods 17:261, doi 10.1038/s41592-019-0686-2",
    "scvi-tools": "Gayoso et al. 2022, Nature Biotechnology 40:163, "
    "doi 10.1038/s41587-021-01206-w",
    "torch": "Paszke et al. 2019, Advances in Neural Information Processing Systems 32",
    "umap-learn": "McInnes, Healy and Melville 2018, doi 10.48550/arXiv.1802.03426",
}
"""Reference of each library that has one."""


@dataclass(frozen=True)
class Citation:
    """One work; a field that is not known is empty."""

    author: str = ""
    title: str = ""
    year: str = ""
    journal: str = ""
    volume: str = ""
    pages: str = ""
    doi: str = ""
    url: str = ""
    note: str = ""

    @property
    def same_work(self) -> str:
        """Text that two references to one work share."""
        return self.doi.lower() or f"{self.author} {self.year} {self.note}"


def read_reference(text: str) -> list[Citation]:
    """Return the works in a reference, such as ``Lin 2007, Neural Computation 19:2756``."""
    if _NOTHING.match(text):
        return []
    works = [_work(found) for found in _WORK.finditer(text)]
    if works:
        return works
    url = _URL.search(text)
    note = text.replace(url.group(), "").rstrip(", ") if url else text
    return [Citation(url=url.group().rstrip(".") if url else "", note=note)]


def _work(found: re.Match[str]) -> Citation:
    rest = found["rest"]
    doi, arxiv, url, journal = (p.search(rest) for p in (_DOI, _ARXIV, _URL, _JOURNAL))
    names = found["authors"].replace(" et al.", " and others").replace(", ", " and ")
    if re.search("Consortium|Genomics", names):
        names = f"{{{names}}}"
    known = {k: v or "" for k, v in journal.groupdict().items()} if journal else {}
    if arxiv and not doi:
        known["note"] = f"arXiv:{arxiv[1]}"
    number = doi[1].rstrip(".") if doi else ""
    return Citation(
        author=names, title=_titles().get(number, ""), year=found["year"], doi=number,
        url=url.group() if url else "", **known,
    )  # fmt: skip


@cache
def _titles() -> dict[str, str]:
    """Return the titles of works by DOI."""
    path = Path(__file__).with_name("titles.yaml")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def bibtex(references: Mapping[str, str]) -> str:
    """Return the works in some references, each once with the names of those that cite it."""
    works: dict[str, Citation] = {}
    users: dict[str, list[str]] = {}
    for name, text in references.items():
        for work in read_reference(text):
            known = works.get(work.same_work, work)
            works[work.same_work] = _completed(known, work)
            users.setdefault(work.same_work, []).append(name)
    keys = _unique_keys(works.values())
    entries = [
        f"% {', '.join(dict.fromkeys(users[same]))}\n{_entry(work, key)}"
        for (same, work), key in zip(works.items(), keys, strict=True)
    ]
    return "\n\n".join(entries) + "\n" if entries else ""


def _completed(first: Citation, second: Citation) -> Citation:
    """Return a work with the fields that either reference holds."""
    names = [field.name for field in fields(Citation)]
    return replace(first, **{n: getattr(first, n) or getattr(second, n) for n in names})


def _unique_keys(works: Iterable[Citation]) -> list[str]:
    keys: list[str] = []
    for work in works:
        plain = unicodedata.normalize("NFKD", work.author or work.note)
        plain = plain.encode("ascii", "ignore").decode().lower()
        words = re.findall(r"[a-z]{2,}", plain.removeprefix("the "))
        stem = (words[0] if words else "work") + work.year
        same = sum(key.rstrip("bcdefgh") == stem for key in keys)
        keys.append(stem + "abcdefgh"[same] * bool(same))
    return keys


def _entry(work: Citation, key: str) -> str:
    kind = "article" if work.volume else "misc"
    values = [(f.name, getattr(work, f.name)) for f in fields(Citation)]
    if kind == "misc":
        values = [("howpublished" if name == "journal" else name, value) for name, value in values]
    lines = [
        f"  {name} = {{{'{' * (name == 'title')}{_escape(name, value)}{'}' * (name == 'title')}}},"
        for name, value in values if value
    ]  # fmt: skip
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _escape(name: str, value: str) -> str:
    return value if name in ("doi", "url") else re.sub(r"([&%$#_])", r"\\\1", value)

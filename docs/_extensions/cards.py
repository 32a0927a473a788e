"""Pages of methods, datasets and metrics, made from their declarations at each build."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.methods import method_inputs
from bench.data.card import preset_rows
from bench.messages import format_size
from bench.registry import datasets, methods
from bench.scoring.metric_cards import metrics_page

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from bench.contract import Card, Dataset, Method

Row = Mapping[str, Any]
_FAMILIES = {
    "baseline": "Baselines",
    "factorization": "Matrix factorisations",
    "autoencoder": "Autoencoders",
    "control": "Controls",
}
_MODALITIES = {"rna": "RNA", "atac": "Chromatin", "multiome": "Paired RNA and chromatin"}
_GUIDES = {
    "combat": "batches", "pca_harmony": "batches", "scanorama": "batches", "scvi": "batches",
    "sakura": "sakura", "sakura_unguided": "sakura", "marker_sum": "sakura",
    "pca_markers": "sakura", "scimta": "scimta", "scmgca": "scimta", "sctag": "scimta",
    "sccrossrec": "paired", "cca": "paired", "wnn": "paired", "pca_lsi": "paired",
    "detection_rate": "paired", "random": "concepts", "truth": "concepts",
}  # fmt: skip
"""By method: the guide that goes with it."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write ``methods/``, ``datasets/`` and ``metrics.md`` beside the other sources."""
    folder = Path(app.srcdir)
    classes = {entry.name: entry.cls for entry in methods().entries.values() if entry.cls}
    cards = {entry.name: entry.cls for entry in datasets().entries.values() if entry.cls}
    pages = {
        "metrics.md": metrics_page(),
        "methods/index.md": methods_index(classes),
        "datasets/index.md": datasets_index(cards),
        **{f"methods/{name}.md": method_page(name, classes[name]) for name in classes},
        **{f"datasets/{name}.md": dataset_page(name, cards[name]) for name in cards},
    }
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def methods_index(classes: Mapping[str, Any]) -> str:
    """Return the list of the methods, by family."""
    parts = [
        "# Methods\n",
        "`bench methods` prints this list, `bench methods NAME` one of these pages. *Uses* is "
        "what a method is told beyond the counts.\n",
    ]
    others = sorted({cls.family for cls in classes.values()} - _FAMILIES.keys())
    for family, heading in {**_FAMILIES, **{name: name.capitalize() for name in others}}.items():
        rows = [
            {
                "method": f"[{name}]({name}.md)",
                "what it is": cls.summary,
                "data": ", ".join(sorted(cls.modalities)),
                "uses": method_inputs(cls) or "counts only",
                "cost": cls.cost,
            }
            for name, cls in sorted(classes.items())
            if cls.family == family
        ]
        parts += [f"## {heading}\n", table(rows)]
    return "\n".join([*parts, toctree(sorted(classes))])


def method_page(name: str, cls: type[Method]) -> str:
    """Return the page of a method: text, facts, parameters, presets."""
    facts = {
        "data": ", ".join(sorted(cls.modalities)),
        "family": cls.family,
        "uses": method_inputs(cls) or "counts only",
        "cost": cls.cost,
        "runs on": "cpu or cuda" if cls.gpu else "cpu",
        "needs": f"{', '.join(cls.requires)} ([how to install](../extras.md))"
        if cls.requires
        else "",
        "source": link_dois(cls.reference),
        "guide": f"[](../{_GUIDES[name]}.md)" if name in _GUIDES else "",
    }
    parts = [f"# {name}\n", f"*{cls.summary}*\n", markdown(cls), facts_list(facts)]
    parts += parameter_tables(cls.Params.describe(), preset_rows(cls.Params.presets))
    return "\n".join(parts)


def datasets_index(classes: Mapping[str, type[Dataset]]) -> str:
    """Return the list of the datasets, by modality."""
    parts = [
        "# Datasets\n",
        "`bench datasets` prints this list with the state of each set on your machine. How files "
        "are fetched: [](../published_data.md).\n",
    ]
    for modality, heading in _MODALITIES.items():
        rows = [
            {
                "dataset": f"[{name}]({name}.md)",
                "what it is": cls.card.summary,
                "cells": format_count(cls.card.n_cells),
                "features": format_count(cls.card.n_features),
                "types": format_count(cls.card.n_types),
            }
            for name, cls in sorted(classes.items())
            if cls.card.modality == modality
        ]
        parts += [f"## {heading}\n", table(rows)]
    return "\n".join([*parts, toctree(sorted(classes))])


def dataset_page(name: str, cls: type[Dataset]) -> str:
    """Return the page of a dataset: text, facts, files, parameters, presets."""
    card = cls.card
    parts = [f"# {name}\n", f"*{card.summary}*\n", markdown(cls), facts_list(card_facts(card))]
    if card.files:
        files = [
            {
                "file": f"[{file.name}]({file.source})",
                "size": format_size(file.size or file.approximate_size) or "not stated",
                "checksum": f"`{file.checksum}`" if file.checksum else "none published",
            }
            for file in card.files
        ]
        parts += ["## Files\n", table(files), f"`bench data fetch {name}` fetches them.\n"]
    parts += parameter_tables(cls.Params.describe(), preset_rows(cls.Params.presets))
    return "\n".join(parts)


def card_facts(card: Card) -> dict[str, str]:
    """Return the facts of a dataset by heading."""
    return {
        "data": _MODALITIES[card.modality],
        "organism": card.organism,
        "cells": format_count(card.n_cells),
        "features": format_count(card.n_features),
        "types": format_count(card.n_types),
        "label column": f"`{card.label_key}`",
        "labels from": card.labels_from,
        "batch column": f"`{card.batch_key}`" if card.batch_key else "",
        "source": link_dois(card.reference),
        "licence": card.licence,
        "page of the data": f"<{card.url}>" if card.url else "",
        "checked on an original file": ("yes" if card.verified else "no") if card.files else "",
        "tags": ", ".join(f"`tag:{tag}`" for tag in card.tags),
    }


def parameter_tables(parameters: Sequence[Row], presets: Sequence[Row]) -> list[str]:
    """Return the sections on parameters and presets; empty without any."""
    parts = []
    if parameters:
        rows = [
            {
                "parameter": f"`{row['parameter']}`",
                "meaning": row["meaning"],
                "default": row["default"],
                "values": ", ".join(filter(None, (row["type"], row["valid"]))),
                "search": row["search"],
            }
            for row in parameters
        ]
        parts += ["## Parameters\n", table(rows)]
    if presets:
        rows = [
            {"preset": f"`preset={row['preset']}`", "sets": row["sets"] or "nothing"}
            for row in presets
        ]
        parts += ["## Presets\n", table(rows)]
    return parts


def markdown(cls: type) -> str:
    """Return the docstring of a class as Markdown."""
    text = inspect.getdoc(cls) or ""
    text = re.sub(r":\w+:`[.~]*(\w+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"docs/(\w+)\.md", r"[the guide](../\1.md)", text)
    return link_dois(text) + "\n"


def link_dois(text: str) -> str:
    """Return a text in which every DOI is a link."""
    return re.sub(r"\bdoi[: ]\s?(10\.[^\s,;)]+[^\s,;).])", r"[doi \1](https://doi.org/\1)", text)


def facts_list(facts: Mapping[str, str]) -> str:
    """Return facts as a list; those without a text are left out."""
    return "\n".join(f"* **{name}**: {text}" for name, text in facts.items() if text) + "\n"


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table, without columns that are empty in all of them."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    lines = [names, ["---"] * len(names), *([cell(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(value: object) -> str:
    """Return a value as text that stays in one cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def format_count(number: int | None) -> str:
    """Return a number with commas; an empty text for an unknown one."""
    return "" if number is None else f"{number:,}"


def toctree(names: Iterable[str]) -> str:
    """Return a hidden table of contents."""
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```", ""])

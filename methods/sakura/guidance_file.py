"""A file of knowledge in plain words, not in the original's format: YAML for ``--config``.

signatures:
  rare: {genes: [CD8A, CD8B], hold_out_half: 0}
  islet: {regions: islet.bed, space: own, dim: 2}
marker_lists: lists.gmt
phenotypes:
  donor: {kind: categorical, keys: [donor], adversarial: 1.0}
invariant_genes: [MALAT1]
bulk: {file: bulk.tsv, weight: 5}
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract import read_markers
from bench.errors import UsageError
from bench.yaml_file import read_yaml

from .config_section import Section, unknown_gene
from .features import read_phenotypes
from .guidance import ExtraRows, Guidance, Phenotype, Signature
from .guidance_sources import held_out_half, peaks_in, read_bulk
from .loss_terms import Schedule

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

logger = logging.getLogger(__name__)
_ALL = {"signatures", "marker_lists", "phenotypes", "invariant_genes", "bulk"}
_TERMS = {"score": Schedule(1.0), "mse": Schedule(0.1)}
"""Of a signature whose ``terms`` are not given: the defaults of the method."""
_WHERE = {"space", "dim", "terms", "adversarial", "adversary", "detached"}
_SIGNATURE = _WHERE | {
    "genes", "peaks", "regions", "exclude_from_input", "scale_targets", "hold_out_half",
}  # fmt: skip
_PHENOTYPE = _WHERE | {"kind", "keys", "classes", "class_weight", "scale_targets"}


@dataclass(frozen=True)
class Knowledge:
    """What a file says, matched with the data."""

    guidance: Guidance
    values: dict[str, np.ndarray]
    """Phenotype → values of the cells."""


def read_knowledge(path: Path, adata: AnnData) -> Knowledge:
    """Return what a file of knowledge says of these data (cells × features, with ``obs``).

    Raises ``UsageError`` or ``DataError`` that names file and key: an unknown key, gene or
    column, or a value that is not valid.
    """
    whole = Section(read_yaml(path), path, "", _ALL)
    features = [str(name) for name in adata.var_names]
    signatures: list[Signature] = []
    for name in whole.section("signatures"):
        one = whole.section("signatures").section(name, _SIGNATURE)
        signatures += _signatures(str(name), one, features)
    if "marker_lists" in whole:
        lists = read_markers(_beside(whole, "marker_lists")).lists
        for name, genes in lists.items():
            unknown_gene(whole, "marker_lists", genes, frozenset(features))
            signatures.append(Signature(name, genes, terms=_TERMS))
    phenotypes = [
        _phenotype(str(name), whole.section("phenotypes").section(name, _PHENOTYPE))
        for name in whole.section("phenotypes")
    ]
    invariant = whole.texts("invariant_genes", ())
    unknown_gene(whole, "invariant_genes", invariant, frozenset(features))
    try:
        guidance = Guidance(
            tuple(signatures), tuple(phenotypes), invariant_genes=invariant,
            extra_rows=_bulk(whole, features),
        )  # fmt: skip
        return Knowledge(guidance, read_phenotypes(guidance, adata.obs))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _signatures(name: str, one: Section, features: list[str]) -> list[Signature]:
    """Return the signature, or one for each name of the regions in a BED file."""
    given = [key for key in ("genes", "peaks", "regions") if key in one]
    if len(given) != 1:
        raise UsageError(
            f"{one.file}: {one.where}: {' and '.join(given) or 'nothing'} given; expected one of "
            "genes, peaks, regions (a BED file)."
        )
    (key,) = given
    if key == "regions":
        sets = peaks_in(_beside(one, key), features)
        single = len(sets) == 1
        lists = {name if single else f"{name} {part}": genes for part, genes in sets.items()}
    else:
        lists = {name: one.texts(key)}
        unknown_gene(one, key, lists[name], frozenset(features))
    more: dict[str, Any] = {"terms": _TERMS} | _where(one)
    for key in ("exclude_from_input", "scale_targets"):
        if key in one:
            more[key] = one.flag(key)
    made = []
    for label, genes in lists.items():
        half: tuple[str, ...] = ()
        if "hold_out_half" in one:
            half = held_out_half(label, genes, one.integer("hold_out_half"))
            logger.info(f"signature '{label}': {len(half)} of {len(genes)} are held out: "
                f"{', '.join(half)}")  # fmt: skip
        made.append(_made(one, Signature, label, genes=genes, held_out=half, **more))
    return made


def _phenotype(name: str, one: Section) -> Phenotype:
    more: dict[str, Any] = _where(one)
    for key in ("keys", "classes"):
        if key in one:
            more[key] = one.texts(key)
    for key in ("class_weight", "scale_targets"):
        if key in one:
            more[key] = one.get(key)
    kind = one.choice("kind", ("categorical", "numerical"))
    made: Phenotype = _made(one, Phenotype, name, kind=kind, **more)
    return made


def _where(one: Section) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "space" in one:
        space = one.get("space")
        found["space"] = space if isinstance(space, str) else one.texts("space")
    if "dim" in one:
        found["dim"] = one.integer("dim")
    if "terms" in one:
        terms = one.section("terms")
        found["terms"] = {name: terms.number(name) for name in terms}
    if "adversarial" in one:
        found["adversarial"] = one.number("adversarial")
    if "adversary" in one:
        found["adversary"] = one.choice("adversary", ("confused", "reversed"))
    if "detached" in one:
        found["detached"] = one.flag("detached")
    return found


def _bulk(whole: Section, features: list[str]) -> ExtraRows | None:
    if "bulk" not in whole:
        return None
    one = whole.section("bulk", ("file", "weight"))
    return read_bulk(_beside(one, "file"), features, one.number("weight", 1.0))


def _beside(one: Section, key: str) -> Path:
    named = Path(one.text(key)).expanduser()
    for path in (one.file.parent / named, named):
        if path.is_file():
            return path
    one.fail(key, f"no such file: {named}.")


def _made(one: Section, cls: Any, name: str, **values: Any) -> Any:
    try:
        return cls(name, **values)
    except UsageError as error:
        raise UsageError(f"{one.file}: {one.where}: {error}") from None

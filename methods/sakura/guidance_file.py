"""A YAML file of guidance in plain words, not in the original's format, for ``--config``.

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
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from bench.contract.markers import read_markers
from bench.messages import did_you_mean
from bench.yaml_file import read_yaml

from .config_model import (
    ConfigModel,
    ExistingFile,
    Genes,
    Integer,
    Number,
    Place,
    fail,
    named_errors,
    parse,
    reject,
)
from .features import read_phenotypes
from .guidance import Guidance, Phenotype, Signature, check_genes
from .guidance_sources import held_out_half, peaks_in_regions, read_bulk
from .loss_terms import WeightSchedule
from .network import Layout

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

logger = logging.getLogger(__name__)
_TERMS = {"score": WeightSchedule(1.0), "mse": WeightSchedule(0.1)}
"""Default of the method."""


class SignatureSource(ConfigModel):
    """Genes, peaks, or a BED file of regions with peaks."""

    genes: Genes | None = None
    peaks: Genes | None = None
    regions: ExistingFile | None = None
    hold_out_half: Integer | None = None

    @model_validator(mode="after")
    def _is_unique(self) -> SignatureSource:
        names = [key for key in ("genes", "peaks", "regions") if getattr(self, key) is not None]
        if len(names) != 1:
            given = " and ".join(names) or "nothing"
            message = f"{given} given; expected one of genes, peaks, regions (a BED file)."
            reject(message, when=True)
        return self

    def lists(self, name: str, features: list[str]) -> dict[str, tuple[str, ...]]:
        """Return the genes by signature; a BED file gives a signature for each region name."""
        if self.regions is None:
            return {name: self.genes or self.peaks or ()}
        sets = peaks_in_regions(self.regions, features)
        return {name if len(sets) == 1 else f"{name} {part}": one for part, one in sets.items()}


class BulkSource(ConfigModel):
    file: ExistingFile
    weight: Number = 1.0


class GuidanceFile(ConfigModel):
    """The whole file. Further keys of signatures and phenotypes are fields of their classes."""

    signatures: dict[str, dict[str, Any]] = {}
    marker_lists: ExistingFile | None = None
    phenotypes: dict[str, dict[str, Any]] = {}
    invariant_genes: Genes = ()
    bulk: BulkSource | None = None


def read_guidance(
    path: Path, adata: AnnData, n_latent: int
) -> tuple[Guidance, dict[str, np.ndarray]]:
    """Return guidance and phenotype values from a file for these data (cells × features).

    Raises ``UsageError`` or ``DataError`` that names file and key.
    """
    features = list(map(str, adata.var_names))
    file = parse(GuidanceFile, read_yaml(path), Place(path), features=frozenset(features))
    signatures: list[Signature] = []
    for name, values in file.signatures.items():
        signatures += _signatures(Place(path) / "signatures" / name, values, features)
    if file.marker_lists:
        lists = read_markers(file.marker_lists).lists
        signatures += [Signature(name, genes, terms=_TERMS) for name, genes in lists.items()]
    phenotypes = []
    for name, values in file.phenotypes.items():
        place = Place(path) / "phenotypes" / name
        _check_keys(place, values, Phenotype)
        with named_errors(place):
            phenotypes.append(Phenotype(name, **values))
    bulk = None
    if file.bulk:
        bulk = read_bulk(file.bulk.file, features, file.bulk.weight)
    with named_errors(Place(path)):
        guidance = Guidance(
            tuple(signatures), tuple(phenotypes), file.invariant_genes, extra_rows=bulk
        )
        check_genes(guidance, features)
        Layout(guidance, n_latent)
        return guidance, read_phenotypes(guidance, adata.obs)


def _signatures(
    place: Place, values: Mapping[str, Any], features: list[str]
) -> Iterator[Signature]:
    """Yield one signature, or one for each region name of a BED file."""
    name, own = str(place.keys[-1]), SignatureSource.model_fields
    _check_keys(place, values, Signature)
    given = {key: value for key, value in values.items() if key in own}
    source = parse(SignatureSource, given, place, features=frozenset(features))
    options: dict[str, Any] = {"terms": _TERMS} | {
        key: v for key, v in values.items() if key not in own
    }
    with named_errors(place):
        for label, genes in source.lists(name, features).items():
            half: tuple[str, ...] = ()
            if source.hold_out_half is not None:
                half = held_out_half(label, genes, source.hold_out_half)
                count = f"{len(half)} of {len(genes)} are held out"
                logger.info(f"signature '{label}': {count}: {', '.join(half)}")
            yield Signature(label, genes, **{"held_out": half} | options)


def _check_keys(place: Place, values: Mapping[str, Any], guide: type) -> None:
    known = {one.name for one in fields(guide)} - {"name"}
    known |= set(SignatureSource.model_fields) if guide is Signature else set()
    for key in values:
        if key not in known:
            hint = did_you_mean(str(key), sorted(known))
            fail(place / key, f"unknown key.{hint}", "unknown_key")

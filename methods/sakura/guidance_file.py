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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import model_validator

from bench.contract import peak_intervals, ucsc_chromosome
from bench.contract.markers import read_markers
from bench.errors import DataError
from bench.messages import did_you_mean
from bench.seeds import derive_seed
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
from .guidance import ExtraRows, Guidance, Phenotype, Signature, check_genes
from .loss_terms import WeightSchedule
from .network import Layout

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)
_TERMS = {"score": WeightSchedule(1.0), "mse": WeightSchedule(0.1)}
"""Weights of a signature's losses, as in the method."""


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
        return guidance, read_phenotypes(guidance, adata.obs, adata.obsm)


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


def read_bulk(
    path: Path, features: Sequence[str], weight: float = 1.0, target_sum: float = 1e4
) -> ExtraRows:
    """Return bulk profiles as extra rows, log(1 + x · target_sum / depth).

    The file has raw counts of genes × samples, tab-separated. Genes that are not in ``features``
    count only in the depth of a sample. ``weight``: weight of a sample in the loss, relative to a
    cell. Raises ``DataError`` for values that are no raw counts, or if no gene is in ``features``.
    """
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, index_col=0)
    except (OSError, ValueError) as error:
        message = f"{path}: cannot be read as tab-separated: {error}."
        raise DataError(message, code="unreadable") from None
    counts = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise DataError(
            f"{path}: values that are missing, negative or no numbers; expected raw counts, genes "
            "in rows, samples in columns.",
            code="not_counts",
        )
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        message = f"{path}: gene '{twice}' has several rows; expected one."
        raise DataError(message, code="duplicate_names")
    depth = counts.sum(axis=0)
    if (depth == 0).any():
        message = f"{path}: sample '{table.columns[depth == 0][0]}' has no counts at all."
        raise DataError(message, code="no_counts")
    known = table.index.isin(list(features))
    if not known.any():
        raise DataError(
            f"{path}: none of its {len(table):,} genes (such as '{table.index[0]}') is among the "
            f"{len(features):,} features (such as '{features[0]}').",
            code="unknown_gene",
        )
    n_samples, n_known = table.shape[1], int(known.sum())
    logger.info(f"{path.name}: {n_samples} profiles, {n_known:,} of {len(table):,} genes")
    values = np.log1p(counts * target_sum / depth)[known].T.astype(np.float32)
    genes = tuple(map(str, table.index[known]))
    return ExtraRows(tuple(map(str, table.columns)), genes, values, weight)


def peaks_in_regions(path: Path, peaks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the peaks that overlap the regions of a BED file, by region name.

    Intervals are half-open from 0. Regions without a name take the name of the file. Raises
    ``DataError`` for an invalid line or feature, or if nothing overlaps.
    """
    regions = list(_read_bed(path))
    if not regions:
        raise DataError(f"{path}: no region in it.", code="no_regions")
    intervals, bad = peak_intervals(peaks)
    if bad:
        message = f"{path}: feature '{bad[0]}' is no interval; expected names as chr1:100-200."
        raise DataError(message, code="not_intervals")
    starts, ends = intervals["start"].to_numpy(), intervals["end"].to_numpy()
    chromosomes = intervals["chrom"].to_numpy()
    inside = {name: np.zeros(len(peaks), dtype=bool) for name, *_ in regions}
    for name, chromosome, start, end in regions:
        inside[name] |= (chromosomes == chromosome) & (starts < end) & (start < ends)
    sets = {
        name: tuple(peak for peak, hit in zip(peaks, mask, strict=True) if hit)
        for name, mask in inside.items()
        if mask.any()
    }
    if not sets:
        raise DataError(
            f"{path}: none of the {len(peaks):,} peaks (such as '{peaks[0]}') overlaps one of its "
            f"{len(regions):,} regions; expected the same genome and names of chromosomes.",
            code="no_overlap",
        )
    empty = [name for name in inside if name not in sets]
    counts = f"{len(sets)} sets of peaks, {sum(map(len, sets.values())):,} peaks"
    without = f"; without a peak: {', '.join(empty)}" if empty else ""
    logger.info(f"{path.name}: {counts}{without}")
    return sets


def _read_bed(path: Path) -> Iterator[tuple[str, str, int, int]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        parts = line.split("\t")
        if len(parts) < 3 or not (parts[1].isdigit() and parts[2].isdigit()):
            message = f"{path}: line {number}: expected chromosome, start and end, tab-separated."
            raise DataError(message, code="invalid_line")
        name = parts[3] if len(parts) > 3 and parts[3] else path.stem
        yield name, ucsc_chromosome(parts[0]), int(parts[1]), int(parts[2])


def held_out_half(name: str, genes: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return a random half of a list, fixed by its name and the seed.

    Raises ``UsageError`` for a list of one gene.
    """
    if len(genes) < 2:
        message = f"a list of {len(genes)} gene has no two halves."
        fail(f"signature '{name}'", message, "too_few_genes")
    order = np.random.default_rng(derive_seed(seed, "half", name)).permutation(len(genes))
    chosen = set(order[: len(genes) // 2].tolist())
    return tuple(gene for number, gene in enumerate(genes) if number in chosen)

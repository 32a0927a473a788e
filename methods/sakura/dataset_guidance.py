"""dataset_guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import Context
from bench.errors import DataError
from bench.seeds import derive_seed

from .guidance import Guidance, Phenotype, Signature, resolve
from .loss_terms import Head, Schedule
from .params import GuidedParameters, head_of, phenotype_terms, terms_of

if TYPE_CHECKING:
    from anndata import AnnData


def guidance_of(
    p: GuidedParameters, data: AnnData, context: Context
) -> tuple[Guidance, dict[str, np.ndarray], list[str]]:
    """Return knowledge, values of its phenotypes, and what was left out, from the dataset's own.

    Marker genes that the preparation removed are left out and named. Raises ``DataError`` if the
    dataset has nothing of what the parameters ask for.
    """
    where: dict[str, Any] = {"space": p.space, "dim": p.own_dims if p.space == "own" else None}
    signatures: list[Signature] = []
    phenotypes: list[Phenotype] = []
    values: dict[str, np.ndarray] = {}
    given = context.knowledge
    if p.markers:
        signatures = [
            Signature(
                f"markers {name}", tuple(dict.fromkeys(genes)), head=head_of(p),
                terms=terms_of(p, "score", "mse", "l1", "cosine"),
                exclude_from_input=p.exclude_from_input, scale_targets=p.scale_targets, **where,
            )
            for name, genes in (given.markers or {}).items()
        ]  # fmt: skip
    if p.proteins and given.proteins is not None:
        values["proteins"] = normalized_proteins(given.proteins)
        scaled: dict[str, Any] = {"scale_targets": p.scale_targets, **where}
        terms = phenotype_terms(p, "mse")
        phenotypes.append(
            Phenotype("proteins", "numerical", terms=terms, head=head_of(p), **scaled)
        )
    if p.label_share > 0 and given.labels is not None:
        values["type"] = part_of(given.labels, p.label_share, context.seed)
        terms = phenotype_terms(p, "nll")
        balanced: dict[str, Any] = {"class_weight": "balanced", **where}
        phenotypes.append(
            Phenotype("type", "categorical", terms=terms, head=head_of(p), **balanced)
        )
    if p.batch != "none" and given.batch is not None:
        values["batch"] = given.batch
        phenotypes.append(batch_phenotype(p))
    guidance, notes = resolve(
        Guidance(tuple(signatures), tuple(phenotypes)), list(data.var_names), missing="drop"
    )
    if p.markers and not guidance.signatures:
        raise DataError(
            f"sakura: none of the {len(signatures)} marker lists of the dataset has a gene among "
            f"the {data.n_vars:,} features; give lists with these names, or set markers=false."
        )
    return guidance, values, notes


def batch_phenotype(p: GuidedParameters) -> Phenotype:
    """Return the batch as a confounder."""
    if p.batch == "own":
        return Phenotype("batch", "categorical", space="own", dim=p.own_dims)
    strength = Schedule.ramp(p.adversarial_strength, p.ramp_start, p.adversarial_epochs)
    # A linear adversary is evaded: the code still told simulated batches apart.
    return Phenotype(
        "batch", "categorical", adversarial=strength, adversary=p.adversary,
        class_weight="balanced", head=Head("mlp", hidden=32, layers=2),
    )  # fmt: skip


def normalized_proteins(counts: np.ndarray) -> np.ndarray:
    """Return log(1 + 10,000 x / depth of the cell), (cells, proteins); NaN for an empty cell."""
    depth = counts.sum(axis=1, keepdims=True).astype(np.float64)
    shares = counts / np.where(depth > 0, depth, np.nan)
    return np.log1p(1e4 * shares).astype(np.float32)


def part_of(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the labels of a random share of the cells, ``None`` for the others."""
    n_known = round(share * len(labels))
    order = np.random.default_rng(derive_seed(seed, "labelled")).permutation(len(labels))
    known = np.full(len(labels), None, dtype=object)
    known[order[:n_known]] = np.asarray(labels, dtype=object)[order[:n_known]]
    return known

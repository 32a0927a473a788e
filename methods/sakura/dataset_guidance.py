"""Guidance by the dataset's marker lists, proteins, labels and batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import DataError
from bench.seeds import derive_seed

from .guidance import Guidance, Phenotype, Signature, drop_missing_genes
from .loss_terms import Head, WeightSchedule

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.contract import Context

    from .params import GuidedParameters


def _signatures(
    p: GuidedParameters, lists: Mapping[str, tuple[str, ...]], shared: dict[str, Any]
) -> list[Signature]:
    """Return a signature for each marker list."""
    terms = _terms(p, score=p.guide_score, mse=p.guide_mse)
    return [
        Signature(
            f"markers {name}", tuple(dict.fromkeys(genes)), terms=terms,
            exclude_from_input=p.exclude_from_input, **shared,
        )
        for name, genes in lists.items()
    ]  # fmt: skip


def dataset_guidance(
    params: GuidedParameters, data: AnnData, context: Context
) -> tuple[Guidance, dict[str, np.ndarray], list[str]]:
    """Return the guidance, the phenotype values of the cells and notes on missing genes.

    Raises ``DataError`` if no marker gene is a feature.
    """
    p, knowledge = params, context.knowledge
    shared: dict[str, Any] = {
        "space": p.space, "dim": p.own_dims if p.space == "own" else None,
        "head": Head(p.head, hidden=p.head_hidden, layers=p.head_layers),
        "scale_targets": p.scale_targets,
    }  # fmt: skip
    signatures = _signatures(p, knowledge.markers or {}, shared) if p.markers else []
    phenotypes: list[Phenotype] = []
    values: dict[str, np.ndarray] = {}
    if p.proteins and knowledge.proteins is not None:
        values["proteins"] = normalize_proteins(knowledge.proteins)
        terms = _terms(p, mse=p.guide_phenotypes)
        names = knowledge.protein_names or ()
        phenotypes.append(Phenotype("proteins", "numerical", names, terms=terms, **shared))
    if p.label_share > 0 and knowledge.labels is not None:
        values["type"] = hide_labels(knowledge.labels, p.label_share, context.seed)
        weight = WeightSchedule.ramp(p.guide_phenotypes, p.ramp_start, p.ramp_epochs)
        phenotypes.append(
            Phenotype(
                "type", "categorical", terms={"nll": weight}, class_weight="balanced", **shared
            )
        )
    if p.batch != "none" and knowledge.batch is not None:
        values["batch"] = knowledge.batch
        phenotypes.append(batch_phenotype(p))
    guidance, notes = drop_missing_genes(
        Guidance(tuple(signatures), tuple(phenotypes)), list(data.var_names)
    )
    if p.markers and not guidance.signatures:
        raise DataError(
            f"sakura: none of the {len(signatures)} marker lists of the dataset has a gene among "
            f"the {data.n_vars:,} features; give lists of feature names, or set markers=false.",
            code="unknown_gene",
        )
    return guidance, values, notes


def _terms(params: GuidedParameters, **weights: float) -> dict[str, WeightSchedule]:
    """Return the weight schedules of all terms with a final weight above 0."""
    final = weights | {"l1": params.guide_l1, "cosine": params.guide_cosine}
    return {
        name: WeightSchedule.ramp(float(weight), params.ramp_start, params.ramp_epochs)
        for name, weight in final.items()
        if weight
    }


def batch_phenotype(params: GuidedParameters) -> Phenotype:
    """Return the phenotype that removes the batch, or gives it dimensions of its own."""
    p = params
    if p.batch == "own":
        return Phenotype("batch", "categorical", space="own", dim=p.own_dims)
    strength = WeightSchedule.ramp(p.adversarial_strength, p.ramp_start, p.adversarial_epochs)
    # A linear adversary is evaded: simulated batches stayed apart in the code.
    return Phenotype(
        "batch", "categorical", adversarial=strength, adversary=p.adversary,
        class_weight="balanced", head=Head("mlp", hidden=32, layers=2),
    )  # fmt: skip


def normalize_proteins(counts: np.ndarray) -> np.ndarray:
    """Return log(1 + 10,000 x / depth), (cells, proteins); NaN for a cell without proteins."""
    depth = counts.sum(axis=1, keepdims=True).astype(np.float64)
    shares = counts / np.where(depth > 0, depth, np.nan)
    return np.log1p(1e4 * shares).astype(np.float32)


def hide_labels(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the labels of a random share of the cells, and ``None`` for the others."""
    n_labelled = round(share * len(labels))
    order = np.random.default_rng(derive_seed(seed, "labelled")).permutation(len(labels))
    labelled = np.full(len(labels), None, dtype=object)
    labelled[order[:n_labelled]] = np.asarray(labels, dtype=object)[order[:n_labelled]]
    return labelled

"""Translation of the original's signatures and phenotypes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.messages import did_you_mean

from ..config_model import Place, fail, lookup, named_errors, parse, require
from ..guidance import Guidance, Guide, Phenotype, Signature
from ..loss_terms import Binarize, HeadKind, PriorKind, Regularizer, WeightSchedule
from .schema import (
    ExcludeConfig,
    GuideConfig,
    HeadConfig,
    LossConfig,
    PhenotypeConfig,
    PriorConfig,
    SignatureConfig,
    SplitConfig,
    WeightConfig,
)

logger = logging.getLogger(__name__)
_HEADS: dict[str, HeadKind] = {
    "LinRegressor": "linear", "LinClassifier": "linear", "FCRegressor": "mlp",
    "FCClassifier": "mlp", "bypass": "identity", "Identity": "identity", "identity": "identity",
}  # fmt: skip
_LOSSES = {
    "MSE": "mse", "L2": "mse", "L1": "l1", "Cosine": "cosine", "BCE": "bce", "NLL": "nll",
    "L1_norm": "l1_norm", "L2_norm": "l2_norm",
}  # fmt: skip
_PRIORS: dict[str, PriorKind | None] = {
    "SW2_uniform": "uniform", "SW2_uniform_supervised": "uniform",
    "SW2_gaussian_mixture": "gaussian_mixture",
    "SW2_gaussian_mixture_supervised": "gaussian_mixture", "SW2_ring2d": "ring",
    "L1_regularization": "l1", "L2_regularization": "l2", "KL_gaussian_mixture": None,
    "euclidean_anchor": None, "L0_regularization": None, "SW2": None, "none": None,
}  # fmt: skip
"""Name in a file → kind; ``None``: did not work in the original."""


@dataclass(frozen=True)
class OriginalGuide:
    """A guide, and the parts of its configuration that the story needs."""

    guide: Guide
    split: SplitConfig
    place: Place
    terms: Mapping[str, Mapping[str, str]]
    """``loss`` and ``regularization`` → name in the file → term, "" if ignored."""


def translate_signature(values: Any, place: Place, features: Collection[str]) -> OriginalGuide:
    """Return a signature; raises ``UsageError`` for an unknown gene or a wrong width."""
    config = parse(SignatureConfig, values, place, features=features)
    if config.width not in (None, len(config.genes)):
        message = f"{config.width}, but signature_list has {len(config.genes)} genes."
        fail(place / "signature_out_dim", message, "wrong_width")
    options = _shared_options(config, place, ("mse", "l1", "cosine", "bce"), "FCRegressor")
    with named_errors(place):
        signature = Signature(
            str(place.keys[-1]), config.genes, exclude_from_input=config.exclude_from_input,
            dim=config.dim, binarize=_binarize(config, place), **options,
        )  # fmt: skip
    return _with_terms(config, signature, place)


def translate_phenotype(values: Any, place: Place, columns: Mapping[str, int]) -> OriginalGuide:
    """Return a phenotype; ``columns``: number of values of each column and embedding.

    Raises ``UsageError`` for a missing column or a wrong width.
    """
    config = parse(PhenotypeConfig, values, place)
    categorical, name = config.type == "categorical", str(place.keys[-1])
    keys: tuple[str, ...]
    losses: tuple[str, ...]
    cut = [step for step in config.post_procedure if step.type == "ToKBins"]
    bins = cut[-1] if cut and categorical else None
    if cut and not categorical:
        logger.info(f"{place / 'post_procedure'}: ToKBins is for categorical phenotypes")
    if categorical:
        key, keys = "pheno_df_key", (require(config.pheno_df_key, place / "pheno_df_key"),)
        losses, default = ("nll",), "FCClassifier"
        n_values = bins.n_bins if bins else len(config.order)
    else:
        key, keys = "pheno_df_keys", require(config.pheno_df_keys, place / "pheno_df_keys")
        losses, default = ("mse", "l1", "cosine"), "FCRegressor"
        n_values = sum(columns.get(column, 1) for column in keys)
    for column in keys:
        if column not in columns:
            hint = did_you_mean(column, list(columns)) or " The cells have no columns."
            fail(place / key, f"no column '{column}'.{hint}", "unknown_column")
    if n_values and config.width not in (None, n_values):
        noun = "classes in order" if categorical else "columns"
        message = f"{config.width}, but there are {n_values} {noun}."
        fail(place / "pheno_out_dim", message, "wrong_width")
    if _binarize(config, place) is not None:
        logger.info(f"{place / 'post_procedure'}: ToBinary is left out of phenotypes")
    labels = name if categorical else ""
    options = _shared_options(config, place, losses, default, labels)
    if bins:
        options |= {"bins": bins.n_bins, "bin_edges": bins.strategy}
    elif categorical:
        options["classes"] = config.order
    with named_errors(place):
        phenotype = Phenotype(name, config.type, keys, dim=config.dim, **options)
    return _with_terms(config, phenotype, place)


def _with_terms(config: GuideConfig, guide: Guide, place: Place) -> OriginalGuide:
    losses = {name: _LOSSES[one.type] for name, one in config.loss.items()}
    priors = {
        name: f"prior_{_PRIORS.get(one.type)}" for name, one in config.regularization.items()
    }
    used = {*guide.terms, *(one.name for one in guide.regularizers)}
    parts = {"loss": losses, "regularization": priors}
    return OriginalGuide(guide, config.split, place, {
        part: {name: term if term in used else "" for name, term in terms.items()}
        for part, terms in parts.items()
    })  # fmt: skip


def _shared_options(
    config: GuideConfig, place: Place, losses: Sequence[str], default: str, labels: str = ""
) -> dict[str, Any]:
    """Return the fields that signatures and phenotypes share."""
    flags = {
        "enable_GRL": [one.enable_grl for one in config.loss.values()],
        "enable_GNL": [one.enable_gnl for one in config.loss.values()],
    }
    for key, values in flags.items():
        if any(values) and not all(values):
            message = f"{key} on some losses only; set it on all losses of a head or on none."
            fail(place / "loss", message, "invalid_value")
    if config.head.type is None:
        logger.info(f"{place}: no type of model is given: {default} is taken")
    kind = lookup(_HEADS, config.head.type or default, place / "model" / "type")
    head: dict[str, Any] = {"kind": kind}
    if config.head.activation is not None:
        head["output_activation"] = config.head.activation
    if kind == "mlp":
        sizes = {"hidden": config.head.width, "layers": config.head.n_layers}
        head |= {name: size for name, size in sizes.items() if size is not None}
        head |= config.head.dropout_rates
    return {
        "head": head,
        "space": _space(config.head, place / "model"),
        "terms": translate_losses(config.loss, place, losses),
        "regularizers": translate_priors(config.regularization, place, labels),
        "adversarial": WeightSchedule() if any(flags["enable_GRL"]) else None,
        "adversary": "reversed",
        "detached": any(flags["enable_GNL"]) and not any(flags["enable_GRL"]),
        "scale_targets": False,
    }


def _space(head: HeadConfig, place: Place) -> str | tuple[str, ...]:
    """Return the part of the latent space that a head reads."""
    if not head.attach:
        return "own"
    kind, key = require(head.attach_to, place / "attach_to"), head.attach_key
    if kind in ("main_lat", "all_lat"):
        return kind.removesuffix("_lat")
    require(key, place / "attach_key")
    if isinstance(key, str) == (kind == "multiple"):
        expected = "a list of parts" if kind == "multiple" else "a name"
        fail(place / "attach_key", f"expected {expected} for {kind}.", "invalid_value")
    if not isinstance(key, tuple):
        return str(key)
    keys = [
        "main" if part.type == "main" else require(part.key, place / "attach_key" / number / "key")
        for number, part in enumerate(key)
    ]
    return tuple(keys)


def _binarize(config: GuideConfig, place: Place) -> Binarize | None:
    if isinstance(config, SignatureConfig) and any(
        step.type == "ToKBins" for step in config.post_procedure
    ):
        logger.info(f"{place / 'post_procedure'}: ToKBins is for categorical phenotypes")
    binary = [step for step in config.post_procedure if step.type == "ToBinary"]
    return (
        Binarize(binary[-1].threshold, binary[-1].inverse, binary[-1].scale_factor)
        if binary
        else None
    )


def translate_losses(
    losses: Mapping[str, LossConfig], place: Place, known: Sequence[str]
) -> dict[str, WeightSchedule]:
    """Return the weight of each loss; losses for other targets are logged and ignored."""
    terms: dict[str, WeightSchedule] = {}
    for name, one in losses.items():
        here = place / "loss" / name
        kind = lookup(_LOSSES, one.type, here / "type")
        if kind not in known:
            possible = f"it cannot be computed here (possible: {', '.join(known)})"
            logger.info(f"{here}: {one.type} is left out: {possible}")
            continue
        if kind in terms:
            message = f"a second loss of type {one.type}; join their weights."
            fail(here / "type", message, "duplicate_names")
        terms[kind] = _schedule(one, here)
    return terms


def translate_priors(
    priors: Mapping[str, PriorConfig], place: Place, labels: str = ""
) -> tuple[Regularizer, ...]:
    """Return the regularisers; ``labels``: the phenotype of labelled priors."""
    regularizers = []
    for name, one in priors.items():
        here = place / "regularization" / name
        kind = lookup(_PRIORS, one.type, here / "type")
        if kind is None:
            if one.type != "none":
                logger.info(f"{here}: {one.type} is left out: it never worked in the original")
            continue
        if one.enable_grl or one.enable_gnl:
            logger.info(f"{here}: enable_GRL and enable_GNL act on losses only")
        options: dict[str, Any] = {}
        if kind == "uniform":
            options = {"low": one.low, "high": one.high}
        if kind == "gaussian_mixture":
            options = {
                "n_components": one.n_components, "radial_sd": one.radial_sd,
                "tangential_sd": one.tangential_sd,
            }  # fmt: skip
        if one.type.endswith("_supervised") and labels:
            options |= {"labels": labels, "offsets": one.offsets}
        elif one.type.endswith("_supervised"):
            reason = "no categorical phenotype gives its labels: taken without labels"
            logger.info(f"{here}: {reason}")
        schedule = _schedule(one, here)
        with named_errors(here):
            options["n_projections"] = one.n_projections
            regularizers.append(Regularizer(kind, schedule, **options))
    return tuple(regularizers)


def _schedule(one: WeightConfig, place: Place) -> WeightSchedule:
    options: dict[str, Any] = {"cap": one.cap, "floor": one.floor}
    if one.mode == "increment":
        options["step"] = one.change
    elif one.change != 1.0 and one.weight == 0 and not one.floor:
        logger.info(f"{place}: a factor leaves its weight of 0 at 0")
    elif one.change != 1.0:
        options["growth"] = one.change
    with named_errors(place):
        weight = require(one.weight, place / "init_weight")
        return WeightSchedule(weight=weight, start_epoch=one.start_epoch, **options)


def frozen_parts(
    excludes: Sequence[ExcludeConfig], guidance: Guidance, place: Place
) -> tuple[str, ...]:
    """Return the parts that do not learn; an entry without a name means all of its type."""
    own = [guide.name for guide in guidance.guides if guide.parts == ("own",)]
    signatures = [one.name for one in guidance.signatures]
    phenotypes = [one.name for one in guidance.phenotypes]
    parts = {
        "pre_encoder": {"": "pre_encoder"},
        "main_latent_compressor": {"": "main"},
        "decoder": {"": "decoder"},
        "signature_latent_compressors": {name: name for name in signatures if name in own},
        "signature_regressors": {name: f"head:{name}" for name in signatures},
        "pheno_latent_compressors": {name: name for name in phenotypes if name in own},
        "pheno_models": {name: f"head:{name}" for name in phenotypes},
    }
    frozen: list[str] = []
    for number, one in enumerate(excludes):
        named = lookup(parts, one.type, place / number / "type")
        if one.name is None or "" in named:
            frozen += named.values()
        else:
            frozen.append(lookup(named, one.name, place / number / "name"))
    return tuple(dict.fromkeys(frozen))

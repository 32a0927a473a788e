"""The original's ``signature_config`` and ``pheno_config`` as typed objects."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any, TypedDict

from bench.errors import UsageError
from bench.messages import did_you_mean

from ..config_section import Section, unknown_gene
from ..guidance import Guidance, Phenotype, Signature
from ..loss_terms import Activation, Binarize, Head, HeadKind, Regularizer, Schedule

logger = logging.getLogger(__name__)
TermNames = dict[str, dict[str, str]]
"""``loss`` and ``regularization`` → name in the file → name of the term."""
_LOSSES = {
    "MSE": "mse", "L2": "mse", "L1": "l1", "Cosine": "cosine", "BCE": "bce", "NLL": "nll",
    "L1_norm": "l1_norm", "L2_norm": "l2_norm",
}  # fmt: skip
_PRIORS = {
    "SW2_uniform": "uniform", "SW2_uniform_supervised": "uniform",
    "SW2_gaussian_mixture": "gaussian_mixture",
    "SW2_gaussian_mixture_supervised": "gaussian_mixture", "SW2_ring2d": "ring",
    "L1_regularization": "l1", "L2_regularization": "l2",
}  # fmt: skip
_NO_PRIORS = ("KL_gaussian_mixture", "euclidean_anchor", "L0_regularization", "SW2")
_HEADS: dict[str, HeadKind] = {
    "LinRegressor": "linear", "LinClassifier": "linear", "FCRegressor": "mlp",
    "FCClassifier": "mlp", "bypass": "identity", "Identity": "identity", "identity": "identity",
}  # fmt: skip
_ACTIVATIONS: tuple[Activation, ...] = ("identity", "relu", "sigmoid", "softmax")
_WEIGHT = {
    "type", "init_weight", "progressive_const", "progressive_start_epoch", "progressive_mode",
    "max_weight", "min_weight", "enable_GRL", "enable_GNL", "remarks",
}  # fmt: skip
_PRIOR = _WEIGHT | {
    "SW2_num_projections", "uniform_low", "uniform_high", "uniform_n_labels",
    "uniform_label_offsets", "gaussian_mixture_n_labels", "gaussian_mixture_x_var",
    "gaussian_mixture_y_var",
}  # fmt: skip
_MODEL = {
    "type", "hidden_neurons", "hidden_layers", "output_activation_function", "dropout",
    "dropout_input", "dropout_hidden", "dropout_input_p", "dropout_hidden_p", "attach",
    "attach_to", "attach_key", "remarks",
}  # fmt: skip
_SHARED = {
    "pre_procedure", "post_procedure", "split", "loss", "regularization", "model",
    "encoder_config", "remarks",
}  # fmt: skip
SIGNATURE_KEYS = _SHARED | {
    "signature_list", "signature_lat_dim", "signature_out_dim", "exclude_from_input",
}  # fmt: skip
PHENOTYPE_KEYS = _SHARED | {
    "type", "pheno_df_key", "pheno_df_keys", "order", "pheno_lat_dim", "pheno_out_dim",
}  # fmt: skip
_STEPS = {
    "ToTensor": {"type", "force_tensor_type", "input_type"},
    "ToBinary": {"type", "threshold", "inverse", "scale_factor"},
    "ToOrdinal": {"type", "order", "handle_unknown"},
    "ToOnehot": {"type", "order"},
    "ToKBins": {"type", "n_bins", "encode", "strategy"},
}


def schedule_of(item: Section) -> Schedule:
    """Return the weight of one loss or regulariser."""
    weight = item.number("init_weight")
    const = item.number("progressive_const", 1.0)
    added = item.choice("progressive_mode", ("multiply", "increment"), "multiply") == "increment"
    bounds: dict[str, Any] = {
        "cap": item.number("max_weight") if "max_weight" in item else None,
        "floor": item.number("min_weight") if "min_weight" in item else None,
    }
    if added:
        bounds["step"] = const
    elif const != 1.0 and weight == 0 and not bounds["floor"]:
        logger.info(f"{item.file}: {item.where}: a factor leaves its weight of 0 at 0")
    elif const != 1.0:
        bounds["growth"] = const
    try:
        return Schedule(weight, item.integer("progressive_start_epoch", 0), **bounds)
    except UsageError as error:
        raise UsageError(f"{item.file}: {item.where}: {error}") from None


def losses_of(guide: Section, known: Collection[str]) -> dict[str, Schedule]:
    """Return the terms by loss; a loss that is made for other targets is named and left out."""
    terms: dict[str, Schedule] = {}
    for name in guide.section("loss"):
        item = guide.section("loss").section(name, _WEIGHT)
        kind = _LOSSES[item.choice("type", _LOSSES)]
        if kind not in known:
            logger.info(f"{item.file}: {item.where}: {item.text('type')} is left out: it cannot be "
                f"computed here (possible: {', '.join(known)})")  # fmt: skip
            continue
        if kind in terms:
            item.fail("type", f"a second loss of type {item.text('type')}; join their weights.")
        terms[kind] = schedule_of(item)
    return terms


def regularizers_of(guide: Section, labels: str = "") -> tuple[Regularizer, ...]:
    """Return the regularisers; ``labels``: the phenotype that a labelled prior follows."""
    found = []
    for name in guide.section("regularization"):
        item = guide.section("regularization").section(name, _PRIOR)
        kind = item.choice("type", {*_PRIORS, *_NO_PRIORS, "none"})
        if kind == "none":
            continue
        if kind in _NO_PRIORS:
            logger.info(
                f"{item.file}: {item.where}: {kind} is left out: it never worked in the original"
            )
            continue
        if item.flag("enable_GRL") or item.flag("enable_GNL"):
            logger.info(f"{item.file}: {item.where}: enable_GRL and enable_GNL act on losses only")
        labelled = kind.endswith("_supervised") and bool(labels)
        if kind.endswith("_supervised") and not labels:
            logger.info(f"{item.file}: {item.where}: no categorical phenotype says the labels of {kind}: "
                "taken without labels")  # fmt: skip
        more: dict[str, Any] = {"labels": labels} if labelled else {}
        if labelled and "uniform_label_offsets" in item:
            rows = item.objects("uniform_label_offsets")
            if not all(isinstance(row, list) for row in rows):
                item.fail("uniform_label_offsets", "expected one list of numbers a label.")
            more["offsets"] = tuple(tuple(float(value) for value in row) for row in rows)
        if _PRIORS[kind] == "gaussian_mixture":
            more["n_components"] = item.integer("gaussian_mixture_n_labels", 10)
            more["radial_sd"] = item.number("gaussian_mixture_x_var", 0.5)
            more["tangential_sd"] = item.number("gaussian_mixture_y_var", 0.1)
        if _PRIORS[kind] == "uniform":
            more["low"] = item.number("uniform_low", -10.0)
            more["high"] = item.number("uniform_high", 10.0)
        more["n_projections"] = item.integer("SW2_num_projections", 50)
        try:
            found.append(Regularizer(_PRIORS[kind], schedule_of(item), **more))
        except UsageError as error:
            raise UsageError(f"{item.file}: {item.where}: {error}") from None
    return tuple(found)


class Dropout(TypedDict):
    """Shares of values that are dropped."""

    dropout_input: float
    dropout_hidden: float


def term_names(guide: Section, made: Signature | Phenotype) -> TermNames:
    """Return how each loss and regulariser of a guide in a file is called here, "" if left out."""
    losses, priors = guide.section("loss"), guide.section("regularization")
    loss = {name: _LOSSES[losses.section(name).text("type")] for name in losses}
    kinds = {name: _PRIORS.get(priors.section(name).text("type"), "") for name in priors}
    there = {one.kind for one in made.regularizers}
    return {
        "loss": {name: kind if kind in made.terms else "" for name, kind in loss.items()},
        "regularization": {
            name: f"prior_{kind}" if kind in there else "" for name, kind in kinds.items()
        },
    }


def dropout_of(model: Section) -> Dropout:
    """Return the shares that are dropped; without the master switch nothing is."""

    def share(name: str) -> float:
        on = model.flag("dropout") and model.flag(name)
        return model.number(f"{name}_p", 0.5) if on else 0.0

    return {"dropout_input": share("dropout_input"), "dropout_hidden": share("dropout_hidden")}


def _head(guide: Section, default: str) -> tuple[Head, Section]:
    model = guide.section("model", _MODEL)
    if "model" not in guide:
        logger.info(f"{guide.file}: {guide.where}: no model is given: {default} is taken")
    kind = _HEADS[model.choice("type", _HEADS, default)]
    hidden = model.get("hidden_neurons", 5)
    activation = model.choice("output_activation_function", _ACTIVATIONS, "identity")
    width = tuple(hidden) if isinstance(hidden, list) else model.integer("hidden_neurons", 5)
    try:
        if kind != "mlp":
            return Head(kind, output_activation=activation), model
        return Head(
            "mlp", hidden=width, layers=model.integer("hidden_layers", 3),
            output_activation=activation, **dropout_of(model),
        ), model  # fmt: skip
    except UsageError as error:
        raise UsageError(f"{model.file}: {model.where}: {error}") from None


def _space(model: Section) -> str | tuple[str, ...]:
    """Return what the head reads."""
    if not model.flag("attach"):
        return "own"
    kinds = ("main_lat", "signature_lat", "pheno_lat", "all_lat", "multiple")
    kind = model.choice("attach_to", kinds)
    if kind == "main_lat":
        return "main"
    if kind == "all_lat":
        return "all"
    if kind != "multiple":
        return model.text("attach_key")
    parts = []
    for number, values in enumerate(model.objects("attach_key")):
        one = Section(values, model.file, f"{model.path('attach_key')}[{number}]", ("type", "key"))
        type_ = one.choice("type", ("main", "signature", "pheno"))
        parts.append("main" if type_ == "main" else one.text("key"))
    return tuple(parts)


def _common(guide: Section, kind: str, default: str, known: Sequence[str]) -> Any:
    """Return what signatures and phenotypes share, as keyword arguments."""
    head, model = _head(guide, default)
    if "encoder_config" in guide:
        logger.info(
            f"{guide.file}: {guide.path('encoder_config')}: own dimensions have one layer here"
        )
    if guide.objects("pre_procedure"):
        logger.info(f"{guide.file}: {guide.path('pre_procedure')}: ignored, as in the original")
    items = [guide.section("loss").section(name, _WEIGHT) for name in guide.section("loss")]
    reversed_ = [item.flag("enable_GRL") for item in items]
    stopped = [item.flag("enable_GNL") for item in items]
    for name, flags in (("enable_GRL", reversed_), ("enable_GNL", stopped)):
        if any(flags) and not all(flags):
            guide.fail("loss", f"{name} on some losses only; a head is reversed whole or not.")
    adversarial = Schedule() if items and all(reversed_) else None
    return {
        "head": head,
        "space": _space(model),
        "dim": guide.integer(f"{kind}_lat_dim"),
        "terms": losses_of(guide, known),
        "adversarial": adversarial,
        "adversary": "reversed",
        "detached": bool(items) and all(stopped) and adversarial is None,
        "scale_targets": False,
    }


def _procedure(guide: Section) -> Binarize | None:
    """Return the binarisation of the targets, if one is asked for."""
    found = None
    for number, values in enumerate(guide.objects("post_procedure")):
        where = f"{guide.path('post_procedure')}[{number}]"
        step = Section(values, guide.file, where)
        kind = step.choice("type", _STEPS)
        step = Section(values, guide.file, where, _STEPS[kind])
        if kind == "ToBinary":
            found = Binarize(
                step.number("threshold", 0.0), step.flag("inverse"),
                step.number("scale_factor", 1.0),
            )  # fmt: skip
        elif kind == "ToKBins":
            logger.info(
                f"{step.file}: {where}: ToKBins is left out: the original cuts every batch anew"
            )
    return found


def signature_of(name: str, config: Section, features: Collection[str]) -> Signature:
    """Return one signature; raises ``UsageError`` for an unknown gene or a wrong width."""
    guide = config.section(name, SIGNATURE_KEYS)
    genes = guide.texts("signature_list")
    width = guide.integer("signature_out_dim", len(genes))
    if width != len(genes):
        guide.fail("signature_out_dim", f"{width}, but signature_list has {len(genes)} genes.")
    unknown_gene(guide, "signature_list", genes, features)
    values = _common(guide, "signature", "FCRegressor", ("mse", "l1", "cosine", "bce"))
    return _made(
        guide, Signature, name, genes=genes, exclude_from_input=guide.flag("exclude_from_input"),
        binarize=_procedure(guide), regularizers=regularizers_of(guide), **values,
    )  # fmt: skip


def phenotype_of(name: str, config: Section, columns: Sequence[str]) -> Phenotype:
    """Return one phenotype; raises ``UsageError`` for a missing column or a wrong width."""
    guide = config.section(name, PHENOTYPE_KEYS)
    categorical = guide.choice("type", ("categorical", "numerical")) == "categorical"
    key = "pheno_df_key" if categorical else "pheno_df_keys"
    keys = (guide.text(key),) if categorical else guide.texts(key)
    classes = guide.texts("order", ()) if categorical else ()
    for column in keys:
        if column not in columns:
            hint = did_you_mean(column, list(columns)) or " The cells have no columns."
            guide.fail(key, f"no column '{column}'.{hint}")
    expected = len(classes) if categorical else len(keys)
    width = guide.integer("pheno_out_dim", expected)
    if expected and width != expected:
        what = f"order has {expected} classes" if categorical else f"{key} has {expected} columns"
        guide.fail("pheno_out_dim", f"{width}, but {what}.")
    default = "FCClassifier" if categorical else "FCRegressor"
    known = ("nll",) if categorical else ("mse", "l1", "cosine")
    if _procedure(guide) is not None:
        logger.info(
            f"{guide.file}: {guide.path('post_procedure')}: ToBinary is left out of phenotypes"
        )
    return _made(
        guide, Phenotype, name, kind="categorical" if categorical else "numerical", keys=keys,
        classes=classes, regularizers=regularizers_of(guide, name if categorical else ""),
        **_common(guide, "pheno", default, known),
    )  # fmt: skip


def _made(guide: Section, cls: Any, name: str, **values: Any) -> Any:
    try:
        return cls(name, **values)
    except UsageError as error:
        raise UsageError(f"{guide.file}: {guide.where}: {error}") from None


def excluded_parts(optimizer: Section, guidance: Guidance) -> tuple[str, ...]:
    """Return the parts that the optimiser leaves as they are; without a name: all of a type."""
    own = {one.name for one in guidance.guides if one.parts == ("own",)}
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
    found: list[str] = []
    for number, values in enumerate(optimizer.objects("excludes")):
        where = f"{optimizer.path('excludes')}[{number}]"
        item = Section(values, optimizer.file, where, ("type", "name", "remarks"))
        named = parts[item.choice("type", parts)]
        if "name" in item and "" not in named:
            found.append(named[item.choice("name", named)])
        else:
            found += named.values()
    return tuple(dict.fromkeys(found))

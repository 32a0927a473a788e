"""Signatures and phenotypes that guide the latent space.

A head reads part of the latent space and predicts the genes of a :class:`Signature` or the values
of a :class:`Phenotype`. Its losses and regularisers are terms, each with a
:class:`~.loss_terms.WeightSchedule`. A confounder is removed with ``adversarial``, or gets
dimensions of its own with ``space="own"``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from bench.errors import UsageError
from bench.messages import did_you_mean

from .config_model import fail, reject, unknown_gene
from .loss_terms import CHECKED, Binarize, Head, Positive, Regularizer, Weight, WeightSchedule

if TYPE_CHECKING:
    import numpy as np

SIGNATURE_LOSSES = ("mse", "l1", "cosine", "score", "bce")
CATEGORICAL_LOSSES = ("nll",)
NUMERICAL_LOSSES = ("mse", "l1", "cosine")
RECONSTRUCTION_LOSSES = ("mse", "l1", "cosine", "l1_norm", "l2_norm")
Adversary = Literal["reversed", "confused"]
"""How a confounder is removed. ``reversed``: the head's gradient is multiplied by minus the
strength; the head's error has no bound (Ganin and Lempitsky 2015). ``confused``: a loss draws the
head's output to equal classes or the mean (Tzeng et al. 2015, simultaneous deep transfer across
domains)."""
INVARIANT = "invariant_genes"
EMBEDDING = "obsm:"
"""Prefix of the name of an embedding among the keys of a phenotype."""


def check_losses(terms: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise a validation error for a loss that is not ``known``."""
    for name in terms:
        message = f"no loss '{name}'.{did_you_mean(name, list(known))}"
        reject(message, when=name not in known, code="unknown_name", key="terms")


@dataclass(frozen=True, config=CHECKED)
class _Guide:
    """Fields of signatures and phenotypes."""

    name: str
    _: KW_ONLY
    space: str | tuple[str, ...] = "main"
    """Input of the head: ``main``, ``own`` (``dim`` new dimensions), ``all``, or names of guides
    with own dimensions."""
    dim: Positive | None = None
    """Number of own dimensions; else the expected width of ``space``."""
    regularizers: tuple[Regularizer, ...] = ()
    adversarial: Weight | None = None
    """Strength of the removal; ``None``: the latent space learns the guide."""
    adversary: Adversary = "confused"
    detached: bool = False
    """The head has no gradient to the latent space."""
    scale_targets: bool = True
    """Signature: unit variance of each target, so that no gene outweighs the others. Numerical
    phenotype: also zero mean."""
    head: Head = Head()

    def __post_init__(self) -> None:
        reject("the name is empty.", when=not self.name.strip(), code="missing_names")
        taken = self.name in ("main", "all", "own")
        reject(f"the name '{self.name}' means a part of the latent space.", when=taken)
        no_dim = self.parts == ("own",) and self.dim is None
        reject("space='own' needs dim, its dimensions.", when=no_dim, code="missing_key")
        reject("space is empty; give main, own, all or names.", when=not any(self.parts))
        two = self.adversarial is not None and self.detached
        reject("adversarial and detached exclude each other.", when=two)

    @property
    def categorical(self) -> bool:
        return getattr(self, "kind", "") == "categorical"

    @property
    def owner(self) -> str:
        return f"{type(self).__name__.lower()} '{self.name}'"

    @property
    def parts(self) -> tuple[str, ...]:
        """``own``, ``all``, or ``main`` and names of guides with own dimensions."""
        return (self.space,) if isinstance(self.space, str) else self.space


@dataclass(frozen=True, config=CHECKED)
class Signature(_Guide):
    """Genes or peaks that a head predicts from the latent space."""

    genes: Annotated[tuple[str, ...], Field(min_length=1)]
    terms: Annotated[Mapping[str, Weight], Field(min_length=1)] = Field(
        default_factory=lambda: {"mse": WeightSchedule()}
    )
    """Loss of ``SIGNATURE_LOSSES`` → weight."""
    exclude_from_input: bool = False
    """Genes are neither input nor reconstructed."""
    binarize: Binarize | None = None
    held_out: tuple[str, ...] = ()
    """Genes that the head does not predict, for a score on genes that did not guide."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for gene in self.genes:
            twice = self.genes.count(gene) > 1
            reject(f"'{gene}' is given twice.", when=twice, code="duplicate_names", key="genes")
        for gene in self.held_out:
            other = gene not in self.genes
            reject(f"'{gene}' is not in genes.", when=other, code="unknown_gene", key="held_out")
        reject("held_out leaves no gene to guide.", when=not self.targets)
        check_losses(self.terms, SIGNATURE_LOSSES)
        probabilities = self.head.output_activation == "sigmoid"
        binary = self.binarize is not None and self.binarize.scale == 1.0
        message = "bce needs binarize with scale 1, and a head with output_activation='sigmoid'."
        reject(message, when="bce" in self.terms and not (binary and probabilities), key="terms")

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(gene for gene in self.genes if gene not in self.held_out)


@dataclass(frozen=True, config=CHECKED)
class Phenotype(_Guide):
    """Class or numbers of each cell; NaN and ``None`` mean unknown."""

    kind: Literal["categorical", "numerical"]
    keys: tuple[str, ...] = ()
    """Columns of the cells' table, or ``obsm:NAME`` for all of an embedding (numerical only);
    default: the column ``name``."""
    classes: tuple[str, ...] = ()
    """Classes in order; default: those that occur, sorted. Other classes count as unknown."""
    terms: Mapping[str, Weight] = Field(default_factory=dict)
    """Loss → weight; default: ``nll`` or ``mse`` with weight 1."""
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    """``balanced``: inverse to the class size, with mean 1 over the cells."""
    bins: Annotated[int, Field(ge=2)] | None = None
    """Number of classes into which a column of numbers is cut (categorical only)."""
    bin_edges: Literal["quantile", "uniform", "kmeans"] = "quantile"
    """How it is cut: into equal numbers of cells, equal widths, or by one-dimensional k-means."""

    def __post_init__(self) -> None:
        super().__post_init__()
        several = self.categorical and len(self.keys) > 1
        reject("a categorical phenotype has one column.", when=several, key="keys")
        ordered = bool(self.classes) or self.class_weight is not None
        message = "classes and class_weight are for kind='categorical'."
        reject(message, when=ordered and not self.categorical)
        cut = self.bins is not None
        reject("bins are for kind='categorical'.", when=cut and not self.categorical, key="bins")
        message = "bins give the classes; leave classes out."
        reject(message, when=cut and bool(self.classes), key="classes")
        embedded = any(key.startswith(EMBEDDING) for key in self.keys)
        message = f"an embedding ({EMBEDDING}NAME) is for kind='numerical'."
        reject(message, when=embedded and self.categorical, key="keys")
        twice = len(set(self.classes)) < len(self.classes)
        reject("a class is given twice.", when=twice, code="duplicate_names", key="classes")
        known = CATEGORICAL_LOSSES if self.categorical else NUMERICAL_LOSSES
        if not self.terms:
            object.__setattr__(self, "terms", {known[0]: WeightSchedule()})
        check_losses(self.terms, known)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.keys or (self.name,)


Guide: TypeAlias = Signature | Phenotype


@dataclasses.dataclass(frozen=True, eq=False)
class ExtraRows:
    """Profiles, such as bulk samples, that train with the cells but are not embedded."""

    names: tuple[str, ...]
    features: tuple[str, ...]
    values: np.ndarray
    """Rows × features, prepared like the cells."""
    weight: float = 1.0
    """Weight of a row relative to a cell."""

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.features))
        if self.values.shape != shape:
            message = f"values has shape {self.values.shape}, expected {shape}."
            fail("extra_rows", message, "size_mismatch")
        if not self.weight > 0:
            fail("extra_rows", f"weight={self.weight} is not above 0.", "invalid_value")


@dataclasses.dataclass(frozen=True)
class Guidance:
    """All guides and extra rows of a model; empty for a plain autoencoder."""

    signatures: tuple[Signature, ...] = ()
    phenotypes: tuple[Phenotype, ...] = ()
    invariant_genes: tuple[str, ...] = ()
    """Genes that vary for reasons of no interest. They become an adversarial signature that is
    neither input nor reconstructed."""
    extra_rows: ExtraRows | None = None

    def __post_init__(self) -> None:
        names = [guide.name for guide in self.guides]
        for name in names:
            if names.count(name) > 1:
                message = f"the name '{name}' is given to more than one guide."
                raise UsageError(message, code="duplicate_names")
        owners = {guide.name for guide in self.guides if guide.parts == ("own",)}
        categorical = {one.name for one in self.phenotypes if one.categorical}
        for guide in self.guides:
            for part in guide.parts:
                if part in ("main", "all", "own") and (len(guide.parts) == 1 or part == "main"):
                    continue
                if part not in owners:
                    hint = did_you_mean(part, ["main", *sorted(owners)])
                    message = f"space: '{part}' has no dimensions of its own.{hint}"
                    fail(guide.owner, message, "unknown_part")
            for one in guide.regularizers:
                if one.labels and one.labels not in categorical:
                    hint = did_you_mean(one.labels, sorted(categorical))
                    message = f"regularizers: no categorical phenotype '{one.labels}'.{hint}"
                    fail(guide.owner, message, "unknown_name")

    @property
    def all_signatures(self) -> tuple[Signature, ...]:
        """The signatures, with that of the invariant genes."""
        if not self.invariant_genes:
            return self.signatures
        invariant = Signature(
            INVARIANT, self.invariant_genes, adversarial=WeightSchedule(), exclude_from_input=True
        )
        return (*self.signatures, invariant)

    @property
    def guides(self) -> tuple[Guide, ...]:
        """All signatures, then all phenotypes."""
        return (*self.all_signatures, *self.phenotypes)

    @property
    def genes(self) -> tuple[str, ...]:
        named = [gene for signature in self.all_signatures for gene in signature.genes]
        return tuple(dict.fromkeys(named))


def check_genes(guidance: Guidance, features: Sequence[str]) -> None:
    """Raise ``UsageError`` with similar features for the first gene that is no feature."""
    known = set(features)
    for one in guidance.all_signatures:
        for gene in one.genes:
            if message := unknown_gene(gene, known):
                fail(one.owner, message, "unknown_gene")


def drop_missing_genes(guidance: Guidance, features: Sequence[str]) -> tuple[Guidance, list[str]]:
    """Return the guidance without unknown genes and empty signatures, and notes on both."""
    known = set(features)
    notes: list[str] = []
    signatures = []
    for one in guidance.signatures:
        genes = tuple(gene for gene in one.genes if gene in known)
        lost = [gene for gene in one.genes if gene not in known]
        if lost:
            shown = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
            count = f"{len(lost)} of {len(one.genes)} genes are"
            notes.append(f"{one.owner}: {count} not among the features and left out ({shown}).")
        held_out = tuple(gene for gene in one.held_out if gene in genes)
        if len(genes) > len(held_out):
            signatures.append(replace(one, genes=genes, held_out=held_out))
        else:
            notes.append(f"{one.owner}: no gene is left, so it is left out.")
    return replace(guidance, signatures=tuple(signatures)), notes

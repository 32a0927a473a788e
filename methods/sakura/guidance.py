"""What a user knows, as typed objects: signatures, phenotypes, priors and how they are weighted.

A term is one loss or one regulariser; its :class:`Schedule` gives its weight at each epoch. A head
reads a part of the latent space and predicts the genes of a :class:`Signature` or the values of a
:class:`Phenotype`. A confounder is a signature or phenotype with ``adversarial`` set (the latent
space forgets it) or with ``space="own"`` (it has dimensions of its own, beside the main ones).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError
from bench.messages import did_you_mean

from .loss_terms import Binarize, Head, Regularizer, Schedule, as_schedule, fail

if TYPE_CHECKING:
    import numpy as np

SIGNATURE_LOSSES = ("mse", "l1", "cosine", "score", "bce")
CATEGORICAL_LOSSES = ("nll",)
NUMERICAL_LOSSES = ("mse", "l1", "cosine")
RECONSTRUCTION_LOSSES = ("mse", "l1", "cosine", "l1_norm", "l2_norm")
Adversary = Literal["reversed", "confused"]
"""How the latent space forgets. ``reversed``: it feels the head's gradient times minus the
strength, and so makes the head wrong without a bound (Ganin and Lempitsky 2015). ``confused``: it
is drawn, with the strength as weight, to where the head says what it would say of any cell, all
classes alike or the mean (Tzeng et al. 2015, simultaneous deep transfer across domains)."""
INVARIANT = "invariant_genes"
"""Name of the signature that the invariant genes become."""


@dataclass(frozen=True)
class _Guide:
    """What signatures and phenotypes share."""

    name: str
    _: KW_ONLY
    space: str | tuple[str, ...] = "main"
    """What the head reads: ``main``, ``own`` (``dim`` new dimensions), ``all``, the name of
    another signature or phenotype with own dimensions, or several of these."""
    dim: int | None = None
    """own: number of dimensions; else, if given, it must be the width of ``space``."""
    regularizers: tuple[Regularizer, ...] = ()
    adversarial: Schedule | None = None
    """Strength with which the latent space is to forget; ``None``: it is to know."""
    adversary: Adversary = "confused"
    detached: bool = False
    """The head learns but the latent space does not feel it."""
    scale_targets: bool = True
    """Signature: divide each target by its standard deviation, so that no gene outweighs the
    others; numerical phenotype: zero mean and unit variance of each column."""
    head: Head = field(default_factory=Head)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError(f"a {self._what} has no name.")
        if self.name in ("main", "all", "own"):
            fail(self._owner, "this name stands for a part of the latent space; choose another.")

    @property
    def _what(self) -> str:
        return type(self).__name__.lower()

    @property
    def _owner(self) -> str:
        return f"{self._what} '{self.name}'"

    def _check(
        self, terms: Mapping[str, float | Schedule], known: Sequence[str], dim: int | None,
        adversarial: float | Schedule | None, detached: bool,
    ) -> None:  # fmt: skip
        object.__setattr__(
            self, "terms", {name: as_schedule(value) for name, value in terms.items()}
        )
        parts = self.parts
        for name in terms:
            if name not in known:
                fail(self._owner, f"terms: no loss '{name}'.{did_you_mean(name, list(known))}")
        if not terms:
            fail(self._owner, f"terms is empty; give at least one of {', '.join(known)}.")
        if dim is not None and dim < 1:
            fail(self._owner, f"dim={dim} is below 1.")
        if parts == ("own",) and dim is None:
            fail(self._owner, "space='own' needs dim, the number of its dimensions.")
        if not any(parts):
            fail(self._owner, "space is empty; give main, own, all or names.")
        if adversarial is not None:
            object.__setattr__(self, "adversarial", as_schedule(adversarial))
            if detached:
                fail(self._owner, "adversarial and detached exclude each other.")

    @property
    def parts(self) -> tuple[str, ...]:
        """What the head reads: ``own``, ``all``, or ``main`` and names of other own spaces."""
        return (self.space,) if isinstance(self.space, str) else tuple(self.space)


@dataclass(frozen=True)
class Signature(_Guide):
    """Genes (or peaks) whose values the latent space shall tell, or shall not (adversarial)."""

    genes: tuple[str, ...]
    terms: Mapping[str, Schedule] = field(default_factory=lambda: {"mse": Schedule()})
    """Loss → weight; of ``SIGNATURE_LOSSES``. A number stands for a constant weight."""
    exclude_from_input: bool = False
    """The genes are neither input nor reconstructed; the head must infer them."""
    binarize: Binarize | None = None
    held_out: tuple[str, ...] = ()
    """Those of ``genes`` that the head does not see: half of a list scores the other half."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.genes:
            fail(self._owner, "genes is empty.")
        twice = sorted({gene for gene in self.genes if self.genes.count(gene) > 1})
        if twice:
            fail(self._owner, f"genes names '{twice[0]}' more than once.")
        for gene in self.held_out:
            if gene not in self.genes:
                fail(self._owner, f"held_out: '{gene}' is not among its genes.")
        if not self.targets:
            fail(self._owner, "held_out leaves no gene to guide.")
        self._check(self.terms, SIGNATURE_LOSSES, self.dim, self.adversarial, self.detached)
        if "bce" in self.terms:
            if self.binarize is None or self.binarize.scale != 1.0:
                fail(self._owner, "terms: bce needs binarize with scale 1.")
            if self.head.output_activation != "sigmoid":
                fail(self._owner, "terms: bce needs a head with output_activation='sigmoid'.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The genes that the head predicts."""
        return tuple(gene for gene in self.genes if gene not in self.held_out)


@dataclass(frozen=True)
class Phenotype(_Guide):
    """Something known of each cell, a class or numbers; NaN and ``None`` mean not known."""

    kind: Literal["categorical", "numerical"]
    keys: tuple[str, ...] = ()
    """Columns of the cells' table; one if categorical; empty: the column ``name``."""
    classes: tuple[str, ...] = ()
    """categorical: the classes in order; empty: those that occur, sorted. Cells of other classes
    count as not known."""
    terms: Mapping[str, Schedule] = field(default_factory=dict)
    """Loss → weight; default ``nll`` or ``mse`` with weight 1."""
    class_weight: Literal["balanced"] | Mapping[str, float] | None = None
    """``balanced``: inverse to the number of cells of the class, 1 on average over the cells."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in ("categorical", "numerical"):
            fail(self._owner, f"kind='{self.kind}' is none of categorical, numerical.")
        categorical = self.kind == "categorical"
        if categorical and len(self.keys) > 1:
            fail(self._owner, f"keys names {len(self.keys)} columns; a categorical one has one.")
        if not categorical and (self.classes or self.class_weight is not None):
            fail(self._owner, "classes and class_weight are for kind='categorical'.")
        if len(set(self.classes)) < len(self.classes):
            fail(self._owner, "classes names one of them more than once.")
        if isinstance(self.class_weight, str) and self.class_weight != "balanced":
            fail(self._owner, f"class_weight='{self.class_weight}' is not 'balanced'.")
        known = CATEGORICAL_LOSSES if categorical else NUMERICAL_LOSSES
        terms = self.terms or {known[0]: Schedule()}
        self._check(terms, known, self.dim, self.adversarial, self.detached)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the cells' table that it reads."""
        return self.keys or (self.name,)


@dataclass(frozen=True, eq=False)
class ExtraRows:
    """Profiles that train with the cells, such as bulk samples; they get no embedding."""

    names: tuple[str, ...]
    features: tuple[str, ...]
    values: np.ndarray
    """Rows × features, prepared like the cells (such as log-normalised)."""
    weight: float = 1.0
    """Of a row, relative to a cell."""

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.features))
        if self.values.shape != shape:
            fail("extra_rows", f"values has shape {self.values.shape}, expected {shape}.")
        if not self.weight > 0:
            fail("extra_rows", f"weight={self.weight} is not above 0.")


@dataclass(frozen=True)
class Guidance:
    """All that a user knows; empty: a plain autoencoder."""

    signatures: tuple[Signature, ...] = ()
    phenotypes: tuple[Phenotype, ...] = ()
    invariant_genes: tuple[str, ...] = ()
    """Genes that differ for reasons of no interest: they become an adversarial signature that is
    neither input nor reconstructed."""
    invariant_strength: Schedule = field(default_factory=Schedule)
    extra_rows: ExtraRows | None = None

    def __post_init__(self) -> None:
        names = [guide.name for guide in self.guides]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"the name '{name}' is given to more than one guide.")
        owners = {guide.name for guide in self.guides if guide.parts == ("own",)}
        categorical = {p.name for p in self.phenotypes if p.kind == "categorical"}
        for guide in self.guides:
            for part in guide.parts:
                if part in ("main", "all", "own") and (len(guide.parts) == 1 or part == "main"):
                    continue
                if part not in owners:
                    hint = did_you_mean(part, ["main", *sorted(owners)])
                    fail(guide._owner, f"space: '{part}' has no dimensions of its own.{hint}")
            for one in guide.regularizers:
                if one.labels and one.labels not in categorical:
                    hint = did_you_mean(one.labels, sorted(categorical))
                    fail(guide._owner, f"regularizers: no categorical phenotype "
                                        f"'{one.labels}'.{hint}")  # fmt: skip

    @property
    def all_signatures(self) -> tuple[Signature, ...]:
        """The signatures, with the one that the invariant genes become."""
        if not self.invariant_genes:
            return self.signatures
        invariant = Signature(
            INVARIANT, self.invariant_genes, adversarial=self.invariant_strength,
            exclude_from_input=True,
        )  # fmt: skip
        return (*self.signatures, invariant)

    @property
    def guides(self) -> tuple[Signature | Phenotype, ...]:
        """All signatures, then all phenotypes: the order of their own dimensions."""
        return (*self.all_signatures, *self.phenotypes)

    @property
    def genes(self) -> tuple[str, ...]:
        """Every gene that a signature names, once, in order."""
        named = [gene for signature in self.all_signatures for gene in signature.genes]
        return tuple(dict.fromkeys(named))


def resolve(
    guidance: Guidance, features: Sequence[str], *, missing: Literal["error", "drop"] = "error"
) -> tuple[Guidance, list[str]]:
    """Match the genes with the features of the data; returns what is left and what to say of it.

    ``missing="error"``: raises ``UsageError`` for the first gene that is not a feature, with
    features of a similar name. ``"drop"``: leaves such genes out, and signatures without a gene
    left, and returns a line for each signature that lost some.
    """
    known = set(features)
    notes: list[str] = []

    def there(owner: str, genes: Sequence[str]) -> tuple[str, ...]:
        kept = tuple(gene for gene in genes if gene in known)
        lost = [gene for gene in genes if gene not in known]
        if lost and missing == "error":
            hint = _similar(lost[0], features)
            raise UsageError(
                f"{owner}: gene '{lost[0]}' is not among the {len(features):,} features.{hint}"
            )
        if lost:
            shown = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
            of = f"{len(lost)} of {len(genes)} genes are"
            notes.append(f"{owner}: {of} not among the features and left out ({shown}).")
        return kept

    signatures = []
    for one in guidance.signatures:
        genes = there(one._owner, one.genes)
        held_out = tuple(gene for gene in one.held_out if gene in genes)
        if len(genes) > len(held_out):
            signatures.append(replace(one, genes=genes, held_out=held_out))
        else:
            notes.append(f"{one._owner}: no gene is left, so it is left out.")
    invariant = there(INVARIANT, guidance.invariant_genes)
    left = replace(guidance, signatures=tuple(signatures), invariant_genes=invariant)
    return left, notes


def _similar(gene: str, features: Sequence[str]) -> str:
    """Return a hint with features of a similar name; empty if there is none."""
    folded = {feature.casefold(): feature for feature in features}
    close = difflib.get_close_matches(gene.casefold(), list(folded), n=3, cutoff=0.75)
    return " Did you mean " + " or ".join(f"'{folded[c]}'" for c in close) + "?" if close else ""

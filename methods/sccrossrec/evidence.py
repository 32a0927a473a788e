"""Log odds that RNA and chromatin are of one cell, weighed on held-out cells.

Profiles of a cell share its state (:mod:`.state_mixture`) and the expression of genes with open
linked peaks (:mod:`.gate_links`). Each gives a log likelihood ratio that assumes too much, such as
independent genes. So a logistic regression with non-negative weights combines them on cells left
out in turn (stacking, Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize

from . import state_mixture as states
from .gate_links import GateLinks, StandardizedExpression, learn_links
from .genome_sites import CandidatePairs
from .state_mixture import StateMixture
from .within_states import WithinAxes

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse as sp

_FOLDS = 4
_WRONG_RATIO = 5
"""Wrong pairs for each right one."""
_MAX_STACKED = 2000
"""Cells in the stacking, at most."""
_BLOCK = 1024
_PENALTY = 1e-3
_AXES = 20


@dataclass(frozen=True)
class Profiles:
    """Counts of genes, log(1 + counts / size factor) and fragments in peaks, CSR."""

    counts: sp.csr_matrix
    relative: sp.csr_matrix
    fragments: sp.csr_matrix

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def __getitem__(self, cells: np.ndarray | slice) -> Profiles:
        return Profiles(self.counts[cells], self.relative[cells], self.fragments[cells])


@dataclass(frozen=True)
class EvidenceOptions:
    pairs: CandidatePairs
    sizes: list[int]
    """Numbers of states."""
    n_passes: int
    seed: int


@dataclass(frozen=True)
class StateAxes:
    """Directions of log profiles in which the states differ most.

    Features count by the root of their information in a mean cell, so that a unit along an axis is
    about the standard error of such a cell. The lists have an entry for genes and one for peaks.
    """

    size: np.ndarray
    """Standard deviation of the states along each axis."""
    changes: list[np.ndarray]
    """Change of the log profile for one unit, axes × features."""
    overall: list[np.ndarray]
    """Profile of all cells."""
    precision: list[np.ndarray]
    """Precision ω of each feature."""

    def likelihood(self, profiles: Profiles) -> tuple[np.ndarray, np.ndarray]:
        """Return score (cells, axes) and information (cells, axes, axes) at coordinates 0."""
        score: Any = 0.0
        information: Any = 0.0
        for part, counts in enumerate((profiles.counts, profiles.fragments)):
            depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
            weighted = self.changes[part] * self.precision[part]
            score = score + counts @ weighted.T - np.outer(depth, weighted @ self.overall[part])
            one = (weighted * self.overall[part]) @ self.changes[part].T
            information = information + depth[:, None, None] * one
        return score, information


@dataclass
class Evidence:
    """Mixtures of states and links, with the weights of their log ratios."""

    mixtures: list[StateMixture]
    expression: StandardizedExpression
    links: GateLinks
    weights: np.ndarray
    """Constant, weight of each mixture, weight of the links."""
    depths: np.ndarray
    """Mean counts of genes and mean fragments of a cell."""
    variance: np.ndarray = field(default_factory=lambda: np.zeros(_AXES))
    """Variance of cells left out along each axis of the states; 0 everywhere: unknown."""
    within: WithinAxes | None = None
    """Axes within states, for the coordinates."""

    @classmethod
    def fit(
        cls, profiles: Profiles, options: EvidenceOptions,
        report: Callable[[int, float], None] | None = None,
    ) -> Evidence:  # fmt: skip
        """Learn states and links; all weights are 1."""
        counts, fragments = profiles.counts, profiles.fragments
        precision = states.gene_precision(counts)
        mixtures = [
            states.fit_mixture(counts, fragments, precision, size, options.seed)
            for size in options.sizes
        ]
        expression = StandardizedExpression.of(profiles.relative)
        posteriors = _posteriors(mixtures, counts, fragments)
        links = learn_links(
            options.pairs, expression, profiles.relative, fragments, posteriors,
            options.n_passes, report,
        )  # fmt: skip
        weights = np.array([0.0] + [1.0] * (len(mixtures) + 1))
        depths = np.array([float(one.sum()) / len(profiles) for one in (counts, fragments)])
        return cls(mixtures, expression, links, weights, depths)

    def log_odds(self, profiles: Profiles, pairs: np.ndarray) -> np.ndarray:
        """Return the log odds of pairs (RNA row, ATAC row), (pairs,)."""
        return self.weights[0] + self.log_ratios(profiles, pairs) @ self.weights[1:]

    def log_ratios(self, profiles: Profiles, pairs: np.ndarray) -> np.ndarray:
        """Return the log ratios of mixtures and links, (pairs, mixtures + 1)."""
        rna, row = np.unique(pairs[:, 0], return_inverse=True)
        atac, column = np.unique(pairs[:, 1], return_inverse=True)
        of_rna = [one.of_rna(profiles.counts[rna]) for one in self.mixtures]
        of_atac = [one.of_atac(profiles.fragments[atac]) for one in self.mixtures]
        of_states = [
            one.evidence(first[row], second[column])
            for one, first, second in zip(self.mixtures, of_rna, of_atac, strict=True)
        ]
        # The mixtures already count the expression that follows from the state: subtract it.
        of_state = _posteriors(self.mixtures, profiles.counts[rna], None) @ self.links.factors
        expected = self.links.effect * self.links.soft_count(profiles.fragments[atac])
        of_links = np.empty(len(pairs))
        for start in range(0, len(pairs), _BLOCK):
            block = slice(start, start + _BLOCK)
            z = self.expression(profiles.relative[rna[row[block]]]) - of_state[row[block]]
            of_links[block] = self.links.evidence(z, expected[column[block]])
        return np.column_stack([*of_states, of_links])

    def coordinates(self, profiles: Profiles) -> np.ndarray:
        """Return each cell's place among and within the states, (cells, axes), float32.

        The log profile of a cell is that of all cells plus coordinates times axes. Coordinates
        have a normal prior with the variance of cells left out along each axis. The result is the
        mode of their posterior after one step of Fisher's scoring. Axes without variance in cells
        left out are dropped, and cells with few counts stay near the middle. A mean over the
        states would give neighbours one place, because states of deep cells are nearly certain. A
        unit is about the standard error of a mean cell. Axes within the states follow in the same
        unit; without them graphs of neighbours cut states into pieces.
        """
        axes = self._axes()
        variance = self.variance[: len(axes.size)]
        variance = variance if variance.any() else axes.size**2
        used = variance > 0
        parts = []
        for start in range(0, len(profiles), _BLOCK):
            score, information = axes.likelihood(profiles[slice(start, start + _BLOCK)])
            precision = information[:, used][:, :, used] + np.diag(1 / variance[used])
            parts.append(np.linalg.solve(precision, score[:, used, None])[:, :, 0])
        places = np.concatenate(parts)
        if self.within is not None:
            places = np.column_stack([
                places, self.within.coordinates(profiles, self.mixtures, self._shares())
            ])  # fmt: skip
        return places.astype(np.float32)

    def add_within_axes(self, profiles: Profiles) -> None:
        """Learn the axes within states from the training cells."""
        self.within = WithinAxes.fit(profiles, self.mixtures, self._shares(), _AXES)

    def _shares(self) -> np.ndarray:
        """Return the weights of the mixtures as shares."""
        weights = self.weights[1:-1] if self.weights[1:-1].any() else np.ones(len(self.mixtures))
        return weights / weights.sum()

    def axis_variance(self, profiles: Profiles) -> np.ndarray:
        """Return the variance of cells along each axis beyond the variance of their counts.

        Cells are weighted by their information. 0 for axes without such a variance.
        """
        score, information = self._axes().likelihood(profiles)
        noise = np.linalg.pinv(information)
        place = np.einsum("nij,nj->ni", noise, score)
        weight = 1 / np.maximum(np.einsum("nii->ni", noise), 1e-12)
        total = weight.sum(axis=0)
        centred = place - (weight * place).sum(axis=0) / total
        excess = (weight * centred**2).sum(axis=0) - len(place)
        variance = np.zeros(_AXES)
        variance[: len(total)] = np.maximum(excess / total, 0.0)
        return variance

    def _axes(self) -> StateAxes:
        """Return the principal axes of all states, weighted by the weights of the mixtures."""
        first = self.mixtures[0]
        share = np.exp(first.log_share)
        overall = [share @ first.genes, share @ first.peaks]
        precision = [first.weight, np.ones(first.peaks.shape[1])]
        scale = np.concatenate([
            np.sqrt(one * profile * depth)
            for one, profile, depth in zip(precision, overall, self.depths, strict=True)
        ])  # fmt: skip
        rows = []
        for weight, one in zip(self._shares(), self.mixtures, strict=True):
            logs = np.log(np.column_stack([one.genes, one.peaks])) * scale
            share = np.exp(one.log_share)
            rows.append(np.sqrt(weight * share)[:, None] * (logs - share @ logs))
        _, size, axes = np.linalg.svd(np.concatenate(rows), full_matrices=False)
        used = np.flatnonzero(size > 1e-6 * max(float(size[0]), 1e-12))[:_AXES]
        axes = axes[used]
        # An axis has no sign of its own: its largest entry is positive.
        peak = np.abs(axes).argmax(axis=1)
        axes = axes * np.where(axes[np.arange(len(axes)), peak] < 0, -1.0, 1.0)[:, None]
        changes = np.split(axes / scale, [len(overall[0])], axis=1)
        return StateAxes(size[used], changes, overall, precision)

    def expected_expression(
        self, fragments: sp.csr_matrix, counts: sp.csr_matrix | None = None
    ) -> np.ndarray:
        """Return standardised expression expected from chromatin, (cells, genes).

        ``counts`` only help to infer the state.
        """
        return self.links.predict(fragments, _posteriors(self.mixtures, counts, fragments))

    def note(self) -> str:
        names = [f"{len(one.log_share)} states" for one in self.mixtures] + ["links"]
        pairs = zip(names, self.weights[1:], strict=True)
        return "weights of " + ", ".join(f"{name} {w:.2f}" for name, w in pairs if w)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Evidence:
        """Return the evidence from ``dataclasses.asdict``."""
        pairs = CandidatePairs(**state["links"]["pairs"])
        return cls(
            mixtures=[StateMixture(**one) for one in state["mixtures"]],
            expression=StandardizedExpression(**state["expression"]),
            links=GateLinks(**(state["links"] | {"pairs": pairs})),
            weights=state["weights"],
            depths=state["depths"],
            variance=state["variance"],
            within=WithinAxes(**state["within"]) if state["within"] else None,
        )

    def set_weights(
        self, profiles: Profiles, options: EvidenceOptions,
        wrong: Callable[[np.ndarray, np.random.Generator], np.ndarray], rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Set the weights by stacking on cells left out in turn, and the variance along the axes.

        ``wrong`` returns wrong pairs. With fewer than 10 cells a fold all weights stay 1.
        """
        cells = rng.permutation(len(profiles))[:_MAX_STACKED]
        if len(cells) < 10 * _FOLDS:
            return
        ratios, right, variances = [], [], []
        for fold in np.array_split(cells, _FOLDS):
            evidence = Evidence.fit(profiles[np.setdiff1d(cells, fold)], options)
            pairs = [np.column_stack([fold, fold])]
            pairs += [wrong(fold, rng) for _ in range(_WRONG_RATIO)]
            ratios.append(evidence.log_ratios(profiles, np.concatenate(pairs)))
            right.append(np.arange(len(ratios[-1])) < len(fold))
            variances.append(evidence.axis_variance(profiles[fold]))
        self.variance = np.mean(variances, axis=0)
        self.weights = stacking_weights(np.concatenate(ratios), np.concatenate(right))


def stacking_weights(ratios: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return constant and non-negative weights of a balanced logistic regression."""
    scale = np.maximum(ratios.std(axis=0), 1e-9)
    inputs = np.column_stack([np.ones(len(ratios)), ratios / scale])
    sign = np.where(right, 1.0, -1.0)
    share = np.where(right, 0.5 / max(1, right.sum()), 0.5 / max(1, (~right).sum()))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (inputs @ weights)
        slope = -sign * share * 0.5 * (1 - np.tanh(0.5 * margin))
        value = (share * np.logaddexp(0, -margin)).sum() + _PENALTY * (weights[1:] ** 2).sum()
        gradient = inputs.T @ slope
        gradient[1:] += 2 * _PENALTY * weights[1:]
        return float(value), gradient

    bounds = [(None, None)] + [(0.0, None)] * ratios.shape[1]
    start = np.full(inputs.shape[1], 0.1)
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.concatenate([weights[:1], weights[1:] / scale])


def _posteriors(
    mixtures: list[StateMixture], counts: sp.csr_matrix | None, fragments: sp.csr_matrix | None
) -> np.ndarray:
    """Return the state posteriors of all mixtures side by side, (cells, states)."""
    posteriors = []
    for one in mixtures:
        of_rna = 0.0 if counts is None else one.of_rna(counts)
        of_atac = 0.0 if fragments is None else one.of_atac(fragments)
        posteriors.append(one.posterior(np.asarray(of_rna + of_atac)))
    return np.column_stack(posteriors)

"""How much a pair of profiles speaks for one cell: states and links, weighed on held-out cells.

Two things are shared by the RNA and the chromatin of a cell: the state it is in
(:mod:`.states`), and, beyond that, the expression of genes whose linked peaks are open
(:mod:`.links`). Each gives a log likelihood ratio. All of them assume more than is true (genes
are not independent, gates not certain), and mixtures of several sizes say nearly the same; so
they are weighed: a logistic regression with weights of at least 0 on pairs of cells that were
left out when states and links were learned, one fold after the other (stacking, Wolpert 1992,
doi:10.1016/S0893-6080(05)80023-1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize

from . import state_mixture as states
from .gate_links import Expression, Links, learn
from .genome_sites import Candidates
from .state_mixture import Mixture

_FOLDS = 4
_WRONG = 5
"""Wrong pairs for each right one on which the weights rest."""
_WEIGHED = 2000
"""Most cells that learn and are asked in the folds."""
_BLOCK = 1024
_PENALTY = 1e-3
_AXES = 20


@dataclass(frozen=True)
class Profiles:
    """Counts of the genes, log(1 + counts / size factor), and fragments in peaks, all CSR."""

    counts: sp.csr_matrix
    relative: sp.csr_matrix
    fragments: sp.csr_matrix

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def __getitem__(self, cells: np.ndarray) -> Profiles:
        return Profiles(self.counts[cells], self.relative[cells], self.fragments[cells])


@dataclass(frozen=True)
class Settings:
    """What learning needs beside the cells."""

    pairs: Candidates
    sizes: list[int]
    """Numbers of states of the mixtures."""
    n_passes: int
    seed: int


@dataclass
class Evidence:
    """Mixtures of states, links, and the weight of what each says."""

    mixtures: list[Mixture]
    expression: Expression
    links: Links
    weights: np.ndarray
    """Constant, one weight a mixture, that of the links."""
    depths: np.ndarray
    """Mean counts of genes and mean fragments of a cell."""

    @classmethod
    def of(
        cls, profiles: Profiles, settings: Settings,
        report: Callable[[int, float], None] | None = None,
    ) -> Evidence:  # fmt: skip
        """Return states and links of these cells; all weights are 1."""
        weight = states.precision(profiles.counts)
        mixtures = [
            states.fit(profiles.counts, profiles.fragments, weight, size, settings.seed)
            for size in settings.sizes
        ]
        expression = Expression.of(profiles.relative)
        known = _components(
            mixtures, [m.of_rna(profiles.counts) + m.of_atac(profiles.fragments) for m in mixtures]
        )
        links = learn(
            settings.pairs, expression, profiles.relative, profiles.fragments, known,
            settings.n_passes, report,
        )  # fmt: skip
        depths = [
            float(one.sum()) / len(profiles) for one in (profiles.counts, profiles.fragments)
        ]
        return cls(
            mixtures, expression, links, np.array([0.0] + [1.0] * (len(mixtures) + 1)),
            np.array(depths),
        )  # fmt: skip

    def __call__(self, profiles: Profiles, pairs: np.ndarray) -> np.ndarray:
        """Return the weighed log ratio of pairs (RNA row, ATAC row), (pairs,)."""
        return self.weights[0] + self.parts(profiles, pairs) @ self.weights[1:]

    def parts(self, profiles: Profiles, pairs: np.ndarray) -> np.ndarray:
        """Return what each mixture and the links say, (pairs, mixtures + 1)."""
        rna, atac = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
        row, column = np.searchsorted(rna, pairs[:, 0]), np.searchsorted(atac, pairs[:, 1])
        of_rna = [one.of_rna(profiles.counts[rna]) for one in self.mixtures]
        of_atac = [one.of_atac(profiles.fragments[atac]) for one in self.mixtures]
        found = [
            one.evidence(first[row], second[column])
            for one, first, second in zip(self.mixtures, of_rna, of_atac, strict=True)
        ]
        # What the state says of expression is counted above: it is taken out here.
        basis = _components(self.mixtures, of_rna) @ self.links.factors
        expected = self.links.effect * self.links.soft_count(profiles.fragments[atac])
        said = np.empty(len(pairs))
        for start in range(0, len(pairs), _BLOCK):
            rows = slice(start, start + _BLOCK)
            z = self.expression(profiles.relative[rna[row[rows]]]) - basis[row[rows]]
            said[rows] = self.links.evidence(z, expected[column[rows]])
        return np.column_stack([*found, said])

    def coordinates(self, profiles: Profiles) -> np.ndarray:
        """Return what the states say of each cell's profile, in principal axes, (cells, axes).

        The posterior mean of the log profile of both parts, mean over the mixtures by their
        weights; a feature counts by the root of its information, the expected number of counts
        times ω. Distances so follow what predicts which profiles belong together, and a type that
        a large mixture splits stays in one place if the halves are alike.
        """
        known = [
            one.posterior(one.of_rna(profiles.counts) + one.of_atac(profiles.fragments))
            for one in self.mixtures
        ]
        return (np.column_stack(known) @ self._places()).astype(np.float32)

    def _places(self) -> np.ndarray:
        """Return where the states of all mixtures lie in their principal axes, states × axes."""
        weights = self.weights[1:-1] if self.weights[1:-1].any() else np.ones(len(self.mixtures))
        logs, shares = [], []
        for weight, one in zip(weights / weights.sum(), self.mixtures, strict=True):
            parts = [
                np.log(profile) * np.sqrt(worth * profile.mean(axis=0) * depth)
                for profile, worth, depth in zip(
                    (one.genes, one.peaks), (one.weight, 1.0), self.depths, strict=True
                )
            ]
            share = np.exp(one.log_share)
            joined = np.column_stack(parts)
            logs.append(weight * (joined - share @ joined))
            shares.append(share)
        rows = np.concatenate(logs)
        root = np.sqrt(np.concatenate(shares))[:, None]
        _, size, axes = np.linalg.svd(root * rows, full_matrices=False)
        kept = size > 1e-6 * max(float(size[0]), 1e-12)
        found = (rows @ axes[kept].T)[:, :_AXES]
        # An axis has no sign of its own: its largest entry is positive.
        peak = np.abs(found).argmax(axis=0)
        found *= np.where(found[peak, np.arange(found.shape[1])] < 0, -1.0, 1.0)
        return found

    def expected(
        self, fragments: sp.csr_matrix, counts: sp.csr_matrix | None = None
    ) -> np.ndarray:
        """Return the expected standardised expression, (cells, genes), of chromatin.

        ``counts``: what is known of the genes; they only tell the state.
        """
        known = [one.of_atac(fragments) for one in self.mixtures]
        if counts is not None:
            known = [
                both + one.of_rna(counts) for one, both in zip(self.mixtures, known, strict=True)
            ]
        return self.links.predict(fragments, _components(self.mixtures, known))

    def note(self) -> str:
        """Return a line on the weights."""
        parts = [f"{len(one.log_share)} states" for one in self.mixtures] + ["links"]
        said = [f"{name} {w:.2f}" for name, w in zip(parts, self.weights[1:], strict=True) if w]
        return "weights of " + ", ".join(said)

    def state(self) -> dict[str, np.ndarray | None]:
        """Return everything as arrays."""
        one = self.links
        kept: dict[str, np.ndarray | None] = {
            "mean": self.expression.mean, "scale": self.expression.scale,
            "slope": self.expression.slope, "weights": self.weights, "depths": self.depths,
            "pair_start": one.pairs.start, "pair_peak": one.pairs.peak,
            "pair_distance": one.pairs.distance, "share": one.share, "score": one.score,
            "factors": one.factors, "effect": one.effect, "noise": one.noise, "prior": one.prior,
            "precision": self.mixtures[0].weight,
        }  # fmt: skip
        for number, mixture in enumerate(self.mixtures):
            kept |= {
                f"genes{number}": mixture.genes, f"peaks{number}": mixture.peaks,
                f"log_share{number}": mixture.log_share,
            }  # fmt: skip
        return kept

    @classmethod
    def from_state(cls, a: dict[str, np.ndarray]) -> Evidence:
        """Return the evidence that :meth:`state` described."""
        mixtures = [
            Mixture(a[f"genes{n}"], a[f"peaks{n}"], a["precision"], a[f"log_share{n}"])
            for n in range(len(a["weights"]) - 2)
        ]
        links = Links(
            Candidates(a["pair_start"], a["pair_peak"], a.get("pair_distance")), a["share"],
            a["score"], a["factors"], a["effect"], a["noise"], a["prior"],
        )  # fmt: skip
        expression = Expression(a["mean"], a["scale"], a["slope"])
        return cls(mixtures, expression, links, a["weights"], a["depths"])

    def weigh(
        self, profiles: Profiles, settings: Settings,
        wrong: Callable[[np.ndarray, np.random.Generator], np.ndarray], rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Set the weights on pairs of cells that states and links of other cells are asked about.

        ``wrong`` gives wrong pairs among some cells. With fewer than 10 cells a fold all weights
        stay 1.
        """
        cells = rng.permutation(len(profiles))[:_WEIGHED]
        if len(cells) < 10 * _FOLDS:
            return
        said, right = [], []
        for fold in np.array_split(cells, _FOLDS):
            others = Evidence.of(profiles[np.setdiff1d(cells, fold)], settings)
            pairs = [np.column_stack([fold, fold])] + [wrong(fold, rng) for _ in range(_WRONG)]
            said.append(others.parts(profiles, np.concatenate(pairs)))
            right.append(np.arange(len(said[-1])) < len(fold))
        self.weights = weigh(np.concatenate(said), np.concatenate(right))


def weigh(said: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return a constant and weights of at least 0, by logistic regression of equal classes."""
    scale = np.maximum(said.std(axis=0), 1e-9)
    inputs = np.column_stack([np.ones(len(said)), said / scale])
    sign = np.where(right, 1.0, -1.0)
    share = np.where(right, 0.5 / max(1, right.sum()), 0.5 / max(1, (~right).sum()))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (inputs @ weights)
        slope = -sign * share * 0.5 * (1 - np.tanh(0.5 * margin))
        value = (share * np.logaddexp(0, -margin)).sum() + _PENALTY * (weights[1:] ** 2).sum()
        gradient = inputs.T @ slope
        gradient[1:] += 2 * _PENALTY * weights[1:]
        return float(value), gradient

    bounds = [(None, None)] + [(0.0, None)] * said.shape[1]
    start = np.full(inputs.shape[1], 0.1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.concatenate([found[:1], found[1:] / scale])


def _components(mixtures: list[Mixture], likelihoods: list[np.ndarray]) -> np.ndarray:
    """Return the probabilities of the states of all mixtures side by side, (cells, states)."""
    found = [one.posterior(known) for one, known in zip(mixtures, likelihoods, strict=True)]
    return np.column_stack(found)

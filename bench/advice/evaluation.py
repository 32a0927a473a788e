"""Errors of rules on datasets that they have not seen.

The regret of a rule on a dataset is the ARI of the best admissible method minus that of the
method that it chooses. A method that failed there counts as an ARI of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.reports.tables.statistics import t_interval

from .rules import BASELINE, AdviceCase, Rule, required_score, rules

if TYPE_CHECKING:
    from .evidence import AdviceEvidence

CLOSE = 0.03
"""Regret up to which a choice counts as close to the best."""
LEAST_SETS = 6
"""Number of datasets below which no rule is judged."""
CHOICE = "choice among rules"
"""Name of the whole procedure: the rule with the least regret on the other datasets."""


@dataclass(frozen=True)
class RuleError:
    """Errors of a rule, each dataset left out in turn."""

    rule: str
    n_sets: int
    n_close: int
    """Datasets on which it was within 0.03 ARI of the best method."""
    mean_regret: float
    gain: float
    """Mean difference of its ARI to that of the baseline."""
    gain_low: float
    """Lower end of the 95 % t-interval of the difference over datasets."""
    gain_high: float

    @property
    def beats_baseline(self) -> bool:
        """Whether the interval of the difference lies above zero."""
        return self.gain_low > 0


@dataclass(frozen=True)
class RuleErrors:
    """Errors of all rules and of the choice among them."""

    rules: tuple[RuleError, ...]
    choice: RuleError

    @property
    def baseline(self) -> RuleError:
        """The errors of the baseline."""
        return next(one for one in self.rules if one.rule == BASELINE)


def evaluate_rules(evidence: AdviceEvidence) -> RuleErrors:
    """Return the errors of all rules, and of the nested choice among them.

    For each dataset the choice is made on the other datasets only.
    """
    regrets = {name: rule_regrets(evidence, rule) for name, rule in _usable(evidence).items()}
    base = regrets[BASELINE]
    return RuleErrors(
        tuple(_summarize(name, values, base) for name, values in regrets.items()),
        _summarize(CHOICE, choice_regrets(evidence), base),
    )


def choose_rule(evidence: AdviceEvidence) -> str:
    """Return the rule with the least mean regret; of equal ones the first."""
    means = {
        name: float(np.mean(rule_regrets(evidence, rule)))
        for name, rule in _usable(evidence).items()
    }
    return min(means, key=lambda name: round(means[name], 12))


def rule_regrets(evidence: AdviceEvidence, rule: Rule) -> np.ndarray:
    """Return the regret of a rule on each dataset, chosen from the other datasets."""
    return np.array(
        [
            regret(evidence, row, rule(evidence.leave_out(row), left_out_case(evidence, row)))
            for row in range(len(evidence.profiles))
        ]
    )


def choice_regrets(evidence: AdviceEvidence) -> np.ndarray:
    """Return the regret on each dataset of the rule that was best on the other datasets."""
    values = []
    for row in range(len(evidence.profiles)):
        others = evidence.leave_out(row)
        rule = rules()[choose_rule(others)]
        values.append(regret(evidence, row, rule(others, left_out_case(evidence, row))))
    return np.array(values)


def left_out_case(evidence: AdviceEvidence, row: int) -> AdviceCase:
    """Return a dataset as a case, without its ARIs.

    Candidates are the methods that were run there: of others nobody knows the regret.
    """
    ran = np.isfinite(evidence.ari[row]) | evidence.failed[row]
    methods = frozenset(name for name, one in zip(evidence.methods, ran, strict=True) if one)
    return AdviceCase(
        evidence.profiles[row],
        methods,
        {name: _light_scores(evidence, values[row]) for name, values in evidence.scores.items()},
    )


def regret(evidence: AdviceEvidence, row: int, method: str) -> float:
    """Return how far the ARI of a method is below the best one of a dataset."""
    value = evidence.ari[row, evidence.methods.index(method)]
    return float(np.nanmax(evidence.ari[row]) - (value if np.isfinite(value) else 0.0))


def _usable(evidence: AdviceEvidence) -> Mapping[str, Rule]:
    """Return the rules without those whose score no dataset has."""
    return {
        name: rule
        for name, rule in rules().items()
        if not required_score(name) or required_score(name) in evidence.scores
    }


def _light_scores(evidence: AdviceEvidence, values: np.ndarray) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in zip(evidence.methods, values, strict=True)
        if name in evidence.light and np.isfinite(value)
    }


def _summarize(name: str, regrets: np.ndarray, base: np.ndarray) -> RuleError:
    gain = t_interval(base - regrets)
    return RuleError(
        rule=name,
        n_sets=len(regrets),
        n_close=int(np.sum(regrets <= CLOSE + 1e-9)),
        mean_regret=float(np.mean(regrets)),
        gain=gain.mean,
        gain_low=gain.mean - gain.half_width,
        gain_high=gain.mean + gain.half_width,
    )

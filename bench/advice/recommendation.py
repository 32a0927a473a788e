"""A method for a dataset of the user, with the measured error of the advice and its cost."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.errors import UsageError
from bench.settings import Settings, load_settings

from .data_profile import DataProfile, is_name, read_profile
from .evaluation import LEAST_SETS, RuleErrors, choose_rule, evaluate_rules
from .evidence import BASELINES, FOLDER, AdviceEvidence, read_evidence
from .rules import BASELINE, NEAREST, AdviceCase, nearest_rows, required_score, rules

Reason = Literal["rule", "no_better_rule", "few_sets", "needs_runs"]


@dataclass(frozen=True)
class ExpectedCost:
    """Time of a fit on the datasets of the most similar numbers of cells."""

    seconds: float
    """Median."""
    least_cells: int
    most_cells: int


@dataclass(frozen=True)
class NearDataset:
    """A dataset of the evidence with its best method."""

    dataset: str
    n_cells: int
    best: str
    best_ari: float
    baseline_ari: float


@dataclass(frozen=True)
class Recommendation:
    """A method for a dataset, why, and how well such advice did elsewhere."""

    profile: DataProfile
    method: str
    baseline: str
    reason: Reason
    """``rule``: a rule is better than the baseline. All others advise the baseline."""
    rule: str
    """The rule with the least regret; ``baseline`` with too few datasets."""
    n_sets: int
    """Datasets of the evidence, without the asked one."""
    errors: RuleErrors | None
    """``None`` with too few datasets."""
    cost: ExpectedCost | None
    nearest: tuple[NearDataset, ...]
    command: str = ""
    """Command line that fits the method."""


def ask(data: str | Path, *, plugins: Sequence[str] = (), **reading: Any) -> Recommendation:
    """Return the method to use for a dataset, with the measured error of this advice.

    Labels are not used.

    Parameters
    ----------
    data
        A file of counts, or the name of a dataset.
    plugins
        Python files with further datasets.
    reading
        Options of reading a file, as of ``bench fit``: ``batch_key``, ``layer``, ``modality``, …

    Returns
    -------
    Recommendation
        ``method``, ``command``, ``errors``, ``cost`` and ``nearest``.

    Raises
    ------
    UsageError
        For a missing file, an unknown name and a modality without a baseline.
    DataError
        For a file without counts.
    """
    return ask_with(str(data), load_settings({"plugins": tuple(plugins)}), reading)


def ask_with(
    text: str, settings: Settings, reading: Mapping[str, Any], folder: Path = FOLDER
) -> Recommendation:
    """Return the method to use for a file or dataset; ``folder`` holds the evidence."""
    reading = {name: value for name, value in reading.items() if value is not None}
    profile = read_profile(text, settings, reading)
    if profile.modality not in BASELINES:
        raise UsageError(
            f"{text}: holds {profile.modality}; there is advice for {', '.join(BASELINES)}.",
            code="wrong_modality",
        )
    by_name = is_name(text, settings)
    found = recommend(read_evidence(profile.modality, folder), profile, by_name=by_name)
    command = _command(found.method, text, reading, settings.plugins, by_name=by_name)
    return replace(found, command=command)


def recommend(
    evidence: AdviceEvidence, profile: DataProfile, *, by_name: bool = True
) -> Recommendation:
    """Return the method to use for a dataset, by evidence on other datasets.

    ``by_name``: the dataset was asked for by its name, and no dataset of this name is evidence.
    """
    others = evidence.without(profile, by_name=by_name)
    n_sets, method, rule = len(others.profiles), others.baseline, BASELINE
    errors: RuleErrors | None = None
    reason: Reason = "few_sets"
    if n_sets >= LEAST_SETS:
        errors, rule = evaluate_rules(others), choose_rule(others)
        if not errors.choice.beats_baseline or rule == BASELINE:
            reason = "no_better_rule"
        elif required_score(rule):
            reason = "needs_runs"
        else:
            reason = "rule"
            case = AdviceCase(profile, frozenset(others.methods))
            method = rules()[rule](others, case)
    return Recommendation(
        profile=profile, method=method, baseline=others.baseline, reason=reason, rule=rule,
        n_sets=n_sets, errors=errors, cost=_expected_cost(others, method, profile),
        nearest=_nearest(others, profile),
    )  # fmt: skip


def _expected_cost(
    evidence: AdviceEvidence, method: str, profile: DataProfile
) -> ExpectedCost | None:
    """Return the cost on the nearest datasets by number of cells; ``None`` if none has one."""
    if method not in evidence.methods:
        return None
    seconds = evidence.seconds[:, evidence.methods.index(method)]
    cells = np.array([one.n_cells for one in evidence.profiles])
    distance = np.abs(np.log(cells) - np.log(profile.n_cells))
    rows = [row for row in np.argsort(distance, kind="stable") if np.isfinite(seconds[row])]
    chosen = rows[:NEAREST]
    if not chosen:
        return None
    return ExpectedCost(
        float(np.median(seconds[chosen])), int(cells[chosen].min()), int(cells[chosen].max())
    )


def _nearest(evidence: AdviceEvidence, profile: DataProfile) -> tuple[NearDataset, ...]:
    found = []
    for row in nearest_rows(evidence, profile)[:NEAREST]:
        best = int(np.nanargmax(evidence.ari[row]))
        one = evidence.profiles[row]
        found.append(
            NearDataset(
                one.dataset, one.n_cells, evidence.methods[best], float(evidence.ari[row, best]),
                float(evidence.ari[row, evidence.methods.index(evidence.baseline)]),
            )
        )  # fmt: skip
    return tuple(found)


def _command(
    method: str, text: str, reading: Mapping[str, Any], plugins: Sequence[str], *, by_name: bool
) -> str:
    """Return the command line that fits a method."""
    words = ["bench", "fit", method, text]
    if by_name:
        words = ["bench", "run", "-m", method, "-d", text]
    for name, value in reading.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    for plugin in plugins:
        words += ["--plugin", plugin]
    return shlex.join(words)

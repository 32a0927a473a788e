"""The verb ``bench ask``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from bench.messages import format_duration
from bench.settings import Settings

from .completion import complete_datasets
from .options import AsJson, argument, verb
from .output import make_console, print_json
from .tables import Row, format_table, show

if TYPE_CHECKING:
    from bench.advice.evaluation import RuleError, RuleErrors
    from bench.advice.recommendation import Recommendation


@verb("plugins", file=True)
def ask_command(
    data: Annotated[
        str, argument("DATA", "file of counts, or dataset", autocompletion=complete_datasets)
    ],
    as_json: AsJson = False,
    *,
    settings: Settings,
    reading: dict[str, Any],
) -> None:
    """Recommend a method for your data, with its measured error; needs no labels."""
    from bench.advice.recommendation import ask_with

    found = ask_with(data, settings, reading)
    if as_json:
        print_json(asdict(found))
    else:
        _show(found, make_console())


def _show(found: Recommendation, console: Console) -> None:
    show(_profile_card(found), console)
    console.print(f"\nUse {found.method}.", style="bold", highlight=False)
    for text in _sentences(found):
        console.print(text, soft_wrap=False, highlight=False)
    console.print(f"\n  {found.command}", highlight=False, markup=False)
    if found.nearest:
        console.print("\nNearest datasets with labels", style="bold")
        console.print(format_table(_nearest_rows(found)))
    if found.errors is not None:
        console.print("Rules, each dataset left out in turn", style="bold")
        console.print(format_table(_rule_rows(found, found.errors)))


def _profile_card(found: Recommendation) -> Row:
    one = found.profile
    genes = " (genes)" if one.modality == "multiome" else ""
    return {
        "data": f"{one.dataset}, {one.modality}",
        "cells": one.n_cells,
        "features": f"{one.n_features:,}{genes}",
        "median_counts": f"{one.median_counts:,.0f} a cell",
        "zeros": f"{one.zeros:.1%}",
        "batches": one.n_batches or "none known",
    }


def _sentences(found: Recommendation) -> list[str]:
    """Return why the method is advised, its measured error and its cost."""
    texts = [_reason(found)]
    if found.errors is not None:
        texts += [_error(found, found.errors), _label_free(found, found.errors)]
    if found.cost is not None:
        cost = found.cost
        cells = dict.fromkeys(f"{one:,}" for one in (cost.least_cells, cost.most_cells))
        texts.append(
            f"Expected time of a fit: about {format_duration(cost.seconds)} (median on datasets "
            f"of {' to '.join(cells)} cells)."
        )
    return [text for text in texts if text]


def _reason(found: Recommendation) -> str:
    always = f"always {found.baseline}"
    if found.reason == "few_sets":
        return (
            f"Too few labelled datasets to judge a rule ({found.profile.modality}: "
            f"{found.n_sets}); {found.baseline} is the usual start."
        )
    if found.reason == "needs_runs":
        score = found.rule.partition(":")[2]
        return (
            f"Better than {always} was: run the light methods on your data and take the one with "
            f"the highest {score}. Without these runs: {found.baseline}."
        )
    if found.reason == "no_better_rule":
        return f"No rule tried was reliably better than {always}."
    return f"Chosen by the rule {found.rule}, which was better than {always}."


def _error(found: Recommendation, errors: RuleErrors) -> str:
    choice, base = errors.choice, errors.baseline
    what = "this advice" if found.reason == "rule" else "the best rule of the other sets"
    return (
        f"Leaving each of {choice.n_sets} datasets out in turn, {what} was within 0.03 ARI of the "
        f"best method on {choice.n_close}, always {found.baseline} on {base.n_close}; mean "
        f"difference {_gain(choice)}."
    )


def _label_free(found: Recommendation, errors: RuleErrors) -> str:
    scores = [one for one in errors.rules if one.rule.startswith("label_free:")]
    if not scores:
        return ""
    gains = ", ".join(f"{one.rule.partition(':')[2]} {one.gain:+.2f}" for one in scores)
    return (
        f"Scores that need no labels were tried as rules; mean difference to {found.baseline}: "
        f"{gains}."
    )


def _nearest_rows(found: Recommendation) -> list[Row]:
    return [
        {
            "dataset": one.dataset,
            "cells": f"{one.n_cells:,}",
            "best": one.best,
            "ARI": f"{one.best_ari:.2f}",
            f"ARI of {found.baseline}": f"{one.baseline_ari:.2f}",
        }
        for one in found.nearest
    ]


def _rule_rows(found: Recommendation, errors: RuleErrors) -> list[Row]:
    return [
        {
            "rule": one.rule.removeprefix("label_free:"),
            "near best": f"{one.n_close} of {one.n_sets}",
            "regret": f"{one.mean_regret:.3f}",
            **({} if one.rule == "baseline" else _gain_columns(one, found.baseline)),
        }
        for one in (*errors.rules, errors.choice)
    ]


def _gain_columns(error: RuleError, baseline: str) -> Row:
    interval = f"{error.gain_low:+.3f} to {error.gain_high:+.3f}"
    return {f"ARI − {baseline}": f"{error.gain:+.3f}", "95 %": interval}


def _gain(error: RuleError) -> str:
    return f"{error.gain:+.3f} (95 % {error.gain_low:+.3f} to {error.gain_high:+.3f})"

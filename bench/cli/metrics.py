"""The verb ``bench metrics``."""

from __future__ import annotations

from typing import Annotated

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.scoring.aggregates import AGGREGATES
from bench.scoring.metric_cards import metric_card, sort_metrics
from bench.scoring.metrics import metrics
from bench.settings import Settings

from .completion import complete_metrics
from .options import AsJson, argument, verb
from .tables import Row, print_content


@verb("plugins")
def metrics_command(
    name: Annotated[
        str | None, argument("NAME", "show one in full", autocompletion=complete_metrics)
    ] = None,
    as_json: AsJson = False,
    *,
    settings: Settings,
) -> None:
    """List the metrics, or show one: definition, range, conventions, scib-metrics, source."""
    if name is None:
        print_content(metric_table(settings.plugins), as_json=as_json)
        return
    cards = _cards(settings.plugins)
    wanted = name.rpartition("/")[2]  # kmeans/ari is read as ari
    if wanted not in cards:
        hint = did_you_mean(wanted, list(cards))
        raise UsageError(f"no metric named '{wanted}'.{hint}", code="unknown_name")
    print_content(dict(cards[wanted]), as_json=as_json)


def metric_table(plugins: tuple[str, ...] = ()) -> list[Row]:
    """Return one row a metric."""
    shown = ("metric", "scores", "range", "better", "summary")
    return [{column: card[column] for column in shown} for card in _cards(plugins).values()]


def _cards(plugins: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return the cards of all metrics by name, without the marks of code."""
    every = metrics(plugins) | {metric.name: metric for metric in AGGREGATES}
    return {
        metric.name: {head: text.replace("`", "") for head, text in metric_card(metric).items()}
        for metric in sort_metrics(every.values())
    }

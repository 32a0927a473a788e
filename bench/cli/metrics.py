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
from .tables import print_content


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
    every = metrics(settings.plugins) | {metric.name: metric for metric in AGGREGATES}
    cards = {metric.name: _plain(metric_card(metric)) for metric in sort_metrics(every.values())}
    if name is None:
        shown = ("metric", "scores", "range", "better", "summary")
        rows = [{column: card[column] for column in shown} for card in cards.values()]
        print_content(rows, as_json=as_json)
        return
    wanted = name.rpartition("/")[2]  # kmeans/ari is read as ari
    if wanted not in cards:
        hint = did_you_mean(wanted, list(cards))
        raise UsageError(f"no metric named '{wanted}'.{hint}", code="unknown_name")
    print_content(dict(cards[wanted]), as_json=as_json)


def _plain(card: dict[str, str]) -> dict[str, str]:
    """Return a card without the marks of code."""
    return {heading: text.replace("`", "") for heading, text in card.items()}

"""The verb ``bench cite``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.registry import datasets, methods
from bench.scoring.metrics import metrics
from bench.selectors import split_selectors
from bench.settings import Settings

from .completion import complete_methods
from .options import argument, verb


@verb("results", "tracking_uri", "experiment", "plugins")
def cite_command(
    names: Annotated[
        list[str] | None,
        argument(
            "NAMES",
            "methods, datasets and metrics, as in 'pca,vae baron_mouse'",
            show_default="those in the store",
            autocompletion=complete_methods,
        ),
    ] = None,
    *,
    settings: Settings,
) -> None:
    """Print the BibTeX of what was used: methods, datasets, metrics and libraries."""
    from bench.reports.page.cards import collect_references, references_of
    from bench.reports.tables.citations import bibtex
    from bench.reports.tables.leaderboard import tidy
    from bench.store.result_store import ResultStore, require_results
    from bench.store.results_table import selected_results

    if names:
        wanted = [name for text in names for name in split_selectors(text)]
        _check_names(wanted, settings)
        references = collect_references(wanted, wanted, settings.plugins)
    else:
        require_results(settings)
        store = ResultStore(settings)
        store.require_experiment()
        references = references_of(tidy(selected_results(store, None, None)), settings.plugins)
    typer.echo(bibtex(references), nl=False)


def _check_names(wanted: list[str], settings: Settings) -> None:
    """Raise ``UsageError`` for a name that is no method, dataset or metric."""
    known = [*methods(settings.plugins).entries, *datasets(settings.plugins).entries]
    known += metrics(settings.plugins)
    for name in wanted:
        if name.partition("[")[0].rpartition("/")[2] not in known:
            hint = did_you_mean(name, known)
            if "?" not in hint:
                hint = " 'bench methods', 'bench datasets' and 'bench metrics' list the names."
            raise UsageError(
                f"no method, dataset or metric named '{name}'.{hint}", code="unknown_name"
            )

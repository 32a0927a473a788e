"""The verb ``bench compare``: the difference of two experiments, paired by job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bench.errors import UsageError
from bench.settings import Settings, load_settings

from .options import AsJson, StoredDatasets, StoredMethods, argument, option, verb

_SIDE = "results folder; with --results or --tracking-uri an experiment of that store"


@verb("results", "tracking_uri")
def compare_command(
    a: Annotated[str, argument("A", _SIDE, show_default=False)],
    b: Annotated[str, argument("B", _SIDE, show_default=False)],
    metric: Annotated[
        str, option("NAME", "to decide by: 'ari' (k-means), 'leiden/ari', …")
    ] = "ari",
    methods: StoredMethods = None,
    datasets: StoredDatasets = None,
    out: Annotated[
        Path | None, option("FOLDER", "folder to write", show_default="reports/compare beside B")
    ] = None,
    as_json: AsJson = False,
    *,
    flags: dict[str, Any],
) -> None:
    """Compare two experiments job by job."""
    sides = (_side_settings(a, flags), _side_settings(b, flags))
    from .comparison import compare_stores

    compare_stores(
        (a, b), sides, metric=metric, methods=methods, datasets=datasets, out=out, as_json=as_json
    )


def _side_settings(name: str, flags: dict[str, Any]) -> Settings:
    """Return the settings of one of the two stores; raises ``UsageError`` if it does not exist."""
    config = flags.get("config")
    store = {key: value for key, value in flags.items() if key != "config"}
    if store:
        settings = load_settings(store | {"experiment": name}, config)
    else:
        settings = load_settings({"results": Path(name)}, config)
        # A server named in a settings file would make both sides the same.
        settings = settings.model_copy(update={"tracking_uri": ""})
    if not settings.tracking_uri and not settings.database.is_file():
        raise UsageError(
            f"{settings.results}: no results there (no {settings.database.name}); give the folder "
            "that 'bench run --results' was given.",
            code="no_results",
        )
    return settings

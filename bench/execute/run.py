"""``bench.run``: methods × datasets × seeds, from names, classes and data in memory."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.plan.build import build_plan
from bench.plan.method_objects import select_methods
from bench.settings import load_settings

from .console_log import log_on_console
from .dataset_reading import open_cache
from .driver import Driver, add_plugin_metrics
from .report import write_run_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Method
    from bench.settings import Settings

    from .outcome import RunOutcome


def run(  # noqa: PLR0913 – what people set by name
    methods: str | type[Method] | Method | Sequence[str | type[Method] | Method],
    datasets: str | Path | AnnData | MuData | Mapping[str, AnnData | MuData] | Sequence[Any],
    *,
    seeds: int | str | Sequence[int] | None = None,
    results: str | Path | None = None,
    label_key: str | None = None,
    batch_key: str | None = None,
    layer: str | None = None,
    jobs: int | None = None,
    device: str | None = None,
    plugins: str | Sequence[str] | None = None,
    assign: Sequence[str] = (),
    params: Sequence[Path] = (),
    report: bool = True,
    umap: bool = True,
    config: Path | None = None,
    console: Console | None = None,
    **settings: Any,
) -> RunOutcome:
    """Benchmark methods on datasets: fit each method with each seed, and score the results.

    Each fit runs in a process of its own. The results folder keeps finished fits: the same call
    again computes only what is missing. If a fit fails, its row says why and the others go on. A
    script needs no ``if __name__ == "__main__"``.

    Parameters
    ----------
    methods
        Names separated by commas, with parameters in brackets: ``"pca,vae[n_latent=16]"``. Also
        ``"all"``, or all with a tag: ``"tag:baseline"``. Or a class of your own, an object of it,
        or a list of any of these. :func:`bench.list_methods` shows names and tags. A class may be
        defined in a notebook or script. The imports, functions, classes and plain values that it
        uses are copied to its fits; if it uses anything else, such as your data, that is an error.
    datasets
        AnnData or MuData: raw counts, cells × features, and the true types in a column of
        ``obs``. Or a dictionary ``{"name": adata}``; without a name they are called ``data``. Or
        names such as ``"pbmc68k,sim_rna"`` (:func:`bench.list_datasets`), the path of a file, or
        a list of any of these.
    seeds
        Number of seeds (3 means 0, 1 and 2), or a list of seeds. Default: 3.
    results
        Folder of the results and reports. Default: ``results``.
    label_key, batch_key
        Columns of ``obs`` with the true types and the batches, in files and data in memory.
        Default: ``cell_type``, and ``batch`` if there is one.
    layer
        Where the counts are: ``X``, ``raw`` or the name of a layer. Default: ``X``, or the one
        that holds counts if ``X`` is normalised.
    jobs
        Fits at a time. Default: one a core.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``. Default: ``"auto"``.
    plugins
        Python files with own methods, datasets and metrics.
    assign
        Parameters of methods, such as ``["vae.n_latent=16"]``.
    params
        Files of parameters, such as the ``best.yaml`` of a search.
    report, umap
        Whether the HTML report is written, and whether it has UMAPs.
    config
        File of settings. Default: ``bench.toml``, if there is one.
    console
        Where progress is shown. Default: the notebook, or standard error.
    settings
        Further options of ``bench run --help``, with underscores: ``profile`` (``"quick"``,
        ``"default"`` or ``"faithful"``, the size of the fits), ``timeout`` (seconds a fit),
        ``memory`` (GiB a fit), ``threads``, ``retry`` (failures to run again, such as ``"all"``),
        ``no_labels`` (scores that need no types), ``n_clusters`` (for data without types),
        ``labels`` and ``markers`` (files), ``cache_dir``, ``offline``, ``mirror``,
        ``tracking_uri``, ``experiment``.

    Returns
    -------
    RunOutcome
        ``results`` is a table with a row for each fit; ``plot.heatmap()``, ``plot.cost()`` and
        ``plot.umap(method)`` are Matplotlib figures; ``report`` is the path of the HTML page. A
        notebook shows the leaderboard.

    Raises
    ------
    UsageError
        For an unknown name, parameter or setting.
    DataError
        For data that no benchmark can run on, such as normalised values.
    StoreError
        If the results folder cannot be used.

    Examples
    --------
    >>> import bench
    >>> outcome = bench.run("pca,nmf", adata, label_key="louvain", seeds=1)  # doctest: +SKIP
    >>> outcome.results  # doctest: +SKIP
    """
    flags = dict(
        settings, seeds=seeds, results=results, label_key=label_key, batch_key=batch_key,
        layer=layer, jobs=jobs, device=device, plugins=plugins,
    )  # fmt: skip
    chosen = load_settings(flags, config)
    console = console or Console(stderr=True, soft_wrap=True, emoji=False)
    selector, files = select_methods(methods, chosen)
    chosen = chosen.model_copy(update={"plugins": files})
    with log_on_console(console):
        driver = _open_driver(selector, datasets, chosen, console, (assign, params))
        outcome = driver.run_plan()
        add_plugin_metrics(driver)
        if report and not outcome.interrupted:
            outcome.report = write_run_report(outcome, chosen, umap=umap)
    return outcome


def _open_driver(
    methods: str,
    datasets: Any,
    settings: Settings,
    console: Console,
    parameters: tuple[Sequence[str], Sequence[Path]],
) -> Driver:
    """Return the driver of a plan, with its store open."""
    cache = open_cache(settings)
    assign, params = parameters
    with select_datasets(datasets, settings) as selector:
        plan = build_plan(methods, selector, assign, settings, cache, params)
    driver = Driver(settings, cache, plan, console)
    driver.open()
    return driver


@contextmanager
def select_datasets(datasets: Any, settings: Settings) -> Iterator[str]:
    """Yield the selector of datasets, those in memory among them; errors inside name the data."""
    if isinstance(datasets, str):
        yield datasets
        return
    from bench.data.memory import errors_with_names, write_memory_data  # anndata is slow

    selector, files = write_memory_data(datasets, settings.cache_dir)
    with errors_with_names(files):
        yield selector

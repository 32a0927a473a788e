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

    Each fit runs in a separate process. A fit that fails raises no error: its row holds the
    reason, and the other fits continue. The results folder keeps all fits: a repeated call runs
    only missing fits; failed fits are repeated with ``retry="all"``. A script needs no ``if
    __name__ == "__main__"``.

    Parameters
    ----------
    methods
        Names separated by commas, parameters in brackets: ``"pca,vae[n_latent=16,hidden=128]"``;
        ``"all"``; or all with a tag, ``"tag:baseline"``. :func:`bench.list_methods` shows names
        and tags. Or a subclass of ``bench.contract.Method``, an object of it, or a list of these.
        The class may be defined in a notebook or script. The imports, functions, classes and plain
        values that it uses are sent to the process of the fit; any other object that it uses, such
        as an AnnData of the notebook, is an error.
    datasets
        AnnData or MuData with raw counts, cells × features, and the true cell types, if they are
        known, in a column of ``obs``. Several: a dictionary ``{"name": adata, …}``. Or names,
        ``"pbmc68k,sim_rna"`` (:func:`bench.list_datasets`), the path of a file of counts (h5ad,
        10x, loom, text and others), or a list of these.
    seeds
        Number of seeds (3 means 0, 1 and 2), or the seeds, ``[0, 7]`` or ``"0,7"``. Default: 3
        seeds.
    results
        Folder of the results and reports. Default: ``results``.
    label_key, batch_key
        Columns of ``obs`` with the true types and the batches, for files and data in memory.
        Defaults: ``cell_type``; ``batch``, if there is such a column.
    layer
        Where the counts are: ``X``, ``raw`` or the name of a layer. Default: ``X``; if it has no
        raw counts, the layer or ``raw`` that has them.
    jobs
        Fits that run at the same time. Default: one for each core.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: a GPU if there is one. Default: ``"auto"``.
    plugins
        Python files with own methods, datasets and metrics.
    assign
        Parameters of methods, such as ``["vae.n_latent=16"]``; overridden by parameters in
        brackets.
    params
        Files of parameters, such as the ``best.yaml`` of a search; overridden by ``assign`` and
        brackets.
    report, umap
        Whether the HTML report is written, and whether the report has UMAPs.
    config
        File of settings, which the arguments override. Default: ``bench.toml`` of the current
        folder, if there is one.
    console
        Where progress is shown. Default: the notebook, or standard error.
    settings
        Further options of ``bench run --help`` as arguments, with underscores, such as
        ``timeout=600``: ``profile`` (``"quick"``: short training; ``"default"``; ``"faithful"``:
        the settings of each publication), ``timeout`` (seconds of a fit), ``memory`` (GiB of a
        fit), ``threads`` (of a fit), ``retry``, ``no_labels`` (true: only scores that need no
        types), ``n_clusters`` (of k-means for data without types), ``labels`` and ``markers``
        (files), ``cache_dir``, ``offline`` and ``mirror`` (of downloads), ``tracking_uri`` and
        ``experiment`` (of MLflow).

    Returns
    -------
    RunOutcome
        ``outcome.results`` is a table with a row for each fit and a column for each score;
        ``outcome.plot.heatmap()``, ``outcome.plot.cost()`` and ``outcome.plot.umap(method)`` are
        Matplotlib figures; ``outcome.report`` is the path of the HTML page, ``None`` without a
        report. A notebook shows the leaderboard.

    Raises
    ------
    UsageError
        For an unknown name, parameter or setting.
    DataError
        For unusable data, such as normalised values without raw counts.
    StoreError
        If the results folder cannot be used.

    Examples
    --------
    >>> import bench
    >>> outcome = bench.run("pca,nmf", adata, label_key="cell_type", seeds=1)  # doctest: +SKIP
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
    """Yield the selector of datasets, with data in memory in the cache; errors name these data."""
    if isinstance(datasets, str):
        yield datasets
        return
    from bench.data.memory import errors_with_names, write_memory_data  # anndata is slow

    selector, files = write_memory_data(datasets, settings.cache_dir)
    with errors_with_names(files):
        yield selector

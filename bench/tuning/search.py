"""``bench search``: run studies, then score the best and the default configurations."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.contract.method import declared_inputs
from bench.data.cache.dataset_files import CellLabels
from bench.errors import UsageError
from bench.execute.console_log import log_on_console
from bench.execute.dataset_reading import open_cache
from bench.execute.driver import Driver
from bench.execute.report import write_run_report
from bench.execute.run import select_datasets
from bench.plan.build import choose_methods, load_datasets
from bench.plan.grid import exclusion_reason, make_job
from bench.plan.job import Job, Plan, with_seed
from bench.plan.method_objects import select_methods
from bench.scoring.holdout import ORACLE, write_split
from bench.selectors import Exclusion
from bench.settings import Settings, load_settings

from .search_options import SearchOptions, split_options
from .space_file import SpaceChanges, read_space_file
from .study import Study
from .study_figures import draw_study_figures
from .study_spec import StudySpec, hidden_input, make_study_spec
from .summary import FinishedStudy, summarize, write_best_parameters, write_study_files
from .trials import TrialLoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Method
    from bench.data.cache.cached_dataset import CachedDataset
    from bench.execute.outcome import RunOutcome
    from bench.plan.methods import ConfiguredMethod

logger = logging.getLogger(__name__)


@dataclass
class SearchOutcome:
    """The results of a search.

    Parameters
    ----------
    run
        Outcome of the report jobs: default and best configurations with the report seeds.
    studies
        The summary of each study.
    best
        Files of the best parameters, one a dataset, for ``bench run --params``.
    """

    run: RunOutcome
    studies: list[dict[str, Any]] = field(default_factory=list)
    best: list[Path] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Exit code of the report jobs; failed trials do not count."""
        return self.run.exit_code


@dataclass
class _SearchPlan:
    """The studies of one command."""

    specs: list[StudySpec] = field(default_factory=list)
    fixed: list[tuple[ConfiguredMethod, CachedDataset]] = field(default_factory=list)
    """Methods without a parameter to search; they are scored with the others."""
    excluded: list[Exclusion] = field(default_factory=list)


def search(
    methods: str | type[Method] | Method | Sequence[str | type[Method] | Method],
    datasets: str | Path | AnnData | MuData | Mapping[str, AnnData | MuData] | Sequence[Any],
    *,
    assign: Sequence[str] = (),
    params: Sequence[Path] = (),
    config: Path | None = None,
    report: bool = True,
    umap: bool = True,
    console: Console | None = None,
    **settings: Any,
) -> SearchOutcome:
    """Search hyperparameters of each method on each dataset and score the best ones.

    Finished trials and jobs are not repeated. A failed trial is a result, not an error.

    Parameters
    ----------
    methods, datasets
        Names, classes or objects of methods, data in memory, or lists: as in :func:`bench.run`.
    assign, params, config, report, umap, console
        As in :func:`bench.run`.
    settings
        Fields of :class:`bench.tuning.search_options.SearchOptions` and of
        :class:`bench.settings.Settings`. ``timeout`` limits a study, ``fit_timeout`` a fit;
        ``seeds`` are the report seeds.

    Returns
    -------
    SearchOutcome
        Summaries of the studies, files of the best parameters, and the report jobs.

    Raises
    ------
    BenchError
        For wrong usage or input.
    """
    runner = _open_search(
        methods, datasets, assign=assign, params=params, config=config, console=console, **settings
    )
    with log_on_console(runner.driver.console):
        return runner.run(report=report, umap=umap)


def ask_batch(methods: str, datasets: str, size: int, **keywords: Any) -> tuple[Plan, Settings]:
    """Return the next jobs of a search, to be run elsewhere, and the settings.

    Results of earlier jobs in the store are first passed to the studies.

    Parameters
    ----------
    methods, datasets, keywords
        As in :func:`search`; no report is written.
    size
        Largest number of trials of each study. If no trial is left in any study, the jobs score
        the default and the best configurations.

    Raises
    ------
    BenchError
        For wrong usage or input.
    """
    runner = _open_search(methods, datasets, **keywords)
    with log_on_console(runner.driver.console):
        return runner.ask(size), runner.driver.settings


def _open_search(
    methods: Any,
    datasets: Any,
    *,
    assign: Sequence[str] = (),
    params: Sequence[Path] = (),
    config: Path | None = None,
    console: Console | None = None,
    **keywords: Any,
) -> _SearchRunner:
    """Return the runner of the studies of a command."""
    options, flags = split_options(keywords)
    settings = load_settings(flags, config)
    _check_seeds(options.search_seed, settings.seeds)
    cache, console = open_cache(settings), console or Console(stderr=True)
    selector, plugins = select_methods(methods, settings)
    settings = settings.model_copy(update={"plugins": plugins})
    configured, unavailable = choose_methods(selector, assign, settings, params)
    with select_datasets(datasets, settings) as names:
        cached, absent = load_datasets(names, settings, cache)
        plan = _plan_search(configured, cached, options, settings, unavailable + absent)
    return _SearchRunner(Driver(settings, cache, Plan(), console), plan, options)


def _check_seeds(search_seed: int, report_seeds: Sequence[int]) -> None:
    """Raise ``UsageError`` if the seed of the trials is also a report seed."""
    if search_seed in report_seeds:
        raise UsageError(
            f"--search-seed {search_seed} is also one of the report --seeds; a configuration "
            "must be scored with seeds that did not select it.",
            code="seed_in_use",
        )


def _plan_search(
    configured: list[ConfiguredMethod],
    datasets: list[CachedDataset],
    options: SearchOptions,
    settings: Settings,
    absent: list[Exclusion],
) -> _SearchPlan:
    """Return the studies; raises ``UsageError`` if there is none, or if one is impossible."""
    changes: Mapping[str, SpaceChanges] = {}
    if options.space is not None:
        changes = read_space_file(
            options.space, {method.cls.name: method.cls.Params for method in configured}
        )
    plan = _SearchPlan(excluded=absent)
    for dataset in datasets:
        if not dataset.n_types and options.protocol != "unsupervised":
            raise UsageError(
                f"--protocol {options.protocol}: {dataset.label} has no labels to choose by; use "
                "--protocol unsupervised.",
                code="no_labels",
            )
        for method in configured:
            reason = exclusion_reason(method, dataset, settings)
            hidden = hidden_input(declared_inputs(method.method), options.protocol)
            if hidden and options.protocol == "unsupervised":
                reason = reason or f"uses {hidden}, which --protocol unsupervised does not show"
            if reason:
                plan.excluded.append(Exclusion(method.label, dataset.label, "skipped", reason))
                continue
            _check_file(method, dataset, options.protocol)
            spec = make_study_spec(
                method, dataset, options, settings, changes.get(method.cls.name)
            )
            if not spec.space.dimensions:
                plan.fixed.append((spec.default, dataset))
            elif hidden:
                raise UsageError(
                    f"{method.label} uses {hidden}: only --protocol oracle shows them.",
                    code="hidden_input",
                )
            else:
                plan.specs.append(spec)
    if not plan.specs:
        reasons = dict.fromkeys(f"{one.method}: {one.reason}" for one in plan.excluded)
        raise UsageError(
            "nothing to search: no selected method has parameters to search. "
            f"{'; '.join(reasons)}",
            code="empty_selection",
        )
    return plan


def _check_file(method: ConfiguredMethod, dataset: CachedDataset, protocol: str) -> None:
    """Raise ``UsageError`` if ``--params`` were selected by labels that the protocol hides."""
    file = method.file
    if file is None or file.search is None or not file.chosen_on(dataset):
        return
    by_labels = ("unsupervised", "holdout", "oracle")
    earlier = file.search.protocol
    if by_labels.index(earlier) > by_labels.index(protocol):
        raise UsageError(
            f"{file.path}: {method.cls.name} was selected with --protocol {earlier}, by labels "
            f"that --protocol {protocol} hides; search with --protocol {earlier}.",
            code="hidden_input",
        )


class _SearchRunner:
    """Runs the studies of one command, then the report jobs."""

    def __init__(self, driver: Driver, plan: _SearchPlan, options: SearchOptions) -> None:
        self.driver, self.plan, self.options = driver, plan, options

    def run(self, *, report: bool, umap: bool) -> SearchOutcome:
        """Run the studies and the report jobs, and write their files."""
        driver = self.driver
        if self.options.protocol == "holdout":
            self._write_splits()
        driver.open()
        outcome = SearchOutcome(driver.outcome)
        with driver.session() as session:
            studies = [self._run_study(spec, session) for spec in self.plan.specs]
            driver.plan = driver.outcome.plan = self._report_plan(studies)
            logger.info("the best and the default configurations on the report seeds:")
            driver.run_plan()
            outcome.studies = [self._store_summary(study) for study in studies]
            outcome.best = write_best_parameters(studies, driver.settings.results / "studies")
        if report and not driver.outcome.interrupted:
            driver.outcome.report = write_run_report(
                driver.outcome, driver.settings, umap=umap, studies=outcome.studies
            )
        return outcome

    def ask(self, size: int) -> Plan:
        """Return the jobs of up to ``size`` new trials; after the last, the jobs of the report."""
        jobs: list[Job] = []
        studies = []
        self.driver.open()
        with self.driver.session() as session:
            for spec in self.plan.specs:
                with self._open_study(spec, session) as (study, loop, run):
                    jobs += loop.ask(size)
                    studies.append(FinishedStudy(spec, run, study.trials()))
        if self.driver.outcome.interrupted:
            raise KeyboardInterrupt
        return Plan(jobs) if jobs else self._report_plan(studies)

    def _write_splits(self) -> None:
        """Write the split of each dataset under ``holdout``."""
        datasets = [spec.dataset for spec in self.plan.specs]
        datasets += [dataset for _, dataset in self.plan.fixed]
        for dataset in {one.folder: one for one in datasets}.values():
            types = CellLabels(dataset.folder).types
            write_split(self.driver.cache.root, dataset.folder, types, dataset.counts_digest)

    def _run_study(self, spec: StudySpec, session: str) -> FinishedStudy:
        """Run the trials of one study."""
        with self._open_study(spec, session) as (study, loop, run):
            logger.info(_announcement(spec, len(study.trials())))
            try:
                loop.run()
            except BaseException:
                self.driver.tracker.close_study(run, "KILLED", {}, "", [])
                raise
            if loop.note:
                logger.info(f"{spec.default.label} · {spec.dataset.label}: {loop.note}")
            figures = draw_study_figures(study.optuna_study, self.options.objectives)
            return FinishedStudy(spec, run, study.trials(), figures, loop.note)

    @contextmanager
    def _open_study(self, spec: StudySpec, session: str) -> Iterator[tuple[Study, TrialLoop, str]]:
        """Yield a study, its trial loop, and the id of its run in MLflow."""
        with Study(spec.name, spec.folder, spec.space, self.options) as study:
            run = self.driver.tracker.open_study(spec.name, session, _study_tags(spec))
            loop = TrialLoop(self.driver, spec, study, run)
            if study.journal_damaged:
                loop.restore()
            yield study, loop, run

    def _report_plan(self, studies: list[FinishedStudy]) -> Plan:
        """Return the report jobs: default and best configurations × report seeds."""
        plan = Plan(excluded=list(self.plan.excluded))
        for study in studies:
            plan.jobs += self._report_jobs(study.spec.default, study.spec.dataset)
            if study.best is not None:
                best = study.spec.with_parameters(study.best.params, study.best_label)
                best = replace(best, n_trials=len(study.trials))
                plan.jobs += self._report_jobs(best, study.spec.dataset)
        for method, dataset in self.plan.fixed:
            plan.jobs += self._report_jobs(method, dataset)
        return plan

    def _report_jobs(self, method: ConfiguredMethod, dataset: CachedDataset) -> list[Job]:
        settings = self.driver.settings
        first = make_job(
            method, dataset, settings.seeds[0], settings, self.driver.cache,
            protocol=self.options.protocol,
        )  # fmt: skip
        return [with_seed(replace(first), seed) for seed in settings.seeds]

    def _store_summary(self, study: FinishedStudy) -> dict[str, Any]:
        """Write the summary of a study into its folder and into MLflow; returns it."""
        results = self.driver.outcome.table
        assert results is not None
        summary = summarize(study, results)
        files = write_study_files(study, summary)
        values = {f"best/{name}": value for name, value in summary["values"].items()}
        for gain in summary["gains"]:
            values |= {f"gain/{gain['key'].replace('/', '_')}": gain["gain"]}
        self.driver.tracker.close_study(study.run, "FINISHED", values, summary["statement"], files)
        return summary


def _announcement(spec: StudySpec, n_known: int) -> str:
    """Return the log line at the start of a study."""
    options = spec.options
    total = "" if options.trials is None else f" of {options.trials}"
    return (
        f"study {spec.name}: {n_known}{total} trials in the store; {options.protocol}, "
        f"{', '.join(one.describe() for one in options.objectives)}, "
        f"{options.sampler} over {len(spec.space.dimensions)} parameters"
    )


def _study_tags(spec: StudySpec) -> dict[str, str]:
    """Return the MLflow tags of a study."""
    options = spec.options
    tags = {
        "method": spec.default.label,
        "method_name": spec.default.cls.name,
        "dataset": spec.dataset.label,
        "protocol": options.protocol,
        "objectives": ",".join(one.key for one in options.objectives),
        "sampler": options.sampler,
        "pruner": options.pruner,
        "search_seed": str(options.search_seed),
    }
    return tags | ({"watermark": ORACLE} if options.protocol == "oracle" else {})

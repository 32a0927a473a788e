"""``bench search``: studies of methods × datasets, then winners and defaults on other seeds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.data.cache.cached_dataset import CachedDataset
from bench.data.cache.data_cache import DataCache
from bench.data.cache.dataset_files import CellLabels
from bench.errors import UsageError
from bench.execute.driver import Driver
from bench.execute.outcome import RunOutcome
from bench.execute.report import write_run_report
from bench.plan.build import choose_methods, load_datasets
from bench.plan.grid import exclusion_reason, make_job
from bench.plan.job import Job, Plan, with_seed
from bench.plan.methods import ConfiguredMethod
from bench.scoring.holdout import ORACLE, make_split
from bench.selectors import Exclusion
from bench.settings import Settings, load_settings

from .space_file import Changes, read_space
from .study import Study
from .study_figures import figures
from .study_spec import SEED, Options, Spec, knows_too_much, make_spec
from .summary import Tuned, summarize, write_best, write_files
from .trials import Loop

logger = logging.getLogger(__name__)


@dataclass
class SearchOutcome:
    """What a search came to."""

    run: RunOutcome
    """Of the report jobs: defaults and winners on the report seeds."""
    studies: list[dict[str, Any]] = field(default_factory=list)
    """One summary a study."""
    best: list[Path] = field(default_factory=list)
    """Files of the best parameters, one a dataset, for ``bench run --params``."""

    @property
    def exit_code(self) -> int:
        """That of the report jobs; a failed trial is part of a search."""
        return self.run.exit_code


@dataclass
class _Layout:
    """What there is to do."""

    specs: list[Spec] = field(default_factory=list)
    plain: list[tuple[ConfiguredMethod, CachedDataset]] = field(default_factory=list)
    """Methods with nothing to search; they are scored beside the others."""
    left: list[Exclusion] = field(default_factory=list)


def search(
    methods: str,
    datasets: str,
    *,
    trials: int | None = None,
    timeout: float | None = None,
    protocol: str = "holdout",
    objective: str = "",
    sampler: str = "tpe",
    pruner: str = "none",
    space: Path | None = None,
    storage: str = "",
    search_seed: int = SEED,
    fit_timeout: float | None = None,
    assign: Sequence[str] = (),
    params: Sequence[Path] = (),
    config: Path | None = None,
    report: bool = True,
    umap: bool = True,
    console: Console | None = None,
    **flags: Any,
) -> SearchOutcome:
    """Search hyperparameters of each method on each dataset, and score what was found.

    ``trials`` (in all) and ``timeout`` (seconds, counted anew by each command) are the budget of
    one study. ``protocol``, ``objective``, ``sampler``, ``pruner``, ``space`` (a file),
    ``storage`` and ``search_seed`` are those of the command line, ``fit_timeout`` limits one fit,
    the rest is as in :func:`bench.execute.driver.run`; ``seeds`` are the report seeds. What is done is not
    repeated. Raises ``BenchError`` for wrong usage or input; a trial that fails is a result.
    """
    options = Options(
        trials=trials, timeout=timeout, protocol=protocol, objective=objective, sampler=sampler,
        pruner=pruner, storage=storage, seed=search_seed,
    )  # fmt: skip
    console = console or Console()
    settings = load_settings(flags | {"timeout": fit_timeout}, config)
    if options.seed in settings.seeds:
        raise UsageError(
            f"--search-seed {options.seed} is also one of the report --seeds; a configuration "
            "must be judged by seeds it was not chosen by."
        )
    store = DataCache(settings.cache_dir)
    configured, left = choose_methods(methods, assign, settings, params)
    stored, absent = load_datasets(datasets, settings, store)
    layout = _lay_out(configured, stored, options, settings, space)
    layout.left += left + absent
    return _Search(settings, store, layout, options, console).run(report=report, umap=umap)


def _lay_out(
    configured: list[ConfiguredMethod],
    stored: list[CachedDataset],
    options: Options,
    settings: Settings,
    space: Path | None,
) -> _Layout:
    """Return the studies; raises ``UsageError`` if there is none or one makes no sense."""
    changes: Mapping[str, Changes] = {}
    if space is not None:
        changes = read_space(space, {one.cls.name: one.cls.Params for one in configured})
    layout = _Layout()
    for dataset in stored:
        for one in configured:
            reason = exclusion_reason(one, dataset)
            hidden = knows_too_much(one.method.uses(), options.protocol)
            if hidden and options.protocol == "unsupervised":
                reason = reason or f"uses {hidden}, which --protocol unsupervised does not show"
            if reason:
                layout.left.append(Exclusion(one.label, dataset.label, "skipped", reason))
                continue
            spec = make_spec(one, dataset, options, settings, changes.get(one.cls.name))
            if not spec.space.dimensions:
                layout.plain.append((spec.one, dataset))
            elif hidden:
                raise UsageError(f"{one.label} uses {hidden}: only --protocol oracle shows them.")
            else:
                layout.specs.append(spec)
    if not layout.specs:
        why = "; ".join(dict.fromkeys(f"{one.method}: {one.reason}" for one in layout.left))
        raise UsageError(f"nothing to search: no selected method has parameters to search. {why}")
    return layout


class _Search:
    """Carries out the studies of one command."""

    def __init__(
        self,
        settings: Settings,
        store: DataCache,
        layout: _Layout,
        options: Options,
        console: Console,
    ) -> None:
        self.settings, self.store, self.layout = settings, store, layout
        self.options, self.console = options, console
        self.driver = Driver(settings, store, Plan(), console)

    def run(self, *, report: bool, umap: bool) -> SearchOutcome:
        """Run studies, then the report jobs, and write what came of it."""
        if self.options.protocol == "holdout":
            searched = [spec.dataset for spec in self.layout.specs]
            fixed = [dataset for _, dataset in self.layout.plain]
            for dataset in {one.folder: one for one in (*searched, *fixed)}.values():
                types = CellLabels(dataset.folder).types
                make_split(self.store.root, dataset.folder, types, dataset.counts_digest)
        self.driver.open()
        outcome = SearchOutcome(self.driver.outcome)
        with self.driver.session() as session:
            tuned = [self._tune(spec, session) for spec in self.layout.specs]
            plan = self._report_plan(tuned)
            self.driver.plan = self.driver.outcome.plan = plan
            logger.info("the winners and the defaults on the report seeds:")
            self.driver.run_plan()
            outcome.studies = [self._conclude(one) for one in tuned]
            outcome.best = write_best(tuned, self.settings.results / "studies")
        if report and not self.driver.outcome.interrupted:
            self.driver.outcome.report = write_run_report(
                self.driver.outcome, self.settings, umap=umap, studies=outcome.studies,
            )  # fmt: skip
        return outcome

    def _tune(self, spec: Spec, session: str) -> Tuned:
        """Run the trials of one study."""
        objectives = spec.options.objectives
        with Study(
            spec.name, spec.folder, spec.space, objectives, sampler=self.options.sampler,
            pruner=self.options.pruner, seed=self.options.seed, storage=self.options.storage,
        ) as study:  # fmt: skip
            run = self.driver.tracker.open_study(spec.name, session, self._tags(spec))
            loop = Loop(self.driver, spec, study, run)
            self._announce(spec, len(study.trials()))
            try:
                loop.run()
            except BaseException:
                self.driver.tracker.close_study(run, "KILLED", {}, "", [])
                raise
            if loop.note:
                logger.info(f"{spec.one.label} · {spec.dataset.label}: {loop.note}")
            return Tuned(
                spec, run, study.trials(), figures(study.optuna_study, objectives), loop.note
            )

    def _announce(self, spec: Spec, known: int) -> None:
        goal = "" if self.options.trials is None else f" of {self.options.trials}"
        logger.info(
            f"study {spec.name}: {known}{goal} trials known; {spec.options.protocol}, "
            f"{', '.join(one.describe() for one in spec.options.objectives)}, "
            f"{self.options.sampler} over {len(spec.space.dimensions)} parameters"
        )

    def _tags(self, spec: Spec) -> dict[str, str]:
        tags = {
            "method": spec.one.label,
            "method_name": spec.one.cls.name,
            "dataset": spec.dataset.label,
            "protocol": spec.options.protocol,
            "objectives": ",".join(one.key for one in spec.options.objectives),
            "sampler": spec.options.sampler,
            "pruner": spec.options.pruner,
            "search_seed": str(spec.options.seed),
        }
        return tags | ({"watermark": ORACLE} if spec.options.protocol == "oracle" else {})

    def _report_plan(self, tuned: list[Tuned]) -> Plan:
        """Return defaults and winners × report seeds, scored under the protocol."""
        plan = Plan(excluded=list(self.layout.left))
        for one in tuned:
            plan.jobs += self._jobs(one.spec.one, one.spec.dataset)
            if one.winner is not None:
                best = one.spec.configured(one.winner.params, one.label)
                plan.jobs += self._jobs(best, one.spec.dataset)
        for method, dataset in self.layout.plain:
            plan.jobs += self._jobs(method, dataset)
        return plan

    def _jobs(self, one: ConfiguredMethod, dataset: CachedDataset) -> list[Job]:
        seeds = self.settings.seeds
        first = make_job(
            one, dataset, seeds[0], self.settings, self.store, protocol=self.options.protocol
        )
        return [with_seed(replace(first), seed) for seed in seeds]

    def _conclude(self, tuned: Tuned) -> dict[str, Any]:
        """Write what a study came to, into its folder and into MLflow."""
        results = self.driver.outcome.results
        assert results is not None
        summary = summarize(tuned, results)
        files = write_files(tuned, summary)
        values = {f"best/{name}": value for name, value in summary["values"].items()}
        for one in summary["gains"]:
            values |= {f"gain/{one['key'].replace('/', '_')}": one["gain"]}
        self.driver.tracker.close_study(tuned.run, "FINISHED", values, summary["statement"], files)
        return summary

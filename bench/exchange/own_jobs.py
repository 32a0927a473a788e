"""Jobs of another store as this machine makes them: own code and data, only values from there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.data.cache.data_cache import DataCache
from bench.data.file_names import find_named_file
from bench.data.resolve import dataset_names
from bench.errors import BenchError, UsageError
from bench.plan.build import load_datasets
from bench.plan.device import resolve_device
from bench.plan.grid import exclusion_reason, make_job
from bench.plan.methods import ConfiguredMethod
from bench.plan.precomputed import PREFIX
from bench.registry import methods
from bench.selectors import split_selectors
from bench.store.run_tags import DIGESTS

if TYPE_CHECKING:
    from bench.data.cache.cached_dataset import CachedDataset
    from bench.plan.job import Job
    from bench.settings import Settings

    from .record import Row
    from .source import ResultSource


class OwnJobs:
    """Makes the jobs of stored results anew: code and data are those of this machine."""

    def __init__(self, source: ResultSource, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self.cache = DataCache(settings.cache_dir)
        self._datasets: dict[str, CachedDataset | BenchError] = {}

    def scoring_job(self, row: Row) -> Job:
        """Return the job that scores the stored embedding of a row; no method is needed.

        Raises ``UsageError`` or ``DataError`` if the data are not here, or others.
        """
        stored = self._source.result(row).job
        dataset = self._dataset(stored.dataset)
        here = {name: getattr(dataset, name) for name in (*DIGESTS, "rare_type")}
        _require_same_data(stored, here | {"modality": dataset.info.modality})
        return replace(
            stored, dataset_folder=str(dataset.folder), score_key=row["score_key"], metrics=None,
            timeout=self._settings.timeout, memory=self._settings.memory,
        )  # fmt: skip

    def fit_job(self, row: Row) -> Job:
        """Return the job that fits and scores a row again, with the score key of the row.

        Of the stored job come parameters, seed, threads, device and protocol; the method is that
        of the registry or of a plugin. Its fit key is another if the method's source is. Raises
        ``UsageError`` or ``DataError`` if method or data are not here, or other data.
        """
        stored = self._source.result(row).job
        entries = methods(self._settings.plugins)
        if stored.method_name.startswith(PREFIX):
            raise UsageError("computed elsewhere: there is no fit to repeat.", code="precomputed")
        if stored.method_name not in entries.entries:
            raise UsageError(
                f"no method '{stored.method_name}' here; if you trust its file, pass it with "
                "--plugin.",
                code="unknown_name",
            )
        cls = entries.get(stored.method_name)
        params = cls.Params.build(stored.params, owner=stored.method_name)
        origin = entries.entry(stored.method_name).origin
        configured = ConfiguredMethod(cls, origin, stored.method, cls(params))
        dataset = self._dataset(stored.dataset)
        settings = self._settings.model_copy(
            update={
                "threads": stored.threads, "profile": stored.profile,
                "device": resolve_device(stored.device),
                "n_clusters": stored.facts.get("n_clusters"),
            }
        )  # fmt: skip
        reason = exclusion_reason(configured, dataset, settings)
        if reason:
            raise UsageError(f"{reason}.", code="excluded")
        job = make_job(
            configured, dataset, stored.seed, settings, self.cache, protocol=stored.protocol
        )
        _require_same_data(stored, {name: job.facts[name] for name in DIGESTS})
        return replace(job, score_key=row["score_key"])

    def _dataset(self, label: str) -> CachedDataset:
        """Return a dataset by its name here, loaded once; no path of the store is opened."""
        if label not in self._datasets:
            try:
                self._datasets[label] = self._load(label)
            except BenchError as error:
                self._datasets[label] = error
        found = self._datasets[label]
        if isinstance(found, BenchError):
            raise found
        return found

    def _load(self, label: str) -> CachedDataset:
        name = label.partition("[")[0]
        known = name in dataset_names(self._settings) or find_named_file(name) is not None
        if not known or len(split_selectors(label)) != 1:
            raise UsageError(
                f"no dataset '{label}' here; add its file with 'bench data add {name} FILE', set "
                f"BENCH_DATA_DIR to a folder with {name}.h5ad, or pass its loader with --plugin.",
                code="unknown_name",
            )
        loaded, absent = load_datasets(label, self._settings, self.cache)
        if not loaded:
            raise UsageError(f"{label}: {absent[0].reason}.", code="unknown_name")
        return loaded[0]


def _require_same_data(stored: Job, here: dict[str, object]) -> None:
    """Raise ``UsageError`` if facts about the data of a stored job are others here."""
    other = [name for name, value in here.items() if stored.facts[name] != value]
    if other:
        raise UsageError(
            f"'{stored.dataset}' here has other data ({', '.join(other)}).", code="other_data"
        )

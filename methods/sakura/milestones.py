"""Tables and states at points of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .original_config.tables import cell_table

if TYPE_CHECKING:
    from anndata import AnnData

    from .model import SakuraModel
    from .original_config.main_config import OriginalSetup
    from .training import Trainer


class StateKeeper:
    """Watcher that keeps the state every ``n_epochs`` epochs, as ``epoch_10.pt``."""

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs

    def __call__(
        self, trainer: Trainer, stage: int, *, ended: bool, keep: Callable[[str], None]
    ) -> None:
        epoch = len(trainer.reported)
        if ended and self._n_epochs and epoch % self._n_epochs == 0:
            keep(f"epoch_{epoch}.pt")


class StoryWatcher:
    """Watcher that makes the tables and keeps the states that a story asks for.

    ``folder`` keeps the tables of a fit that may be interrupted.
    """

    def __init__(
        self, model: SakuraModel, setup: OriginalSetup, data: AnnData, folder: Path | None
    ) -> None:
        self._model, self._setup, self._data, self._folder = model, setup, data, folder
        self._last = {name for _, name, _ in setup.tables()}
        self._made: dict[str, pd.DataFrame] = {}

    def __call__(
        self, trainer: Trainer, stage: int, *, ended: bool, keep: Callable[[str], None]
    ) -> None:
        story = self._setup.story[stage]
        if story.keep_at.is_at(trainer.tick, ended=ended):
            keep(f"{story.keep_prefix or f'stage{stage + 1}'}_tick_{trainer.tick}.pt")
        # The tables at the end of a training are made by its last weights.
        if trainer.finished() or not story.tables_at.is_at(trainer.tick, ended=ended):
            return
        for one in story.repeated:
            name = f"{trainer.passes}_{one.prefix}"
            if name in self._last or name in self._made:
                name += f"_tick{trainer.tick}"
            self._made[name] = cell_table(
                self._model, self._data[self._setup.splits[one.split]], one
            )
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._made[name].to_parquet(self._folder / f"{name}.parquet")

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Return the tables; tables from before an interruption come first."""
        stored = [] if self._folder is None else list(self._folder.glob("*.parquet"))
        stored.sort(key=lambda path: path.stat().st_mtime_ns)
        earlier = {path.stem: pd.read_parquet(path) for path in stored}
        return {**earlier, **self._made}

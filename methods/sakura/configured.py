"""The method as a configuration of the original asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract.method import Context, Fit
from bench.contract.recipe import DatasetInfo, Recipe

from .method import Sakura, checkpoint_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from .config import Setup


class ConfiguredSakura(Sakura):
    """SAKURA as a configuration of the original asks for it."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(Sakura.Params())
        self.setup = setup

    def recipe(self, info: DatasetInfo) -> Recipe:
        """Return log-normalised counts of all genes; the tutorial of the original does that."""
        return Recipe(target_sum=1e4, log1p=True)

    def uses(self) -> frozenset[str]:
        """Return nothing: what guides is in the configuration."""
        return frozenset()

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Return the main dimensions of each cell, and the tables that the story asks for."""
        from .model import SakuraModel
        from .tables import cell_table

        setup = self.setup
        self._model = SakuraModel(setup.settings, setup.guidance)
        self._model.fit(
            data, seed=context.seed, device=context.device, report=context.report,
            phenotypes=setup.values, splits=setup.splits, checkpoint=checkpoint_of(context),
        )  # fmt: skip
        tables: dict[str, pd.DataFrame] = {}
        for number, name, one in setup.tables():
            with self._model.as_after(number):
                tables[name] = cell_table(self._model, data[setup.splits[one.split]], one)
        return Fit(
            self.transform(data), tables=tables, n_parameters=self._model.n_parameters,
            notes={"guides": ", ".join(one.name for one in setup.guidance.guides)},
        )  # fmt: skip

    def describe(self) -> list[str]:
        """Return what would be trained, a line each: network, terms, splits, tasks, tables."""
        from .describe import lines

        return lines(self.setup)

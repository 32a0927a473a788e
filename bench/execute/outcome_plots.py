"""The figures of a run as Matplotlib figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.reports.figures.figure_data import COSTS, method_order
from bench.reports.figures.static_figures import cost_figure, heatmap_figure, umap_figure
from bench.reports.figures.umaps import choose_panels, compute_umaps
from bench.reports.tables.leaderboard import tidy

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure


class OutcomePlots:
    """Figures of the results of a run; each is a `matplotlib.figure.Figure`.

    Parameters
    ----------
    table
        One row a job, with all columns.
    results
        Folder of the results, where coordinates of UMAPs are stored.
    """

    def __init__(self, table: pd.DataFrame, results: Path) -> None:
        self._table, self._results = table, results

    def __repr__(self) -> str:
        return "plot.heatmap(), plot.cost(), plot.umap(method)"

    def heatmap(self, metric: str = "kmeans/ari") -> Figure:
        """Draw the mean score of each method on each dataset.

        Parameters
        ----------
        metric
            Column of the results, such as ``"leiden/nmi"``.

        Raises
        ------
        UsageError
            If no finished job has this score.
        """
        table = self._scored(metric)
        return heatmap_figure(table, method_order(table, metric), metric)

    def cost(self, cost: str = "seconds", metric: str = "kmeans/ari") -> Figure:
        """Draw the score of each method against its cost, one panel a dataset.

        Parameters
        ----------
        cost
            ``"seconds"`` or ``"peak_memory_mb"``.
        metric
            Column of the results.

        Raises
        ------
        UsageError
            If the cost is unknown, or no finished job has this score.
        """
        if cost not in COSTS:
            hint = did_you_mean(cost, list(COSTS))
            raise UsageError(f"plot.cost: no cost '{cost}'.{hint}", code="unknown_name")
        return cost_figure(self._scored(metric), cost, metric)

    def umap(self, method: str | None = None) -> Figure:
        """Draw UMAPs of the embeddings, coloured by type: the seed with the median score.

        Parameters
        ----------
        method
            A method of the run, such as ``"pca"``; default: all.

        Raises
        ------
        UsageError
            If the method has no finished job, or its embedding is not on this machine.
        """
        panels = choose_panels(self._table) if len(self._table) else []
        names = list(dict.fromkeys(panel.method for panel in panels))
        if method is not None:
            panels = [panel for panel in panels if panel.method == method]
        if not panels:
            hint = did_you_mean(method or "", names)
            raise UsageError(f"plot.umap: no finished job of '{method}'.{hint}", code="no_match")
        coordinates = compute_umaps(panels, self._results / "reports" / "umaps")
        drawn = [panel for panel in panels if panel.key in coordinates]
        if not drawn:
            raise UsageError(
                f"plot.umap: {panels[0].method}: {panels[0].missing}.", code="not_drawn"
            )
        return umap_figure(drawn, coordinates)

    def _scored(self, metric: str) -> pd.DataFrame:
        """Return the table for figures of a score; raises ``UsageError`` if no job has it."""
        if metric not in self._table or not self._table[metric].notna().any():
            scores = [name for name in self._table.columns if "/" in name]
            hint = did_you_mean(metric, scores)
            raise UsageError(f"plot: no finished job has the score '{metric}'.{hint}",
                             code="no_match")  # fmt: skip
        return tidy(self._table)

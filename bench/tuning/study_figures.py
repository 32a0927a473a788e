"""Optuna's figures of a study as Plotly JSON."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna.visualization as visualization
from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import optuna
    from plotly.graph_objects import Figure

    from .objective import Objective

_FEWEST = 4
"""Fewest finished trials for importances and slices."""


def draw_study_figures(
    study: optuna.Study, objectives: Sequence[Objective]
) -> list[dict[str, Any]]:
    """Return history, importances, slices and, with several objectives, the Pareto front.

    Each is a dictionary with ``key``, ``title``, ``json`` and ``height`` (pixels). A figure that
    cannot be drawn, such as importances of equal values, is left out.
    """
    figures = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, title, height, draw in _planned_figures(study, objectives):
            try:
                figure = draw()
            except (ValueError, RuntimeError, ZeroDivisionError):
                continue
            figures.append(
                {"key": key, "title": title, "json": _to_json(figure), "height": height}
            )
    return figures


def _planned_figures(
    study: optuna.Study, objectives: Sequence[Objective]
) -> Iterator[tuple[str, str, int, Callable[[], Figure]]]:
    """Yield key, title, height and drawing function of each figure."""
    n_done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    names = [objective.name for objective in objectives]
    if not n_done:
        return
    if 1 < len(names) < 4:
        front = partial(visualization.plot_pareto_front, study, target_names=names)
        yield "pareto", "Pareto front", 420, front
    for number, name in enumerate(names):
        options: dict[str, Any] = {"target_name": name}
        if len(names) > 1:
            options["target"] = partial(_value, number)
        of = f" of {name}" if len(names) > 1 else ""
        history = partial(visualization.plot_optimization_history, study, **options)
        yield f"history{number}", f"History{of}", 380, history
        if n_done >= _FEWEST:
            importances = partial(visualization.plot_param_importances, study, **options)
            yield f"importances{number}", f"Importance of parameters{of}", 380, importances
            slices = partial(visualization.plot_slice, study, **options)
            yield f"slices{number}", f"Slices{of}", 420, slices


def _value(number: int, trial: Any) -> float:
    return float(trial.values[number])


def _to_json(figure: Figure) -> str:
    """Return the figure as JSON, without Optuna's title and background colours."""
    figure.update_layout(title=None, template=None)
    return str(figure.to_json())

"""Optuna's own figures of a study, as Plotly JSON."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import optuna.visualization as draw
from optuna.trial import TrialState

from .objective import Objective

if TYPE_CHECKING:
    import optuna
    from plotly.graph_objects import Figure

_FEWEST = 4
"""Finished trials below which importances and slices show nothing."""


def figures(study: optuna.Study, objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Return history, importances, slices and, with several objectives, the Pareto front.

    Each is a dictionary with ``key``, ``title``, ``json`` and ``height`` (pixels); one that cannot
    be drawn, importances of equal values say, is left out.
    """
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, title, height, draw in _wanted(study, objectives):
            try:
                figure = draw()
            except (ValueError, RuntimeError, ZeroDivisionError):
                continue
            found.append({"key": key, "title": title, "json": _plain(figure), "height": height})
    return found


def _wanted(
    study: optuna.Study, objectives: Sequence[Objective]
) -> Iterator[tuple[str, str, int, Callable[[], Figure]]]:
    done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    names = [one.name for one in objectives]
    if not done:
        return
    if 1 < len(names) < 4:
        yield (
            "pareto",
            "Pareto front",
            420,
            lambda: draw.plot_pareto_front(study, target_names=names),
        )
    for number, name in enumerate(names):
        options: dict[str, Any] = {"target_name": name}
        if len(names) > 1:
            options["target"] = _nth(number)
        of = f" of {name}" if len(names) > 1 else ""
        history = _with(draw.plot_optimization_history, study, options)
        yield f"history{number}", f"History{of}", 380, history
        if done >= _FEWEST:
            importances = _with(draw.plot_param_importances, study, options)
            yield f"importances{number}", f"Importance of parameters{of}", 380, importances
            yield f"slices{number}", f"Slices{of}", 420, _with(draw.plot_slice, study, options)


def _nth(number: int) -> Callable[[Any], float]:
    return lambda trial: float(trial.values[number])


def _with(
    function: Callable[..., Figure], study: optuna.Study, options: dict[str, Any]
) -> Callable[[], Figure]:
    return lambda: function(study, **options)


def _plain(figure: Figure) -> str:
    """Return the figure as JSON without Optuna's title and colours of the page."""
    figure.update_layout(title=None, template=None)
    return str(figure.to_json())

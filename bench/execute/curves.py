"""Record training curves and stop on non-finite losses: the function ``context.report``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bench.errors import Diverged

ProgressListener = Callable[[int, int | None, dict[str, float]], None]
"""``listener(step, total, values)``, called at every report of a fit."""
MAX_POINTS, MAX_CURVES = 2000, 200
"""Largest numbers of stored points of a curve, and of stored curves of a fit."""


class Curves:
    """Collect reported values by name and step; call it as ``report(step, total, loss=0.3)``.

    ``listener`` is called at every report and may raise ``Pruned``. Raises ``Diverged`` if a
    value is not finite.
    """

    def __init__(self, listener: ProgressListener | None = None) -> None:
        self.steps: dict[str, list[int]] = {}
        self.values: dict[str, list[float]] = {}
        self._listener = listener

    def __call__(self, step: int, total: int | None = None, /, **values: float) -> None:
        """Record the values of one step and pass them to the listener."""
        numbers = {name: float(value) for name, value in values.items()}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {step}")
            self.steps.setdefault(name, []).append(int(step))
            self.values.setdefault(name, []).append(value)
        if self._listener is not None:
            self._listener(int(step), None if total is None else int(total), numbers)

    def thinned(self) -> dict[str, list[list[float]]]:
        """Return name → steps and values: evenly chosen points of each curve, ends included."""
        return {
            name: [
                [points[index] for index in _chosen(len(points))]
                for points in (self.steps[name], self.values[name])
            ]
            for name in list(self.values)[:MAX_CURVES]
        }


def _chosen(size: int) -> list[int]:
    """Return the indices of at most ``MAX_POINTS`` of ``size`` points, evenly spaced."""
    if size <= MAX_POINTS:
        return list(range(size))
    return [round(number * (size - 1) / (MAX_POINTS - 1)) for number in range(MAX_POINTS)]


def held_out_loss(values: Mapping[str, Sequence[float]]) -> float | None:
    """Return the best loss of a fit on the counts of held-out cells.

    ``values``: name → reported values. It is the ``held_out_likelihood_loss`` (without penalties
    and weights, so that fits with different weights are comparable) at the step with the lowest
    ``held_out_loss``, whose weights a network keeps. Without that curve it is the lowest
    ``held_out_loss``; ``None`` if that was not reported.
    """
    if "held_out_loss" not in values:
        return None
    losses = values["held_out_loss"]
    best = min(range(len(losses)), key=losses.__getitem__)
    likelihood = values.get("held_out_likelihood_loss", ())
    if len(likelihood) > best:
        return float(likelihood[best])
    return float(losses[best])

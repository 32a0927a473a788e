"""What stands behind ``context.report``: curves, divergence, and news for whoever listens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bench.errors import Diverged

Listener = Callable[[int, int | None, dict[str, float]], None]


class Curves:
    """Collect reported values by name and step; call it as ``report(step, total, loss=0.3)``.

    ``listener`` hears of every report and may raise ``Pruned``. Raises ``Diverged`` if a value
    is not finite.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self.steps: dict[str, list[int]] = {}
        self.values: dict[str, list[float]] = {}
        self._listener = listener

    def __call__(self, step: int, total: int | None = None, /, **values: float) -> None:
        """Keep the values of one step and pass them on."""
        plain = {name: float(value) for name, value in values.items()}
        for name, value in plain.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {step}")
            self.steps.setdefault(name, []).append(int(step))
            self.values.setdefault(name, []).append(value)
        if self._listener is not None:
            self._listener(int(step), total, plain)


def held_out_loss(curves: Mapping[str, Sequence[Sequence[float]]]) -> float | None:
    """Return how badly a fit explains the counts of cells it was not trained on.

    ``curves``: name → steps and values. ``held_out_likelihood_loss`` (without penalties and
    weights, so that settings of these compare) where ``held_out_loss`` was lowest, which are the
    weights a network keeps; else the lowest ``held_out_loss``; ``None`` if neither was reported.
    """
    if "held_out_loss" not in curves:
        return None
    watched = list(curves["held_out_loss"][1])
    best = min(range(len(watched)), key=watched.__getitem__)
    plain = curves.get("held_out_likelihood_loss")
    return float(plain[1][best] if plain is not None and len(plain[1]) > best else watched[best])

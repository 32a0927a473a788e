"""What stands behind ``context.report``: curves, divergence, and news for whoever listens."""

from __future__ import annotations

import math
from collections.abc import Callable

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

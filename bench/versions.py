"""Version numbers of the steps that keys of fits and scores stand for.

Raise one where the numbers that its step computes change: what was stored before is then computed
again. A metric has its version in its own file.
"""

from __future__ import annotations

PREPARATION = 1
"""Recipes carried out on counts: :mod:`bench.prepare` and the steps of ``Recipe``."""
CLUSTERINGS = {"kmeans": 1, "leiden": 1}
"""Clusterings of embeddings, by name."""
HOLDOUT = 1
"""Which cells are held out in tuning."""
UNSEEN_CELLS = 1
"""Which pairs of unseen cells are drawn."""
CACHE = 2
"""Files of cached datasets and prepared matrices."""

"""Version numbers of computing steps, for the keys of fits and scores.

Raise a version if the results of its step change: stored results are then computed again. The
version of a metric is in its own file.
"""

from __future__ import annotations

PREPARATION = 1
"""Preparation of counts by a recipe: :mod:`bench.prepare`."""
CLUSTERINGS = {"kmeans": 1, "leiden": 1}
"""Clusterings of embeddings, by name."""
HOLDOUT = 1
"""Choice of the tuning cells (:mod:`bench.scoring.holdout`)."""
UNSEEN_CELLS = 1
"""Choice of unseen cells, pairs and hidden genes (:mod:`bench.scoring.unseen_cells`)."""
CACHE = 2
"""Format of cached datasets and prepared matrices."""

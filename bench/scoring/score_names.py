"""Names in the keys of scores."""

from __future__ import annotations

import re
from collections.abc import Container

MAIN_SCORE = "kmeans/ari"
"""Score by which methods are compared first."""
BATCH_TYPES_V = "batch/types_v"
"""Fact of scores: Cramér's V of batch and type."""
_KEY_CHARACTERS = 150


def key_part(name: str, taken: Container[str] = (), *, other: str = "own") -> str:
    """Return a name from a method as part of a score key, without characters that MLflow refuses.

    ``CD4+ (naive): loss`` becomes ``CD4_naive_loss``. A name that is ``taken`` gets the prefix
    ``other``; a name without any valid character becomes ``other``.
    """
    key = re.sub(r"[^\w.-]+", "_", name)[:_KEY_CHARACTERS].strip(".") or other
    while key in taken:
        key = f"{other}_{key}"
    return key

"""score_names."""

from __future__ import annotations

import re
from collections.abc import Container

_KEY_CHARACTERS = 150


def key_part(name: str, taken: Container[str] = (), *, other: str = "own") -> str:
    """Return a method's own name as part of a key of the store, free and without signs it refuses.

    ``CD4+ (naive): loss`` becomes ``CD4_naive_loss``. ``other`` stands before a name that is
    ``taken``, and for one of which nothing is left.
    """
    key = re.sub(r"[^\w.-]+", "_", name)[:_KEY_CHARACTERS].strip(".") or other
    while key in taken:
        key = f"{other}_{key}"
    return key

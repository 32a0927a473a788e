"""Seeds are arguments, derived and recorded, never global."""

from __future__ import annotations

import zlib


def derive_seed(seed: int, *path: str) -> int:
    """Return a 31-bit seed for a named purpose, independent for each path.

    Uses ``numpy.random.SeedSequence`` with the CRC-32 of each name as spawn key.
    """
    import numpy as np

    key = tuple(zlib.crc32(name.encode()) for name in path)
    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0]
    return int(state) & 0x7FFFFFFF

"""Seeds for libraries that draw from the global generators."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def seed_global_generators(seed: int) -> Iterator[None]:
    """Seed the generators of random, NumPy and PyTorch, and restore them after."""
    # Libraries that take no seed draw from NumPy's global generator, which NPY002 forbids to us.
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002

"""Costs of a fit besides time and memory: GPU memory and energy."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOULES = 3.6e6
"""Joules in a kilowatt-hour."""


@contextlib.contextmanager
def side_costs(device: str) -> Iterator[dict[str, str]]:
    """Yield a dictionary, filled with the costs of the block in words when the block ends.

    ``GPU peak memory`` is the largest memory allocated by PyTorch. ``energy``, only if codecarbon
    is installed, is the energy of processors, memory and GPU, estimated by codecarbon where the
    machine does not measure it.
    """
    costs: dict[str, str] = {}
    tracker = _start_tracker()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        yield costs
    finally:
        if tracker is not None:
            tracker.stop()
    if device == "cuda":
        costs["GPU peak memory"] = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB"
    if tracker is not None:
        found = tracker.final_emissions_data
        energy = found.energy_consumed * _JOULES
        costs["energy"] = f"{energy:.0f} J (codecarbon {found.codecarbon_version})"


def _start_tracker() -> Any:
    """Return a running tracker of this process; ``None`` without codecarbon."""
    if importlib.util.find_spec("codecarbon") is None:
        return None
    from codecarbon import OfflineEmissionsTracker

    # The country is for its emissions, which are not asked for.
    tracker = OfflineEmissionsTracker(
        country_iso_code="DEU", tracking_mode="process", save_to_file=False,
        log_level="critical", allow_multiple_runs=True,
    )  # fmt: skip
    tracker.start()
    return tracker

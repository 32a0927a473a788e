"""Sets that measure expression and chromatin in the same cells."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _paired_sets

    return _paired_sets


add_datasets(__name__, readers)

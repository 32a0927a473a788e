"""Chromatin: the sets that SCALE distributes, and sorted blood progenitors."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _chromatin

    return _chromatin


add_datasets(__name__, readers)

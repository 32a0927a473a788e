"""Islets of the pancreas: single studies, and three of them as batches of one set."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _pancreas

    return _pancreas


add_datasets(__name__, readers)

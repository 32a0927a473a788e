"""The sets that papers on deep clustering share, as files with X (counts) and Y (labels)."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _deep_clustering

    return _deep_clustering


add_datasets(__name__, readers)

"""Tissues of the mouse atlas Tabula Muris, known in papers as the sets "Quake"."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _tabula_muris

    return _tabula_muris


add_datasets(__name__, readers)

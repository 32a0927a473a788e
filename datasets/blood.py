"""Blood cells: of 10x Genomics, of stimulated blood, and with surface proteins."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _blood

    return _blood


add_datasets(__name__, readers)

"""Mouse brain: cortex and hippocampus, prefrontal cortex, hypothalamus."""

from types import ModuleType

from ._published import add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _brain

    return _brain


add_datasets(__name__, readers)

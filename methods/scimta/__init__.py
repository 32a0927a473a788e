"""scIMTA and the two graph autoencoders it grew from, scMGCA and scTAG."""

from .full import ScIMTA
from .method import ScMGCA, ScTAG

__all__ = ["ScIMTA", "ScMGCA", "ScTAG"]

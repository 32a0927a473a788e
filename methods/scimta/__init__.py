"""scIMTA and the two graph autoencoders it grew from, scMGCA and scTAG."""

from .method import ScMGCA, ScTAG

__all__ = ["ScMGCA", "ScTAG"]

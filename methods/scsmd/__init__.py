"""scSMD, and its variant without attention, DeepScena."""

from .method import DeepScena, ScSMD

__all__ = ["DeepScena", "ScSMD"]

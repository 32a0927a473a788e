"""scCrossRec: matching and translation of RNA and chromatin on graphs of genes and peaks."""

from .method import ScCrossRec

__all__ = ["ScCrossRec"]

"""SAKURA: an autoencoder guided by marker genes, proteins, labels or batches."""

from .method import Sakura, SakuraUnguided

__all__ = ["Sakura", "SakuraUnguided"]

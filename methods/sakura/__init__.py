"""SAKURA: an autoencoder whose latent space is guided by what a user knows."""

from .method import Sakura, SakuraUnguided

__all__ = ["Sakura", "SakuraUnguided"]

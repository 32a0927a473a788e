"""SAKURA: an autoencoder whose latent space is guided by what a user knows."""

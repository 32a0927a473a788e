"""Blocks, losses, batches and the training loop shared by the networks."""

"""Clusterings of embeddings, metrics, and the labels that the scorer may see."""

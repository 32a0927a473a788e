"""Clusterings of embeddings, metrics, and the labels that both may see."""

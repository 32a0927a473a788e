"""Datasets: one file registers a dataset or a family."""

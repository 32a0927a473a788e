"""Datasets: one file registers one dataset or family."""

"""Cache of datasets and prepared matrices, as memory-mapped arrays in folders."""

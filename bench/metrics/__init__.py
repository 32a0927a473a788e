"""Metrics: one file each, pure functions, versioned."""

"""Executors: run each job in separate limited processes."""

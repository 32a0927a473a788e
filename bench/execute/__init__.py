"""Executors: run jobs in limited processes of their own."""

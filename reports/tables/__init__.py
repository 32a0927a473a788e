"""The tables and claims of a report."""

"""Make the jobs of a run, with their keys, from selectors."""

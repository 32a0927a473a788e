"""Hyperparameter search: options, objectives, studies, trials and their results."""

"""Hyperparameter search: spaces, studies, the loop that asks and tells, winners.

``space`` and ``spacefile`` say what is searched, ``objective`` what for, ``study`` and
``samplers`` hold everything that imports Optuna, ``loop`` runs the trials of one study,
``winner`` judges the result, and ``command`` is what ``bench search`` calls.
"""

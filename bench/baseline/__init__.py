"""The regression gate: a committed file of results, compared with every later run.

``baseline_file`` is the file, ``environment`` the machine and libraries of a run, ``verdicts``
compares, ``gate`` runs missing jobs and puts the three together, ``console`` shows a check.
``docs/ci.md`` explains the thresholds.
"""

"""The regression gate: a committed file of results, compared with every later run.

``baseline_file`` reads and writes the file, ``environment`` describes machine and libraries of a
run, ``verdicts`` compares, ``gate`` runs missing jobs and combines the three, ``console`` shows a
check. ``docs/ci.md`` explains the thresholds.
"""

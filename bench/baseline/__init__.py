"""The regression gate: results written down once, and every later run compared with them.

``file`` is the committed baseline, ``environment`` says where numbers were made, ``compare`` holds
the verdicts and their thresholds, ``gate`` runs what is missing and puts the three together,
``output`` shows a check. ``docs/ci.md`` explains the thresholds.
"""

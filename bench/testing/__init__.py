"""Conformance of a method: small named checks, for ``bench test-method`` and for pytest.

    @pytest.mark.parametrize("check", bench.testing.CHECKS, ids=str)
    def test_my_method(check):
        bench.testing.run_check(MyMethod, check)

A check that a method cannot pass by its nature is declared with its reason in
``Method.exceptions``; everything else is a fault. Declared failures and checks that do not apply
to a method are skips with the reason in pytest. Checks run on each modality of the method.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from bench.contract import Method

from . import declaration_checks as declaration
from . import fitting_checks as fitting
from .case import Case, Check, Excepted, Finding, NotApplicable

__all__ = [
    "CHECKS", "Check", "Excepted", "Finding", "NotApplicable", "check_method", "findings",
    "run_check",
]  # fmt: skip

CHECKS: list[Check] = [*declaration.CHECKS, *fitting.CHECKS]


def check_method(cls: type[Method]) -> list[Finding]:
    """Return the findings of all checks for a method."""
    return list(findings(cls))


def findings(cls: type[Method]) -> Iterator[Finding]:
    """Yield the finding of each check as it ends."""
    for check in CHECKS:
        try:
            run_check(cls, check)
        except Excepted as excepted:
            yield Finding(check.name, "excepted", str(excepted))
        except NotApplicable as without:
            yield Finding(check.name, "not applicable", str(without))
        except Exception as error:
            text = str(error).strip().splitlines()
            kind = "" if _of_a_check(error) else f"{type(error).__name__}: "
            yield Finding(check.name, "failed", kind + (text[0] if text else "no reason given"))
        else:
            yield Finding(check.name, "passed")


def run_check(cls: type[Method], check: Check) -> None:
    """Run one check on each modality of the method.

    Raises ``Excepted`` if it fails as the method declares, ``NotApplicable`` if there is nothing
    to check on any modality, ``AssertionError`` if it passes or does not apply although the
    method declares that it cannot pass, else whatever the check raised. A declaration excuses
    what the check finds, not a crash of the method.
    """
    reason = cls.exceptions.get(check.name)
    failed: AssertionError | None = None
    without: list[NotApplicable] = []
    for modality in sorted(cls.modalities):
        try:
            check.function(Case(cls, modality))
        except NotApplicable as nothing:
            without.append(nothing)
        except AssertionError as error:
            if reason is None or not _of_a_check(error):
                raise
            failed = error
    if failed is not None and reason is not None:
        raise Excepted(reason) from failed
    nothing_checked = len(without) == len(cls.modalities) > 0
    if reason is not None:
        how = f"does not apply ({without[0]})" if nothing_checked else "passes"
        raise AssertionError(f"it {how} although an exception is declared: {reason}")
    if nothing_checked:
        raise without[0]


def _of_a_check(error: Exception) -> bool:
    """Return whether a check itself found a fault; ``False`` for an assertion of the method."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = bool(frames) and Path(frames[-1].filename).parent == Path(__file__).parent
    return isinstance(error, AssertionError) and inside

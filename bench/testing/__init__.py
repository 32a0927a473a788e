"""Conformance of a method: small named checks, for ``bench test-method`` and for pytest.

    @pytest.mark.parametrize("check", bench.testing.CHECKS, ids=str)
    def test_my_method(check):
        bench.testing.run_check(MyMethod, check)

A check that a method cannot pass by its nature is declared with its reason in
``Method.exceptions``; everything else is a fault. Checks run on each modality of the method.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.method import Method

from . import declaration, fitting
from .case import Case, Check, Excepted, Finding

__all__ = ["CHECKS", "Check", "Excepted", "Finding", "check_method", "findings", "run_check"]

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
        except Exception as error:
            text = str(error).strip().splitlines()
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            yield Finding(check.name, "failed", kind + (text[0] if text else "no reason given"))
        else:
            yield Finding(check.name, "passed")


def run_check(cls: type[Method], check: Check) -> None:
    """Run one check on each modality of the method.

    Raises ``Excepted`` if it fails as the method declares, ``AssertionError`` if it passes
    although the method declares that it cannot, else whatever the check raised.
    """
    reason = cls.exceptions.get(check.name)
    try:
        for modality in sorted(cls.modalities):
            check.function(Case(cls, modality))
    except Exception as error:
        if reason is not None:
            raise Excepted(reason) from error
        raise
    if reason is not None:
        raise AssertionError(f"it passes although an exception is declared: {reason}")

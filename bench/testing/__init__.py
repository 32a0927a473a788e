"""Checks of a method against the contract, for ``bench test-method`` and for pytest.

    @pytest.mark.parametrize("check", bench.testing.CHECKS, ids=str)
    def test_my_method(check):
        bench.testing.run_check(MyMethod, check)

A check runs on each modality of the method. If a method cannot pass a check by design, it declares
the name of the check with the reason in ``Method.exceptions``. Declared failures and checks that
do not apply are skips in pytest.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import declaration_checks as declaration
from . import fitting_checks as fitting
from . import order_checks as order
from .case import Case, Check, Excepted, Finding, NotApplicable

if TYPE_CHECKING:
    from bench.contract import Method

__all__ = [
    "CHECKS", "Check", "Excepted", "Finding", "NotApplicable", "check_method", "findings",
    "run_check",
]  # fmt: skip

CHECKS: list[Check] = [*declaration.CHECKS, *fitting.CHECKS, *order.CHECKS]


def check_method(cls: type[Method]) -> list[Finding]:
    """Return the findings of all checks for a method."""
    return list(findings(cls))


def findings(cls: type[Method]) -> Iterator[Finding]:
    """Yield the finding of each check as it ends."""
    for check in CHECKS:
        try:
            run_check(cls, check)
        except Excepted as reason:
            yield Finding(check.name, "excepted", str(reason))
        except NotApplicable as reason:
            yield Finding(check.name, "not applicable", str(reason))
        except Exception as error:
            text = str(error).strip().splitlines()
            kind = "" if _raised_by_check(error) else f"{type(error).__name__}: "
            yield Finding(check.name, "failed", kind + (text[0] if text else "no reason given"))
        else:
            yield Finding(check.name, "passed")


def run_check(cls: type[Method], check: Check) -> None:
    """Run one check on each modality of the method.

    A declared exception excuses a failed check, not a crash of the method.

    Raises
    ------
    Excepted
        If the check fails and the method declares an exception.
    NotApplicable
        If the check applies to no modality of the method.
    AssertionError
        If the check fails, or if it does not fail although an exception is declared.
    """
    reason = cls.exceptions.get(check.name)
    failed: AssertionError | None = None
    not_applicable: list[NotApplicable] = []
    for modality in sorted(cls.modalities):
        try:
            check.function(Case(cls, modality))
        except NotApplicable as why:
            not_applicable.append(why)
        except AssertionError as error:
            if reason is None or not _raised_by_check(error):
                raise
            failed = error
    if failed is not None and reason is not None:
        raise Excepted(reason) from failed
    nothing_checked = len(not_applicable) == len(cls.modalities) > 0
    if reason is not None:
        result = f"does not apply ({not_applicable[0]})" if nothing_checked else "passes"
        raise AssertionError(f"the check {result} although an exception is declared: {reason}")
    if nothing_checked:
        raise not_applicable[0]


def _raised_by_check(error: Exception) -> bool:
    """Return whether the error was raised by the check, not by an assertion in the method."""
    frames = traceback.extract_tb(error.__traceback__)
    in_check = bool(frames) and Path(frames[-1].filename).parent == Path(__file__).parent
    return isinstance(error, AssertionError) and in_check

"""Whether a worker has the versions of its driver: another one may give other numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bench.versions as steps
from bench import source_files
from bench.digests import digest
from bench.errors import UsageError
from bench.messages import MAX_NAMES
from bench.provenance import package_versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.plan.job import Job

_STEPS = {name: value for name, value in vars(steps).items() if name.isupper()}


def environment_versions() -> dict[str, str]:
    """Return the versions that decide numbers here: Python, packages, steps of the harness."""
    return package_versions() | {"steps of this program": digest(_STEPS)[:8]}


def version_differences(expected: dict[str, str], jobs: Iterable[Job]) -> list[str]:
    """Return what is installed here in another version than the driver has.

    Parameters
    ----------
    expected
        :func:`environment_versions` of the driver.
    jobs
        Jobs to run here; packages that their methods import are compared, too.
    """
    here = environment_versions()
    found = {(name, here.get(name, ""), version) for name, version in expected.items()}
    for job in jobs:
        own = source_files.package_versions(job.origin)
        found |= {
            (name, own.get(name, ""), version) for name, version in job.facts["packages"].items()
        }
    return [
        f"{name} {installed or 'not installed'} in place of {version or 'none'}"
        for name, installed, version in sorted(found)
        if installed != version
    ]


def require_same_versions(differences: list[str]) -> None:
    """Raise ``UsageError`` that lists the differences, if there are any."""
    if differences:
        shown = ", ".join(differences[:MAX_NAMES])
        more = len(differences) - MAX_NAMES
        raise UsageError(
            f"this worker has {shown}{f' and {more} more' if more > 0 else ''}; install what the "
            "driver has (constraints.txt), or run with --allow-other-versions.",
            code="other_versions",
        )

"""Number of processes of this control group killed by the kernel for lack of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def count_oom_kills(*, machine: bool = False) -> int:
    """Return the count of this process's control group, else of the machine; 0 if unknown.

    ``machine``: the count of the machine, with containers.
    """
    for path in [*([] if machine else _group_files()), Path("/proc/vmstat")]:
        try:
            counts = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _group_files() -> Iterator[Path]:
    """Yield the files with memory events of the group, for both versions of control groups."""
    try:
        lines = _GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield _ROOT / group.strip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            yield _ROOT / "memory" / group.strip("/") / "memory.oom_control"

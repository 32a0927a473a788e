"""Landlock: restrict a process to some files and folders (Linux 5.13 and later).

Uses the three system calls of ``Documentation/userspace-api/landlock.rst`` of the Linux kernel. A
restriction cannot be undone and applies to the calling thread and all threads and processes that
it starts: call :func:`restrict` before any other thread starts.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from functools import cache

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _DEVICE_CONTROL = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_CONTROL
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of file rights by version of Landlock; 16 from version 5 on."""
_TCP, _SIGNALS_AND_ABSTRACT_SOCKETS = 0b11, 0b11


class _Rules(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)
    )  # fmt: skip


class _FolderRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Return the kernel's version of Landlock; 0 without Landlock."""
    if sys.platform != "linux":
        return 0
    return max(0, _call(_CREATE_RULESET, None, 0, _ASK_VERSION))


def restrict(
    readable: Iterable[str],
    writable: Iterable[str],
    listable: Iterable[str] = (),
    *,
    network: bool = False,
) -> None:
    """Restrict this process to the given files and folders.

    Parameters
    ----------
    readable
        Files and folders that may be read and executed; missing ones are skipped.
    writable
        Files and folders that may be changed as well.
    listable
        Folders that may be listed, with their subfolders, without reading the files.
    network
        Whether TCP stays possible (refused from version 4 on). From version 6 on signals and
        abstract sockets reach only processes started by this one.

    Raises
    ------
    OSError
        If the kernel refuses, for example without Landlock.
    """
    everything = (1 << _RIGHTS.get(version(), 16)) - 1
    ruleset = _create_ruleset(everything, network=network)
    try:
        for rights, paths in (
            (_READ & everything, readable),
            (_READ_FOLDER, listable),
            (everything, writable),
        ):
            for path in dict.fromkeys(paths):
                _allow(ruleset, path, rights)
        if _c_library().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise _error("prctl")
        if _call(_RESTRICT_SELF, ruleset, 0):
            raise _error("landlock_restrict_self")
    finally:
        os.close(ruleset)


def _create_ruleset(file_rights: int, *, network: bool) -> int:
    """Return the descriptor of a ruleset with all rights that this kernel knows."""
    known = version()
    rules = _Rules(
        file_rights,
        0 if network or known < 4 else _TCP,
        _SIGNALS_AND_ABSTRACT_SOCKETS if known >= 6 else 0,
    )
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise _error("landlock_create_ruleset")
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        # The kernel refuses rights of a folder for a file.
        for allowed in (rights, rights & _OF_A_FILE):
            rule = _FolderRule(allowed, descriptor)
            if not allowed or not _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0):
                return
        raise _error(f"landlock_add_rule for {path}")
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    return int(_c_library().syscall(ctypes.c_long(number), *arguments))


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(call: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{call}: {os.strerror(code)}")

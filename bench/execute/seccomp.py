"""A filter of system calls: a process can open only sockets between local processes (Linux).

Landlock refuses only TCP. This filter allows UNIX and netlink sockets, which libraries use between
their own processes, and refuses all other families, such as UDP. It cannot be undone and applies
to the calling thread and all threads and processes that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys

_ARCHITECTURES = {"x86_64": (0xC000003E, 317, 41), "aarch64": (0xC00000B7, 277, 198)}
"""Number of the architecture, of ``seccomp`` and of ``socket``, by machine."""
_IO_URING_SETUP, _X32 = 425, 0x40000000
_SET_FILTER, _KEEP_SPEED = 1, 1 << 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in ``struct seccomp_data``, the kernel's description of a call."""
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_network_sockets() -> bool:
    """Refuse sockets of other families; returns false if the kernel cannot.

    Call it after ``no_new_privs`` is set, as :func:`bench.execute.landlock.restrict` does.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or known is None or sys.maxsize < 2**32:
        return False
    architecture, seccomp, socket_call = known
    code = _program(architecture, socket_call)
    program = _Program(len(code) // 8, code)
    library = ctypes.CDLL(None, use_errno=True)
    call = ctypes.c_long(seccomp)
    return not library.syscall(call, _SET_FILTER, _KEEP_SPEED, ctypes.byref(program))


def _program(architecture: int, socket_call: int) -> bytes:
    """Return the instructions of the filter; jumps count from the next instruction."""
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 7, architecture),  # else fail
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 5, 0, _X32),  # fail
        (_EQUAL, 4, 0, _IO_URING_SETUP),  # fail: its sockets would not be seen here
        (_EQUAL, 0, 4, socket_call),  # else allow
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 2, 0, socket.AF_UNIX),  # allow
        (_EQUAL, 1, 0, socket.AddressFamily["AF_NETLINK"]),  # allow
        (_RETURN, 0, 0, _FAIL | errno.EACCES),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)

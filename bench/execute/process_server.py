"""Settings of the process server; the server imports this module before all others.

It leaves the driver's process group: ``timeout``, a batch system or a closed terminal signal the
whole group, and a server that ended by such a signal would look as if every running fit failed.
It starts processes for its driver alone: a fit that connected to it could otherwise have a process
started outside its own restrictions.
"""

from __future__ import annotations

import errno
import multiprocessing.forkserver
import os
import socket
import struct
import sys
from types import SimpleNamespace

_DRIVER = os.getppid()


class _DriverSocket(socket.socket):
    """A listening socket that accepts connections of the driver only."""

    def accept(self) -> tuple[socket.socket, object]:
        """Return the next connection; one of another process counts as aborted."""
        connection, address = super().accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", credentials)[0] != _DRIVER:
            connection.close()
            raise OSError(errno.ECONNABORTED, "not the driver")  # the server goes on
        return connection, address


os.setpgid(0, 0)
if sys.platform == "linux":
    multiprocessing.forkserver.socket = SimpleNamespace(  # type: ignore[attr-defined]
        **{**vars(socket), "socket": _DriverSocket}
    )

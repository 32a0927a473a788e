"""Threads and memory of the process of a fit."""

from __future__ import annotations

import ctypes
import os
import sys

from threadpoolctl import threadpool_limits

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
"""Environment variables with the number of threads, read by libraries at import."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def pin_threads(threads: int) -> None:
    """Limit the threads of the loaded libraries."""
    threadpool_limits(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def set_threads(threads: int) -> None:
    """Limit the threads of the loaded libraries and of libraries loaded later.

    Variables of the environment that are set already stay. Numba, once loaded, is limited by a
    call: it reads its variable again when it compiles, and refuses a change after its threads have
    started.
    """
    numba = sys.modules.get("numba")
    for name in THREAD_VARIABLES:
        if numba is None or name != "NUMBA_NUM_THREADS":
            os.environ.setdefault(name, str(threads))
    if numba is not None:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    pin_threads(threads)


def keep_large_blocks() -> None:
    """Let the allocator keep freed blocks of up to half a GiB for the next request.

    By default glibc returns every block above 32 MiB to the system and requests new pages the next
    time, which takes a third of the time of updates of a wide network. At most two GiB are kept.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**29)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)

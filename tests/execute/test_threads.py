"""The settings of a fit's process, and the modules that its server loads."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from bench.execute.server_start import PRELOAD
from bench.execute.threads import THREAD_VARIABLES

_PAGES_OF_THE_SECOND = """
import resource, sys
import numpy as np
from bench.execute.threads import keep_large_blocks
if sys.argv[1] == "kept":
    keep_large_blocks()
block = np.ones(12_500_000)
del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = np.ones(12_500_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or "CS_GNU_LIBC_VERSION" not in os.confstr_names,
    reason="concerns the allocator of glibc",
)
def test_a_freed_block_of_100_mb_is_used_again_without_new_pages():
    def new_pages(setting: str) -> int:
        # One page size, whatever the machine does with large ones.
        environment = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}
        command = [sys.executable, "-c", _PAGES_OF_THE_SECOND, setting]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert new_pages("kept") < 100 < new_pages("as found")


def test_modules_that_the_server_loads_exist():
    """The server skips a missing module without a word."""
    assert [name for name in PRELOAD if find_spec(name) is None] == []


def test_warming_libraries_starts_no_thread():
    """The server forks: its children would lack the thread."""
    code = (
        "import importlib, psutil\n"
        "from bench.execute.server_start import PRELOAD\n"
        "[importlib.import_module(name) for name in PRELOAD[1:-1]]\n"
        "before = psutil.Process().num_threads()\n"
        "importlib.import_module('bench.execute.warm_libraries')\n"
        "print(psutil.Process().num_threads() - before)"
    )
    assert PRELOAD[-1] == "bench.execute.warm_libraries"
    one = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=one, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_numba_compiles_where_it_was_loaded_before_the_number_of_threads_was_set():
    """An import of a library such as sparse loads it."""
    code = (
        "import numba, numpy as np\n"
        "from bench.execute.threads import set_threads\n"
        "total = numba.njit(parallel=True)(lambda values: values.sum())\n"
        "total(np.ones(3))\n"
        "set_threads(1)\n"
        "total(np.ones(3, np.float32))\n"
        "print(numba.get_num_threads())"
    )
    unset = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=unset, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"

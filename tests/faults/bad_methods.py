"""Methods that go wrong, a function each; the plugin of the battery.

``CASES``: name → the statuses that its job may have, and the function that its fit runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.contract import RNA, Fit, Method

CASES: dict[str, tuple[frozenset[str], Callable[..., Any]]] = {}
_SLEEP = ("sleep", "3600")


def case(*statuses: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[function.__name__] = (frozenset(statuses), function)
        return function

    return register


def good(data: Any) -> Fit:
    return Fit(data.X.toarray()[:, :3])


def daemon(act: Callable[[], Any]) -> None:
    """Run ``act`` in a process without parent, session or terminal of ours."""
    import os

    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        act()
    finally:
        os._exit(0)


def sleep_long() -> None:
    import time

    time.sleep(3600)


# -- fits that do not end ------------------------------------------------------------------


@case("timeout")
def hangs(data, context):
    sleep_long()


@case("timeout")
def loops(data, context):
    while True:
        pass


@case("timeout")
def swallows_all_exceptions(data, context):
    while True:
        try:
            sleep_long()
        except BaseException:
            continue


@case("timeout")
def ignores_all_signals(data, context):
    import signal

    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    sleep_long()


@case("timeout")
def holds_the_interpreter(data, context):
    import ctypes

    ctypes.PyDLL(None).sleep(3600)


@case("timeout")
def waits_for_its_own_lock(data, context):
    import threading

    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@case("timeout")
def waits_for_a_child(data, context):
    import subprocess

    subprocess.run(_SLEEP)


@case("timeout")
def stops_itself(data, context):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSTOP)


@case("timeout")
def reads_standard_input(data, context):
    import os

    read, _ = os.pipe()
    os.read(read, 1)


@case("done")
def leaves_a_thread(data, context):
    import threading

    threading.Thread(target=sleep_long).start()
    return good(data)


@case("done")
def hangs_at_exit(data, context):
    import atexit

    atexit.register(sleep_long)
    return good(data)


# -- processes -----------------------------------------------------------------------------


@case("done")
def leaves_a_child(data, context):
    import subprocess

    subprocess.Popen(_SLEEP)
    return good(data)


@case("done")
def leaves_a_session(data, context):
    import subprocess

    subprocess.Popen(_SLEEP, start_new_session=True)
    return good(data)


@case("done")
def leaves_a_daemon(data, context):
    daemon(sleep_long)
    return good(data)


@case("done")
def leaves_a_daemon_without_environment(data, context):
    import os

    daemon(lambda: os.execve("/bin/sleep", _SLEEP, {}))
    return good(data)


@case("done")
def leaves_a_daemon_without_files(data, context):
    import os

    def act() -> None:
        os.closerange(0, 4096)
        sleep_long()

    daemon(act)
    return good(data)


@case("done")
def leaves_a_shell_job(data, context):
    import os

    os.system("nohup sleep 3600 >/dev/null 2>&1 &")
    return good(data)


@case("done")
def leaves_children_that_ignore_signals(data, context):
    import subprocess

    for _ in range(3):
        subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; sleep 3600 & wait"])
    return good(data)


@case("timeout")
def leaves_a_daemon_and_hangs(data, context):
    daemon(sleep_long)
    sleep_long()


@case("failed")
def leaves_a_daemon_and_crashes(data, context):
    import ctypes

    daemon(sleep_long)
    ctypes.string_at(0)


@case("done")
def forks_many(data, context):
    import os

    for _ in range(20):
        if not os.fork():
            os.setsid()
            sleep_long()
    return good(data)


@case("done")
def forks_deep(data, context):
    import os

    if not os.fork():
        for _ in range(10):
            if os.fork():
                sleep_long()
        sleep_long()
    return good(data)


@case("done")
def forks_and_dies_on_and_on(data, context):
    """Each process starts the next one and ends: nobody can be waited for."""

    def hop() -> None:
        import os
        import time

        for _ in range(2000):
            if os.fork():
                os._exit(0)
            time.sleep(0.005)

    daemon(hop)
    return good(data)


@case("done")
def leaves_zombies(data, context):
    import os

    for _ in range(10):
        if not os.fork():
            os._exit(0)
    return good(data)


@case("done")
def leaves_a_pool(data, context):
    import multiprocessing

    pool = multiprocessing.get_context("fork").Pool(2)
    pool.map_async(hangs, [None] * 2)
    return good(data)


@case("done", "failed")
def returns_in_two_processes(data, context):
    import os

    os.fork()
    return good(data)


# -- memory --------------------------------------------------------------------------------


def grow(*_: Any) -> None:
    import time

    import numpy as np

    blocks = []
    for _ in range(50):
        blocks.append(np.ones(2**23))
        time.sleep(0.02)
    sleep_long()


@case("oom")
def grows(data, context):
    grow()


@case("oom")
def grows_in_a_child(data, context):
    import os

    if not os.fork():
        grow()
    sleep_long()


@case("oom")
def grows_in_a_daemon(data, context):
    daemon(grow)
    sleep_long()


@case("oom")
def asks_for_all_memory(data, context):
    import numpy as np

    return Fit(np.ones((data.n_obs, 2**45)))


@case("failed")
def recurses(data, context):
    return recurses(data, context)


# -- logs ----------------------------------------------------------------------------------


@case("done")
def prints_much(data, context):
    for _ in range(3000):
        print("x" * 10_000)
    return good(data)


@case("done")
def writes_much_from_a_child(data, context):
    import os

    os.system("head -c 60000000 /dev/zero")
    return good(data)


@case("done")
def prints_bytes(data, context):
    import os

    os.write(1, bytes(range(256)) * 100)
    print("\udc80 \x1b[2J")
    return good(data)


@case("done")
def loses_standard_output(data, context):
    import sys

    sys.stdout = sys.stderr = None
    return good(data)


@case("done", "failed")
def closes_standard_output(data, context):
    import os

    os.close(1)
    os.close(2)
    return good(data)


@case("done")
def warns_much(data, context):
    import warnings

    warnings.simplefilter("always")
    for number in range(2000):
        warnings.warn(f"warning {number}", stacklevel=1)
    return good(data)


# -- results -------------------------------------------------------------------------------


@case("failed")
def returns_nothing(data, context):
    return None


@case("failed")
def returns_an_array(data, context):
    return good(data).embedding


@case("failed")
def returns_other_rows(data, context):
    return Fit(good(data).embedding[:-1])


@case("failed")
def returns_one_dimension(data, context):
    return Fit(good(data).embedding[:, 0])


@case("failed")
def returns_no_columns(data, context):
    return Fit(good(data).embedding[:, :0])


@case("failed")
def returns_text(data, context):
    return Fit(good(data).embedding.astype(str))


@case("failed")
def returns_complex_numbers(data, context):
    return Fit(good(data).embedding + 1j)


@case("failed")
def returns_a_sparse_matrix(data, context):
    return Fit(data.X)


@case("diverged")
def returns_nans(data, context):
    return Fit(good(data).embedding * float("nan"))


@case("diverged")
def returns_huge_numbers(data, context):
    return Fit((good(data).embedding + 1).astype(float) * 1e200)


@case("done")
def returns_shuffled_cells(data, context):
    import pandas as pd

    frame = pd.DataFrame(good(data).embedding, index=data.obs_names)
    return Fit(frame.sample(frac=1, random_state=0))


@case("failed")
def returns_other_cells(data, context):
    import pandas as pd

    return Fit(pd.DataFrame(good(data).embedding, index=data.obs_names + "x"))


@case("failed")
def returns_what_raises(data, context):
    class Strange:
        def __array__(self, *_, **__):
            raise RuntimeError("no array")

    return Fit(Strange())


@case("failed")
def returns_a_table_elsewhere(data, context):
    import pandas as pd

    return Fit(good(data).embedding, tables={"../../elsewhere": pd.DataFrame({"a": [1]})})


@case("failed")
def returns_a_table_that_is_none(data, context):
    return Fit(good(data).embedding, tables={"table": [1, 2]})


@case("failed")
def returns_short_labels(data, context):
    return Fit(good(data).embedding, labels={"half": [0, 1]})


@case("done")
def returns_odd_notes(data, context):
    return Fit(good(data).embedding, notes={"a\udc80\0": "\udc80\0\n" * 9000})


@case("failed")
def returns_odd_counts(data, context):
    return Fit(good(data).embedding, n_parameters="many")


@case("done")
def reports_long_curves(data, context):
    for step in range(50_000):
        context.report(step, loss=1.0)
    return good(data)


@case("done")
def reports_many_curves(data, context):
    context.report(0, **{f"loss \udc80 {number}": 1.0 for number in range(3000)})
    return good(data)


@case("failed")
def reports_text(data, context):
    context.report(0, loss="low")


@case("failed")
def reports_odd_steps(data, context):
    context.report(0, "all", loss=1.0)


@case("diverged")
def reports_nan(data, context):
    context.report(0, loss=float("nan"))


# -- signals and exit codes ----------------------------------------------------------------


def _signal(number: int) -> None:
    import os
    import time

    os.kill(os.getpid(), number)
    time.sleep(1)


@case("failed")
def crashes(data, context):
    import ctypes

    ctypes.string_at(0)


@case("failed")
def aborts(data, context):
    import os

    os.abort()


@case("failed")
def ends_by_a_real_time_signal(data, context):
    _signal(40)


@case("interrupted")
def kills_itself(data, context):
    _signal(9)


@case("interrupted")
def terminates_itself(data, context):
    _signal(15)


@case("interrupted")
def interrupts_itself(data, context):
    raise KeyboardInterrupt


@case("failed")
def exits_in_order(data, context):
    raise SystemExit(0)


@case("failed")
def exits_at_once(data, context):
    import os

    os._exit(0)


@case("failed")
def exits_with_255(data, context):
    import os

    os._exit(255)


# -- exceptions ----------------------------------------------------------------------------


@case("failed")
def raises_what_cannot_be_encoded(data, context):
    raise ValueError("\udc80\0\x1b[31m")


@case("failed")
def raises_what_cannot_be_shown(data, context):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    raise Odd


@case("failed")
def raises_a_long_text(data, context):
    raise ValueError("x" * 10**7)


@case("failed")
def raises_a_group(data, context):
    raise ExceptionGroup("two", [ValueError("a"), TypeError("b")])


@case("failed")
def raises_no_exception_of_python(data, context):
    class Own(BaseException):
        pass

    raise Own("mine")


@case("interrupted")
def meets_a_full_disk(data, context):
    raise OSError(28, "No space left on device")


# -- the process around it -----------------------------------------------------------------


@case("done")
def changes_its_folder(data, context):
    import os

    os.chdir(context.scratch)
    return good(data)


@case("done")
def removes_its_folder(data, context):
    import os

    folder = context.scratch / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    return good(data)


@case("done", "failed")
def forbids_its_files(data, context):
    import os

    os.umask(0o777)
    return good(data)


@case("done")
def clears_the_environment(data, context):
    import os

    os.environ.clear()
    return good(data)


@case("failed")
def closes_all_files(data, context):
    import os

    os.closerange(0, 4096)
    return good(data)


@case("failed", "done")
def writes_into_all_files(data, context):
    import os

    for number in range(3, 64):
        try:
            os.set_blocking(number, False)
            os.write(number, b"\x00\x00\x00\x05hello")
        except OSError:
            continue
    return good(data)


@case("failed", "done", "timeout")
def announces_a_huge_message(data, context):
    import os
    import struct

    for number in range(3, 64):
        try:
            os.set_blocking(number, False)
            os.write(number, struct.pack("!iQ", -1, 2**60))
        except OSError:
            continue
    return good(data)


@case("failed")
def opens_no_more_files(data, context):
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return good(data)


@case("failed", "interrupted", "done")
def removes_its_results(data, context):
    import shutil

    shutil.rmtree(context.scratch.parent, ignore_errors=True)
    return good(data)


@case("failed")
def replaces_functions(data, context):
    import builtins

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("replaced")

    builtins.open = broken
    return good(data)


@case("failed", "done")
def removes_all_modules(data, context):
    import sys

    result = good(data)
    sys.modules.clear()
    return result


@case("done", "failed")
def sets_global_options(data, context):
    import gc
    import os

    import numpy as np
    import torch

    np.seterr(all="raise")
    torch.set_default_dtype(torch.float64)
    gc.disable()
    os.nice(5)
    return good(data)


@case("failed", "done")
def allows_no_recursion(data, context):
    import sys

    sys.setrecursionlimit(40)
    return good(data)


def _fit(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, data, context: function(data, context)


for _name, (_, _function) in CASES.items():
    globals()[_name.title()] = type(
        _name.title(),
        (Method,),
        {
            "__module__": __name__,
            "name": _name,
            "summary": _name.replace("_", " "),
            "reference": "none",
            "modalities": frozenset({RNA}),
            "family": "baseline",
            "fit": _fit(_function),
        },
    )

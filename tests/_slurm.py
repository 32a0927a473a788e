"""A SLURM of one node, started in a folder: Debian's ``slurm-wlm``, no root needed."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
ACCOUNTING = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")
_SBIN = "/usr/sbin:/usr/local/sbin"
_CONF = """
ClusterName=bench
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/slurmd
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
MinJobAge=300
MaxArraySize=1001
MailProg=/bin/true
JobCompType=jobcomp/none
{accounting}
NodeName={host} CPUs=2 RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_DBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdPort={ports[2]}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[3]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


def missing_programs(names: tuple[str, ...]) -> list[str]:
    """Return the programs that are not installed."""
    path = os.environ["PATH"] + ":" + _SBIN
    return [name for name in names if shutil.which(name, path=path) is None]


@contextlib.contextmanager
def running_slurm(folder: Path, *, accounting: bool) -> Iterator[dict[str, str]]:
    """Start the daemons; yields the variables by which commands find them."""
    path = os.environ["PATH"] + ":" + _SBIN
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    names = {
        "folder": folder, "host": socket.gethostname().partition(".")[0],
        "user": getpass.getuser(), "ports": _free_ports(4),
        "memory": int(0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20),
    }  # fmt: skip
    accounts = "AccountingStorageType=accounting_storage/none"
    if accounting:
        accounts = (
            f"AccountingStorageType=accounting_storage/slurmdbd\n"
            f"AccountingStorageHost={names['host']}\nAccountingStoragePort={names['ports'][2]}\n"
            f"AccountingStoragePass={folder}/munge/socket"
        )
    (folder / "slurm.conf").write_text(_CONF.format(**names, accounting=accounts))
    for name in ("state", "slurmd", "munge"):
        (folder / name).mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        start = _Daemons(folder, os.environ | environment, stack)
        (folder / "munge" / "key").write_bytes(secrets.token_bytes(256))
        (folder / "munge" / "key").chmod(0o600)
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log",
                 "seed-file": "seed"}  # fmt: skip
        options = [f"--{name}={folder}/munge/{file}" for name, file in files.items()]
        start("munged", "--foreground", "--force", *options)
        wait_until((folder / "munge" / "socket").exists, "munged")
        if accounting:
            _start_accounting(folder, names, start)
        start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        start("slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", str(names["host"]))
        wait_until(lambda: "idle" in start.ask("sinfo", "-h", "-o", "%T"), "the node")
        yield environment


def _start_accounting(folder: Path, names: dict[str, object], start: _Daemons) -> None:
    data, ports = folder / "mariadb", names["ports"]
    start.ask(
        "mariadb-install-db", f"--datadir={data}", "--auth-root-authentication-method=normal",
        f"--user={names['user']}", "--skip-test-db",
    )  # fmt: skip
    sql = folder / "init.sql"
    sql.write_text(
        "CREATE DATABASE IF NOT EXISTS slurm;\n"
        "CREATE USER IF NOT EXISTS 'slurm'@'%' IDENTIFIED BY 'slurm';\n"
        "CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm';\n"
        "GRANT ALL ON slurm.* TO 'slurm'@'%';\nGRANT ALL ON slurm.* TO 'slurm'@'localhost';\n"
    )
    start(
        "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={folder}/mariadb.socket",
        f"--port={ports[3]}", "--bind-address=127.0.0.1", f"--user={names['user']}",  # type: ignore[index]
        f"--init-file={sql}", f"--pid-file={folder}/mariadb.pid",
    )  # fmt: skip
    wait_until((folder / "mariadb.socket").exists, "mariadbd")
    (folder / "slurmdbd.conf").write_text(_DBD_CONF.format(**names))
    (folder / "slurmdbd.conf").chmod(0o600)
    start("slurmdbd", "-D")
    wait_until(lambda: "Cluster" in start.ask("sacctmgr", "-i", "list", "cluster"), "slurmdbd")
    start.ask("sacctmgr", "-i", "add", "cluster", "bench")


class _Daemons:
    """Starts daemons that end with the test."""

    def __init__(
        self, folder: Path, environment: dict[str, str], stack: contextlib.ExitStack
    ) -> None:
        self._folder, self._environment, self._stack = folder, environment, stack

    def __call__(self, *words: str) -> None:
        output = self._stack.enter_context((self._folder / f"{words[0]}.out").open("w"))
        program = shutil.which(words[0], path=self._environment["PATH"])
        process = subprocess.Popen(
            [program, *words[1:]], env=self._environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        self._stack.callback(_end, process)

    def ask(self, *words: str) -> str:
        """Return what a command prints."""
        ran = subprocess.run(words, env=self._environment, capture_output=True, text=True)
        return ran.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come up"
        time.sleep(0.2)

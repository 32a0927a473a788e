"""The wall around a fit, from inside: each case restricts a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.execute import landlock

needs_landlock = pytest.mark.skipif(
    landlock.version() == 0, reason="this kernel has no Landlock: files are kept by process only"
)


def inside(tmp_path: Path, code: str, timeout: float = 120, more: str = "") -> str:
    """Run code behind a wall around ``scratch`` whose ``results`` are hidden.

    ``more`` are further fields of the wall.
    """
    for name in ("results", "mine", "compiled"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "results" / "types.npy").write_text("secret")
    (tmp_path / "mine" / "counts.npy").write_text("counts")
    with TemporaryDirectory(prefix="b-") as scratch:
        head = f"""
            from pathlib import Path
            from bench.execute.wall import Wall
            folder, scratch = Path({str(tmp_path)!r}), Path({scratch!r})
            print(Wall(readable=(folder / "mine",), writable=(scratch,),
                       hidden=(folder / "results",), scratch=scratch, {more}
                       ).raise_around_this_process())
        """
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)],
            capture_output=True, text=True, timeout=timeout, cwd=tmp_path,
            env=os.environ | {
                "BENCH_CACHE_DIR": str(tmp_path / "results"),
                "NUMBA_CACHE_DIR": str(tmp_path / "results" / "numba"),
            },
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@needs_landlock
def test_labels_cannot_be_read_and_own_arrays_can(tmp_path: Path):
    said = inside(tmp_path, """
        print((folder / "mine" / "counts.npy").read_text())
        for attempt in (lambda: (folder / "results" / "types.npy").read_text(),
                        lambda: list((folder / "results").iterdir()),
                        lambda: list(folder.iterdir()),
                        lambda: (folder / "mine" / "new").write_text("x"),
                        lambda: Path("/tmp").iterdir().__next__()):
            try:
                attempt()
                print("reached")
            except PermissionError:
                print("refused")
    """)  # fmt: skip
    assert said.split() == ["kernel-enforced", "counts", *["refused"] * 5]


@needs_landlock
def test_data_that_ship_in_a_package_are_hidden(tmp_path: Path):
    said = inside(tmp_path, """
        import scanpy
        try:
            scanpy.datasets.pbmc68k_reduced()
        except PermissionError:
            print("refused")
    """)  # fmt: skip
    assert said.split()[-1] == "refused"


@needs_landlock
def test_a_child_process_is_behind_the_wall_too(tmp_path: Path):
    said = inside(tmp_path, """
        import subprocess
        ran = subprocess.run(["cat", str(folder / "results" / "types.npy")], capture_output=True)
        print("reached" if b"secret" in ran.stdout else "refused")
    """)  # fmt: skip
    assert said.split()[-1] == "refused"


@needs_landlock
def test_other_processes_get_no_signals_and_servers_no_connections(tmp_path: Path):
    if landlock.version() < 6:
        pytest.skip("signals are scoped from version 6 of Landlock on")
    said = inside(tmp_path, """
        import os, signal, socket
        for attempt in (lambda: os.kill(os.getppid(), 0),
                        lambda: socket.create_connection(("127.0.0.1", 9), 1)):
            try:
                attempt()
                print("reached")
            except PermissionError:
                print("refused")
    """)  # fmt: skip
    assert said.split()[1:] == ["refused", "refused"]


SOCKETS = """
    import socket
    for family, kind in (("INET", "DGRAM"), ("INET", "STREAM"), ("INET6", "DGRAM"),
                         ("VSOCK", "STREAM"), ("UNIX", "STREAM"), ("UNIX", "DGRAM")):
        try:
            socket.socket(getattr(socket, "AF_" + family), getattr(socket, "SOCK_" + kind))
            print("opened")
        except OSError as error:
            print("refused" if isinstance(error, PermissionError) else "unknown")
"""


@needs_landlock
def test_only_sockets_between_processes_can_be_opened(tmp_path: Path):
    said = inside(tmp_path, SOCKETS).split()[1:]
    assert said == ["refused"] * 4 + ["opened"] * 2


@needs_landlock
def test_a_method_may_declare_the_network(tmp_path: Path):
    assert inside(tmp_path, SOCKETS, more="network=True").split()[1:3] == ["opened"] * 2


LIBRARIES = {
    "joblib": """
        from joblib import Parallel, delayed
        print(Parallel(2)(delayed(abs)(i) for i in (-1, -2)) == [1, 2])
    """,
    "DataLoader": """
        import torch
        data = torch.utils.data.TensorDataset(torch.arange(6.0))
        loader = torch.utils.data.DataLoader(data, num_workers=2)
        print(sum(float(batch[0]) for batch in loader) == 15)
    """,
    "matplotlib": """
        import matplotlib
        matplotlib.use("agg")
        import matplotlib.pyplot as plt
        plt.plot([1, 2])
        plt.savefig(scratch / "x.png")
        print((scratch / "x.png").stat().st_size > 0)
    """,
}


@needs_landlock
@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries_work_behind_the_wall(tmp_path: Path, name: str):
    assert inside(tmp_path, LIBRARIES[name]).split()[-1] == "True"


@needs_landlock
@pytest.mark.slow
def test_umap_compiles_into_the_folder_of_its_method(tmp_path: Path):
    said = inside(tmp_path, """
        import numpy as np, umap
        found = umap.UMAP(n_neighbors=5, n_epochs=5).fit_transform(np.random.rand(40, 5))
        print(found.shape == (40, 2))
    """, timeout=280, more="compiled=folder / 'compiled'")  # fmt: skip
    assert said.split()[-1] == "True"
    assert list((tmp_path / "compiled").rglob("*.nbc"))
    assert not list((tmp_path / "results").rglob("*.nbc"))


@needs_landlock
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_torch_compile_works_behind_the_wall(tmp_path: Path):
    said = inside(tmp_path, """
        import torch
        double = torch.compile(lambda x: torch.sin(x) * 2)
        x = torch.arange(8.0)
        print(torch.allclose(double(x), torch.sin(x) * 2))
    """, timeout=280)  # fmt: skip
    assert said.split()[-1] == "True"


@needs_landlock
def test_cuda_works_behind_the_wall(tmp_path: Path):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    said = inside(tmp_path, """
        import torch
        print(float(torch.ones(3, device="cuda").sum()) == 3)
    """)  # fmt: skip
    assert said.split()[-1] == "True"

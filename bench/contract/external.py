"""A method that is a program of its own: another Python, R, or any command."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .container import OUT, PLACE, ContainerCommand, find_image
from .method import Context, Fit, Method
from .recipe import Recipe

if TYPE_CHECKING:
    from anndata import AnnData

FORMATS = ("h5ad", "mtx", "npz")
"""Formats of the counts: AnnData; MatrixMarket with ``features.txt`` and ``cells.txt``; SciPy."""
_LAST_LINES = 3
_METHOD = "method"
"""Folder of the class's files in a container."""


class External(Method):
    """A command that reads counts and writes an embedding; ``bench add-method`` writes the class.

    The command runs in the limited, walled process of the fit, in an empty folder; with ``image``
    in a container without network, in a folder that is read-only but for ``{out}``. It finds

    * the counts, cells × features, raw unless ``prepared``; ``{counts}`` is the path;
    * ``parameters.json``: ``parameters``, ``seed``, ``threads``, ``device``, ``n_clusters`` and
      ``batch`` (one name a cell), as far as the class declares them; ``{parameters}`` is its path.

    and writes into the folder ``{out}``

    * ``embedding.npy``, ``embedding.csv`` (numbers, or a header and names of cells first) or
      ``embedding.h5ad`` (first array of ``obsm``, else X), one row a cell in the order of the
      counts;
    * optionally ``clusters.csv``, one cluster name a line, and ``imputed.npy``, cells × features.

    A line ``loss STEP TOTAL VALUE`` that it prints is a point of the loss curve; all other lines
    go to the log. An exit code above zero is a failure, with its last lines as the reason.

    Attributes
    ----------
    command : tuple of str
        Words of the command. ``{python}``, ``{counts}``, ``{parameters}``, ``{out}``, ``{seed}``
        and ``{folder}`` (the folder of the class's file) are filled in.
    python : str
        Interpreter of ``{python}``.
    lock : str
        File that lists the packages of the environment; beside the class's file and named in
        ``files``. The fit fails if the installed packages differ from the list. With ``image`` it
        holds the id of the image, and this image is started.
    image : str
        Name of the image of a container; of docker or podman.
    environment : tuple of str
        Folders of the environment, which the fit may read and run. Changes in them do not cause a
        new fit: name a file that lists their packages in ``files``.
    counts_format : str
        ``h5ad``, ``mtx`` or ``npz``.
    prepared : bool
        Whether the command gets the matrix of :meth:`recipe` in place of raw counts.
    """

    family = "external"
    command: ClassVar[tuple[str, ...]]
    python: ClassVar[str] = "python3"
    lock: ClassVar[str] = ""
    image: ClassVar[str] = ""
    counts_format: ClassVar[str] = "h5ad"
    prepared: ClassVar[bool] = False

    def recipe(self, info: Any) -> Recipe:
        """Return an empty recipe: the counts as they are. A subclass may override it."""
        return Recipe()

    def fit(self, data: AnnData, context: Context) -> Fit:
        """Run the command and read what it wrote.

        Raises
        ------
        RuntimeError
            If the command ends with a non-zero exit code, or the environment differs from
            ``lock``.
        ValueError
            If the command wrote no embedding, or a file that cannot be read.
        """
        from .external_files import read_clusters, read_embedding, read_imputed, write_counts

        self._check_packages()
        folder = context.scratch / "run"
        out = folder / OUT
        out.mkdir(parents=True)
        counts = write_counts(data, folder, self.counts_format, prepared=self.prepared)
        settings = folder / "parameters.json"
        settings.write_text(json.dumps(self._settings(context)))
        place = PLACE if self.image else folder
        words = {
            "python": self.python, "counts": place / counts.name, "out": place / OUT,
            "parameters": place / settings.name, "seed": context.seed,
            "folder": place / _METHOD if self.image else self.folder(),
        }  # fmt: skip
        command = [word.format(**words) for word in self.command]
        if self.image:
            self._run_container(command, folder, context)
        else:
            _run(command, folder, self._variables(), context)
        imputed = read_imputed(out, data)
        clusters = read_clusters(out, data.n_obs)
        return Fit(
            read_embedding(out, list(data.obs_names)),
            labels={} if clusters is None else {"own": clusters},
            tables={} if imputed is None else {"imputed": imputed},
        )

    @classmethod
    def folder(cls) -> Path:
        """Return the folder of the file that declares the class."""
        return Path(inspect.getfile(cls)).resolve().parent

    @classmethod
    def lacks(cls) -> str:
        """Return what this machine lacks: an engine with the image; empty if nothing."""
        return find_image(cls._image_id())[2] if cls.image else ""

    @classmethod
    def _image_id(cls) -> str:
        return read_lock(cls.folder() / cls.lock)[0] if cls.lock else cls.image

    def _check_packages(self) -> None:
        if not self.lock or self.image:
            return
        if installed_packages(self.environment) != read_lock(self.folder() / self.lock):
            raise RuntimeError(
                f"the packages of its environment are no longer those of {self.lock}; "
                "run bench add-method again"
            )

    def _run_container(self, words: list[str], folder: Path, context: Context) -> None:
        for name in self.files:
            target = folder / _METHOD / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder() / name, target)
        last: list[str] = []

        def on_line(line: str) -> None:
            _pass_on(line, last, context)

        assert context.run_container is not None
        command = ContainerCommand(self._image_id(), tuple(words), folder)
        if code := context.run_container(command, on_line):
            raise RuntimeError(f"{words[0]} ended with exit code {code}: {' | '.join(last)}")

    def _settings(self, context: Context) -> dict[str, Any]:
        batch = context.knowledge.batch
        return {
            "parameters": self.params.resolved(),
            "seed": context.seed,
            "threads": context.threads,
            "device": context.device,
            "n_clusters": context.n_clusters,
            "batch": None if batch is None else [str(name) for name in batch],
        }

    def _variables(self) -> dict[str, str]:
        """Return the variables of the command; programs of ``environment`` come first in PATH."""
        variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        folders = [str(Path(one) / "bin") for one in self.environment]
        variables["PATH"] = os.pathsep.join([*folders, variables.get("PATH", os.defpath)])
        libraries = [str(Path(one) / "lib" / "R") for one in self.environment]
        known = [one for one in libraries if Path(one).is_dir()]
        return variables | ({"R_HOME": known[0]} if known else {})


def installed_packages(folders: Iterable[str]) -> list[str]:
    """Return the names and versions of the packages in environments of Python, conda or R."""
    patterns = (
        "lib/python*/site-packages/*.dist-info", "lib/python*/site-packages/*.egg-info",
        "conda-meta/*.json", "lib/R/library/*",
    )  # fmt: skip
    return sorted({
        path.name for folder in folders for pattern in patterns
        for path in Path(folder).glob(pattern)
    })  # fmt: skip


def read_lock(path: Path) -> list[str]:
    """Return the packages listed in a lock file, as :func:`installed_packages` names them."""
    return path.read_text(encoding="utf-8").split()


def _run(words: list[str], folder: Path, variables: dict[str, str], context: Context) -> None:
    """Run a command and report its losses; other lines go to the log. Raises ``RuntimeError``."""
    try:
        process = subprocess.Popen(
            words, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise RuntimeError(f"{words[0]} cannot be started: {error.strerror}") from None
    assert process.stdout is not None
    last: list[str] = []
    try:
        for line in process.stdout:
            _pass_on(line, last, context)
    except BaseException:
        process.kill()
        raise
    if code := process.wait():
        raise RuntimeError(f"{words[0]} ended with exit code {code}: {' | '.join(last)}")


def _pass_on(line: str, last: list[str], context: Context) -> None:
    """Report a line's loss, or log it and keep it among the last lines."""
    if not _is_loss(line, context):
        context.log(line.rstrip())
        last[:] = [*last, line.strip()][-_LAST_LINES:]


def _is_loss(line: str, context: Context) -> bool:
    """Report a line ``loss STEP TOTAL VALUE``; returns whether it is one."""
    words = line.split()
    if len(words) != 4 or words[0] != "loss":
        return False
    try:
        step, total, value = int(words[1]), int(words[2]), float(words[3])
    except ValueError:
        return False
    context.report(step, total, loss=value)
    return True

"""The verb ``bench add-method``."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from bench.contract import ATAC, RNA
from bench.contract.container import ENGINES, find_image
from bench.contract.external import FORMATS, installed_packages
from bench.errors import DataError, UsageError

from .new import check_name
from .options import argument, option

_MODALITIES = {"rna": RNA, "atac": ATAC}
_INPUTS = ("n_clusters", "batch")
_ASK = "import sys, json; print(json.dumps([sys.prefix, getattr(sys, 'base_prefix', sys.prefix)]))"
_CONDA_FOLDERS = ("miniconda3", "miniforge3", "mambaforge", "anaconda3", ".conda", "micromamba")
_FILE = '''\
"""{name}: a program of its own, written by ``bench add-method``."""

from bench.contract import {imports}External


class {class_name}(External):
    """Runs ``{run}``."""

    name = "{name}"
    summary = "runs {program}"
    reference = "put the citation here"
    modalities = frozenset({{{modalities}}})
    command = {command}
    python = "{python}"
    environment = {environment}
    image = "{image}"
    counts_format = "{counts}"
    lock = "{lock}"
    files = {files}
'''
_NEEDS = '''
    def needs(self) -> frozenset[str]:
        """Return what the command gets beyond the counts."""
        return frozenset({needs})
'''


@dataclass
class Environment:
    """An interpreter, and the folders that its programs read."""

    python: str = "python3"
    folders: tuple[str, ...] = ()
    image: str = ""
    """Name of the image of a container."""
    image_id: str = ""


def add_method_command(
    name: Annotated[str, argument("NAME", "lower case; the file is NAME.py")],
    run: Annotated[
        str, option("COMMAND", "words with {counts} and {out}, as 'script.py {counts} {out}'")
    ],
    python: Annotated[Path | None, option("FILE", "interpreter of its environment")] = None,
    conda: Annotated[str | None, option("NAME", "conda environment, by name or folder")] = None,
    uv: Annotated[
        str | None, option("PACKAGES", "environment that uv makes, as 'desc==2.1 python==3.8'")
    ] = None,
    container: Annotated[
        str | None, option("IMAGE", "image of docker or podman that this machine has")
    ] = None,
    counts: Annotated[
        str, option("FORMAT", "format of the counts that it reads", choices=FORMATS)
    ] = "h5ad",
    modality: Annotated[str, option("NAMES", "modalities of its data: rna, atac")] = "rna",
    needs: Annotated[str, option("NAMES", "what else it gets: n_clusters, batch")] = "",
    folder: Annotated[Path, option("FOLDER", "folder of the file and of its scripts", "--out")] = (
        Path()
    ),
) -> None:
    """Write the file of a method that is a program of its own.

    The program runs in another Python, in R or as any command, behind the same wall and limits
    as other fits, or in a container without network and with the limits of its engine.
    docs/external.md says what it finds and what it writes.
    """
    check_name("method", name)
    path = folder / f"{name}.py"
    if path.exists():
        raise UsageError(f"{path} exists; choose another name or folder.", code="file_exists")
    _check_choice("--counts", [counts], FORMATS)
    kinds = _names("--modality", modality, tuple(_MODALITIES))
    inputs = _names("--needs", needs, _INPUTS)
    words, scripts = _command(run, folder, in_image=container is not None)
    environment = _environment(name, python, conda, uv, container)
    _check_not_imported(name, environment.folders)
    lock = _write_lock(folder, name, environment)
    text = _FILE.format(
        name=name, class_name="".join(map(str.title, name.split("_"))), run=run,
        imports="".join(f"{kind.upper()}, " for kind in kinds),
        modalities=", ".join(kind.upper() for kind in kinds), program=[*scripts, words[0]][0],
        command=_tuple(words), python=environment.python,
        environment=_tuple(environment.folders), image=environment.image, counts=counts,
        lock=lock, files=_tuple(filter(None, [lock, *scripts])),
    )  # fmt: skip
    quoted = ", ".join(f'"{one}"' for one in inputs)
    _write(path, text + (_NEEDS.format(needs=f"{{{quoted}}}") if inputs else ""))
    typer.echo(f"{path}: run it with 'bench run -m {name} -d pbmc68k --plugin {path}'")


def _write_lock(folder: Path, name: str, environment: Environment) -> str:
    """Write the packages of the environment, or the image's id, to a file; returns its name.

    The name is empty if there are no packages.
    """
    lines = [environment.image_id] if environment.image else None
    if lines is None:
        lines = installed_packages(environment.folders)
    if not lines:
        return ""
    path = folder / f"{name}.lock"
    _write(path, "\n".join(lines) + "\n")
    what = "the id of its image" if environment.image else f"{len(lines)} packages"
    typer.echo(f"{path}: {what}")
    return path.name


def _check_not_imported(name: str, folders: Iterable[str]) -> None:
    """Raise ``UsageError`` if a package of the environment has the name of the method's file.

    A script imports what lies beside it first.
    """
    for folder in map(Path, folders):
        for packages in folder.glob("lib/python*/site-packages"):
            if (packages / name).is_dir() or (packages / f"{name}.py").is_file():
                raise UsageError(
                    f"'{name}' is also a package of {folder}, and the script would import "
                    f"{name}.py instead; choose another name, as {name}_program.",
                    code="invalid_name",
                )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}.", code="not_writable"
        ) from None


def _tuple(words: Iterable[str]) -> str:
    """Return the source of a tuple of texts."""
    texts = [json.dumps(word) for word in words]
    return "(" + ", ".join(texts) + ("," if len(texts) == 1 else "") + ")"


def _names(flag: str, text: str, known: tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    _check_choice(flag, names, known)
    return names


def _check_choice(flag: str, names: list[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{flag} {name}: expected {', '.join(known)}.", code="invalid_value")


def _command(run: str, folder: Path, *, in_image: bool) -> tuple[list[str], list[str]]:
    """Return the words of a command, and the scripts among them relative to the folder.

    ``in_image``: absolute paths are those of an image.
    """
    known = {word for word in shlex.split(run) if in_image and word.startswith("/")}
    words, scripts = [], []
    for word in shlex.split(run):
        if word in known or not (folder / word).is_file():
            words.append(word)
            continue
        inside = os.path.relpath((folder / word).resolve(), folder.resolve())
        if inside.startswith(".."):
            raise UsageError(
                f"--run: {word} lies outside {folder.resolve()}; put it there, or name its "
                "folder with --out.",
                code="files_elsewhere",
            )
        scripts.append(inside)
        words.append("{folder}/" + inside)
    missing = [
        word for word in words
        if word.endswith((".py", ".R", ".sh")) and "{" not in word and word not in known
    ]  # fmt: skip
    if missing or not words:
        raise UsageError(
            f"--run: no file {missing[0] if missing else run!r} in {folder.resolve()}.",
            code="missing_file",
        )
    if not any("{counts}" in word or "{out}" in word for word in words):
        raise UsageError(
            f"--run '{run}': names neither {{counts}} nor {{out}}; the command would not find "
            "its data.",
            code="invalid_value",
        )
    if words[0].endswith(".py"):
        words = ["{python}", *words]
    return words, scripts


def _environment(
    name: str, python: Path | None, conda: str | None, uv: str | None, container: str | None
) -> Environment:
    """Return the environment that the options name; raises ``UsageError``."""
    if sum(one is not None for one in (python, conda, uv, container)) > 1:
        raise UsageError(
            "--python, --conda, --uv and --container name one environment; give one of them.",
            code="contradicting_options",
        )
    if container is not None:
        return _find_container(container)
    if conda is not None:
        folder = _find_conda(conda)
        return Environment(str(folder / "bin" / "python"), (str(folder),))
    if uv is not None:
        python = _make_uv_environment(name, uv)
    if python is None:
        return Environment()
    return _ask_interpreter(python)


def _ask_interpreter(python: Path) -> Environment:
    # Not resolved: the link in a virtual environment is what makes it one.
    path = Path(os.path.abspath(python.expanduser()))
    try:
        asked = subprocess.run(
            [path, "-c", _ASK], capture_output=True, text=True, timeout=60, check=True
        )
        prefixes = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UsageError(
            f"--python {python}: no interpreter that answers ({type(error).__name__}); give the "
            "path of bin/python of the environment.",
            code="invalid_value",
        ) from None
    return Environment(str(path), tuple(dict.fromkeys(map(os.path.realpath, prefixes))))


def _find_conda(name: str) -> Path:
    homes = [Path.home() / one for one in _CONDA_FOLDERS]
    base = os.environ.get("CONDA_EXE") or shutil.which("conda")
    if base:
        homes.insert(0, Path(base).resolve().parent.parent)
    places = [Path(name).expanduser(), *(home / "envs" / name for home in homes)]
    found = next((one.resolve() for one in places if (one / "conda-meta").is_dir()), None)
    if found is None:
        raise UsageError(
            f"--conda {name}: no conda environment of this name or folder; see 'conda env list' "
            "and give its folder.",
            code="unknown_name",
        )
    return found


def _find_container(image: str) -> Environment:
    engine, image_id, reason = find_image(image)
    if reason:
        raise UsageError(
            f"--container {image}: {reason}; install docker or podman, and pull or build the "
            "image.",
            code="missing_image" if any(map(shutil.which, ENGINES)) else "missing_program",
        )
    typer.echo(f"{image}: an image of {Path(engine).name}")
    return Environment(image=image, image_id=image_id)


def _make_uv_environment(name: str, packages: str) -> Path:
    """Make an environment with uv and return its interpreter."""
    program = shutil.which("uv")
    if program is None:
        raise UsageError(
            "--uv: the program uv is not installed; pip install uv, or make the environment "
            "yourself and give --python.",
            code="missing_program",
        )
    words = packages.split()
    versions = [word.partition("==")[2] for word in words if word.startswith("python==")]
    wanted = [word for word in words if not word.startswith("python")]
    folder = platformdirs.user_data_path("aebench") / "environments" / name
    python = folder / "bin" / "python"
    steps: list[list[str | Path]] = [
        [program, "venv", "--clear", *(["--python", versions[0]] if versions else []), folder],
        [program, "pip", "install", "--python", python, *wanted],
    ]
    for step in steps:
        if subprocess.run(step, check=False).returncode:
            raise UsageError(
                f"--uv '{packages}': '{' '.join(map(str, step[1:3]))}' failed; its message "
                "stands above.",
                code="not_installed",
            )
    return python

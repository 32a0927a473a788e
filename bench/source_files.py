"""The files of a method or loader: its source, its imports, and the files that it names.

Imports are followed, also those inside functions. Installed packages, such as numpy, are not among
the files; their versions count (:func:`package_versions`).
"""

from __future__ import annotations

import ast
import site
import sys
import sysconfig
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import UsageError

_FOLDER = Path(__file__).parent
_PACKAGES = ("bench.methods", "bench.datasets", "bench.data")
"""Packages whose code counts if it is imported; other code has version numbers."""
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)
_parsing = threading.Lock()
"""``ast.parse`` of Python 3.11 fails in concurrent threads."""
_loaded: dict[str, set[Path]] = defaultdict(set)
"""Path of a plugin → files executed by its import, also those loaded by path."""


@dataclass(frozen=True)
class SourceFiles:
    """The files of a method or loader, and the names of all that they import."""

    files: frozenset[Path]
    imported: frozenset[str]
    folder: Path
    """Folder of the module or plugin."""

    def by_name(self) -> list[tuple[str, Path]]:
        """Return (name, file) in a fixed order; names do not depend on the place of the folder."""
        names = [(_inner_name(path, self.folder), path) for path in self.files]
        return sorted(names, key=lambda item: (item[0], str(item[1])))


def find_source_files(origin: str, named: tuple[str, ...] = ()) -> SourceFiles:
    """Find the files of a method or loader.

    Parameters
    ----------
    origin
        Name of a module, or path of a plugin file; for ``__init__.py`` all files of its package.
    named
        Files and folders that the method reads, relative to the folder of ``origin``.

    Raises
    ------
    UsageError
        If a named file does not exist.
    """
    plugin = Path(origin).resolve() if origin.endswith(".py") else None
    finder = _ModuleFinder(origin, plugin.parent if plugin else None)
    files: set[Path] = set()
    imported: set[str] = set()
    waiting = _first_files(origin, plugin, finder)
    while waiting:
        module, path = waiting.pop()
        if path in files:
            continue
        files.add(path)
        names, texts = _read_source(path, "" if plugin else module)
        for name in names - imported:
            waiting += finder.find(name)
        imported |= names
        if not finder.is_foreign(path):
            waiting += [("", source) for source in _named_sources(path, texts)]
    files.update(_declared_files(origin, finder.folder, named))
    return SourceFiles(frozenset(files), frozenset(imported), finder.folder)


def _first_files(
    origin: str, plugin: Path | None, finder: _ModuleFinder
) -> list[tuple[str, Path]]:
    """Return (module, file) of the origin and of all files executed by its import."""
    if plugin is None:
        return finder.find(origin)
    files = [plugin]
    if plugin.name == "__init__.py":
        files += _members(plugin.parent)
    files += [
        path
        for path in sorted(_loaded.get(str(plugin), ()))
        if path.is_file() and not finder.is_foreign(path)
    ]
    return [("", path) for path in files]


@cache
def package_versions(origin: str) -> dict[str, str]:
    """Return the versions of the installed packages that a method imports, by module name.

    A package that is not installed has the version ``""``.
    """
    tops = {name.partition(".")[0] for name in find_source_files(origin).imported}
    names = tops - sys.stdlib_module_names - {"bench"}
    finder = _ModuleFinder(origin, Path(origin).parent if origin.endswith(".py") else None)
    return {
        name: _version(name)
        for name in sorted(names)
        if name.isidentifier() and not finder.is_own(name)
    }


@contextmanager
def record_loaded_files(plugin: str) -> Iterator[None]:
    """Record the source files that the import of a plugin executes, also those loaded by path."""
    inherited = SourceFileLoader.exec_module

    def exec_module(loader: SourceFileLoader, module: Any) -> None:
        _loaded[plugin].add(Path(loader.path).resolve())
        inherited(loader, module)

    SourceFileLoader.exec_module = exec_module  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        del SourceFileLoader.exec_module


def is_installed(path: Path) -> bool:
    """Return whether a path belongs to Python or to installed packages."""
    named = {"site-packages", "dist-packages"} & set(path.parts)
    return bool(named) or any(folder in (path, *path.parents) for folder in _installed_folders())


@cache
def _installed_folders() -> frozenset[Path]:
    places = sysconfig.get_paths()
    names = [places[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return frozenset(Path(name).resolve() for name in (*names, site.getusersitepackages()))


class _ModuleFinder:
    """Finds the source of modules that belong to a method, not to installed packages."""

    def __init__(self, origin: str, folder: Path | None) -> None:
        self._plugin_folder = folder
        self._top = "" if folder else origin.partition(".")[0]
        self._known: dict[str, list[Path]] = {}
        self._found: dict[str, Path | None] = {}
        path = self._find_one(origin) if folder is None else None
        self.folder = folder or (path.parent if path else Path())

    def find(self, module: str) -> list[tuple[str, Path]]:
        """Return (name, source file) of a module and of the packages that contain it."""
        parts = module.split(".")
        names = [".".join(parts[: end + 1]) for end in range(len(parts))]
        for name in names:
            if name not in self._found:
                self._found[name] = self._find_one(name)
        return [(name, path) for name in names if (path := self._found[name]) is not None]

    def is_own(self, top: str) -> bool:
        """Return whether a module is outside of installed packages."""
        return bool(self.find(top))

    def is_foreign(self, path: Path) -> bool:
        """Return whether a file is part of an installed package or of this program."""
        program = {_FOLDER, *(_FOLDER / name for name in ("methods", "datasets", "reports"))}
        return is_installed(path) or any(one.resolve() in path.parents for one in program)

    def _find_one(self, module: str) -> Path | None:
        for base in self._bases(module):
            for path in (base, *(base.with_name(base.name + end) for end in _SUFFIXES),
                         base / "__init__.py"):  # fmt: skip
                if path.is_file():
                    return path.resolve()
        return None

    def _bases(self, module: str) -> list[Path]:
        """Return possible paths of a module, without the suffix of its file."""
        top, _, rest = module.partition(".")
        if top == "bench":
            within = any((module + ".").startswith(name + ".") for name in _PACKAGES)
            return [_FOLDER.joinpath(*rest.split("."))] if within else []
        if top not in self._known:
            self._known[top] = self._top_bases(top)
        return [base.joinpath(*filter(None, rest.split("."))) for base in self._known[top]]

    def _top_bases(self, top: str) -> list[Path]:
        if top in sys.stdlib_module_names or not top.isidentifier():
            return []
        try:
            spec = find_spec(top)
        except (ValueError, ImportError):
            spec = None
        if spec is None:  # the plugin is not loaded yet: its folder is not on the path
            return [self._plugin_folder / top] if self._plugin_folder else []
        if spec.submodule_search_locations is not None:
            bases = [Path(place) for place in spec.submodule_search_locations]
        else:
            bases = [Path(spec.origin)] if spec.origin else []
        return [base for base in bases if top == self._top or not is_installed(base)]


def _read_source(path: Path, module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the imports of a file, and its text constants that could be files or folders."""
    if path.suffix != ".py":
        return frozenset(), frozenset()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return _parse(path.read_bytes(), package)


@lru_cache(maxsize=1024)
def _parse(source: bytes, package: str) -> tuple[frozenset[str], frozenset[str]]:
    try:
        with _parsing:
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset(), frozenset()
    names: set[str] = set()
    literals: set[str] = set()
    for node in _nodes_that_run(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names} if base else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            literals.add(node.value)
    short = {text for text in literals if 0 < len(text) < 200 and not set(text) & set(" \n\0")}
    return frozenset(names), frozenset(short)


def _nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those of ``if TYPE_CHECKING``."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the absolute name of the module that a statement imports from; "" if it has none."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *filter(None, [node.module])]) if package and above else ""


def _named_sources(path: Path, literals: Iterable[str]) -> Iterator[Path]:
    """Yield Python files named in text constants of a source, such as files loaded by path."""
    sources = [text for text in literals if text.endswith(".py")]
    if not sources:
        return
    folders = [path.parent, *(path.parent / text for text in literals if "." not in text)]
    for text in sources:
        paths = [(folder / text).resolve() for folder in folders]
        yield from (path for path in paths if path.is_file())


def _declared_files(origin: str, folder: Path, named: tuple[str, ...]) -> Iterator[Path]:
    for name in named:
        path = (folder / name).resolve()
        if not path.exists():
            raise UsageError(
                f"{origin}: files names '{name}', but {path} is not there; expected a path "
                "relative to the folder of the method's module.",
                code="missing_file",
            )
        yield from [path] if path.is_file() else _members(path)


def _members(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, without hidden and compiled ones."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part[0] == "." or part == "__pycache__" for part in inside):
            yield path.resolve()


def _inner_name(path: Path, folder: Path) -> str:
    inside = folder.resolve() in path.parents
    return path.relative_to(folder.resolve()).as_posix() if inside else path.name


@cache
def _version(module: str) -> str:
    """Return the version of the installed package of a module; "" if there is none."""
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        pass
    starts = (f"\n{module}/", f"\n{module}.py,")
    for package in metadata.distributions():
        files = "\n" + (package.read_text("RECORD") or "")
        if any(start in files for start in starts):
            return package.version
    return ""

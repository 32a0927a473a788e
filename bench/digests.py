"""Digests of values and of source code, for the keys that keep work from being done twice.

The key of a fit holds everything that decides its result, that of a score also what decides the
score. Versions of libraries are recorded beside a result and are not part of its key.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import threading
from functools import cache
from pathlib import Path
from typing import Any

from bench.versions import CLUSTERINGS

_FOLDER = Path(__file__).parent
_PACKAGES = ("bench.methods", "bench.datasets", "bench.data")
"""Packages whose code counts where it is imported; other steps have a version number."""
_parsing = threading.Lock()
"""``ast.parse`` of Python 3.11 fails in two threads at a time."""


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits that identify a JSON-like value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def source_digest(origin: str) -> str:
    """Return a digest of a module's source and of all modules that it imports.

    Imports inside functions count. Followed are imports of methods, datasets and readers of this
    program, and of the installed package or the folder that holds ``origin``.

    Parameters
    ----------
    origin
        Name of a module, or path of a plugin file.
    """
    sources, imported = _read_sources(origin)
    contents = {module: content for module, (_, content) in sources.items()}
    if origin.endswith(".py"):
        contents["plugin"] = contents.pop(origin)
    whole = hashlib.sha256()
    for module in sorted(contents):
        whole.update(module.encode() + b"\0" + contents[module] + b"\0")
    if "bench.scoring.clustering" in imported:
        whole.update(json.dumps(CLUSTERINGS, sort_keys=True).encode())
    return whole.hexdigest()[:24]


@cache
def source_files(origin: str) -> tuple[Path, ...]:
    """Return the files that :func:`source_digest` reads."""
    return tuple(path for path, _ in _read_sources(origin)[0].values())


def _read_sources(origin: str) -> tuple[dict[str, tuple[Path, bytes]], set[str]]:
    """Return path and content of each source by module, and the names that they import."""
    with _parsing:
        return _follow_imports(origin)


def _follow_imports(origin: str) -> tuple[dict[str, tuple[Path, bytes]], set[str]]:
    roots = _source_roots(origin)
    sources: dict[str, tuple[Path, bytes]] = {}
    imported: set[str] = set()
    waiting = [(origin, Path(origin) if origin.endswith(".py") else _find_source(origin, roots))]
    while waiting:
        module, path = waiting.pop()
        if path is None or module in sources:
            continue
        sources[module] = (path, path.read_bytes())
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names = _imported_names(sources[module][1], package)
        waiting += [(name, _find_source(name, roots)) for name in names]
        imported |= names
    return sources, imported


def _source_roots(origin: str) -> dict[str, Path]:
    """Return the folder of each package, and the file of each module, whose source counts."""
    roots = {name: _FOLDER / name.partition(".")[2] for name in _PACKAGES}
    if origin.endswith(".py"):
        folder = Path(origin).parent
        neighbors = [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]
        return {path.stem: path for path in neighbors if path.stem != "bench"} | roots
    top = origin.partition(".")[0]
    spec = importlib.util.find_spec(top) if top != "bench" else None
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin)
        roots[top] = file.parent if file.name == "__init__.py" else file
    return roots


def _find_source(module: str, roots: dict[str, Path]) -> Path | None:
    """Return the source file of a module below one of the roots."""
    for name, root in roots.items():
        if module == name or module.startswith(name + "."):
            base = root.joinpath(*module.removeprefix(name).split(".")[1:])
            for path in (base, base.with_suffix(".py"), base / "__init__.py"):
                if path.is_file():
                    return path
    return None


def _imported_names(source: bytes, package: str) -> set[str]:
    """Return the modules that a source imports, and what it imports from them."""
    names: set[str] = set()
    tree = ast.parse(source)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue  # never runs
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names

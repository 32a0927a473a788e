"""Digests of values and of source code, for the keys that keep work from being done twice.

The key of a fit holds everything that decides its result, that of a score also what decides the
score. Versions of libraries are recorded beside a result and are not part of its key.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from bench.versions import CLUSTERINGS

_FOLDER = Path(__file__).parent
_PACKAGES = ("bench.methods", "bench.datasets", "bench.data")
"""Packages whose code counts where it is imported; other steps have a version number."""


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
    roots = _source_roots(origin)
    sources: dict[str, bytes] = {}
    imported: set[str] = set()
    waiting = [(origin, Path(origin) if origin.endswith(".py") else _find_source(origin, roots))]
    while waiting:
        module, path = waiting.pop()
        if path is None or module in sources:
            continue
        sources[module] = path.read_bytes()
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names = _imported_names(sources[module], package)
        waiting += [(name, _find_source(name, roots)) for name in names]
        imported |= names
    if origin.endswith(".py"):
        sources["plugin"] = sources.pop(origin)
    whole = hashlib.sha256()
    for module in sorted(sources):
        whole.update(module.encode() + b"\0" + sources[module] + b"\0")
    if "bench.scoring.clustering" in imported:
        whole.update(json.dumps(CLUSTERINGS, sort_keys=True).encode())
    return whole.hexdigest()[:24]


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
    for node in ast.walk(ast.parse(source)):
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

"""Keys: what identifies a fit and a score, so that nothing is done twice.

A fit key is the digest of everything that decides the result of a fit; a score key adds what
decides its scores. Versions of libraries are provenance and not part of a key.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import bench

_FOLDER = Path(bench.__file__).parent
_PACKAGES = (["bench", "methods"], ["bench", "datasets"])
_PAIRS = b"\n\n# Pairs of recipes"


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits that identify a JSON-like value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def source_digest(origin: str) -> str:
    """Return a digest of a module's source and of the modules beside it that it imports.

    ``origin`` is a module name or the path of a plugin file. Imports inside functions count.
    """
    files: dict[str, bytes] = {}
    if origin.endswith(".py"):
        start = Path(origin)
        files["plugin"] = start.read_bytes()
        todo = _imports(files["plugin"], "")
    else:
        todo = {origin}
    while todo:
        name = todo.pop()
        for module, path in _files(name):
            if module not in files:
                files[module] = path.read_bytes()
                package = module if path.name == "__init__.py" else module.rpartition(".")[0]
                todo |= _imports(files[module], package) - files.keys()
    whole = hashlib.sha256()
    for module in sorted(files):
        whole.update(module.encode() + b"\0" + files[module] + b"\0")
    return whole.hexdigest()[:24]


@cache
def preparation_digest() -> str:
    """Return a digest of the code that prepares a matrix.

    Pairs of recipes only name what is done to each part, so a change to them refits nothing.
    """
    recipe = (_FOLDER / "recipe.py").read_bytes().partition(_PAIRS)[0]
    rest = [path.read_bytes() for path in sorted((_FOLDER / "prepare").glob("*.py"))]
    return hashlib.sha256(b"\0".join([recipe, *rest])).hexdigest()[:24]


def _files(module: str) -> list[tuple[str, Path]]:
    """Return the source files of a module of methods or datasets; a folder counts whole."""
    parts = module.split(".")
    if parts[:2] not in _PACKAGES:
        return []
    base = _FOLDER.joinpath(*parts[1:])
    if base.with_suffix(".py").is_file():
        return [(module, base.with_suffix(".py"))]
    if not base.is_dir():
        return []
    shared = module in ("bench.methods", "bench.methods.nn", "bench.datasets")
    found = [base / "__init__.py"] if shared else sorted(base.rglob("*.py"))
    return [
        (".".join([module, *path.relative_to(base).with_suffix("").parts])
         .removesuffix(".__init__"), path)
        for path in found
        if path.is_file()
    ]  # fmt: skip


def _imports(source: bytes, package: str) -> set[str]:
    """Return the modules of methods and datasets that a source imports, or their attributes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[:2] in _PACKAGES}

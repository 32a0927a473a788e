"""Keys: what identifies a fit and a score, so that nothing is done twice.

A fit key is the digest of everything that decides the result of a fit; a score key adds what
decides its scores. Versions of libraries are provenance and not part of a key.
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
_SEVERAL = (*_PACKAGES, "bench.methods.nn")


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits that identify a JSON-like value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def source_digest(origin: str) -> str:
    """Return a digest of a module's source and of the modules beside it that it imports.

    ``origin`` is a module name or the path of a plugin file. Imports inside functions count. An
    installed package that brings a method counts as far as it is imported, like ours; of a plugin
    file the modules and packages in its folder.
    """
    files: dict[str, bytes] = {}
    places = _places(origin)
    if origin.endswith(".py"):
        files["plugin"] = Path(origin).read_bytes()
        named = _imports(files["plugin"], "")
    else:
        named = {origin}
    todo = set(named)
    while todo:
        name = todo.pop()
        for module, path in _files(name, places, whole=name == origin):
            if module not in files:
                files[module] = path.read_bytes()
                package = module if path.name == "__init__.py" else module.rpartition(".")[0]
                named |= _imports(files[module], package)
                todo |= named - files.keys()
    whole = hashlib.sha256()
    for module in sorted(files):
        whole.update(module.encode() + b"\0" + files[module] + b"\0")
    if "bench.scoring.clustering" in named:
        whole.update(json.dumps(CLUSTERINGS, sort_keys=True).encode())
    return whole.hexdigest()[:24]


def _places(origin: str) -> dict[str, Path]:
    """Return the packages and modules whose source counts, with their folder or file."""
    places = {name: _FOLDER / name.partition(".")[2] for name in _PACKAGES}
    if origin.endswith(".py"):
        folder = Path(origin).parent
        found = [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]
        return {path.stem: path for path in found if path.stem != "bench"} | places
    top = origin.partition(".")[0]
    spec = importlib.util.find_spec(top) if top != "bench" else None
    if spec is not None and spec.submodule_search_locations:
        places[top] = Path(next(iter(spec.submodule_search_locations)))
    elif spec is not None and spec.origin:
        places[top] = Path(spec.origin)
    return places


def _files(module: str, places: dict[str, Path], *, whole: bool) -> list[tuple[str, Path]]:
    """Return the source files of a module.

    A folder of our methods and datasets counts whole, and so does the package that an entry point
    names; of other packages, which hold more than one method, what stands in ``__init__.py``.
    """
    home = next((name for name in places if (module + ".").startswith(name + ".")), None)
    if home is None:
        return []
    base = places[home].joinpath(*module.removeprefix(home).split(".")[1:])
    if base.suffix == ".py" and base.is_file():
        return [(module, base)]
    if base.with_suffix(".py").is_file():
        return [(module, base.with_suffix(".py"))]
    if not base.is_dir():
        return []
    several = module in _SEVERAL or not (whole or home in _PACKAGES)
    found = [base / "__init__.py"] if several else sorted(base.rglob("*.py"))
    return [
        (".".join([module, *path.relative_to(base).with_suffix("").parts])
         .removesuffix(".__init__"), path)
        for path in found
        if path.is_file()
    ]  # fmt: skip


def _imports(source: bytes, package: str) -> set[str]:
    """Return the modules that a source imports, or their attributes."""
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
    return found

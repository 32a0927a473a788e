"""Count what makes the code hard to find one's way in: lines, loops, late imports, long functions.

``python benchmarks/house.py [--root FOLDER] [--json FILE]``. Product code is ``bench/``,
``methods/``, ``datasets/`` and ``reports/``; lines are all lines of its Python files.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from pathlib import Path
from typing import Any

import networkx

ROOMS = ("bench", "methods", "datasets", "reports")
OWNED = ("methods", "datasets", "reports")
LATE = (ast.Import, ast.ImportFrom)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(root: Path, folder: str) -> list[Path]:
    """Return the Python files of a folder; links inside ``bench/`` are not followed."""
    files = [
        p for p in (root / folder).rglob("*.py") if not any(q.is_symlink() for q in p.parents)
    ]
    return [path for path in files if path.is_file()]


def module(root: Path, path: Path) -> str:
    """Return the dotted name of a file, as it is imported."""
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts if parts[0] == "bench" else ("bench", *parts))
    return name.removesuffix(".__init__")


def targets(node: ast.AST, name: str, known: set[str], *, package: bool) -> set[str]:
    """Return the modules of the package that an import statement loads."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & known
    if not isinstance(node, ast.ImportFrom):
        return set()
    base = name.split(".")[: len(name.split(".")) - node.level + package] if node.level else []
    full = ".".join([*base, *filter(None, [node.module])])
    found = {f"{full}.{alias.name}" for alias in node.names}
    return (found & known) or ({full} & known)


def count(root: Path) -> dict[str, int]:
    """Return every count by name."""
    files = {module(root, path): path for folder in ROOMS for path in sources(root, folder)}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    graph, wall, total = networkx.DiGraph(), 0, Counter[str]()
    classes: Counter[str] = Counter()
    for name, tree in trees.items():
        typing = {id(x) for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in
                  ast.dump(n.test) for x in ast.walk(n)}  # fmt: skip
        late: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, LATE) and id(node) not in typing:
                package = files[name].name == "__init__.py"
                to = targets(node, name, set(files), package=package)
                graph.add_edges_from((name, one) for one in to)
                wall += name.split(".")[1:2] not in [[o] for o in OWNED] and any(
                    one.split(".")[1:2] == [o] for one in to for o in OWNED
                )
            if isinstance(node, ast.ClassDef) and node in tree.body and node.name != "Params":
                classes[node.name] += 1
            if isinstance(node, FUNCTIONS):
                late |= {id(n) for n in ast.walk(node) if isinstance(n, LATE)}
                names = [a.arg for a in [*node.args.args, *node.args.kwonlyargs]]
                total["parameters named say"] += names.count("say")
                total["functions with more than 8 parameters"] += len(names) > 8
                total["functions over 50 lines"] += (node.end_lineno or 0) - node.lineno >= 50
        total["function-level imports"] += len(late)
    loops = [part for part in networkx.strongly_connected_components(graph) if len(part) > 1]
    return {
        "product lines": sum(len(path.read_text().splitlines()) for path in files.values()),
        "test lines": sum(len(path.read_text().splitlines()) for path in sources(root, "tests")),
        "files": len(files),
        "files over 400 lines": sum(len(p.read_text().splitlines()) > 400 for p in files.values()),
        "files in a loop": sum(map(len, loops)),
        "class names standing twice": sum(number > 1 for number in classes.values()),
        "imports across the wall": wall,
        **total,
    }  # fmt: skip


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--json", type=Path)
    asked: Any = parser.parse_args()
    counts = count(asked.root)
    for name, number in counts.items():
        print(f"{name:40s} {number:8,d}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    main()

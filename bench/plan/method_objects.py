"""Methods given as classes or objects: their selectors and plugin files.

A class of a notebook or script is written to a module in the cache, with the imports, functions,
classes and plain values that it uses. The module's folder is named by the digest of its text.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import symtable
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from bench.contract import Method
from bench.digests import digest
from bench.errors import UsageError
from bench.messages import quote_names
from bench.registry import methods as method_registry
from bench.selectors import selector_label

if TYPE_CHECKING:
    from bench.settings import Settings

_CELLS = ("<ipython-input", "ipykernel")
"""Parts of the file names that IPython gives to notebook cells."""
_POSTPONED = annotations.compiler_flag
"""Flag of code compiled with ``from __future__ import annotations``."""


def select_methods(methods: Any, settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Return the selector of methods, and all plugin files, with those of the classes.

    Parameters
    ----------
    methods
        Selector, class or object of a method, or a list of these.
    settings
        Settings with the plugins, the profile and the cache folder.

    Raises
    ------
    UsageError
        For any other type, and for a class that cannot be written to a module.
    """
    parts, plugins = [], list(settings.plugins)
    for method in methods if isinstance(methods, (list, tuple)) else [methods]:
        if isinstance(method, str):
            parts.append(method)
            continue
        cls: Any = method if inspect.isclass(method) else type(method)
        _check_class(cls)
        plugin = _plugin(cls, settings)
        if plugin and plugin not in plugins:
            plugins.append(plugin)
        values = {} if method is cls else _changed_values(method, settings.profile)
        parts.append(selector_label(cls.name, values))
    return ",".join(parts), tuple(plugins)


def _check_class(cls: type[Any]) -> None:
    """Raise ``UsageError`` unless a class is a complete method."""
    if not issubclass(cls, Method):
        raise UsageError(
            f"methods: got a {cls.__name__}; expected a selector such as 'pca,vae', a subclass of "
            "bench.contract.Method, an instance of it, or a list of these.",
            code="not_a_method",
        )
    missing = sorted(cls.__abstractmethods__)
    if "name" not in vars(cls):
        missing.append("name")
    if missing:
        raise UsageError(
            f"methods: the class {cls.__name__} lacks {', '.join(missing)}.", code="not_a_method"
        )


def _changed_values(method: Method, profile: str) -> dict[str, str]:
    """Return the parameters that differ from the values of the profile."""
    cls = type(method)
    presets = (profile,) if profile in cls.Params.presets else ()
    usual = cls.Params.build(presets=presets, owner=cls.name).resolved()
    own = method.params.resolved()
    return {name: str(value) for name, value in own.items() if value != usual[name]}


def _plugin(cls: type[Method], settings: Settings) -> str:
    """Return the plugin file of a class; empty if the registry has it."""
    entry = method_registry(settings.plugins).entries.get(cls.name)
    if entry is not None and entry.cls is cls:
        return ""
    module = sys.modules.get(cls.__module__)
    if getattr(module, cls.__name__, None) is not cls:
        raise UsageError(
            f"methods: {cls.__module__} has no class {cls.__name__} or a newer one; define the "
            "class outside of functions, and use its last definition.",
            code="not_a_method",
        )
    file = getattr(module, "__file__", None)
    if cls.__module__ != "__main__" and file:
        return str(file)
    text = _ModuleText(cls).build()
    path = settings.cache_dir / "notebook" / digest(text) / f"{cls.__name__}.py"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{cls.__name__} cannot be written to {path}: {error.strerror}; set cache_dir.",
                code="not_writable",
            ) from None
    return str(path)


class _ModuleText:
    """The text of a module with one class and everything that it uses."""

    def __init__(self, cls: type[Method]) -> None:
        self._cls, self._namespace = cls, vars(sys.modules[cls.__module__])
        self._imports: dict[str, str] = {}
        self._definitions: list[str] = []
        self._missing: list[str] = []
        self._seen: set[str] = set()
        self._sources = list(_sources(self._namespace))

    def build(self) -> str:
        """Return the text; raises ``UsageError`` with the names that cannot be written."""
        self._add(self._cls.__name__)
        if self._missing:
            raise UsageError(
                f"methods: {self._cls.__name__} uses {quote_names(self._missing)}, and only "
                "imports, functions, classes and plain values are sent with a class to its fits; "
                "move them into the class, or write it to a file and give plugins='file.py'.",
                code="missing_names",
            )
        lines = sorted(set(self._imports.values()))
        if _postpones_annotations(self._cls):
            lines.insert(0, "from __future__ import annotations")
        return "\n\n\n".join(["\n".join(lines), *self._definitions]) + "\n"

    def _add(self, name: str) -> None:
        """Add the import, the definition or the value of a name, with all names that it uses."""
        if name in self._seen or name not in self._namespace:
            return  # defined already, built in, or as unknown as in the notebook
        self._seen.add(name)
        value = self._namespace[name]
        if getattr(value, "__module__", "") == self._cls.__module__ and isinstance(
            value, (type, FunctionType)
        ):
            self._add_definition(name, value)
        elif (line := self._find_import(name)) is not None:
            self._imports[name] = line
        elif _is_plain(value):
            self._definitions.append(f"{name} = {value!r}")
        else:
            self._missing.append(name)

    def _add_definition(self, name: str, value: Any) -> None:
        """Add a function or class of the notebook, after the names that it uses."""
        source = self._find_definition(name)
        if source is None:
            raise UsageError(
                f"methods: the source of {name} cannot be found; write the method to a file "
                "and give plugins='file.py'.",
                code="no_source",
            )
        for other in _global_names(source):
            self._add(other)
        if isinstance(value, type) and issubclass(value, Method) and value is not self._cls:
            source += f"\n\n\n{name}.__module__ = __name__ + '_base'  # is no method of this file"
        self._definitions.append(source)

    def _find_import(self, name: str) -> str | None:
        """Return the newest statement that imports a name."""
        for _, tree in self._sources:
            for node in ast.walk(tree):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    for alias in node.names:
                        bound = alias.asname or alias.name.partition(".")[0]
                        if bound == name and getattr(node, "module", "") != "__future__":
                            return ast.unparse(node)
        return None

    def _find_definition(self, name: str) -> str | None:
        """Return the newest source of a function or class, decorators included."""
        for text, tree in self._sources:
            for node in reversed(tree.body):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
                    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        return None


def _sources(namespace: dict[str, Any]) -> Iterator[tuple[str, ast.Module]]:
    """Yield text and syntax tree of each notebook cell, the newest first, or of the script."""
    file = namespace.get("__file__")
    cells = [name for name in linecache.cache if any(part in name for part in _CELLS)]
    texts = ["".join(linecache.getlines(name)) for name in cells]
    texts += ["".join(linecache.getlines(str(file))) if file else "", *namespace.get("In", ())]
    for text in reversed(texts):
        try:
            yield text, ast.parse(text)
        except (SyntaxError, ValueError):  # a cell with commands of IPython
            continue


def _global_names(source: str) -> set[str]:
    """Return the names that a definition takes from its module."""
    names: set[str] = set()
    tables = [symtable.symtable(source, "<method>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        is_module = table.get_type() == "module"
        names |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (is_module or symbol.is_global())
        }
    return names


def _postpones_annotations(cls: type[Any]) -> bool:
    """Return whether a class was defined under ``from __future__ import annotations``."""
    functions = [value for value in vars(cls).values() if isinstance(value, FunctionType)]
    return any(one.__code__.co_flags & _POSTPONED for one in functions)


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a text, or a collection of these."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False

"""Find methods and datasets: this package's folders, entry points, and plugin files.

There is no list to maintain. A module whose import fails, or a class whose ``requires`` are not
installed, is listed as unavailable with the reason.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from bench.contract import Dataset, Method
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.source_files import find_source_files, record_loaded_files

Kind = TypeVar("Kind", Method, Dataset)


@dataclass(frozen=True)
class RegistryEntry(Generic[Kind]):
    """One registered class, or the reason why it cannot be used."""

    name: str
    origin: str
    """Module name, or path of a plugin file."""
    cls: type[Kind] | None
    unavailable: str = ""


class Registry(Generic[Kind]):
    """Entries by name; built by :func:`methods` and :func:`datasets`."""

    def __init__(self, noun: str, entries: list[RegistryEntry[Kind]]) -> None:
        self.noun = noun
        self.entries: dict[str, RegistryEntry[Kind]] = {}
        for entry in entries:
            other = self.entries.get(entry.name)
            if other is not None:
                raise UsageError(
                    f"two {noun}s are named '{entry.name}': in {other.origin} and {entry.origin}; "
                    "rename one.",
                    code="duplicate_names",
                )
            self.entries[entry.name] = entry

    def __iter__(self) -> Iterator[RegistryEntry[Kind]]:
        return iter(sorted(self.entries.values(), key=lambda entry: entry.name))

    def entry(self, name: str) -> RegistryEntry[Kind]:
        """Return the entry, available or not; raises ``UsageError`` for an unknown name."""
        if name not in self.entries:
            hint = did_you_mean(name, list(self.entries))
            if self.noun == "dataset":
                hint += " Or a path, or the name of an .h5ad file in the folder BENCH_DATA_DIR."
            raise UsageError(f"no {self.noun} named '{name}'.{hint}", code="unknown_name")
        return self.entries[name]

    def get(self, name: str) -> type[Kind]:
        """Return the class; raises ``UsageError`` if it is unknown or unavailable."""
        entry = self.entry(name)
        if entry.cls is None or entry.unavailable:
            raise UsageError(
                f"{self.noun} '{name}' is unavailable: {entry.unavailable}", code="unavailable"
            )
        return entry.cls


def methods(plugins: tuple[str, ...] = ()) -> Registry[Method]:
    """Return all methods: built in, installed (``bench.methods``), and in plugin files."""
    return find_methods(_plugin_files(plugins))


def datasets(plugins: tuple[str, ...] = ()) -> Registry[Dataset]:
    """Return all datasets: built in, installed (``bench.datasets``), and in plugin files."""
    return find_datasets(_plugin_files(plugins))


@cache
def find_methods(files: tuple[str, ...]) -> Registry[Method]:
    """Return all methods; ``files`` are the absolute paths of plugins."""
    return Registry("method", _collect(Method, "bench.methods", files))


@cache
def find_datasets(files: tuple[str, ...]) -> Registry[Dataset]:
    """Return all datasets; ``files`` are the absolute paths of plugins."""
    return Registry("dataset", _collect(Dataset, "bench.datasets", files))


def _plugin_files(plugins: tuple[str, ...]) -> tuple[str, ...]:
    """Return the absolute paths of plugins, since relative paths depend on the current folder."""
    return tuple(str(plugin_file(path)) for path in plugins)


def import_method(origin: str, name: str) -> type[Method]:
    """Import one method by its entry's origin and name, as a worker process does."""
    module = load_plugin(origin) if origin.endswith(".py") else importlib.import_module(origin)
    for cls in _classes(module, Method):
        if cls.name == name:
            return cls
    raise UsageError(f"{origin} no longer holds a method named '{name}'.", code="unknown_name")


def plugin_file(path: str) -> Path:
    """Return the Python file of a plugin; for a package its ``__init__.py``."""
    file = Path(path).expanduser().resolve()
    return file / "__init__.py" if file.is_dir() else file


@cache
def load_plugin(path: str) -> ModuleType:
    """Import a plugin: a file, or a folder with ``__init__.py``.

    Modules in its folder can be imported. Raises ``UsageError`` if it cannot be imported, or
    defines no method, dataset or metric.
    """
    file = plugin_file(path)
    if not file.is_file():
        hint = " in a folder that is given as a plugin" if file.name == "__init__.py" else ""
        raise UsageError(f"plugin {path}: no such file{hint}: {file}.", code="missing_file")
    is_package = file.name == "__init__.py"
    name = f"bench_plugin_{file.parent.name if is_package else file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(
            f"plugin {path}: not a Python file; expected a name that ends in .py.",
            code="unknown_format",
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _make_importable(file.parent.parent if is_package else file.parent)
    try:
        with record_loaded_files(str(file)):
            spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            f"plugin {path} cannot be imported: {error!r}", code="broken_plugin"
        ) from error
    classes = [*_classes(module, Method), *_classes(module, Dataset)]
    if not classes and not hasattr(module, "METRIC") and not hasattr(module, "METRICS"):
        raise UsageError(
            f"plugin {path} defines no method, dataset or metric; expected a complete subclass of "
            "Method or Dataset with a name, or METRIC.",
            code="empty_plugin",
        )
    _require_unique_modules(file)
    _pickle_by_value(module)
    return module


def _pickle_by_value(module: ModuleType) -> None:
    """Let processes of joblib run functions of a plugin, which they cannot import by name."""
    for name in ("joblib.externals.cloudpickle", "cloudpickle"):
        if name in sys.modules:
            sys.modules[name].register_pickle_by_value(module)


def _require_unique_modules(plugin: Path) -> None:
    """Raise ``UsageError`` if another module hides a module in the plugin's folder."""
    for name in sorted(find_source_files(str(plugin)).imported):
        beside = [plugin.parent / f"{name}.py", plugin.parent / name / "__init__.py"]
        own = next((path for path in beside if name != "bench" and path.is_file()), None)
        spec = importlib.util.find_spec(name) if own else None
        if own and spec and spec.origin and Path(spec.origin).resolve() != own.resolve():
            raise UsageError(
                f"plugin {plugin}: 'import {name}' finds {spec.origin} before {own}; rename one.",
                code="duplicate_names",
            )


def _make_importable(folder: Path) -> None:
    """Append the folder of a plugin to the path, so that it hides no installed module."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _collect(base: Any, package: str, files: tuple[str, ...]) -> list[RegistryEntry[Any]]:
    entries: list[RegistryEntry[Any]] = []
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__):
        if not module.name.startswith("_"):
            entries += _from_module(base, f"{package}.{module.name}", module.name)
    entries += _from_entry_points(base, package)
    for file in files:
        entries += [_entry(cls, file) for cls in _classes(load_plugin(file), base)]
    return entries


def _from_module(base: Any, origin: str, name: str) -> list[RegistryEntry[Any]]:
    try:
        module = importlib.import_module(origin)
    except ImportError as error:
        return [RegistryEntry(name, origin, None, f"its import fails: {error}.")]
    return [_entry(cls, origin) for cls in _classes(module, base)]


def _from_entry_points(base: Any, group: str) -> list[RegistryEntry[Any]]:
    entries: list[RegistryEntry[Any]] = []
    for point in entry_points(group=group):
        try:
            cls = point.load()
        except ImportError as error:
            entries.append(
                RegistryEntry(point.name, point.module, None, f"its import fails: {error}.")
            )
            continue
        if not (inspect.isclass(cls) and issubclass(cls, base)):
            reason = f"entry point {point.value} is not a {base.__name__} class."
            entries.append(RegistryEntry(point.name, point.module, None, reason))
            continue
        entries.append(_entry(cls, point.module))
    return entries


def _classes(module: ModuleType, base: Any) -> list[Any]:
    """Return the concrete, named subclasses defined in ``module`` (or its submodules)."""
    return [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls)
        and issubclass(cls, base)
        and not inspect.isabstract(cls)
        and "name" in vars(cls)
        and (cls.__module__ + ".").startswith(module.__name__ + ".")
    ]


def _entry(cls: Any, origin: str) -> RegistryEntry[Any]:
    missing = [
        package
        for package in getattr(cls, "requires", ())
        if importlib.util.find_spec(package) is None
    ]
    reason = ""
    if missing:
        how = getattr(cls, "install", "") or "pip install " + " ".join(missing)
        reason = f"{', '.join(missing)} not installed: {how}"
    elif hasattr(cls, "lacks"):
        reason = cls.lacks()
    return RegistryEntry(cls.name, origin, cls, reason)

"""Options of the verbs: those of settings and files are built from their fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape

from bench.messages import named_options
from bench.settings import Settings, load_settings

from .completion import complete_choices, complete_datasets, complete_methods


def option(
    metavar: str | None, text: str, *names: str, choices: Sequence[str] = (), **rest: Any
) -> Any:
    """Return an option that takes a value; brackets in its text are shown as they are.

    ``choices`` are added to the text and completed by the shell.
    """
    if choices:
        text += f": {', '.join(choices[:-1])} or {choices[-1]}"
        rest["autocompletion"] = complete_choices(choices)
    return typer.Option(*names, metavar=metavar, help=escape(text), **rest)


def argument(metavar: str, text: str, **rest: Any) -> Any:
    """Return an argument; brackets in its text are shown as they are."""
    return typer.Argument(metavar=metavar, help=escape(text), **rest)


def flag(text: str, *names: str) -> Any:
    """Return an option without a value."""
    return typer.Option(*names, help=escape(text))


def _methods(text: str) -> Any:
    return option("NAMES", text, "--methods", "-m", autocompletion=complete_methods)


def _datasets(text: str) -> Any:
    return option("NAMES", text, "--datasets", "-d", autocompletion=complete_datasets)


Verb = Callable[..., None]
PROTOCOLS = ("holdout", "unsupervised", "oracle")

Methods = Annotated[str, _methods("'all', 'vae,tag:baseline', 'vae[n_latent=16]'")]
Datasets = Annotated[str, _datasets("names, 'tag:atac', or paths, as in 'x.csv[labels=y.csv]'")]
StoredMethods = Annotated[str | None, _methods("methods in the store, by name or glob")]
StoredDatasets = Annotated[str | None, _datasets("datasets in the store, by name or glob")]
StoredSeed = Annotated[int | None, option("N", "seed of the fit in the store", "--seed", min=0)]
Assign = Annotated[
    list[str] | None, option("NAME=VALUE", "METHOD.PARAMETER=VALUE; repeatable", "--set")
]
ParamsFiles = Annotated[
    list[Path] | None, option("FILE", "parameters, as best.yaml of a search", "--params")
]
Protocol = Annotated[
    str | None,
    option("NAME", "labels that choose configurations", choices=PROTOCOLS, show_default="holdout"),
]
ArrayFolder = Annotated[
    Path | None, option("DIR", "write the jobs as a job array into this new folder", "--array")
]
AsJson = Annotated[bool, flag("print JSON for programs", "--json")]
Report = Annotated[bool, flag("write the HTML report", "--report/--no-report")]
Umap = Annotated[bool, flag("draw UMAPs", "--umap/--no-umap")]

_NAMES = {"jobs": ("--jobs", "-j"), "plugins": ("--plugin",),
          "transpose": ("--transpose/--no-transpose",)}  # fmt: skip
_METAVARS = {
    "seeds": "SEEDS", "results": "FOLDER", "cache_dir": "FOLDER", "mirror": "ADDRESS",
    "tracking_uri": "ADDRESS", "timeout": "SECONDS", "memory": "GIB", "plugins": "FILE",
    "label_key": "COLUMN", "batch_key": "COLUMN", "markers": "FILE", "labels": "FILE",
    "atac": "FILE", "scheduler": "ADDRESS",
}  # fmt: skip
_MACHINE_DEFAULTS = {
    "cache_dir": "the user's cache folder", "jobs": "one a core", "memory": "80 % / cores",
}  # fmt: skip


def verb(*settings: str, file: bool = False) -> Callable[[Verb], Verb]:
    """Add options of settings to a function, which gets their values in one argument.

    A parameter ``settings`` of the function gets the loaded settings. A parameter ``flags`` gets
    only the values that the user typed, with the path of ``--config`` among them.

    Parameters
    ----------
    settings
        Fields of :class:`Settings` that become options.
    file
        Whether there are options for reading a data file; the function gets those that the user
        typed as ``reading``.
    """

    def decorate(function: Verb) -> Verb:
        own = inspect.signature(function, eval_str=True).parameters
        files = _file_options() if file else []
        reads_config = "config" not in own and ("settings" in own or "flags" in own)

        @functools.wraps(function)
        def call(ctx: typer.Context, **values: Any) -> None:
            flags = _take_typed(ctx, values, settings)
            if reads_config:
                config = values.pop("config")
                if "settings" in own:
                    values["settings"] = load_settings(flags, config)
                elif config is not None:
                    flags["config"] = config
            if "flags" in own:
                values["flags"] = flags
            if file:
                values["reading"] = _take_typed(ctx, values, [one.name for one in files])
            with named_options({*settings, *own, *(one.name for one in files)}):
                function(**values)

        parameters = [
            inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context),
            *(parameter for name, parameter in own.items() if name not in _BUILT),
            *files,
            *(_build_option(name, Settings.model_fields[name], "Settings") for name in settings),
            *([_keyword("config", Path | None, _CONFIG, None)] if reads_config else []),
        ]
        parameters = [parameter.replace(kind=_KEYWORD) for parameter in parameters]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_BUILT = ("settings", "flags", "reading")
"""Parameters of a verb that :func:`verb` fills."""
_CONFIG = option(
    "FILE", "settings file", "--config", show_default="bench.toml", rich_help_panel="Settings"
)


def _take_typed(
    ctx: typer.Context, values: dict[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Move values out of ``values`` and return those that the user typed."""
    typed = {}
    for name in names:
        value = values.pop(name)
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            typed[name] = tuple(value) if isinstance(value, list) else value
    return typed


def _file_options() -> list[inspect.Parameter]:
    from bench.data.file_dataset import FileDataset

    return [
        _build_option(name, field, "Reading of the file")
        for name, field in FileDataset.Params.model_fields.items()
    ]


def _build_option(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    """Return the option of a field: its description is the help, its default is shown."""
    kind, choices = _kind(name, field.annotation)
    default = None if name in _MACHINE_DEFAULTS else field.default
    if name == "seeds":
        default = ",".join(map(str, field.default))
    elif isinstance(default, float) and default.is_integer():
        default = int(default)
    info = option(
        None if kind is bool else _METAVARS.get(name, "N" if kind is int else "NAME"),
        field.description or "",
        *_NAMES.get(name, ("--" + name.replace("_", "-"),)),
        show_default=_MACHINE_DEFAULTS.get(name, default not in (None, "", (), False)),
        choices=choices,
        rich_help_panel=panel,
    )
    return _keyword(name, kind | None, info, default or None)


def _kind(name: str, annotation: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the type of an option's value and the words it may take."""
    if name == "plugins":
        return list[str], ()
    members = [member for member in get_args(annotation) if member is not NoneType]
    if NoneType in get_args(annotation):
        annotation = members[0]
    if get_origin(annotation) is Literal:
        return str, get_args(annotation)
    return (annotation if annotation in (bool, int, float, Path) else str), ()


def _keyword(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, _KEYWORD, default=default, annotation=Annotated[kind, info])

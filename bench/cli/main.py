"""The command ``bench``: verbs whose modules are imported when they are called."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import traceback
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from bench._version import __version__
from bench.addresses import mask_secrets
from bench.errors import BenchError
from bench.messages import printable_line

# Name → module and function, or Typer app, and the line in the list of verbs.
VERBS = {
    "Benchmark": {
        "run": ("run:run_command", "Run methods × datasets × seeds; finished jobs are kept."),
        "plan": ("run:plan_command", "Show the jobs of a run and the time they will take."),
        "report": ("report:report_command", "Write the report of the store or of a part of it."),
        "fit": ("fit:fit_command", "Fit one method on one file."),
        "cite": ("cite:cite_command", "Print the BibTeX of what was used."),
    },
    "Tune and evaluate": {
        "search": ("search:search_command", "Search hyperparameters, then score the best."),
        "score": ("score:score_command", "Add missing metrics to finished fits."),
        "score-embedding": (
            "score_embedding:score_embedding_command",
            "Score embeddings that you have.",
        ),
        "compare": ("compare:compare_command", "Compare two experiments job by job."),
        "transform": ("transform:transform_command", "Embed new cells with a finished fit."),
        "regulate": ("regulate:regulate_command", "Link peaks to genes with a finished fit."),
        "ui": ("ui:ui_command", "Open the MLflow UI on the store."),
    },
    "Methods and data": {
        "ask": ("ask:ask_command", "Recommend a method for your data, with its measured error."),
        "methods": ("methods:methods_command", "List the methods, or show one."),
        "datasets": ("datasets:datasets_command", "List the datasets, or show one."),
        "metrics": ("metrics:metrics_command", "List the metrics, or show one."),
        "data": ("data:data_app", "Fetch, verify, add, annotate, join and clean up datasets."),
        "new": ("new:new_app", "Write the file of a new method, dataset or metric."),
        "add-method": (
            "add_method:add_method_command",
            "Write the file of a method that is a program of its own.",
        ),
        "test-method": ("test_method:test_method_command", "Check a method against the contract."),
        "doctor": ("doctor:doctor_command", "Show versions, machine, and what is missing."),
    },
    "Clusters": {
        "worker": ("cluster:worker_command", "Run one task of a job array."),
        "sync": ("cluster:sync_command", "Store the results of a job array."),
        "status": ("cluster:status_command", "Show where the jobs of an array stand."),
    },
    "Results of others": {
        "merge": (
            "exchange:merge_command",
            "Unite the results of several stores, and list where they disagree.",
        ),
        "pull": ("exchange:pull_command", "Add the results of another place to the store."),
        "push": ("exchange:push_command", "Add the results of the store to another place."),
        "audit": ("exchange:audit_command", "Check somebody's results by computing them again."),
    },
    "Regression check": {
        "baseline": ("baseline:baseline_app", "Write or update a baseline of results."),
        "check": ("baseline:check_command", "Compare results with a baseline."),
    },
}


_WRONG_USAGE: Any = typer.BadParameter.__base__
"""Error of the command line for an unknown option or a wrong value."""


class _FlagHelp:
    """Help that shows no type behind an option without a value."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class FlagCommand(_FlagHelp, TyperCommand):
    """Command of one verb."""


class FlagGroup(_FlagHelp, TyperGroup):
    """Group of related verbs, such as ``bench data``."""


class VerbGroup(FlagGroup):
    """Group of verbs that imports the module of the called one only."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the called verb with its options."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_verb(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; an error for the user is one line and its exit code."""
        try:
            return super().invoke(ctx)
        except _WRONG_USAGE as error:
            error.message = mask_secrets(error.message)
            raise
        except BenchError as error:
            typer.echo(f"bench: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            name = printable_line(str(error.filename))
            typer.echo(f"bench: {name}: too long for the name of a file or folder.", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.echo("bench: interrupted", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="bench",
    cls=VerbGroup,
    help="Benchmark single-cell representation methods: fair, resumable, tracked in MLflow.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)


def load_verb(name: str) -> Any:
    """Import a verb and return its command."""
    target = next(verbs[name][0] for verbs in VERBS.values() if name in verbs)
    module, _, attribute = target.partition(":")
    group = getattr(import_module(f"bench.cli.{module}"), attribute)
    if not isinstance(group, typer.Typer):
        function, group = group, typer.Typer(add_completion=False)
        group.command(name)(function)
    group.info.cls = FlagGroup
    for registered in group.registered_commands:
        registered.cls = FlagCommand
    return get_command(group)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _program(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    from .output import show_log

    ctx.call_on_close(show_log())
    if ctx.invoked_subcommand is None:
        from .overview import show_overview

        if not show_overview():
            typer.echo(ctx.get_help())


def _list_verbs() -> None:
    """Register each verb with its line of help; :class:`VerbGroup` loads the command."""

    def stub() -> None: ...

    for panel, verbs in VERBS.items():
        for name, (_, text) in verbs.items():
            app.command(name, help=text, rich_help_panel=panel)(stub)


_list_verbs()


def _set_up_interpreter() -> None:
    """Undo what notebooks, batch systems and the current folder set for all Python programs."""
    os.environ["MPLBACKEND"] = "agg"  # figures are files
    with contextlib.suppress(FileNotFoundError):  # the folder was removed
        here = os.getcwd()
        sys.path.sort(key=lambda entry: entry in ("", here))
    if any(option.startswith("error") for option in sys.warnoptions):
        sys.warnoptions.clear()
        os.environ.pop("PYTHONWARNINGS", None)
        warnings.simplefilter("default")
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no "±" shows "?".
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Run the command line; SIGTERM interrupts it as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def show_error(*error: Any) -> None:
        sys.stderr.write(mask_secrets("".join(traceback.format_exception(*error))))

    sys.excepthook = show_error
    _set_up_interpreter()
    signal.signal(signal.SIGTERM, interrupt)
    app(prog_name="bench")


if __name__ == "__main__":
    main()

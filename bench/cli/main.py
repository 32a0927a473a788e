"""The command line: thin verbs over the Python API."""

from __future__ import annotations

import sys

import typer

from bench.errors import BenchError

from .baseline import baseline_app, check_command
from .compare import compare_command
from .data import data_app
from .fit import fit_command
from .options import show_log
from .regulate import regulate_command
from .report import report_command
from .run import plan_command, run_command
from .score import score_command
from .search import search_command
from .show import datasets_command, doctor_command, methods_command
from .test_method import conformance_command
from .transform import transform_command
from .ui import ui_command

app = typer.Typer(
    name="bench",
    help="Benchmark single-cell representation methods: fair, resumable, tracked in MLflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _program() -> None:
    """Print the log of the package on stderr; a result goes to stdout."""
    show_log()


app.command("run")(run_command)
app.command("plan")(plan_command)
app.command("report")(report_command)
app.command("fit")(fit_command)
app.command("search")(search_command)
app.command("score")(score_command)
app.command("compare")(compare_command)
app.command("transform")(transform_command)
app.command("regulate")(regulate_command)
app.command("methods")(methods_command)
app.command("datasets")(datasets_command)
app.add_typer(data_app, name="data")
app.command("test-method")(conformance_command)
app.add_typer(baseline_app, name="baseline")
app.command("check")(check_command)
app.command("ui")(ui_command)
app.command("doctor")(doctor_command)


def main() -> None:
    """Run the command line; errors on purpose end in one line and their exit code."""
    import signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        _only(sys.argv[1:2])
        app(standalone_mode=True)
    except BenchError as error:
        typer.echo(f"bench: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("bench: interrupted", err=True)
        sys.exit(130)


def _only(verb: list[str]) -> None:
    """Leave out the other verbs: Typer would build the options of all of them at every start."""
    commands = [one for one in app.registered_commands if [one.name] == verb]
    groups = [one for one in app.registered_groups if [one.name] == verb]
    if commands or groups:
        app.registered_commands, app.registered_groups = commands, groups

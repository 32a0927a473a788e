"""The wording of each verb's help, kept in ``help/VERB.txt``.

``UPDATE_HELP=1 pytest tests/cli/test_help.py`` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import VERBS, load_verb
from bench.settings import Settings

FOLDER = Path(__file__).parent / "help"
NAMES = [name for verbs in VERBS.values() for name in verbs]
PYTHON_TYPES = {"TEXT", "INTEGER", "FLOAT", "PATH", "BOOLEAN", "INT", "STR", "BOOL"}


def commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a verb, or the verbs below it."""
    below = getattr(command, "commands", {})
    if not below:
        yield name, command
    for word, inner in below.items():
        yield f"{name} {word}", inner


def describe(option: Any) -> str:
    """Return an option in one line."""
    names = (
        ", ".join([*option.opts, *option.secondary_opts]) if option.opts[0] != option.name else ""
    )
    default = option.show_default if isinstance(option.show_default, str) else option.default
    shown = (
        ""
        if option.required
        else f" [{default}]"
        if default is not None and default is not False and default != ""
        else ""
    )
    required = " (required)" if option.required else ""
    return f"{' '.join(filter(None, [names, option.metavar]))}: {option.help}{shown}{required}"


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_each_verb(name: str):
    text = ""
    for words, command in commands(name, load_verb(name)):
        options = "\n".join(f"  {describe(option)}" for option in command.params)
        text += f"bench {words}\n{command.help}\n{options}\n\n"
    file = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_HELP"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_metavars_are_words_and_every_option_has_a_text(name: str):
    for words, command in commands(name, load_verb(name)):
        for option in command.params:
            assert option.help, (words, option.name)
            if not getattr(option, "is_flag", False):
                assert option.metavar, (words, option.name)
                assert option.metavar not in PYTHON_TYPES
                assert option.metavar == option.metavar.upper()


def test_the_line_in_the_list_begins_the_help_of_a_verb():
    for verbs in VERBS.values():
        for name, (_, line) in verbs.items():
            assert load_verb(name).help.startswith(line.removesuffix(".")), name


def test_every_setting_is_an_option_of_run_or_fetch():
    options = {option.name for name in ("run", "data") for _, c in commands(name, load_verb(name))
               for option in c.params}  # fmt: skip
    assert set(Settings.model_fields) <= options | {"engine_options"}

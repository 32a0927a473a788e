"""Passwords in addresses are neither printed nor stored."""

from __future__ import annotations

import logging

import pytest
from _command import bench

from bench.addresses import mask_secrets, public_address
from bench.errors import UsageError

SECRET = "pl4nted"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://me:{SECRET}@host:5000/x", "http://***@host:5000/x"),
        (f"https://{SECRET}@host", "https://***@host"),
        (f"postgresql+psycopg://me:{SECRET}/a@b#?@host/db", "postgresql+psycopg://***@host/db"),
        (f"postgresql://host/db?user=me&password={SECRET}", "postgresql://host/db?user=me&password=***"),
        (f"two: http://a:{SECRET}@x and http://b:{SECRET}@y", "two: http://***@x and http://***@y"),
    ],
)  # fmt: skip
def test_user_and_password_are_masked(address, shown):
    assert mask_secrets(address) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/path", "file:///home/me@lab/results", "sqlite:////home/me@lab/x.db",
        "https://host/@scope/name", "me@host", "no address",
    ],
)  # fmt: skip
def test_what_holds_no_password_stays(text):
    assert mask_secrets(text) == text


def test_a_link_has_no_user():
    assert public_address(f"https://me:{SECRET}@host/ml") == "https://host/ml"


def test_errors_and_messages_are_masked(capsys):
    address = f"http://me:{SECRET}@host"
    assert SECRET not in str(UsageError(f"{address}: gone"))
    from rich.console import Console

    from bench.execute.console_log import ConsoleHandler

    ConsoleHandler(Console(stderr=True)).emit(
        logging.LogRecord("bench", 30, "", 0, f"see {address}", None, None)
    )
    text = capsys.readouterr().err
    assert "see http://" in text
    assert SECRET not in text
    for words in ([f"--tracking-url={address}"], [address], ["--seeds", address]):
        called = bench("run", "-m", "pca", "-d", "x", *words)
        assert called.exit_code == 2
        assert SECRET not in called.output

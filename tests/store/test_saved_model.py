from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.plan.job import Job
from bench.settings import load_settings
from bench.store.result import Result
from bench.store.saved_model import open_model


def test_code_that_a_folder_of_results_names_is_not_run(tmp_path: Path):
    """The folder may be from anywhere; methods are those of the registry and of --plugin."""
    planted = tmp_path / "planted.py"
    planted.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    plain = {"str": "x", "int": 0, "float": 1.0, "dict[str, Any]": {}, "tuple[str, ...]": ()}
    values = {field.name: plain.get(field.type) for field in fields(Job)}
    job = Job(**values | {"origin": str(planted), "method_name": "planted"})
    for name in (str(planted), "planted"):
        Result(Job(**vars(job) | {"origin": name}), "done").write(tmp_path)
        with pytest.raises(UsageError, match="--plugin") as error:
            open_model(tmp_path, load_settings({}), needs="transform", lacking="embeds nothing")
        assert error.value.code == "unknown_name"
    assert not (tmp_path / "ran").exists()

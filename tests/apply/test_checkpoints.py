"""The state of an interrupted fit, for ``--resume``."""

from __future__ import annotations

from pathlib import Path

import pytest
from _command import bench, error_code

from bench.apply.checkpoints import open_checkpoints


def test_a_method_without_state_cannot_resume(tmp_path: Path):
    assert error_code(bench("fit", "pca", str(tmp_path / "x.h5ad"), "--resume")) == "not_supported"


def test_an_interruption_keeps_only_what_can_be_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="bench")
    out, identity = tmp_path / "out", {"seed": 0, "params": {"a": (1, 2)}}

    def interrupt(*, with_state: bool) -> None:
        with open_checkpoints(out, identity, resume=False) as folder:
            if with_state:
                (folder / "state").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt(with_state=False)
    assert list(tmp_path.iterdir()) == []
    assert "goes on" not in caplog.text
    with pytest.raises(KeyboardInterrupt):
        interrupt(with_state=True)
    assert f"{out}: interrupted; the same command with --resume goes on" in caplog.text
    with open_checkpoints(out, identity, resume=True) as folder:
        assert (folder / "state").read_text() == "x"
    assert not (tmp_path / ".out.checkpoint").exists()
    with open_checkpoints(out, identity, resume=True) as folder:
        assert not (folder / "state").exists()
    assert f"--resume: no interrupted fit of {out}" in caplog.text

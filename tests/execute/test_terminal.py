"""What a terminal shows during a run, read from the screen of tmux."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
from pathlib import Path
from types import SimpleNamespace as Object
from rich.console import Console
from bench.execute.progress_bar import ProgressDisplay

def job(number):
    return Object(name=f"sakura · baron_mouse · seed {number}", score_key=str(number),
                  protocol="default")

losses = {"loss": 617.75, "held_out_loss": 674.4, "divergence": 680.25}
with ProgressDisplay(Console(), 12, 40.0) as display:
    for number in range(2):
        result = Object(job=job(number), status="done", measures={"seconds": 3.0},
                        metrics={"kmeans/ari": 0.5}, reason="")
        display.show_end(job(number), result)
    for number in (2, 3):
        display.show_step(job(number), {"step": 7, "total": 200, "values": losses})
    print("READY", flush=True)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)
print("ENDED", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize("width", [80, 120, 160])
def test_bars_numbers_and_time_left_are_always_there(tmp_path: Path, width: int) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    tmux = ["tmux", "-L", f"bench-test-{tmp_path.name}"]
    # Rich would believe these before the terminal.
    program = "env -u COLUMNS -u LINES "
    program += f"{sys.executable} {tmp_path / 'script.py'} {tmp_path / 'go'}"
    size = ["-x", str(width), "-y", "24"]
    subprocess.run([*tmux, "new-session", "-d", *size, program], check=True)
    try:
        lines = _screen(tmux, lambda text: "READY" in text and text.count("7/200") == 2)
        (run,) = [line for line in lines if line.startswith("jobs")]
        assert "2/12" in run
        assert "left" in run or "later than expected" in run
        fits = [line for line in lines if "7/200" in line]
        assert all("sakura · baron" in line and "loss 617.8" in line for line in fits)
        assert ["seed 2" in line for line in fits] == ["seed 3" not in line for line in fits]
        assert all(("held_out_loss 674.4" in line) == (width > 80) for line in fits)
        assert all(("baron_mouse" in line) == (width > 80) for line in fits)
        assert all("0:00:0" in line for line in (run, *fits))
        assert all(len(line) <= width for line in lines)
        ended = [line for line in lines if line.startswith("[")]
        assert [line.split("  ")[1] for line in ended] == ["done", "done"]
        assert all(line.endswith("3.0 s, ARI 0.500 (k-means)") for line in ended)
        (tmp_path / "go").touch()
        lines = _screen(tmux, lambda text: "ENDED" in text)
        assert [line for line in lines if line.startswith("[")] == ended
        assert not [line for line in lines if line.startswith("jobs")]
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def _screen(tmux: list[str], ready: Callable[[str], bool]) -> list[str]:
    """Return the lines of the screen as soon as it shows what is waited for."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True)
        if ready(shown.stdout):
            return shown.stdout.splitlines()
        time.sleep(0.1)
    raise AssertionError(shown.stdout)

"""What a notebook does with `bench` works in Jupyter, in IPython and as a script."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).with_name("notebook.py")
IN_IPYTHON = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in open(sys.argv[1]).read().split("# %%\\n"):
    shell.run_cell(cell, store_history=True).raise_error()
"""
IN_JUPYTER = """
import sys, nbclient, nbformat.v4 as v4
cells = open(sys.argv[1]).read().split("# %%\\n")
notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
outputs = [output for cell in notebook.cells for output in cell.outputs]
assert any("<table" in output.get("data", {}).get("text/html", "") for output in outputs)
assert any("own_svd" in output.get("data", {}).get("text/plain", "") for output in outputs)
print(*[output.text for output in outputs if output.output_type == "stream"])
"""


@pytest.mark.slow
def test_notebook(tmp_path: Path):
    command = [sys.executable, str(NOTEBOOK)]
    if all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel")):
        command = [sys.executable, "-c", IN_JUPYTER, str(NOTEBOOK)]
    elif importlib.util.find_spec("IPython"):
        command = [sys.executable, "-c", IN_IPYTHON, str(NOTEBOOK)]
    variables = {name: value for name, value in os.environ.items() if name[:6] != "BENCH_"}
    ran = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=280
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "the notebook has ended" in ran.stdout

# make run   set up, run all methods on real data that ships inside scanpy, end with a report
# make test  set up and run the fast tests; make test-all adds browser, servers and long faults
.PHONY: setup run test test-all lint constraints clean

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

setup: $(STAMP)

# torch comes first and pinned: an unpinned one drags in gigabytes of CUDA packages.
$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

run: setup
	$(VENV)/bin/bench run --methods all --datasets 'pbmc68k,sim_rna' --profile quick --seeds 3

test: setup
	$(VENV)/bin/python -m pytest

test-all: setup
	$(VENV)/bin/python -m pytest -m ''

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

constraints: setup
	$(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info

# make run   set up, run all methods on real data that ships inside scanpy, end with a report
# make test  set up and run the fast tests; make test-all the long ones, too
# make docs  build the site of the documents: docs/_build/html/index.html
# make faults  try every fault and write docs/reliability.md
# make benchmarks  measure everything on a machine that does nothing else, write docs/performance.md;
#                  QUICK=1 small cases, nothing written
.PHONY: setup run test test-all docs faults check gate-rates benchmarks results results-pages \
  results-selection results-sakura results-fidelity lint constraints clean

# Each fit is a process of its own; without bytecode every one of them would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

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

# A process for each core; one that has no tests left takes some of another.
PYTEST := $(VENV)/bin/python -m pytest -n auto --dist worksteal

test: setup
	$(PYTEST)

# With scib-metrics, whose scores ours are compared with (350 MB), and methods of others (185 MB).
test-all: setup
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[scib,methods]'
	$(PYTEST) -m '' --hypothesis-profile thorough

# A warning, a broken link within the site among them, is an error. Needs no network once installed.
docs: setup
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet \
	  -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Every fault, the long ones too; each part of the table is written by its test. As root the tests of
# small disks run, with Debian's package postgresql those of a server (docs/server.md).
faults: setup
	rm -f docs/reliability.md
	BENCH_FAULTS_REPORT=docs/reliability.md $(VENV)/bin/python -m pytest tests/faults -m '' \
	  -n 2 --dist worksteal

# Compares with the committed baseline (docs/ci.md); under three minutes on two cores.
check: setup
	$(VENV)/bin/bench check .ci/baseline.yaml

# How often the check alarms without a cause, and what drop it finds; about 40 minutes once.
gate-rates: setup
	$(VENV)/bin/python benchmarks/gate.py

# Resumable: figures lie in results/benchmarks. Hours; the million cells of whole_job are the most.
benchmarks: setup
	$(VENV)/bin/python benchmarks/performance.py $(if $(QUICK),--quick)

# Every method on every dataset of BENCH_DATA_DIR, and the pages of docs/results: HOURS core hours,
# the plan first. Goes on where it was interrupted. The committed pages took 3.25.
RESULTS := results/all
HOURS ?= 3

results: setup
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[methods]'
	$(VENV)/bin/python benchmarks/results.py --results $(RESULTS) --hours $(HOURS)
	$(MAKE) results-pages

# The pages of what is in the store; the report is packed, make docs unpacks it into the site.
results-pages: setup
	$(VENV)/bin/python benchmarks/results_tables.py --results $(RESULTS) --out docs/results/tables.md
	rm -rf $(RESULTS)/site
	$(VENV)/bin/bench report --results $(RESULTS) --no-umap --site $(RESULTS)/site/report \
	  --datasets "$$($(VENV)/bin/python benchmarks/results_tables.py --names)"
	$(VENV)/bin/python -m zipfile -c docs/results/report.zip $(RESULTS)/site/report
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[scib]'
	$(VENV)/bin/python benchmarks/scib_scores.py --results $(RESULTS) --datasets cellbench_3cl_batches \
	  --out docs/results/scib.md

# How much of a lead is selection of settings or epochs: about 40 core minutes.
results-selection: setup
	$(VENV)/bin/python benchmarks/selection.py --results results/selection --out docs/results/selection.md

# The originals' figures beside the faithful presets and the defaults.
results-fidelity: setup
	@echo "faithful presets and defaults of six systems and the baselines: several hours"
	$(VENV)/bin/python benchmarks/fidelity.py --out docs/fidelity.md

# Guided methods: rare types planted at several prevalences, every control, batches, proteins.
# $(call planted,SET,TYPE,LISTS,PREVALENCES,MORE): each prevalence planted five times.
, := ,
planted = $(foreach p,$4,$(foreach s,0 1 2 3 4,$1[rare_type=$2$(,)signatures=$3$(,)prevalence=$p$(,)plant_seed=$s$(,)train=0.7$5]$(,)))
RARE := $(call planted,baron_mouse,delta,delta,0.005 0.01 0.05)
RARE += $(call planted,zheng_sorted,monocytes,cd14_monocyte,0.005 0.01 0.05)
RARE += $(call planted,baron_mouse,gamma,gamma,0.01)
RARE += $(call planted,zheng_sorted,naivecytotoxic,cd8_naive,0.01)
ALTERED := $(foreach g,random shuffled,$(call planted,baron_mouse,delta,delta,0.01,$(,)guide=$g))
ALTERED += $(foreach g,random shuffled,$(call planted,zheng_sorted,monocytes,cd14_monocyte,0.01,$(,)guide=$g))
ALTERED += $(call planted,baron_mouse,delta,beta,0.01)
ALTERED += $(call planted,zheng_sorted,monocytes,nk,0.01)

# Why guidance gains where it does: the size of the code and the depth of sequencing.
GUIDED_ABLATION := sakura[n_latent=2],sakura_unguided[n_latent=2],sakura[n_latent=5],sakura_unguided[n_latent=5]
WEAKER := sakura[guide_score=0.1],sakura[guide_score=0.3]

results-sakura: setup
	@echo "rare types with all controls, ablation, batches, proteins: about 40 minutes on two free cores"
	$(VENV)/bin/bench run -m sakura,sakura_unguided,marker_sum,pca_markers,pca -d '$(RARE)' \
	  --seeds 1 --results results/sakura --no-report
	$(VENV)/bin/bench run -m sakura,marker_sum -d '$(ALTERED)' \
	  --seeds 1 --results results/sakura --no-report
	$(VENV)/bin/bench run -m '$(GUIDED_ABLATION),$(WEAKER)' --seeds 1 --results results/sakura --no-report \
	  -d '$(call planted,baron_mouse,delta,delta,0.01) $(call planted,baron_mouse,gamma,gamma,0.01)'
	$(VENV)/bin/bench run -m '$(GUIDED_ABLATION),sakura,sakura_unguided,marker_sum,pca' --seeds 1 \
	  --results results/sakura --no-report -d '$(call planted,baron_mouse,delta,delta,0.01,$(,)thin=0.1)'
	$(VENV)/bin/bench run -m '$(WEAKER)' --seeds 1 --results results/sakura --no-report \
	  -d '$(call planted,zheng_sorted,naivecytotoxic,cd8_naive,0.01)'
	$(VENV)/bin/bench run -m 'sakura_unguided,sakura[markers=false,batch=adversarial],sakura[markers=false,batch=own],pca' \
	  -d cellbench_3cl_batches --seeds 5 --results results/sakura --no-report
	$(VENV)/bin/bench run -m 'sakura_unguided,sakura[markers=false,proteins=true],sakura,marker_sum,pca' -d teaseq \
	  --seeds 5 --results results/sakura --no-report
	$(VENV)/bin/python benchmarks/rare_types.py results/sakura docs/results/sakura.md

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy benchmarks/*.py
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

constraints: setup
	$(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info

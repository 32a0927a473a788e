# make run   set up, run all methods on real data that ships inside scanpy, end with a report
# make test  set up and run the fast tests; make test-all adds browser, servers and long faults
.PHONY: setup run test test-all check gate-rates results-rna results-atac results-ablation results-tuning lint constraints clean

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

# Compares with the committed baseline (docs/ci.md); under three minutes on two cores.
check: setup
	$(VENV)/bin/bench check .ci/baseline.yaml

# How often the check alarms without a cause, and what drop it finds; about 40 minutes once.
gate-rates: setup
	$(VENV)/bin/python benchmarks/gate.py

# Result tables. They need BENCH_DATA_DIR, print their expected time first, can be interrupted and
# go on where they were. About 10 minutes and an hour on two cores.
FAMILY := ae,sparse_ae,stacked_ae,vae,scale,nmf,lsnmf,pca,pca_umap,lsi,random,truth
PUBLISHED := ae[preset=faithful],sparse_ae[preset=faithful],vae[preset=faithful],nmf[preset=faithful],lsnmf[preset=faithful],scale[preset=faithful]

results-rna: setup
	$(VENV)/bin/bench run -m '$(FAMILY)' -d cellbench_5cl,pbmc3k,zheng_sorted,baron_mouse \
	  --seeds 3 --results results/rna --no-report
	$(VENV)/bin/bench report --results results/rna
	mkdir -p docs/results
	cp results/rna/reports/all/summary.md docs/results/rna.md

results-atac: setup
	$(VENV)/bin/bench run -m '$(FAMILY)' -d leukemia,schep_celllines,forebrain_half,forebrain_half_allpeaks \
	  --seeds 5 --results results/atac --no-report
	$(VENV)/bin/bench run -m '$(PUBLISHED)' -d leukemia,schep_celllines,forebrain_half,forebrain_half_allpeaks \
	  --seeds 2 --results results/atac --no-report
	$(VENV)/bin/bench run -m 'stacked_ae[preset=faithful]' -d leukemia,schep_celllines,forebrain_half \
	  --seeds 2 --jobs 1 --results results/atac --no-report
	$(VENV)/bin/bench report --results results/atac
	mkdir -p docs/results
	cp results/atac/reports/all/summary.md docs/results/atac.md

# An hour and a half on two cores that are free; most of it the published schedule, once.
results-scsmd: setup
	$(VENV)/bin/bench run -m 'scsmd,vae,pca' -d cellbench_5cl,cellbench_3cl_batches,teaseq,baron_mouse \
	  --seeds 3 --results results/scsmd --no-report
	$(VENV)/bin/bench run -m 'scsmd[preset=faithful]' -d cellbench_5cl,cellbench_3cl_batches,teaseq,baron_mouse \
	  --seeds 1 --results results/scsmd --no-report
	$(VENV)/bin/bench report --results results/scsmd
	mkdir -p docs/results
	cp results/scsmd/reports/all/summary.md docs/results/scsmd.md

# What docs/results/README.md says of the reasons; about half an hour.
results-ablation: setup
	$(VENV)/bin/bench run -m 'vae,vae[kl_weight=0.1],vae[likelihood=gaussian],ae[likelihood=nb],ae,lsnmf,lsnmf[normalize=false]' \
	  -d baron_mouse,pbmc3k --seeds 3 --results results/ablation --no-report
	$(VENV)/bin/bench run -m 'ae,ae[adjust_depth=false],vae,vae[adjust_depth=false],scale,scale[known_k=true],lsnmf,lsnmf[normalize=false]' \
	  -d leukemia --seeds 3 --results results/ablation --no-report
	$(VENV)/bin/bench run -m 'lsi,lsi[idf=false],lsi[drop_first=false],lsi[unit_rows=false],nmf,nmf[tfidf=true],lsnmf,lsnmf[tfidf=true]' \
	  -d leukemia,schep_celllines,forebrain_half --seeds 3 --results results/ablation --no-report
	$(VENV)/bin/bench run -m 'vae,vae[prior=learned_gaussian],vae[max_epochs=60],scale,scale[n_components=1],scale[normal_epochs=30],scale[known_k=true]' \
	  -d leukemia,schep_celllines,forebrain_half --seeds 3 --results results/ablation --no-report
	$(VENV)/bin/bench report --results results/ablation --no-umap --no-static
	mkdir -p docs/results
	cp results/ablation/reports/all/summary.md docs/results/ablation.md

# Default against tuned, under each protocol; fits are shared. About 40 minutes on two free cores.
TUNED := search -m pca,lsi,nmf,lsnmf,ae -d cellbench_5cl,leukemia --trials 20 --seeds 5 \
  --profile quick --results results/tuning --no-report

results-tuning: setup
	@echo "five light methods on two datasets, 20 trials, three protocols: about 40 minutes"
	$(VENV)/bin/bench $(TUNED) --protocol holdout
	$(VENV)/bin/bench $(TUNED) --protocol unsupervised
	$(VENV)/bin/bench $(TUNED) --protocol oracle
	$(VENV)/bin/bench report --results results/tuning --no-umap
	mkdir -p docs/results
	cp results/tuning/reports/all/summary.md docs/results/tuning.md

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

constraints: setup
	$(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info

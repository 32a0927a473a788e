# make run   set up, run all methods on real data that ships inside scanpy, end with a report
# make test  set up and run the fast tests; make test-all the long ones, too
# make docs  build the site of the documents: docs/_build/html/index.html
# make faults  try every fault and write docs/reliability.md
# make benchmarks  measure everything on a machine that does nothing else, write docs/performance.md;
#                  QUICK=1 small cases, nothing written
.PHONY: setup run test test-all docs faults check gate-rates benchmarks results-overview results-rna results-atac \
  results-scsmd results-scimta results-ablation results-tuning results-sakura results-multiome \
  results-fidelity results-adapters \
  lint constraints clean

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

# Result tables. They need BENCH_DATA_DIR, print their expected time on two free cores first, and
# go on where they were when interrupted. All but the tuning share one store, so that equal fits are
# made once; each report is a part of it. Failed jobs (exit 3) are results and stop nothing.
TABLES := results/tables
GRID := $(VENV)/bin/bench run --results $(TABLES) --no-report
REPORT := $(VENV)/bin/bench report --results $(TABLES)
OR_FAILED := || test $$? -eq 3
# $(call summary,NAME) puts the report's text into the documentation.
summary = mkdir -p docs/results && cp $(TABLES)/reports/$(1)/summary.md docs/results/$(1).md

FAMILY := ae,sparse_ae,stacked_ae,vae,scale,nmf,lsnmf,pca,pca_umap,lsi,random,truth
RNA := cellbench_5cl,pbmc3k,zheng_sorted,baron_mouse
ATAC := leukemia,schep_celllines,forebrain_half
MORE_RNA := mouse_bladder,kang_ifnb
OTHER_LIKELIHOODS := vae[likelihood=gaussian],ae[likelihood=nb]
PUBLISHED := ae[preset=faithful],sparse_ae[preset=faithful],vae[preset=faithful],nmf[preset=faithful],lsnmf[preset=faithful],scale[preset=faithful]

results-overview: setup
	@echo "12 methods on 6 RNA sets and 12 on 3 chromatin sets, 3 seeds: about an hour from nothing"
	$(GRID) -m '$(FAMILY),$(OTHER_LIKELIHOODS)' -d $(RNA),$(MORE_RNA) --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(FAMILY)' -d $(ATAC) --seeds 3 $(OR_FAILED)
	$(REPORT) -m '$(FAMILY),$(OTHER_LIKELIHOODS)' -d $(RNA),$(MORE_RNA),$(ATAC) --seeds 3 \
	  --out $(TABLES)/reports/overview
	$(call summary,overview)

results-rna: setup
	@echo "the family on 4 RNA sets, 3 seeds: about 10 minutes"
	$(GRID) -m '$(FAMILY)' -d $(RNA) --seeds 3 $(OR_FAILED)
	$(REPORT) -m '$(FAMILY)' -d $(RNA) --seeds 3 --out $(TABLES)/reports/rna
	$(call summary,rna)

results-atac: setup
	@echo "the family, 5 seeds, and the published settings, 2 seeds, on 4 chromatin sets: about 4 hours"
	$(GRID) -m '$(FAMILY)' -d $(ATAC),forebrain_half_allpeaks --seeds 5 $(OR_FAILED)
	$(GRID) -m '$(PUBLISHED)' -d $(ATAC),forebrain_half_allpeaks --seeds 2 --timeout 14400 $(OR_FAILED)
	$(GRID) -m 'stacked_ae[preset=faithful]' -d $(ATAC) --seeds 2 --jobs 1 --timeout 14400 $(OR_FAILED)
	$(REPORT) -m '$(FAMILY),$(PUBLISHED),stacked_ae[preset=faithful]' \
	  -d $(ATAC),forebrain_half_allpeaks --seeds 5 --out $(TABLES)/reports/atac
	$(call summary,atac)

# Most of it is the published schedule, once.
SCSMD_DATA := cellbench_5cl,cellbench_3cl_batches,teaseq,baron_mouse

results-scsmd: setup
	@echo "scsmd beside vae and pca on 4 RNA sets, 3 seeds, and as published, one: about 90 minutes"
	$(GRID) -m 'scsmd,vae,pca,random,truth' -d $(SCSMD_DATA) --seeds 3 $(OR_FAILED)
	$(GRID) -m 'scsmd[preset=faithful]' -d $(SCSMD_DATA) --seeds 1 --timeout 7200 $(OR_FAILED)
	$(REPORT) -m 'scsmd,scsmd[preset=faithful],vae,pca,random,truth' -d $(SCSMD_DATA) --seeds 3 \
	  --out $(TABLES)/reports/scsmd
	$(call summary,scsmd)

# The batch sets are scored with iLISI, kBET and graph connectivity too; stored fits of scsmd are
# shown. CPU minutes: 34 for the four sets, 4 and 5 for batches and ablation, 20 for the 12,261
# cells of kang_donors, of which one seed has to do.
SCIMTA := scmgca,sctag,scimta
SCIMTA_DATA := cellbench_5cl,teaseq,zheng_sorted,baron_mouse
SCIMTA_CORRECTED := scmgca,scimta,scmgca[batches=corrected],scimta[batches=corrected]
SCIMTA_BATCHES := $(SCIMTA_CORRECTED),scmgca[batches=scaled],scimta[batches=scaled]
SCIMTA_WITHOUT := scmgca[cluster_weight=0],scmgca[expression_weight=0],scmgca[adjacency_weight=0]

results-scimta: setup
	@echo "scimta, scmgca and sctag beside vae and pca on 4 RNA sets, with batches on 2: about 40 minutes"
	$(GRID) -m '$(SCIMTA),vae,pca' -d $(SCIMTA_DATA) --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(SCIMTA_BATCHES),pca' -d cellbench_3cl_batches --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(SCIMTA_WITHOUT)' -d baron_mouse --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(SCIMTA_CORRECTED),pca' -d kang_donors --seeds 1 $(OR_FAILED)
	$(REPORT) -m '$(SCIMTA_BATCHES),$(SCIMTA_WITHOUT),sctag,scsmd,vae,pca' \
	  -d $(SCIMTA_DATA),cellbench_3cl_batches,kang_donors --seeds 3 --out $(TABLES)/reports/scimta
	$(call summary,scimta)

# Genes and peaks of the same cells; the tasks on unseen cells are in docs/paired.md.
PAIRED := sccrossrec,cca,pca_lsi,wnn,detection_rate,random,truth
PAIRED_DATA := pairedtag,scicar_a549,sim_multiome[preset=links]

results-multiome: setup
	@echo "sccrossrec and the paired baselines on 2 measured sets and a simulation, 3 seeds: about 15 minutes"
	$(GRID) -m '$(PAIRED)' -d '$(PAIRED_DATA)' --seeds 3 $(OR_FAILED)
	$(REPORT) -m '$(PAIRED)' -d '$(PAIRED_DATA)' --seeds 3 --out $(TABLES)/reports/multiome
	$(call summary,multiome)

# Methods of other packages (docs/extras.md says how they are installed), a small set of each kind.
ADAPTERS_RNA := pca,pearson_pca,svd,ica,fa,diffmap,spectral,lda,cnmf,glmpca,pacmap,mofa,scvi,linear_scvi
ADAPTERS_ATAC := lsi,svd,ica,diffmap,spectral,lda,pacmap,peakvi,poissonvi
ADAPTERS_PAIRED := pca_lsi,cca,wnn,mofa,multivi
ADAPTERS_BATCH := pca,combat,pca_harmony,scanorama,scvi,linear_scvi

results-adapters: setup
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[methods]'
	@echo "adapters on a set of RNA, chromatin, both, and batches, 2 seeds: about 25 minutes"
	$(GRID) -m '$(ADAPTERS_RNA)' -d mouse_bladder --seeds 2 $(OR_FAILED)
	$(GRID) -m '$(ADAPTERS_ATAC)' -d leukemia --seeds 2 $(OR_FAILED)
	$(GRID) -m '$(ADAPTERS_PAIRED)' -d scicar_a549 --seeds 2 $(OR_FAILED)
	$(GRID) -m '$(ADAPTERS_BATCH)' -d cellbench_3cl_batches --seeds 2 $(OR_FAILED)
	$(REPORT) -m '$(ADAPTERS_RNA),$(ADAPTERS_ATAC),$(ADAPTERS_PAIRED),$(ADAPTERS_BATCH)' --seeds 2 \
	  -d mouse_bladder,leukemia,scicar_a549,cellbench_3cl_batches --out $(TABLES)/reports/adapters
	$(call summary,adapters)

# What docs/results/README.md says of the reasons.
ABLATION_RNA := vae,vae[kl_weight=0.1],$(OTHER_LIKELIHOODS),ae,lsnmf,lsnmf[normalize=false]
ABLATION_DEPTH := ae,ae[adjust_depth=false],vae,vae[adjust_depth=false],lsnmf,lsnmf[normalize=false]
ABLATION_LSI := lsi,lsi[idf=false],lsi[drop_first=false],lsi[unit_rows=false],nmf,nmf[tfidf=true],lsnmf,lsnmf[tfidf=true]
ABLATION_SCALE := vae,vae[prior=learned_gaussian],vae[max_epochs=60],scale,scale[n_components=1],scale[normal_epochs=30],scale[known_k=true]

results-ablation: setup
	@echo "switches of vae, ae, lsnmf, lsi, nmf and scale on 2 RNA and 3 chromatin sets: about 45 minutes"
	$(GRID) -m '$(ABLATION_RNA)' -d baron_mouse,pbmc3k --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(ABLATION_DEPTH)' -d leukemia --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(ABLATION_LSI)' -d $(ATAC) --seeds 3 $(OR_FAILED)
	$(GRID) -m '$(ABLATION_SCALE)' -d $(ATAC) --seeds 3 $(OR_FAILED)
	$(REPORT) -m '$(ABLATION_RNA),$(ABLATION_DEPTH),$(ABLATION_LSI),$(ABLATION_SCALE)' \
	  -d baron_mouse,pbmc3k,$(ATAC) --seeds 3 --no-umap --no-static --out $(TABLES)/reports/ablation
	$(call summary,ablation)

# The originals' figures beside the faithful presets and the defaults.
results-fidelity: setup
	@echo "faithful presets and defaults of six systems and the baselines: several hours"
	$(VENV)/bin/python benchmarks/fidelity.py --out docs/fidelity.md

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

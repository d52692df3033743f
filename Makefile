# One rule per kind of thing. `make` alone lists what can be asked for.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# What can be said on the command line. A $ in a value stays a $, and the value is handed on in the environment, so that no shell
# and no make reads it: write "$$NAME" in a recipe.
OF_RANK := IMAGES TEXT FEATURES MODELS METRICS TEXT_COLUMN LABEL_COLUMN MAX_PER_CLASS BATCH_SIZE N_BOOTSTRAP ON_ERROR OUT
OPTIONS := PROFILE PYTHON BASE_PYTHON NCREPRO_DATA NCREPRO_LOADERS NCREPRO_ROOT $(OF_RANK)
SAID := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(SAID),$(eval export override $(name) := $$(value $(name))))

PROFILE ?= demo
PYTHON ?= .venv/bin/python
BASE_PYTHON ?= python3
mistyped := $(subst ','\'',$(firstword $(filter-out $(OPTIONS),$(SAID))))
ifneq ($(mistyped),)
unknown := from sys import argv; from ncrepro.schema import unknown; print(unknown("variable", argv[1], argv[2:]))
$(error $(or $(shell $(firstword $(wildcard $(PYTHON)) $(BASE_PYTHON)) -c '$(unknown)' '$(mistyped)' $(OPTIONS)),see above why))
endif
PROFILES := $(basename $(notdir $(wildcard notebooks/profiles/*.yaml)))
ifeq ($(wildcard notebooks/profiles/$(PROFILE).yaml),)
$(error unknown PROFILE '$(PROFILE)': choose one of $(PROFILES))
endif

export NCREPRO_PROFILE := $(PROFILE)
export PYTHONPATH := $(CURDIR)
# Two notebooks at a time, one that trains and one that does not, so that a core is not idle while a notebook starts or draws.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j2
endif
# Two worker processes of one thread each use both cores; more threads per process would only get in each other's way.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export SOURCE_DATE_EPOCH := 1700000000
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# The notebooks, by what they work on: nothing but the package; one pool, named after it; the tables of all pools.
READINGS := 00_start_here 01_neural_collapse 02_metrics_from_equations 03_published_numbers
POOL_NOTEBOOKS := 20_supervised 21_selfsupervised 22_multi_source 23_loss_functions 24_segmentation 25_text
ANALYSES := 30_ablations 31_low_shot 32_source_features 33_cost 34_stability 40_rank_your_own 41_rank
pool_of = $(shell sed 's/^[0-9]*_//' <<< $(1))
# A profile says which notebooks it does without; and not every profile has every pool: the keys one step below `pools:`.
WITHOUT := $(shell sed -n 's/^without: \[\(.*\)\].*/\1/p' notebooks/profiles/$(PROFILE).yaml | tr -d ,)
READINGS := $(filter-out $(WITHOUT),$(READINGS))
ANALYSES := $(filter-out $(WITHOUT),$(ANALYSES))
POOLS_OF_PROFILE := $(shell sed -n 's/^  \([a-z_]*\):.*/\1/p' notebooks/profiles/$(PROFILE).yaml)
POOL_NOTEBOOKS := $(foreach notebook,$(POOL_NOTEBOOKS),$(if $(filter $(call pool_of,$(notebook)),$(POOLS_OF_PROFILE)),$(notebook)))
POOLS := $(foreach notebook,$(POOL_NOTEBOOKS),$(call pool_of,$(notebook)))

PIPELINE = $(PYTHON) -W ignore -m ncrepro.pipeline
RUN = $(PIPELINE) run $< $@
BUILD := build/$(PROFILE)

# What each stage is made by: a change there, and only there, makes it again.
BASICS  := $(addprefix ncrepro/,__init__.py paths.py profiles.py artifacts.py) notebooks/profiles/$(PROFILE).yaml requirements.txt
METRICS := $(wildcard ncrepro/metrics/*.py) ncrepro/probe.py
PLOTS   := $(wildcard ncrepro/plots/*.py)
TRAIN   := $(BASICS) ncrepro/training.py $(wildcard ncrepro/objectives/*.py ncrepro/models/*.py ncrepro/datasets/*.py ncrepro/datasets/*/*.py ncrepro/tasks/*.py)
TABLES  := ncrepro/experiment.py ncrepro/scoring.py ncrepro/ranking.py $(wildcard ncrepro/gallery/*.py)

##@ Results
all: $(BUILD)/90_figures.ipynb  ## train, score and draw everything of PROFILE (default: demo)
figures: all  ## the same: every figure into figures/$(PROFILE)

plan: | environment  ## what PROFILE will run, in what order, how long it takes and how much disk; runs nothing
	@$(PYTHON) -W ignore -m ncrepro.catalogue plan

data: | environment  ## the data sets and checkpoints that PROFILE needs: there or not, size, licence, how to get it
	@$(PYTHON) -W ignore -m ncrepro.catalogue data

verify: | environment  ## compare this machine's tables with the committed ones
	@$(PIPELINE) verify

bench: | environment  ## time and memory of every metric and of feature extraction, beside plain ways to do the same
	$(PYTHON) -m bench

##@ Your own data
# As many threads as there are cores, since there is one process; but none that waits at full speed for its turn.
rank: | environment  ## rank MODELS="resnet50 ..." on IMAGES=folder, TEXT=file.csv or FEATURES="one.npz two.npz"
	@env -u OMP_NUM_THREADS OMP_WAIT_POLICY=passive $(PIPELINE) rank $(foreach option,$(filter $(OF_RANK),$(SAID)),--$(call lower,$(option))="$$$(option)")
lower = $(shell tr A-Z a-z <<< $(1))

##@ Working with it
lab: | environment  ## open JupyterLab on the notebooks
	$(PYTHON) -m jupyterlab notebooks

test: | environment  ## every test, then every notebook in the smoke profile
	env -u MAKEFLAGS $(PYTHON) -m pytest tests
	$(MAKE) PROFILE=smoke $(POOLS:%=build/smoke/11_extract_features--%.ipynb)
	NCREPRO_PROFILE=smoke $(PYTHON) -m pytest -W default --nbval-lax --nbval-current-env notebooks

notebooks: all  ## put the executed notebooks of the demo, outputs and all, in place of the committed ones
	test $(PROFILE) = demo
	for notebook in notebooks/1[01]_*.ipynb; do $(PIPELINE) run $$notebook $(BUILD)/$$(basename $$notebook); done
	for notebook in notebooks/*.ipynb; do cp $(BUILD)/$$(basename $$notebook) $$notebook; done
	touch -r $$(ls -t $(BUILD)/*.ipynb | tail -1) notebooks/*.ipynb  # older than what was made of them, so that nothing is made again

reference: all  ## make this machine's tables the committed reference
	rm -rf data/reference/$(PROFILE)
	cd data/results/$(PROFILE) && for table in $$(find . -name '*.csv' ! -name 'seconds_*'); do \
	  install -D -m 644 $$table ../../reference/$(PROFILE)/$$table; done

clean:  ## remove executed notebooks, tables and figures of PROFILE; models and features stay
	rm -rf $(BUILD) data/results/$(PROFILE) figures/$(PROFILE)

distclean: clean  ## also remove models, features and generated data: the next run is a cold one
	rm -rf data/cache/$(PROFILE) data/cache/datasets

environment: $(if $(filter .venv/%,$(PYTHON)),.venv/requirements.txt)  ## create .venv from the lock (not when PYTHON is given)

help:
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nOptions: PROFILE=$(shell tr ' ' '|' <<< '$(PROFILES)')  PYTHON=python (an environment of your own)\n'

.PHONY: all figures rank plan data verify bench lab test notebooks reference clean distclean environment check help

# The environment: the lock is copied into it last, so an interrupted installation is started again.
.venv/requirements.txt: requirements.txt
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or later is needed; name one with make BASE_PYTHON=...' >&2; exit 1; }
	$(BASE_PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	cp requirements.txt $@

check: | environment
	@$(PIPELINE) check

# The notebooks. Those that work on a pool are run once per pool.
$(BUILD)/00_start_here.ipynb: notebooks/00_start_here.ipynb $(BASICS) $(METRICS) $(PLOTS) $(TABLES) | check
	@$(RUN)

$(BUILD)/02_metrics_from_equations.ipynb: notebooks/02_metrics_from_equations.ipynb $(BASICS) $(METRICS) $(PLOTS) | check
	@$(RUN)

$(BUILD)/03_published_numbers.ipynb: notebooks/03_published_numbers.ipynb ncrepro/published.py ncrepro/ranking.py $(PLOTS) $(wildcard data/published/*) | check
	@$(RUN)

$(BUILD)/01_neural_collapse.ipynb: notebooks/01_neural_collapse.ipynb $(BUILD)/10_train_pool--supervised.ipynb ncrepro/trajectories.py ncrepro/toy.py ncrepro/features.py $(METRICS) $(PLOTS) $(TABLES)
	@$(RUN)

$(BUILD)/10_train_pool--%.ipynb: notebooks/10_train_pool.ipynb $(TRAIN) | check
	@$(RUN) -p pool $*

$(BUILD)/11_extract_features--%.ipynb: notebooks/11_extract_features.ipynb $(BUILD)/10_train_pool--%.ipynb ncrepro/features.py ncrepro/extraction.py
	@$(RUN) -p pool $*

# Pools are trained one after the other: each uses all cores, and loss_functions shares models with multi_source.
previous :=
$(foreach pool,$(POOLS),$(if $(previous),$(eval $(BUILD)/10_train_pool--$(pool).ipynb: | $(BUILD)/11_extract_features--$(previous).ipynb))$(eval previous := $(pool)))

define POOL_NOTEBOOK
$(BUILD)/$(1).ipynb: notebooks/$(1).ipynb $(BUILD)/11_extract_features--$(call pool_of,$(1)).ipynb $(METRICS) $(PLOTS) $(TABLES)
	@$$(RUN)
endef
$(foreach notebook,$(POOL_NOTEBOOKS),$(eval $(call POOL_NOTEBOOK,$(notebook))))
$(BUILD)/21_selfsupervised.ipynb: $(BUILD)/20_supervised.ipynb  # whose pool it compares with

$(addprefix $(BUILD)/,$(addsuffix .ipynb,$(ANALYSES))): $(BUILD)/%.ipynb: notebooks/%.ipynb $(addprefix $(BUILD)/,$(addsuffix .ipynb,$(POOL_NOTEBOOKS))) $(wildcard ncrepro/analyses/*.py)
	@$(RUN)
$(BUILD)/33_cost.ipynb: ncrepro/cost.py bench/plain.py | $(patsubst %,$(BUILD)/%.ipynb,$(READINGS) $(filter-out 33_cost,$(ANALYSES)))  # timed when nothing else runs

$(BUILD)/90_figures.ipynb: notebooks/90_figures.ipynb $(addprefix $(BUILD)/,$(addsuffix .ipynb,$(READINGS) $(POOL_NOTEBOOKS) $(ANALYSES))) $(PLOTS) $(wildcard ncrepro/gallery/*.py)
	@$(RUN)

.PRECIOUS: $(BUILD)/10_train_pool--%.ipynb $(BUILD)/11_extract_features--%.ipynb

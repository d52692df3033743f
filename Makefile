# One rule per kind of thing. `make` alone lists what can be asked for.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# What can be said on the command line. A $ in a value stays a $, and the value is handed on in the environment, so that no shell
# and no make reads it: write "$$NAME" in a recipe.
OF_RANK := IMAGES TEXT FEATURES MODELS METRICS TEXT_COLUMN LABEL_COLUMN MAX_PER_CLASS BATCH_SIZE N_BOOTSTRAP ON_ERROR OUT
OPTIONS := PROFILE PYTHON BASE_PYTHON REPETITIONS FAULTS NCREPRO_DATA NCREPRO_LOADERS NCREPRO_ROOT NCREPRO_ARITHMETIC $(OF_RANK)
SAID := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(SAID),$(eval export override $(name) := $$(value $(name))))

PROFILE ?= demo
PYTHON ?= .venv/bin/python
BASE_PYTHON ?= python3
mistyped := $(subst ','\'',$(firstword $(filter-out $(OPTIONS),$(SAID))))
ifneq ($(mistyped),)
unknown := from sys import argv; from ncrepro.store.schema import unknown; print(unknown("variable", argv[1], argv[2:]))
$(error $(or $(shell $(firstword $(wildcard $(PYTHON)) $(BASE_PYTHON)) -c '$(unknown)' '$(mistyped)' $(OPTIONS)),see above why))
endif
PROFILES := $(basename $(notdir $(wildcard notebooks/profiles/*.yaml)))
ifeq ($(wildcard notebooks/profiles/$(firstword $(subst +, ,$(PROFILE))).yaml),)
$(error unknown PROFILE '$(PROFILE)': choose one of $(PROFILES))
endif

export NCREPRO_PROFILE := $(PROFILE)
export PYTHONPATH := $(CURDIR)
# Two notebooks at a time, one that trains and one that does not, so that a core is not idle while a notebook starts or draws.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j2
endif
export SOURCE_DATE_EPOCH := 1700000000
export PYDEVD_DISABLE_FILE_VALIDATION := 1

PIPELINE = $(PYTHON) -W ignore -m ncrepro.commands.cli
BUILD := build/$(PROFILE)

##@ Results
all:  ## train, score and draw everything of PROFILE (default: demo)
figures: all  ## the same: every figure into figures/$(PROFILE)

plan: | environment  ## what PROFILE will run, in what order, how long it takes and how much disk; runs nothing
	@$(PYTHON) -W ignore -m ncrepro.commands.plan plan

data: | environment  ## the data sets and checkpoints that PROFILE needs: there or not, size, licence, how to get it
	@$(PYTHON) -W ignore -m ncrepro.commands.plan data

verify: | environment  ## compare this machine's tables with the committed ones
	@$(PIPELINE) verify

noise: | environment  ## train PROFILE again from other random seeds, REPETITIONS times (hours), and say what that moves
	@$(PIPELINE) noise --repetitions $(or $(REPETITIONS),5)

faults: | environment  ## damage, kill and crowd runs of the smoke profile, FAULTS times (minutes to hours), and say what came out
	$(PYTHON) -m bench.faults --n $(or $(FAULTS),60)

bench: | environment  ## time and memory of every metric and of feature extraction, beside plain ways to do the same
	$(PYTHON) -m bench

##@ Your own data
# As many threads as there are cores, since there is one process; but none that waits at full speed for its turn.
rank: | environment  ## rank MODELS="resnet50 ..." on IMAGES=folder, TEXT=file.csv or FEATURES="one.npz two.npz"
	@NCREPRO_ARITHMETIC=native OMP_WAIT_POLICY=passive $(PIPELINE) rank $(foreach option,$(filter $(OF_RANK),$(SAID)),--$(call lower,$(option))="$$$(option)")
lower = $(shell tr A-Z a-z <<< $(1))

##@ Working with it
lab: | environment  ## open JupyterLab on the notebooks
	$(PYTHON) -m jupyterlab notebooks

test: | environment  ## the smoke profile, every test, then every notebook as pytest runs it
	$(MAKE) PROFILE=smoke all
	env -u MAKEFLAGS $(PYTHON) -m pytest tests
	NCREPRO_PROFILE=smoke $(PYTHON) -m pytest -W default --nbval-lax --nbval-current-env notebooks

notebooks: all  ## put the executed notebooks of the demo, outputs and all, in place of the committed ones
	test $(PROFILE) = demo
	for name in 10_train_pool 11_extract_features; do $(PIPELINE) run $$name; done
	for notebook in notebooks/*.ipynb; do cp $(BUILD)/$$(basename $$notebook) $$notebook; done

reference: all  ## make this machine's tables the committed reference
	rm -rf data/reference/$(PROFILE)
	cd data/results/$(PROFILE) && for table in $$(find . -name '*.csv' ! -name 'seconds_*'); do \
	  install -D -m 644 $$table ../../reference/$(PROFILE)/$$table; done

sample: | environment  ## make the committed sample of features anew from the models of PROFILE, and say what changed
	@$(PYTHON) -W ignore -m ncrepro.commands.sample

clean:  ## remove executed notebooks, tables and figures of PROFILE; models and features stay
	rm -rf $(BUILD) data/results/$(PROFILE) figures/$(PROFILE)

distclean: clean  ## also remove models, features and generated data: the next run is a cold one
	rm -rf data/cache/$(PROFILE) data/cache/datasets

environment: $(if $(filter .venv/%,$(PYTHON)),.venv/requirements.txt)  ## create .venv from the lock (not when PYTHON is given)

help:
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nOptions: PROFILE=$(shell tr ' ' '|' <<< '$(PROFILES)')  PYTHON=python (an environment of your own)\n'

.PHONY: all figures features rank plan data verify noise faults bench lab test notebooks reference sample clean distclean environment check help

# The environment: the lock is copied into it last, so an interrupted installation is started again. Two makes take turns.
.venv/requirements.txt: $(shell cmp -s requirements.txt .venv/requirements.txt || echo FORCE)
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or later is needed; name one with make BASE_PYTHON=...' >&2; exit 1; }
	@exec 9> .venv.lock; flock 9 || true; cmp -s requirements.txt $@ || { set -x; $(BASE_PYTHON) -m venv --clear .venv && \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt && cp requirements.txt $@; }

check: | environment
	@$(PIPELINE) check

# What has to run is asked before anything starts. It follows from the content of what every run rests on, never from the times
# of files: see ncrepro/commands/workflow.py.
NOTHING_TO_RUN := help lab test check plan data verify noise faults bench rank sample clean distclean environment
ifneq ($(filter-out $(NOTHING_TO_RUN),$(or $(MAKECMDGOALS),help)),)
include $(BUILD)/rules.mk
$(BUILD)/rules.mk: FORCE | environment
	@$(PIPELINE) rules $@
endif
FORCE:

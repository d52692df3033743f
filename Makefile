# `make` alone lists what can be asked for. The work is done by `python -m ncrepro`; here stands what comes before what.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROFILE ?= demo
PYTHON ?= .venv/bin/python
BASE_PYTHON ?= python3

# What is typed as NAME=value reaches Python as it is, each $ in it included; make hands it on as an environment variable.
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(eval export override $(name) := $$(value $(name)))))
export PROFILE
# The options of `make rank` are none, since OUT or TEXT may mean something to others: ncrepro/commands/variables.py reads them.
unexport IMAGES TEXT FEATURES MODELS METRICS TEXT_COLUMN LABEL_COLUMN MAX_PER_CLASS BATCH_SIZE N_BOOTSTRAP ON_ERROR OUT

export NCREPRO_PROFILE := $(PROFILE)
export PYTHONPATH := $(CURDIR)
export SOURCE_DATE_EPOCH := 1700000000
export PYDEVD_DISABLE_FILE_VALIDATION := 1
export NCREPRO := $(PYTHON) -W ignore -m ncrepro

##@ Results
# What has to run follows from the content of what every run rests on, never from the times of files: ncrepro/commands/workflow.py.
one_run := $(filter build/%,$(MAKECMDGOALS))
all features $(one_run): | environment  ## train, score and draw everything of PROFILE (default: demo)
	+@$(NCREPRO) make $@
figures: all  ## the same: every figure into figures/$(PROFILE)

plan: | environment  ## what PROFILE will run, in what order, how long it takes and how much disk; runs nothing
	@$(NCREPRO) plan

data: | environment  ## the data sets and checkpoints that PROFILE needs: there or not, size, licence, how to get it
	@$(NCREPRO) data

verify: | environment  ## compare this machine's tables with the committed ones
	@$(NCREPRO) verify

noise: | environment  ## train PROFILE again from other random seeds, REPETITIONS times (hours), and say what that moves
	@$(NCREPRO) noise

faults: | environment  ## damage, kill and crowd runs of the smoke profile, FAULTS of them, drawn from SEED (minutes to hours), and say what came out
	$(PYTHON) -m bench.faults

bench: | environment  ## time and memory of every metric and of feature extraction, beside plain ways to do the same
	$(PYTHON) -m bench

##@ Your own data
# As many threads as there are cores, since there is one process; but none that waits at full speed for its turn.
rank: | environment  ## rank MODELS="resnet50 ..." on IMAGES=folder, TEXT=file.csv or FEATURES="one.npz two.npz"
	@NCREPRO_ARITHMETIC=native OMP_WAIT_POLICY=passive $(NCREPRO) rank --notebook

##@ Teaching
course: | environment  ## run the solutions of notebooks/course, and write the students' notebooks and quizzes anew
	@$(NCREPRO) course

slides: | environment  ## the slides of the course, as pages in build/slides that open without a network
	@$(NCREPRO) slides

##@ Working with it
# LAB_OPTIONS are JupyterLab's own: LAB_OPTIONS="--no-browser --port=8890", or --allow-root in a container.
lab: | environment  ## open JupyterLab on copies of the notebooks in build/lab; REFRESH="20_supervised" or all copies them anew
	@$(NCREPRO) lab

book: | environment  ## make a site of the notebooks, the figures and the interface, to be read without a network: build/book/index.html
	@$(NCREPRO) book

check: | environment  ## is there all that PROFILE needs, and is the code as ruff wants it?
	@$(NCREPRO) check
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .

format: | environment  ## format the code, and mend what ruff can mend
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .

test: | environment  ## the smoke profile, every test, then every notebook as pytest runs it
	$(MAKE) PROFILE=smoke all
	env -u MAKEFLAGS $(PYTHON) -m pytest tests
	NCREPRO_PROFILE=smoke $(PYTHON) -m pytest -W default --nbval-lax --nbval-current-env --ignore=notebooks/course notebooks

notebooks: all  ## put the executed notebooks of the demo, outputs and all, in place of the committed ones
	test "$$PROFILE" = demo
	for name in 10_train_pool 11_extract_features; do $(NCREPRO) run $$name; done
	for notebook in notebooks/*.ipynb; do cp "build/$$PROFILE/$$(basename $$notebook)" $$notebook; done

reference: all  ## make this machine's tables the committed reference
	rm -rf "data/reference/$$PROFILE"
	cd "data/results/$$PROFILE" && for table in $$(find . -name '*.csv' ! -name 'seconds_*'); do \
	  install -D -m 644 $$table "../../reference/$$PROFILE/$$table"; done

sample: | environment  ## make the committed sample of features anew from the models of PROFILE, and say what changed
	@$(NCREPRO) sample

clean: variables  ## remove executed notebooks, tables and figures of PROFILE; models and features stay
	rm -rf "build/$$PROFILE" "data/results/$$PROFILE" "figures/$$PROFILE"

distclean: clean  ## also remove models, features and generated data: the next run is a cold one
	rm -rf "data/cache/$$PROFILE" data/cache/datasets

help: variables
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z]+.*:.*## / { printf "  make %-12s %s\n", substr($$1, 1, match($$1 " ", " ") - 1), $$2 }' Makefile
	@printf '\nOptions: PROFILE=%s  PYTHON=python (an environment of your own)\n' \
	  "$$(cd notebooks/profiles; echo *.yaml | sed 's/\.yaml//g; s/ /|/g')"

.PHONY: all features figures $(one_run) plan data verify noise faults bench rank course slides book lab check format test notebooks reference sample clean distclean help \
  variables environment

# Before anything else: is Python recent, is every NAME=value known, is there such a PROFILE?
python := $(if $(filter .venv/%,$(PYTHON)),$(BASE_PYTHON),$(PYTHON))
variables:
	@$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or later is needed; name one with make BASE_PYTHON=...' >&2; exit 1; }
	@$(python) -m ncrepro.commands.variables

# Create .venv from the lock (not when PYTHON is given). The lock is copied into it last, so that an interrupted installation is
# started again. Two makes take turns.
environment: variables
ifneq ($(filter .venv/%,$(PYTHON)),)
	@exec 9> .venv.lock; flock 9 || true; cmp -s requirements.txt .venv/requirements.txt || { set -x; \
	  $(BASE_PYTHON) -m venv --clear .venv; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt; \
	  cp requirements.txt .venv/requirements.txt; }
endif

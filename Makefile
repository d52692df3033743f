# `make` alone lists the targets. `python -m ncrepro` does the work; this file says what must run before what.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROFILE ?= demo
PYTHON ?= .venv/bin/python
BASE_PYTHON ?= python3

# NAME=value on the command line reaches Python unchanged, with every $ in it, as an environment variable.
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(eval export override $(name) := $$(value $(name)))))
export PROFILE
# The options of `make rank` are not exported, because OUT or TEXT may mean something to other programs:
# ncrepro/commands/variables.py reads them.
unexport IMAGES TEXT FEATURES MODELS METRICS TEXT_COLUMN LABEL_COLUMN MAX_PER_CLASS BATCH_SIZE N_BOOTSTRAP ON_ERROR OUT

export NCREPRO_PROFILE := $(PROFILE)
export PYTHONPATH := $(CURDIR)
export SOURCE_DATE_EPOCH := 1700000000
export PYDEVD_DISABLE_FILE_VALIDATION := 1
export NCREPRO := $(PYTHON) -W ignore -m ncrepro

##@ Results
# A run is made again if the content of a file that it rests on has changed; the times of files never count:
# ncrepro/commands/workflow.py.
one_run := $(filter build/%,$(MAKECMDGOALS))
all features $(one_run): | environment  ## train, score and draw everything of PROFILE (default: demo)
	+@$(NCREPRO) make $@
figures: all  ## the same: every figure into figures/$(PROFILE)

plan: | environment  ## say what PROFILE will run, in what order, for how long and on how much disk; runs nothing
	@$(NCREPRO) plan

data: | environment  ## list the data and checkpoints that PROFILE needs: present or not, size, licence, how to get them
	@$(NCREPRO) data

verify: | environment  ## compare this machine's tables with the committed ones
	@$(NCREPRO) verify

noise: | environment  ## train PROFILE again with other seeds, REPETITIONS times (hours), and measure what changes
	@$(NCREPRO) noise

faults: | environment  ## damage the smoke profile with FAULTS faults drawn from SEED, and report (minutes to hours)
	$(PYTHON) -m bench.faults

bench: | environment  ## measure time and memory of every metric and of feature extraction, beside plain implementations
	$(PYTHON) -m bench

##@ Your own data
# There is one process, so it uses one thread per core. A thread that waits must not keep its core busy.
rank: | environment  ## rank MODELS="resnet50 ..." on IMAGES=folder, TEXT=file.csv or FEATURES="one.npz two.npz"
	@NCREPRO_ARITHMETIC=native OMP_WAIT_POLICY=passive $(NCREPRO) rank --notebook

##@ Teaching
course: | environment  ## run the solutions of notebooks/course, and write the students' notebooks and quizzes again
	@$(NCREPRO) course

slides: | environment  ## the slides of the course, as pages in build/slides that open without a network
	@$(NCREPRO) slides

##@ Working with it
# LAB_OPTIONS are JupyterLab's own: LAB_OPTIONS="--no-browser --port=8890", or --allow-root in a container.
lab: | environment  ## open JupyterLab on copies in build/lab; REFRESH="20_supervised" or REFRESH=all makes new copies
	@$(NCREPRO) lab

book: | environment  ## make a site of the notebooks, the figures and the interface, to be read without a network: build/book/index.html
	@$(NCREPRO) book

check: | environment  ## check that all that PROFILE needs is there, and check the code with ruff
	@$(NCREPRO) check
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .

format: | environment  ## format the code, and fix what ruff can fix
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .

# One process of pytest per core, and each file in one of them.
in_processes := -n auto --maxprocesses 4 --dist loadfile
test: | environment  ## run the smoke profile, then every test, then every notebook with pytest
	$(MAKE) PROFILE=smoke all
	env -u MAKEFLAGS $(PYTHON) -m pytest $(in_processes) tests
	NCREPRO_PROFILE=smoke $(PYTHON) -m pytest $(in_processes) -W default --nbval-lax --nbval-current-env --ignore=notebooks/course notebooks

notebooks: all  ## replace the committed notebooks by the executed ones of the demo, with their outputs
	test "$$PROFILE" = demo
	for name in 10_train_pool 11_extract_features; do $(NCREPRO) run $$name; done
	for notebook in notebooks/*.ipynb; do cp "build/$$PROFILE/$$(basename $$notebook)" $$notebook; done

reference: all  ## make this machine's tables the committed reference
	rm -rf "data/reference/$$PROFILE"
	cd "data/results/$$PROFILE" && for table in $$(find . -name '*.csv' ! -name 'seconds_*'); do \
	  install -D -m 644 $$table "../../reference/$$PROFILE/$$table"; done

sample: | environment  ## make the committed sample of features again from the models of PROFILE, and say what changed
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

# Create .venv from requirements.txt (not when PYTHON is given). That file is copied into .venv last, so that an
# interrupted installation starts again. If two makes run at once, one waits for the other. pip would compile the modules
# on one core; a few of them are for a later Python, which is no error.
environment: variables
ifneq ($(filter .venv/%,$(PYTHON)),)
	@exec 9> .venv.lock; flock 9 || true; cmp -s requirements.txt .venv/requirements.txt || { set -x; \
	  $(BASE_PYTHON) -m venv --clear .venv; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt; \
	  .venv/bin/python -W ignore -m compileall -q -j 0 .venv/lib > /dev/null || true; \
	  cp requirements.txt .venv/requirements.txt; }
endif

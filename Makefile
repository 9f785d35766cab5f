# leadboard: everything a person needs, from a fresh clone. Needs Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
DATA   ?=
ARGS   ?=

export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup bench tables board submissions test lint format clean

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

setup: $(DEV)    ## create .venv and install everything, pinned by constraints.txt

$(DONE): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[figures]'
	touch $@

$(DEV): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev,figures]'
	touch $(DONE) $@

bench: $(DONE)   ## run every suite at scale quick, write results/simulated/quick; DATA=FOLDER ARGS='--corpus ptbxl': results/real/quick
	$(BIN)/leadboard run --scale quick $(if $(DATA),--data $(DATA)) $(ARGS)

tables: $(DONE)  ## rewrite tables, figures and the board from the store; trains nothing
	$(BIN)/leadboard report --scale quick $(if $(DATA),--data $(DATA)) $(ARGS)

board: $(DONE)   ## put results/board.html together from every board.json below results/; ARGS='--picture FILE.png'
	$(BIN)/leadboard board $(ARGS)

submissions: $(DONE) ## check every submission below results/submissions, as CI does
	mkdir -p results/submissions
	$(BIN)/leadboard verify --submission results/submissions $(ARGS)

test: $(DEV)     ## run the tests
	$(BIN)/python -m pytest

lint: $(DEV)     ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV)   ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:           ## remove the environment and caches; keeps store/, data/ and results/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info

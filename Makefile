# make bench, make test: each sets up by itself on a fresh machine, and goes on after an interruption.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install horovod bench test test-gpu lint format docs docs-serve wheel clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed horovod  ## everything into .venv, Horovod built for the torch that is there

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools wheel torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[all,dev]'
	@touch $@

horovod: $(VENV)/.horovod
$(VENV)/.horovod: $(VENV)/.installed
	@if $(BIN)/python -m lightning_itwin.strategies.horovod_build --install; then touch $@; \
	else echo 'Horovod is left out (reason above); everything else goes on without it.' >&2; fi

bench: install  ## the Virgo workload with DDP, DeepSpeed and Horovod on 1 and 2 workers, and its report
	$(BIN)/python -m lightning_itwin.bench $(ARGS)

test: install  ## all tests
	$(BIN)/python -m pytest $(ARGS)

test-gpu: install  ## the tests that need a CUDA GPU
	$(BIN)/python -m pytest -m gpu $(ARGS)

lint: $(VENV)/.installed  ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed  ## the documentation into site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.installed  ## the documentation, live in a browser
	$(BIN)/mkdocs serve

wheel: $(VENV)/.installed  ## the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove what was made, but not the data
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

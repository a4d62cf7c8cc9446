# `make train` sets up and runs the main job; `make test` sets up and runs the tests. Needs Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/sample.yaml
WORKSPACE ?= workspace
READY := $(VENV)/ready
# two workers, each with one thread: most of a case is starting processes and importing
SIDE_BY_SIDE := -n 2 --dist loadscope

.PHONY: help setup train test test-fast lint bench dashboard

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything in its pinned version

# made again when the pins or the requirements change
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[cpu,dev]'
	touch $@

train: setup ## set up and run the main job (CONFIG=configs/har.yaml for the real thing)
	$(BIN)/python run.py --pipeline train --config $(CONFIG)

test: setup ## set up and run all tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-fast: setup ## the tests without the slow end-to-end cases
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not slow'

lint: setup ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup ## measure every number of the README and renew docs/benchmarks.md
	$(BIN)/python benchmarks/all.py

dashboard: setup ## open ZenML's dashboard on the local store (WORKSPACE=workspace)
	$(BIN)/python -m stacks.dashboard --workspace $(WORKSPACE)

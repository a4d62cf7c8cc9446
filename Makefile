# `make train` sets up and runs the main job; `make test` sets up and runs the tests. Needs Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/sample.yaml
WORKSPACE ?= workspace
READY := $(VENV)/ready
# what is installed besides the light part; images need less (deploy/)
EXTRAS ?= cpu,dev
# three workers, each with one thread, on two cores: a third of a case's time is waiting for processes and servers
SIDE_BY_SIDE := -n 3 --dist loadscope

.PHONY: help setup compile train test test-fast test-thorough lint bento bench dashboard serve ui

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything in its pinned version

# made again when the pins or the requirements change
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

# what cannot be compiled is a template or a test of somebody's, and is not imported
compile: setup ## write the bytecode of everything installed, for images that cannot write it later
	-$(BIN)/python -m compileall -q -j 0 $(VENV)/lib src > /dev/null

train: setup ## set up and run the main job (CONFIG=configs/har.yaml for the real thing)
	$(BIN)/python run.py --pipeline train --config $(CONFIG)

# hundreds of processes import what the first of them compiled, also where Python is told to keep no bytecode
test test-fast: export PYTHONDONTWRITEBYTECODE :=

test: setup ## set up and run the tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not thorough'

test-thorough: setup ## further repeated kills, long fuzzing, whole pipelines that smaller cases show too
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m thorough

test-fast: setup ## the tests without the slow end-to-end cases
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not slow'

lint: setup ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bento: setup ## pack the champion, or the newest bundle, into a Bento (WORKSPACE=workspace)
	$(BIN)/python -m clip_har.serving.packaging --workspace $(WORKSPACE)

bench: setup ## measure every number of the README and renew docs/benchmarks.md
	$(BIN)/python benchmarks/all.py

dashboard: setup ## open ZenML's dashboard on the local store (WORKSPACE=workspace)
	$(BIN)/python -m stacks.dashboard --workspace $(WORKSPACE)

serve: setup ## serve the champion, or the newest bundle if there is none (WORKSPACE=workspace, SET='serving.port=8080')
	$(BIN)/python -m clip_har.serving --workspace $(WORKSPACE) $(foreach one,$(SET),--set $(one))

ui: setup ## open the web app; it starts a service of its own if URL=http://… names none (WORKSPACE=workspace, PORT=8501)
	$(BIN)/python -m clip_har.ui --workspace $(WORKSPACE) $(if $(URL),--url $(URL)) $(if $(PORT),--port $(PORT))

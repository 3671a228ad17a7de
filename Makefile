# make demo, make test: each works on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test chaos check format bench bench-peers sabotage clean

help:  ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev: .venv/demo
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv/bench: .venv/dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

demo: .venv/demo  ## Run the user's workflow: an orchestrator and three agents, real processes
	@PATH="$(CURDIR)/$(BIN):$$PATH" demo/run

test: .venv/dev  ## Run all tests, on every kind of Redis that is here
	$(BIN)/pytest --numprocesses 2 --dist worksteal

chaos: .venv/dev  ## Kill, stop and cut off processes and Redis for two minutes, and judge what is left
	@PYTHONPATH=tests $(BIN)/python -m chaos

check: .venv/dev  ## Check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/dev  ## Format, and mend what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv/bench  ## Measure what docs/ states; ARGS="--json FILE --docs" keeps it
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: .venv/bench  ## Measure other task queues beside ours; ARGS=--docs writes docs/
	$(BIN)/python -m benchmarks.peers $(ARGS)

sabotage: .venv/dev  ## Take out one guard after the other, and see which test goes red
	$(BIN)/python tests/sabotage.py

clean:  ## Remove what was built
	rm -rf .venv .venv-peers dist .mypy_cache .pytest_cache .ruff_cache

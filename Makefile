# make demo, make test: each works on a fresh machine with Python 3.11 to 3.14.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help venv demo demo-board test test-fast test-programs chaos check format bench measure bench-peers sabotage reference recordings lock clean

help:  ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

# Every download is pinned with its hash in lock/. Our own package is then built with the hatchling of lock/build.txt.
LOCKED := $(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes
OURS := $(BIN)/pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation

.venv/demo: pyproject.toml lock/build.txt lock/image.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(LOCKED) --requirement lock/build.txt --requirement lock/image.txt
	$(OURS) --editable .
	$(BIN)/pip --disable-pip-version-check check
	@touch $@

.venv/dev: .venv/demo lock/dev.txt
	$(LOCKED) --requirement lock/dev.txt
	@touch $@

.venv/bench: .venv/dev lock/bench.txt
	$(LOCKED) --requirement lock/bench.txt
	@touch $@

venv: .venv/demo  ## Install the commands `orchestrate` and `worker` into .venv

demo: .venv/demo  ## Run the user's workflow: an orchestrator and three agents, real processes
	@PATH="$(CURDIR)/$(BIN):$$PATH" demo/run

demo-board: .venv/demo  ## Watch a team of agents at work on the board, until Ctrl-C
	@$(BIN)/python -m demo.team

# One process more than the smallest machine has cores: some tests wait for a failover or a time limit.
JOBS ?= 3
PYTEST := $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal

test: .venv/dev  ## Run all tests, on every kind of Redis that is here; JOBS=8 uses eight processes
	$(PYTEST)

test-fast: .venv/dev  ## Run the unit tests alone, in about 90 s: no service, no failover, no whole workflow
	$(PYTEST) tests/unit

test-programs: .venv/dev  ## Run Claude Code, Codex, Gemini CLI and others from npm, with a scripted model
	$(PYTEST) tests/programs

chaos: .venv/dev  ## Kill, stop and cut off processes and Redis for two minutes, and judge what is left
	@PYTHONPATH=tests $(BIN)/python -m chaos

check: .venv/dev  ## Check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/dev  ## Format, and fix what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv/bench  ## Measure what docs/ states; ARGS="--json FILE --docs" keeps it
	$(BIN)/python -m benchmarks $(ARGS)

measure: .venv/dev  ## Measure the readability of the source; ARGS="--list shared/taskorch/queue" names the places
	$(BIN)/python -m benchmarks.source $(ARGS)

bench-peers: .venv/bench  ## Measure other task queues beside ours; ARGS=--docs writes docs/
	$(BIN)/python -m benchmarks.peers $(ARGS)

sabotage: .venv/dev  ## Take out one guard after the other, and see which test fails
	$(BIN)/python tests/sabotage.py

reference: .venv/demo  ## Write docs/reference.md from the commands
	$(BIN)/python docs/reference.py

recordings: .venv/dev  ## Record the images in docs/images/ again; ARGS=watch records one of them
	@$(BIN)/python -m demo.recordings $(ARGS)

# One resolution for every Python and system that we support; the smaller files take their versions from the largest.
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: \
    --generate-hashes --annotation-style line --no-emit-index-url --custom-compile-command 'make lock'

.venv-lock:
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

lock: .venv-lock  ## Update lock/ to the newest releases that pyproject.toml allows
	$(COMPILE) --upgrade --all-extras pyproject.toml --output-file lock/bench.txt
	$(COMPILE) --constraints lock/bench.txt --extra dev --extra gateway --extra otel pyproject.toml --output-file lock/dev.txt
	$(COMPILE) --constraints lock/bench.txt pyproject.toml --output-file lock/runtime.txt
	$(COMPILE) --constraints lock/bench.txt --extra gateway pyproject.toml --output-file lock/image.txt
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | \
	    $(COMPILE) --constraints lock/bench.txt - --output-file lock/build.txt
	@for python in 3.11 3.12 3.13 3.14; do \
	    for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-apple-darwin aarch64-apple-darwin; do \
	        .venv-lock/bin/uv pip install --no-config --quiet --dry-run --target .venv-lock/try --only-binary :all: \
	            --require-hashes --python-version $$python --python-platform $$platform \
	            --requirement lock/build.txt --requirement lock/bench.txt || exit 1; \
	    done; \
	done

clean:  ## Remove what was built
	rm -rf .venv .venv-lock .venv-peers .programs dist .mypy_cache .pytest_cache .ruff_cache

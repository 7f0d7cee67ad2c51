# Headrace. `make` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each has a Kafka of its own, some 400 MB.
TEST_WORKERS ?= 3

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

.PHONY: install
install: $(INSTALLED) ## Make the virtual environment, with versions and hashes from the lock file

$(INSTALLED): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Headrace needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: $(INSTALLED) ## Run the main job: broker, gateway, worker, relay, and real flights
	@$(BIN)/headrace up

.PHONY: test
test: $(INSTALLED) ## Run the tests against a real, embedded Kafka
	$(BIN)/pytest -m "not faults and not containers and not long" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
		tests/end_to_end tests/integration tests/unit tests/faults

.PHONY: test-long
test-long: $(INSTALLED) ## Run the tests that take minutes: a thousand clients that stall, one reader in a hundred ways
	$(BIN)/pytest -m long -rP tests/integration
	HEADRACE_READER_EXAMPLES=$${HEADRACE_READER_EXAMPLES:-100} $(BIN)/pytest tests/integration/consumers/test_one_reader.py

.PHONY: test-faults
test-faults: $(INSTALLED) ## Kill every service in turn under load, and look for lost events
	$(BIN)/pytest -m faults -n 2 --dist worksteal tests/faults $(addprefix --ignore ,$(RELAY_FAULTS))

RELAY_FAULTS := $(addprefix tests/faults/test_,relays_at_random.py two_owners.py relay_between_writes.py definitions_at_once.py)

.PHONY: test-faults-relay
test-faults-relay: $(INSTALLED) ## Kill and freeze relays, 20 times at random too, before receivers that fail in every way
	HEADRACE_RELAY_FAULTS=$${HEADRACE_RELAY_FAULTS:-20} $(BIN)/pytest -m faults -rP $(RELAY_FAULTS) tests/integration

.PHONY: test-websocket
test-websocket: $(INSTALLED) ## Run all the Autobahn cases, those of large compressed messages too
	HEADRACE_AUTOBAHN=all $(BIN)/pytest tests/integration/consumers/websocket/test_conformance.py

.PHONY: test-conformance
test-conformance: $(INSTALLED) ## Run the suite of Durable Streams and its official client (needs node and npm)
	$(BIN)/pytest -rs tests/conformance

.PHONY: test-containers
test-containers: $(INSTALLED) ## Build the image and run everything in containers (needs a Docker engine)
	$(BIN)/pytest -m containers -rs tests/containers

.PHONY: bench
bench: $(INSTALLED) ## Measure beside references taken in the same run; ONLY="pull sse" for some
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(ONLY)

.PHONY: lint
lint: $(INSTALLED) ## Check style, types, and the schemas' compatibility
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy headrace tests
	$(BIN)/headrace schemas check

.PHONY: format
format: $(INSTALLED) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: ## Resolve the dependencies anew (minutes)
	PYTHON=$(PYTHON) requirements/lock.sh

.PHONY: clean
clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

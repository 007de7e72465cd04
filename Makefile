# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
READY := .venv/.ready
PEERS := .venv/peers
COLLECTIONS := $(VENV)/collections
# The checkout as Ansible and Python want to find it: under ansible_collections/pgfleet/backup.
HERE := $(COLLECTIONS)/ansible_collections/pgfleet/backup
CODE := $(HERE)/plugins $(HERE)/tests

PYTHONS := 3.13 3.12 3.11
# One test process a processor; PYTEST_ARGS="-n0 -k name" for one test at a time.
PYTEST_ARGS ?=
# Such as "--scale 30 --times 1".
BENCHMARK_ARGS ?=
PYTEST := $(BIN)/python -m pytest -n auto

export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export PYTHONPATH := $(COLLECTIONS)
export PYTHONPYCACHEPREFIX := $(VENV)/pycache
# Everything Ansible writes for itself stays in ignored folders of the checkout.
export ANSIBLE_HOME := $(CURDIR)/.ansible
export PATH := $(BIN):$(PATH)
export LC_ALL := C.UTF-8

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(READY) ## A backup, a disaster and a restore before your eyes, in a minute
	@$(BIN)/python $(HERE)/tests/demo/demo.py

.PHONY: test
test: lint unit integration ## Everything that must be green before a change is merged

.PHONY: lint
lint: $(READY) ## ruff, mypy, import-linter, ansible-lint
	@echo '== ruff' && $(BIN)/ruff check --quiet .
	@echo '== mypy' && $(BIN)/python -m mypy --config-file pyproject.toml --no-error-summary $(CODE)
	@echo '== import-linter' && $(BIN)/lint-imports --no-logo --no-cache --config .importlinter
	@echo '== ansible-lint' && $(BIN)/ansible-lint --offline --profile production -q

.PHONY: unit
unit: $(READY) ## The unit tests, in seconds
	@$(PYTEST) tests/unit $(PYTEST_ARGS)

.PHONY: integration
integration: $(READY) ## The tests on real servers; those in containers need an engine (REQUIRE_ENGINE=1 insists)
	@$(PYTEST) tests/integration $(PYTEST_ARGS)

.PHONY: fidelity
fidelity: $(READY) ## Every format on PostgreSQL 15 to 18, and upgrades: what came back, as a table (needs an engine)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --requirement tests/fidelity/requirements.txt
	@$(BIN)/python -m ansible_collections.pgfleet.backup.tests.fidelity

.PHONY: benchmark
benchmark: $(READY) $(PEERS)/.ready ## Our backup and restore beside the raw commands and others, as ratios (needs an engine)
	@$(BIN)/python -m ansible_collections.pgfleet.backup.tests.benchmarks.run --peers $(PEERS) $(BENCHMARK_ARGS)

.PHONY: image
image: $(READY) ## Find, pull or build the PostgreSQL image of the container tests
	@$(BIN)/python -m ansible_collections.pgfleet.backup.tests.support.image.build

.PHONY: sanity
sanity: ## ansible-test sanity on the oldest and the newest supported ansible-core
	@tests/sanity/run

.PHONY: docs
docs: $(READY) ## Check the modules' documentation, the page of errors and the changelog
	@echo '== antsibull-docs' && $(BIN)/antsibull-docs lint-collection-docs --plugin-docs $(HERE)
	@echo '== docs/errors.md' && $(BIN)/python docs/generate_errors.py --check
	@echo '== antsibull-changelog' && $(BIN)/antsibull-changelog lint

.PHONY: clean
clean: ## Remove everything that make has made here
	@rm -rf .venv .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache collections tests/output
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is compared with. Without it the benchmark says what it leaves out.
$(PEERS)/.ready: $(READY) tests/benchmarks/requirements.txt
	@echo 'Preparing $(@D) (once)'
	@rm -rf $(@D) && $(BIN)/python -m venv $(@D) && $(@D)/bin/python -m pip install -qq --disable-pip-version-check \
		--requirement tests/benchmarks/requirements.txt && touch $@ || echo 'Some of it cannot be installed'

# Made anew when the requirements change, so that nothing of the old ones stays behind.
$(READY): requirements-dev.txt
	@echo 'Preparing .venv (once; a minute or two)'
	@python=$$(tests/support/find-python $(PYTHONS)) && rm -rf .venv && "$$python" -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --requirement requirements-dev.txt
	@mkdir -p $(dir $(HERE)) && ln -sfn ../../../.. $(HERE)
	@touch $@

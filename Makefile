# Every task of a developer; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
STREAMS := .venv/.streams-installed

.DEFAULT_GOAL := help
.PHONY: help run test test-fast chaos lint format bench docs clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; give one with make PYTHON=python3.12"; exit 1; }
	@echo "Installing the pinned requirements into .venv (about a minute the first time) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(STREAMS): $(STAMP) requirements-streams.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-streams.txt
	@touch $@

run: $(STAMP) ## everything on this machine: servers, page, admin, sinks; Ctrl-C stops it; HUB=1 adds databases, S3 and connectors
	@exec $(if $(HUB),env DEVSTACK_HUB=1) $(BIN)/python manage.py devstack run

test: $(STREAMS) ## all tests, on real servers of their own; ARGS="tests/sinks -k append" for some of them
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist loadgroup)
	@$(if $(ARGS),,$(BIN)/python -m tests.on_postgres -n 2 -m "not integration and not browser and not slow")

test-fast: $(STREAMS) ## the tests that need no servers, no Java and no browser, in under two minutes
	@$(BIN)/python -m pytest -n 2 -m "not integration and not browser and not slow" $(ARGS)

chaos: $(STAMP) ## 200 random kills of sinks and servers, every record counted; ARGS="--sink elasticsearch --seed 7", ARGS=--source, ARGS=--collector
	@$(BIN)/python -m tests.chaos $(ARGS)

lint: $(STREAMS) ## ruff, mypy, import-linter, Django's checks, the OpenAPI schema
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py check
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn > /dev/null

format: $(STAMP) ## let ruff format and fix the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## the benchmarks, each against its yardstick
	@$(BIN)/python -m bench $(ARGS)

docs: $(STAMP) ## write docs/settings.md from the settings' types
	@$(BIN)/python manage.py settings_reference > docs/settings.md

clean: ## stop the local servers; remove their data and everything installed
	@if [ -x $(BIN)/python ]; then $(BIN)/python manage.py devstack down; fi
	rm -rf .devstack .venv staticfiles

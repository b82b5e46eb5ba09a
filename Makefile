# Every target sets up what it needs; nothing is installed outside .venv and .venv-oracle.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
ORACLE_VENV ?= .venv-oracle
JOBS ?= 2
# An exact release: a plain `torch` may bring gigabytes of CUDA libraries.
TORCH ?= torch==2.13.0
# More for pytest, as in: make test ARGS="-k attention -x"
ARGS ?=

PY := $(VENV)/bin/python
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
PYTEST := -m pytest -n $(JOBS) --dist loadgroup

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.core ## the model that comes along and two published ones at work, as tables, without torch
	$(PY) -m minibert.demo

test: $(VENV)/.test ## every test that needs no torch
	$(PY) $(PYTEST) $(ARGS)

lint: $(VENV)/.lint ## ruff
	$(VENV)/bin/ruff check .

types: $(VENV)/.lint ## mypy in strict mode over minibert/ and kernels/, and over a user's script
	$(VENV)/bin/mypy

oracle: $(ORACLE_VENV)/.oracle ## the tests against torch, transformers, tokenizers and onnxruntime
	MINIBERT_KERNELS=always $(ORACLE_VENV)/bin/python $(PYTEST) -m oracle $(ARGS)

oracle-explicit: $(ORACLE_VENV)/.oracle ## those about models once more, with every kernel off
	MINIBERT_KERNELS=never $(ORACLE_VENV)/bin/python $(PYTEST) -m oracle $(ARGS) \
	  tests/parity/test_models.py tests/parity/test_training.py tests/parity/test_rxnfp.py tests/parity/test_checkpoint.py

bounds: $(VENV)/.test ## the kernels' tests with every array access checked, and with rubbish in new memory
	MALLOC_PERTURB_=1 NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$$(mktemp -d) $(PY) $(PYTEST) tests/kernels --ignore tests/kernels/cuda tests/pretraining/test_pairs.py $(ARGS)

doubling: $(VENV)/.test ## the table of how each entry's time grows when its texts do
	$(PY) -m tests.doubling

interrupts: $(VENV)/.test ## 500 interrupts of forward passes and of training, 200 forks in the middle: the next results are right
	$(PY) -W ignore::DeprecationWarning -m tests.kernels.interrupts --interrupts 500 --forks 200

kills: $(VENV)/.test ## a pretraining run killed 100 times at random instants: it ends at the same bits
	$(PY) -m tests.pretraining.kills --kills 100

fuzz: $(VENV)/.test ## 3000 damaged versions of every kind of file: read, or refused in one sentence
	$(PY) -m tests.fuzz --mutants 3000

save-kills: $(VENV)/.test ## saves over a checkpoint killed 400 times: it is the old one or the new one
	$(PY) -m tests.checkpoint.save_kills --kills 400

cache-matrix: $(VENV)/.test ## the cache of compiled kernels in every state and installation: the answers stay right
	$(PY) -m tests.kernels.cache_matrix

memory: $(VENV)/.test ## 10,000 calls of every pipeline, 1,000 training steps: memory does not grow
	$(PY) -m tests.pipelines.memory
	$(PY) -m tests.pretraining.memory

budget: $(VENV)/.nvrtc ## compile the CUDA kernels for each kind of GPU: no warnings, no spills, the registers of the table
	$(PY) $(PYTEST) tests/kernels/cuda/test_budget.py $(ARGS)

notebooks: $(VENV)/.test ## run every notebook from top to bottom
	@set -e; shopt -s nullglob; for notebook in notebooks/*.ipynb; do \
	  echo "$$notebook"; $(VENV)/bin/jupyter execute "$$notebook"; done

wheel: $(VENV)/.test ## build the wheel and the source distribution into dist/
	$(PY) -m hatchling build -d dist

size: $(VENV)/.test ## megabytes on disk of the core install, in a fresh environment
	@set -e; scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PY) -m hatchling build -t wheel -d "$$scratch" >/dev/null 2>&1; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" $(PIP_INSTALL) "$$scratch"/minibert_numpy-*.whl; \
	cd "$$scratch"/venv/lib/python3*/site-packages; \
	rm -rf pip pip-*.dist-info setuptools setuptools-*.dist-info pkg_resources _distutils_hack; \
	du -sm -- */ | sort -rn | head -8; \
	total=$$(du -sm . | cut -f1); echo "core install: $$total MB on disk (at most 350)"; test "$$total" -le 350

import-time: $(VENV)/.core ## seconds that `import minibert` takes, best of five
	@for i in 1 2 3 4 5; do \
	  $(PY) -c 'import time; t = time.perf_counter(); import minibert; print(f"{time.perf_counter() - t:.3f}")'; \
	done | sort -n | awk 'NR == 1 {print "import minibert: " $$1 " s (best of five)"}'

clean: ## remove the environments, builds and caches
	rm -rf $(VENV) $(ORACLE_VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- set-up: one stamp file for each thing installed, redone when pyproject.toml changes ----------------------------

define new_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "minibert needs Python 3.11 or newer, and \`$(PYTHON)\` is not: install one and say make PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(@D) || { echo "$(PYTHON) cannot create an environment: install its venv module (python3-venv)" >&2; exit 2; }
	@touch $@
endef

$(VENV)/.created:
	$(new_venv)

$(ORACLE_VENV)/.created:
	$(new_venv)

$(VENV)/.core: pyproject.toml hatch_build.py | $(VENV)/.created
	@echo "installing minibert into $(VENV)"
	@$(PY) $(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	@echo "installing what the tests need into $(VENV)"
	@$(PY) $(PIP_INSTALL) -e '.[test]'
	@touch $@

$(VENV)/.nvrtc: $(VENV)/.test
	@echo "installing NVIDIA's compiler into $(VENV)"
	@$(PY) $(PIP_INSTALL) -e '.[test,nvrtc]'
	@touch $@

$(VENV)/.lint: $(VENV)/.core
	@echo "installing ruff and mypy into $(VENV)"
	@$(PY) $(PIP_INSTALL) -e '.[lint]'
	@touch $@

$(ORACLE_VENV)/.oracle: pyproject.toml hatch_build.py | $(ORACLE_VENV)/.created
	@echo "installing $(TORCH) and the other oracles into $(ORACLE_VENV)"
	@$(ORACLE_VENV)/bin/python $(PIP_INSTALL) $(TORCH) -e '.[test,oracle]'
	@touch $@

.PHONY: help demo test lint types oracle oracle-explicit bounds budget doubling interrupts kills cache-matrix memory save-kills fuzz notebooks wheel size import-time clean

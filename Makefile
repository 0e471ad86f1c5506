# `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

# A machine without an NVIDIA GPU takes the CPU build of torch, which spares gigabytes of CUDA packages.
# Another place for wheels: make demo TORCH_INDEX=URL
ifeq ($(shell command -v nvidia-smi 2>/dev/null),)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_BUILD := torch==$(TORCH)+cpu
else
TORCH_BUILD := torch==$(TORCH)
endif

.PHONY: demo test check format lint types imports docs site screenshots acceptance bench sites wheels lowest install install-dev clean

demo: install
	$(BIN)/runner prepare configs/demo.yaml
	$(BIN)/runner submit configs/demo.yaml --wait
	$(BIN)/analysis summarize demo

# Two at a time: those of Slurm, which mostly wait for it, beside the others.
test: install-dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# While working: everything that needs no Slurm and takes no longer than a few minutes.
check: format lint types imports
	$(BIN)/python -m pytest -q -m "not slurm and not slow"

format: install-dev
	$(BIN)/ruff format --check .

lint: install-dev
	$(BIN)/ruff check .

types: install-dev
	$(BIN)/mypy

imports: install-dev
	$(BIN)/lint-imports

# What takes longer than tests may: the demo from a clean clone, every command of the docs, a thousand wrong files.
acceptance: install-dev
	ACCEPTANCE=1 $(BIN)/python -m pytest tests/acceptance -v -p no:cacheprovider

# Pages and tables that are written from the code and from what was measured.
docs: install-dev
	$(BIN)/python -m docs.generate

# docs/ as a searchable site in build/site; a broken link or a page that the navigation lacks is an error.
site: | $(BIN)/python
	$(INSTALL) -e '.[docs]'
	$(BIN)/python -m docs.generate.site_pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Pictures of five reports for docs/pictures.md; needs Chromium, and trains for half an hour.
screenshots: install-dev
	$(BIN)/python benchmarks/screenshots.py

# One script a question; the results go to benchmarks/results/cpu.json and from there into docs/performance.md.
bench: install-dev
	$(BIN)/python -m benchmarks; status=$$?; $(BIN)/python -m benchmarks.performance && exit $$status

# The Slurm tests on Debian 12, 13 and 14, as root; the root directories are made once and kept in SITES_ROOT.
sites:
	$(PYTHON) -m tests.sites $(if $(SITES_ROOT),--root $(SITES_ROOT))

# The wheel without extras in an empty environment of each of PYTHONS; those of pyenv unless it names others.
PYTHONS ?= $(wildcard $(HOME)/.pyenv/versions/3.1[1-4].*/bin/python)
wheels:
	$(PYTHON) -m tests.wheels $(PYTHONS)

# The lowest versions that setup.cfg allows, without torch, in an environment of their own.
LOWEST := $(VENV)-lowest
lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip compile --quiet --no-header --resolution lowest-direct --extra parquet setup.cfg -o $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST) -r $(LOWEST)/lowest.txt -e . \
	  pytest pytest-timeout pytest-xdist hypothesis jsonschema psutil import-linter
	$(LOWEST)/bin/python -m pytest -q -m "not slurm and not slow and not torch"

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) and "array-runner is tested with Python 3.11 to 3.14; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# torch first: wheels that pip was told of (PIP_FIND_LINKS) are preferred, then the index of its CPU builds
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "installing into $(VENV); a few minutes the first time"
	$(PIP) install --quiet --disable-pip-version-check --no-deps --no-index $(TORCH_BUILD) 2>/dev/null || \
	  $(PIP) install --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH_BUILD)
	@touch $@

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/.torch
	$(INSTALL) -e '.[crystal]'
	@touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/.installed
	$(INSTALL) -e '.[crystal,sentiment,dgl,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

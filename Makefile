# `make lab` opens the course, `make test` tests it. Both set up .venv on the first call and reuse it afterwards.
PYTHON ?= python3
WORKERS ?= 2
ROOMS := $(addprefix tests/,worlds networks algorithms exact runs figures tables)
BIN := .venv/bin

.PHONY: lab course book test lowest install bench outputs measured

lab: install           ## JupyterLab on the first lesson
	$(BIN)/invtutor lab --in-place

course: install        ## every lesson headless: one line each, then methods × accuracy
	$(BIN)/invtutor course --out results/course --workers $(WORKERS)

book: install          ## the course as a static site, with sliders that need no kernel
	$(BIN)/invtutor book --out results/book

test: install          ## style, types, the library, every notebook under nbval, papermill and, if installed, Chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check invtutor tests conftest.py
	$(BIN)/mypy
	INVTUTOR_PROFILE=smoke $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --nbval-lax tests/course/test_claims_first.py tests/course/test_claims_last.py tests notebooks

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@echo "Installing the course into .venv: up to some GB are downloaded, which may take from two to twenty minutes."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv || { \
	  echo "Cannot make .venv. On Debian and Ubuntu: sudo apt install python3-venv, then make again."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

lowest: .venv-lowest/.installed  ## the library's tests with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/python -m pytest -n $(WORKERS) -p no:cacheprovider -m "not long" $(ROOMS)

.venv-lowest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-lowest
	grep -oE '"[a-z_-]+(\[[a-z]+\])?>=[0-9.]+' pyproject.toml | sed -E 's/"//; s/\[.*\]//; s/>=/==/' | sort -u > .venv-lowest/bounds.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-lowest/bounds.txt --editable ".[test]"
	touch $@

bench: install         ## how fast it is on this machine
	$(BIN)/python tests/bench.py

outputs: install       ## run every lesson and store what it printed in it
	$(BIN)/invtutor refresh

measured: install      ## run what the tables of lesson 08 lack, and pack it with what comes with the course
	$(BIN)/invtutor reproduce --out invtutor/tables/measured/quick
	$(BIN)/python -c "from invtutor.tables import MEASURED, Store; Store(MEASURED).pack()"

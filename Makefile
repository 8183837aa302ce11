# `make demo` and `make test` do everything, from a fresh clone.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
TASK ?= semantic_segmentation
LIBRARY_TESTS := tests/layers tests/losses tests/metrics

.PHONY: demo docs test test-install test-jax test-torch test-slow lint format clean

demo: $(VENV)/installed
	$(BIN)/python -m applications $(TASK) train --name demo --epochs 16

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The library alone, on the other backends of Keras; compilers of theirs keep
# one core busy, so that two processes take half the time.
test-jax test-torch: test-%: $(VENV)/installed-%
	KERAS_BACKEND=$* $(BIN)/python -m pytest -n 2 $(LIBRARY_TESTS)

# The wheel, in an empty virtual environment with a backend of Keras.
test-install: $(VENV)/installed
	$(BIN)/python -m pytest -m install tests/test_install.py

# The site, in build/site; a warning, such as a dead link, is an error.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV)

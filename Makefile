PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint typecheck bench clean

demo: .venv/installed ## the whole job on data made from a seed
	$(BIN)/siamese demo

test: .venv/installed-test lint typecheck
	$(BIN)/python -m pytest

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: .venv/installed-test
	$(BIN)/mypy

bench: .venv/installed-test ## figures on the public benchmarks of ../shared/data
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/whole_tables.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,transformer]'
	touch $@

clean:
	rm -rf .venv demo build *.egg-info

PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # where it is set, every process would compile all that it imports: 17 s a test worker

.PHONY: demo test pytest test-slow lint typecheck walk-through bench bench-accuracy bench-clusters bench-few-labels bench-labelling bench-peers bench-queries bench-speed soak faults clean

demo: .venv/installed ## the whole job on data made from a seed
	$(BIN)/siamese demo

test: .venv/installed-test ## all that must pass: the types are checked while the tests run
	$(MAKE) --jobs lint typecheck pytest

pytest: .venv/installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-slow: .venv/installed-test ## what takes long: whole runs on the public benchmarks, in a browser
	$(BIN)/python -m pytest -m slow

walk-through: .venv/installed-test ## a public corpus from no labels to a deduplicated one: 100 answers on the page, in a browser
	rm -rf walk-through
	$(BIN)/python benchmarks/walk_through.py --out walk-through

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: .venv/installed-test
	$(BIN)/mypy

bench: bench-accuracy bench-clusters bench-few-labels bench-peers ## figures on the public benchmarks of ../shared/data
	$(BIN)/python benchmarks/verifier_speed.py
	$(BIN)/python benchmarks/whole_tables.py

bench-accuracy: .venv/installed-bench ## test F1 beside published matchers: half an hour on two cores
	$(BIN)/python benchmarks/accuracy.py --out benchmarks/results

bench-clusters: .venv/installed-bench ## B-cubed F1 of clusters beside plain components
	$(BIN)/python benchmarks/clusters.py --seeds 2 --out benchmarks/results

bench-few-labels: .venv/installed-bench ## test F1 against the number of labelled pairs
	$(BIN)/python benchmarks/few_labels.py --out benchmarks/results

bench-labelling: .venv/installed-bench ## F1 against the number of answers: an hour on two cores
	$(BIN)/python benchmarks/labelling.py --out benchmarks/results

bench-peers: .venv/installed-bench ## Splink on whole tables: five minutes on two cores
	$(BIN)/python benchmarks/peers.py --out benchmarks/results

bench-queries: .venv/installed-bench ## one record, a batch and a whole process against 100,000 records
	$(BIN)/python benchmarks/queries.py --out benchmarks/results

bench-speed: .venv/installed-bench ## speed and scale beside peers, up to a million records: hours
	$(BIN)/python benchmarks/speed.py peers growth embedding join recall updates startup --million --out benchmarks/results

soak: .venv/installed-test ## a scripted week of nightly runs, one drifted, one killed
	$(BIN)/python benchmarks/soak.py --out benchmarks/results

faults: .venv/installed-test ## faults injected and inputs fuzzed: twenty minutes, as root
	unshare --mount $(BIN)/python benchmarks/faults.py --out benchmarks/results

.venv/installed-test: EXTRAS = [test,transformer]
.venv/installed-bench: EXTRAS = [test,transformer,bench]
.venv/installed .venv/installed-test .venv/installed-bench: pyproject.toml constraints.txt | .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.$(EXTRAS)'
	touch $@

.venv:
	$(PYTHON) -m venv --upgrade-deps $@  # the pip that comes with Python 3.11 takes twice as long

clean:
	rm -rf .venv demo walk-through build *.egg-info

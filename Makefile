# Every target makes .venv first when it is missing or older than what it is made from.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
# Together they cover what tests/complete.py demands; all others run untraced, which took 1.6 times
# the CPU on tests/world and 1.2 times on tests/stats/test_sequential.py.
COMPLETE := tests/ops tests/losses tests/recipe tests/test_config.py tests/test_run.py
FAST := OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n $(JOBS) --dist loadfile

.PHONY: demo test test-slow lint format docs bench

demo: .venv/made ## The main job: the whole loop on the embedded world, with a report.
	$(BIN)/heed run quickstart --out runs/demo

test: .venv/made ## The fast tests, by files over JOBS processes of one thread: their models are too small for more.
	$(FAST) $(COMPLETE) --cov --cov-report=term:skip-covered --cov-report=json:.coverage.json
	$(BIN)/python tests/complete.py .coverage.json
	$(FAST) $(COMPLETE:%=--ignore=%)

test-slow: .venv/made ## Learning and fault tests, minutes each, by files over JOBS processes too.
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n $(JOBS) --dist loadfile

lint: .venv/made ## Style, types, floors.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/made ## Rewrite files in the house's style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/made ## The documentation's site, in site/; a warning is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo site/index.html

bench: .venv/made ## Heed beside its peers: ratios, memory, and the figures of docs/performance.md, in bench-results/.
	$(BIN)/python -m benchmarks.bench --out bench-results

.venv/made: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

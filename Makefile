# Two commands: `make demo` and `make test`. Each sets up what it needs, and is quick the second time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Each worker starts with its share of the files in their order, and one that is done takes tests
# from the end of another's.
WORKERS ?= --numprocesses=auto --dist=worksteal
export TF_CPP_MIN_LOG_LEVEL = 3
# As many test processes as processors: more threads in each would wait for one another.
export OPENBLAS_NUM_THREADS = 1
# What many processes import is compiled once, also where the environment forbids Python to keep it.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test fast guard guard-record faults evidence lint types wheel docs clean

$(VENV)/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## 64 real digits, changed as little as has them classified as random others: a table and a picture
	$(BIN)/itf-attack --model=mnist/fc100-100-10 --data=sample --number=64 --output=demo --overwrite

test: $(VENV)/.dev  ## every test
	$(BIN)/python -m pytest $(WORKERS) --durations=25

fast: $(VENV)/.dev  ## the tests that take moments
	$(BIN)/python -m pytest $(WORKERS) -m 'not slow' --durations=25

guard: $(VENV)/.dev  ## everything that was recorded of attacks, bounds, sweeps and training is still so
	GUARD=all $(BIN)/python -m pytest --timeout=0 -o faulthandler_timeout=0 tests/guard

guard-record: $(VENV)/.dev  ## records again, for a change that is meant to alter results
	$(BIN)/python tests/guard/record.py

faults: $(VENV)/.dev  ## 100 kills, 1 000 bad inputs per function, 2 000 changed files per kind; takes hours
	$(BIN)/python benchmarks/faults.py

evidence: $(VENV)/.dev  ## every figure of the documents, measured again where code or versions changed; hours
	$(BIN)/python benchmarks/evidence.py $(EVIDENCE)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

wheel: $(VENV)/.dev  ## dist/*.whl and dist/*.tar.gz
	$(BIN)/python -m build --outdir dist

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

docs: $(VENV)/.docs  ## the documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf build dist demo site *.egg-info .mypy_cache .pytest_cache .ruff_cache

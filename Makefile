# Each target sets up all it needs in .venv, so both run on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint types check bench clean

demo: $(STAMP)  ## about 10 minutes on 2 cores; goes on where it stopped
	$(BIN)/dirtypixels study recipes/demo.yaml -o out/demo

# A file's tests stay in one process, since they share what is costly to make.
test: lint types $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks.unit_speed

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,weights,bm3d,deepinv,calibrate]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) out

# The only list of commands. Everything they need is installed from the lock file into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
SEED ?= 1
READY := $(VENV)/.ready

.PHONY: demo test test-system test-parts unit soak lint types imports bench golden clean setup

demo: setup  ## the demo call through everything, live in the terminal and on the agent page
	@$(BIN)/trunkline demo $(ARGS)

test: setup lint types imports  ## everything CI runs: real broker, stores and browser included
	$(MAKE) --jobs 2 --output-sync=target test-system test-parts

test-system: setup unit  ## whole commands, as a user types them
	$(BIN)/python -m pytest -m system --durations 10

test-parts: setup  ## engines, stores, gateway and page, each with the real thing
	$(BIN)/python -m pytest -m "not unit and not system" --durations 10

unit: setup  ## no network, about two minutes
	$(BIN)/python -m pytest -m unit

soak: setup  ## what is too long for test; writes reports to bench/results
	$(BIN)/python -m bench kills --seed $(SEED)
	$(BIN)/python -m bench crash --seed $(SEED)
	$(BIN)/python -m bench latency
	$(BIN)/python -m bench failover --seed $(SEED)
	$(BIN)/python -m bench asr --seed $(SEED)
	$(BIN)/python -m bench growth --seed $(SEED)
	$(BIN)/python -m bench memory --seed $(SEED)
	$(BIN)/python -m bench vad --seed $(SEED)
	$(BIN)/python -m bench wer --seed $(SEED)
	$(BIN)/python -m tests.simulation.crashes --seeds 100000
	TRUNKLINE_EXAMPLES=2000 $(BIN)/python -m pytest tests/simulation/test_whole.py
	TRUNKLINE_EXAMPLES=4000 $(BIN)/python -m pytest tests/connectors/kvs/test_contact.py -k schedule
	TRUNKLINE_EXAMPLES=200 $(BIN)/python -m pytest tests/connectors/kvs/test_reading.py -k drawn
	SOAK=1 $(BIN)/python -m pytest tests/system/test_capture.py
	SOAK=1 $(BIN)/python -m pytest tests/connectors/deepgram/test_cuts.py
	SOAK=1 $(BIN)/python -m pytest tests/pipeline/engines/test_supervised.py -k zombie
	SOAK=1 $(BIN)/python -m pytest tests/pipeline/engines/test_canaries.py
	SOAK=1 $(BIN)/python -m pytest tests/system/test_call.py -k recorded
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group soak
	$(BIN)/python -m tests.connectors.kvs.fuzz --seconds 600

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

bench: setup  ## lists the benchmarks; ARGS names one
	$(BIN)/python -m bench $(ARGS)

golden: setup  ## rewrites the golden files; read the diff as code
	TRUNKLINE_GOLDEN=1 $(BIN)/python -m pytest -m unit

clean:
	rm -rf $(VENV) .kafka .trunkline .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is missing: install it or set PYTHON" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

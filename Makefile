# `make demo` and `make test` set up what they need; nothing else is wanted but python3 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?=
SIZE ?= full
BENCHES := bench-ingest bench-purge bench-pipeline bench-learning bench-learning-speed bench-gate bench-redaction \
           bench-canaries bench-assignment bench-ope bench-metrics bench-startup

.PHONY: help setup demo test faults lint format lock clean bench bench-full $(BENCHES)

help:  ## Say what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(READY)  ## Create .venv with the locked requirements.

$(READY): requirements.txt pyproject.toml
	@echo "Setting up $(VENV); the first time takes a few minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

demo: $(READY)  ## Run the whole loop; DATA=decisions.csv replays real decisions.
	$(BIN)/smartmatch demo $(if $(DATA),--data "$(DATA)")

test: $(READY)  ## Pass the tests, on SQLite and on PostgreSQL.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

faults: $(READY)  ## Break every promise, in full: kills, fills, cuts; about half an hour.
	rm -f build/faults.json
	alone=0; $(BIN)/python -m pytest tests/faults/test_overload.py --campaign || alone=1; \
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder tests/faults --campaign \
		--ignore tests/faults/test_overload.py && exit $$alone

lint: $(READY)  ## Check format, style and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

format: $(READY)  ## Format the code.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# A requirement with extras stands a second time without them: pip before 23.3 would otherwise
# look for the bare one outside the lock.
lock: $(READY)  ## Make requirements.txt anew from pyproject.toml.
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --universal --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--no-strip-extras --no-annotate --quiet --output-file requirements.lock
	awk '{ if ($$0 !~ /^ /) { printf "%s", plain; plain = ""; extra = ($$0 ~ /^[^ ]*\[/) } \
		print; if (extra) { line = $$0; sub(/\[[^]]*\]/, "", line); plain = plain line "\n" } } \
		END { printf "%s", plain }' requirements.lock > requirements.txt
	rm requirements.lock

# One after the other, whatever -j says: they measure.
bench: $(READY)  ## Run every benchmark small, about ten minutes; into benchmarks/results.
	set -e; for one in $(BENCHES); do $(MAKE) $$one SIZE=small; done

bench-full: $(READY)  ## Run every benchmark at size; an hour or more.
	set -e; for one in $(BENCHES); do $(MAKE) $$one SIZE=full; done

bench-ingest: $(READY)  ## Measure the endpoint beside its peers, its limits and a flood.
	$(BIN)/python -m benchmarks.ingest --size $(SIZE)
	$(BIN)/python -m benchmarks.ingest_overload --size $(SIZE)

bench-purge: $(READY)  ## Measure a writer alone and beside a purge.
	$(BIN)/python -m benchmarks.purge --size $(SIZE)

bench-pipeline: $(READY)  ## Measure the flow from staged to committed.
	$(BIN)/python -m benchmarks.pipeline --size $(SIZE)
	$(BIN)/python -m benchmarks.dask_workers --size $(SIZE)

bench-learning: $(READY)  ## Measure the regret of learned matching in the simulated market.
	$(BIN)/python -m benchmarks.learning --size $(SIZE)

bench-learning-speed: $(READY)  ## Measure CPU time of retraining, updating and scoring.
	$(BIN)/python -m benchmarks.learning_speed --size $(SIZE)

bench-gate: $(READY)  ## Judge 1,000 worse or poisoned challengers; none may be promoted.
	$(BIN)/python -m benchmarks.gate --size $(SIZE)

bench-redaction: $(READY)  ## Measure recall and precision of the redaction.
	$(BIN)/python -m benchmarks.redaction --size $(SIZE)

bench-canaries: $(READY)  ## Plant personal data through every route and flow, and look for it in every byte.
	$(BIN)/python -m benchmarks.canaries --size $(SIZE)

bench-assignment: $(READY)  ## Measure the assignment beside scipy's own.
	$(BIN)/python -m benchmarks.assignment --size $(SIZE)

bench-ope: $(READY)  ## Measure how often off-policy intervals cover the truth.
	$(BIN)/python -m benchmarks.ope_coverage --size $(SIZE)

bench-metrics: $(READY)  ## Measure each metric route beside few events and beside many.
	$(BIN)/python -m benchmarks.metrics --size $(SIZE)

bench-startup: $(READY)  ## Measure the CPU time until the server, the command line and the client are ready.
	$(BIN)/python -m benchmarks.startup --size $(SIZE)

clean:  ## Remove the environment and the caches; data and models stay.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

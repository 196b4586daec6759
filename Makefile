# What people type: `make run`, `make test`. Everything lives in .venv and .cache of this folder.

PYTHON ?= python3
BIN := .venv/bin
ACTIVE := .venv/.installed
LOCK := requirements.lock
# for servers: the same versions, without what development needs
RUNTIME_LOCK := requirements.runtime.lock
COMPILE = env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile \
  --quiet --generate-hashes --allow-unsafe --strip-extras \
  --no-emit-index-url --no-emit-find-links --no-emit-options --no-emit-trusted-host
# promtool; a real systemd and its analysers; libraries of the PostgreSQL wheels; stock restore tools; faults
TEST_PACKAGES := prometheus systemd systemd-sysv util-linux passwd iproute2 procps libssl3 libzstd1 liblz4-1 libgssapi-krb5-2 libxml2 libpq5 \
  sqlite3 strace git zstd xfsprogs

BENCH_PACKAGES := sqlite3 util-linux libssl3 libzstd1 liblz4-1 libgssapi-krb5-2 libxml2
# borgmatic has dependencies of its own, so an environment of its own
PEERS_LOCK := requirements.peers.lock
PEERS := .cache/bench/peers

.PHONY: run test check unit fuzz roundtrip regression bench bench-quick bench-peers bench-document lock wheel schema reference clean

run: $(ACTIVE)
	$(BIN)/amanat demo

test: $(ACTIVE)
	tools/system-packages.sh $(TEST_PACKAGES)
	$(BIN)/python -m tests.support.postgres fetch
	$(BIN)/python -m pytest -n 2

check: $(ACTIVE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(ACTIVE)
	$(BIN)/python -m pytest -n 2 -m "not slow" tests/unit tests/property

# longer than a commit can wait: CONTRIBUTING
MINUTES ?= 60
CASES ?= 400

fuzz: $(ACTIVE)
	for target in archive-reader archive-merge archive-roundtrip sqlite-source; do \
	  nice $(BIN)/python -m tests.fuzz $$target --minutes $(MINUTES) || exit 1; done

roundtrip: $(ACTIVE)
	AMANAT_ROUNDTRIP_CASES=$(CASES) nice $(BIN)/python -m pytest -q tests/property/test_roundtrip_postgresql.py

# SOURCE: trees of PostgreSQL's source; MAJOR: the server's, if not theirs
regression: $(ACTIVE)
	$(BIN)/python -m tests.regression $(SOURCE) $(if $(MAJOR),--major $(MAJOR))

# documentation/performance.md
bench bench-quick: $(ACTIVE)
	tools/system-packages.sh $(BENCH_PACKAGES)
	$(BIN)/python -m benchmarks run $(if $(filter bench-quick,$@),--quick)

# a peer that cannot be installed is named by the run, with its reason
bench-peers: $(ACTIVE)
	tools/system-packages.sh $(BENCH_PACKAGES)
	-tools/system-packages.sh borgbackup restic pgbackrest zstd
	-$(MAKE) $(PEERS)/.installed
	$(BIN)/python -m benchmarks peers

bench-document: $(ACTIVE)
	$(BIN)/python -m benchmarks document

lock: $(ACTIVE)
	$(COMPILE) --extra dev --output-file $(LOCK) pyproject.toml
	$(COMPILE) --constraint $(LOCK) --output-file $(RUNTIME_LOCK) pyproject.toml
	$(COMPILE) --output-file $(PEERS_LOCK) benchmarks/peers.in

wheel: $(ACTIVE)
	$(BIN)/python -m build --wheel --no-isolation

schema: $(ACTIVE)
	$(BIN)/amanat config schema > config/policies.schema.json

reference: $(ACTIVE)
	$(BIN)/python tools/reference.py

$(ACTIVE): pyproject.toml $(LOCK) tools/environment.sh
	tools/environment.sh $(PYTHON)
	touch $@

$(PEERS)/.installed: $(PEERS_LOCK)
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(PEERS_LOCK)
	touch $@

clean:
	rm -rf .venv .cache .amanat demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

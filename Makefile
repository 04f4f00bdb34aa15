# One recipe for each thing a person does here. `make` lists them.

SHELL := /bin/bash
STEPS := setup format build lint licences generated unit oracle golden cluster

.PHONY: help run-example test release bench fmt $(STEPS)

help:
	@echo 'make run-example   run the headline example on this machine, on the small logs in the repository'
	@echo 'make test          all checks and tests'
	@echo 'make STEP          one step of it: $(STEPS)'
	@echo 'make fmt           format the Rust code'
	@echo 'make release       the release build of the commands'
	@echo 'make bench         TPC-H at scale 1 with Firesteel, Spark, Sail and DuckDB'

run-example:
	@tools/run-example

test:
	@tools/test

# The ladder, from the fastest rung to the slowest; each builds what it needs.
$(STEPS):
	@tools/test $@

fmt:
	@. tools/env.sh && cargo fmt --all

release:
	@tools/setup && . tools/env.sh && cargo build --locked --release --workspace --bin firesteel --bin firesteel-operator

bench: release
	@. tools/env.sh && bench/tpch/run --scale 1

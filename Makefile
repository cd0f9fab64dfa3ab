# The commands of this project; `make` lists them. `make demo` and `make test` install what they lack and never ask.
#
# Everything is built in one profile, release, and for the whole workspace, so that features unify the same way each
# time: wasmtime compiles once, and `make test` takes it over from `make demo`. Cargo's `-p` or a debug build would
# compile it again.

export CARGO_TARGET_DIR := $(CURDIR)/target
export PATH := $(PATH):$(HOME)/.cargo/bin

say := @printf '\n== %s\n'

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo build guests test test-redis check fmt-check clippy doc no-std unit bench-smoke bench peers chaos fuzz api-fuzz audit \
	fmt clean setup-build setup-test setup-bench setup-peers setup-fuzz setup-api

help: ## lists the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-build build guests ## builds all, shows real functions, the fuse, and worker processes
	$(say) "Running the demo"
	target/release/fusebox demo

build: setup-build ## builds target/release/fusebox
	$(say) "Building Fusebox (the first time about 10 minutes on two cores, most of it wasmtime)"
	cargo build --release --workspace --bin fusebox

guests: setup-build ## builds the example functions into target/guests
	@scripts/guests.sh

test: setup-test build guests check no-std unit bench-smoke ## runs every check and every test
	$(say) "All checks and tests passed"

check: setup-test fmt-check clippy doc ## checks format, lints and documentation

fmt-check:
	$(say) "Checking the format"
	cargo fmt --all --check

clippy:
	$(say) "Checking lints (the first time about 3 minutes: the dependencies are checked, not compiled)"
	cargo clippy --release --workspace --all-targets -- -D warnings

doc:
	$(say) "Checking documentation (about a minute)"
	RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps

no-std:
	$(say) "Checking that fusebox-core needs no operating system"
	@if rustc=$$(scripts/wasm-targets.sh wasm32v1-none); then \
		RUSTC=$$rustc cargo check --release -p fusebox-core --target wasm32v1-none; \
	else echo '!! NOT CHECKED: the target wasm32v1-none cannot be had here'; fi

unit:
	$(say) "Running the tests (about 5 minutes the first time, mostly compiling)"
	cargo test --release --workspace

test-redis: setup-test ## runs the tests of the store in Redis on another server: REDIS=/path/to/valkey-server
	$(say) "Running the tests of the store in Redis on $(REDIS)"
	FUSEBOX_TEST_REDIS=$(REDIS) cargo test --release --workspace --lib store::redis

bench-smoke:
	$(say) "Running each bench once, to see that it works"
	cargo bench --workspace --bench store --bench sandbox --bench host_calls -- --smoke
	cargo bench --workspace --bench micro -- --test
	@if python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then python3 benches/peers/tests.py; \
	else echo '!! NOT CHECKED: benches/peers, which need Python 3.10'; fi
	target/release/fusebox bench --smoke --allow-busy

bench: setup-bench build guests ## measures small steps, stores, sandbox, sync invoke, and whole deployments
	$(say) "Measuring (about 15 minutes; a quiet machine gives steadier numbers)"
	cargo bench --workspace --bench micro
	cargo bench --workspace --bench store --bench sandbox --bench host_calls --bench invoke
	target/release/fusebox bench --out bench-output

peers: setup-peers build guests ## measures Fusebox beside other queues and hosts (10 minutes; PEERS='--rounds 5')
	$(say) "Building what is measured beside it"
	cargo build --release --workspace --bin axum-echo
	cargo bench --workspace --bench sandbox --no-run
	$(say) "Measuring (a calm machine is needed: its cores are what is shared)"
	@python3 benches/peers/peers.py $(PEERS)

chaos: setup-test build ## kills parts of real clusters 1,000 times, and does 400 other faults (about 45 minutes)
	$(say) "Killing (each mode prints its report; a history that breaks a promise is kept)"
	target/release/fusebox chaos --rounds 340 --tasks 34000 --faults kill
	$(say) "Losing answers and setting clocks, among other faults, on both stores"
	target/release/fusebox chaos --rounds 67 --tasks 6700
	target/release/fusebox chaos --rounds 67 --tasks 6700 --store embedded

fuzz: setup-fuzz ## fuzzes what strangers' bytes meet first, each target for FUZZ_SECONDS (60)
	@scripts/fuzz.sh

api-fuzz: setup-api build ## lets schemathesis at a server of its own, by its OpenAPI document
	@scripts/api-fuzz.sh

audit: ## checks licences, advisories and spelling, where cargo-deny and typos are installed
	@scripts/audit.sh

fmt: ## formats all Rust code
	cargo fmt --all

clean: ## removes everything that was built
	cargo clean

setup-build setup-test setup-bench setup-peers setup-fuzz setup-api:
	@scripts/setup.sh $(@:setup-%=%)

# Commands of the project; `make` lists them. `make demo` and `make test` install missing packages without a prompt.
#
# Everything is built in one profile, release, and for the whole workspace, so that features always unify the same way:
# wasmtime is compiled once, and `make test` reuses it from `make demo`. Cargo's `-p` or a debug build would compile it
# again.

export CARGO_TARGET_DIR := $(CURDIR)/target
export PATH := $(PATH):$(HOME)/.cargo/bin

say := @printf '\n== %s\n'

RUNTIMES ?= javascript python3.11 python3.13

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo build guests test test-redis check fmt-check clippy doc no-std unit sdks compat compat-smoke bench-smoke bench peers chaos fuzz api-fuzz audit \
	fmt clean runtimes test-runtimes setup-build setup-test setup-bench setup-peers setup-compat setup-fuzz setup-api setup-runtimes

help: ## lists these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-build build guests ## builds everything and runs a tour: functions, limits, worker processes
	$(say) "Running the demo"
	target/release/fusebox demo

build: setup-build ## builds target/release/fusebox, with its debug information beside it
	$(say) "Building Fusebox (the first time about 10 minutes on two cores, mostly for wasmtime)"
	cargo build --release --workspace --bin fusebox
	@scripts/strip.sh target/release/fusebox

guests: setup-build ## builds the example functions into target/guests
	@scripts/guests.sh

runtimes: setup-runtimes ## builds the interpreters that run scripts (RUNTIMES="javascript python3.11")
	@scripts/runtimes.sh $(RUNTIMES)

test-runtimes: setup-runtimes
	@scripts/runtimes.sh javascript python3.11

test: setup-test build guests test-runtimes check no-std unit sdks compat-smoke bench-smoke ## runs every check and every test
	@scripts/strip.sh target/release/fusebox
	$(say) "All checks and tests passed"

check: setup-test fmt-check clippy doc ## checks format, lints and documentation

fmt-check:
	$(say) "Checking the format"
	cargo fmt --all --check

clippy:
	$(say) "Checking lints (the first time about 3 minutes: the dependencies are checked, not compiled)"
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo clippy --release --workspace --no-default-features -- -D warnings

doc:
	$(say) "Checking documentation (about a minute)"
	RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps

no-std:
	$(say) "Checking that fusebox-core needs no operating system"
	@if rustc=$$(scripts/wasm-targets.sh wasm32v1-none); then \
		RUSTC=$$rustc cargo check --release -p fusebox-core --target wasm32v1-none; \
	else echo '!! NOT CHECKED: the target wasm32v1-none is not available here'; fi

unit:
	$(say) "Running the tests (about 5 minutes the first time, mostly compiling)"
	cargo test --release --workspace

sdks:
	$(say) "Running the tests of the SDKs of other languages"
	@if command -v go >/dev/null; then cd guest-sdk/go && go vet . && go test .; \
	else echo '!! NOT CHECKED: guest-sdk/go, which requires Go 1.21'; fi

test-redis: setup-test ## runs the tests of the Redis store on another server: REDIS=/path/to/valkey-server
	$(say) "Running the tests of the Redis store on $(REDIS)"
	FUSEBOX_TEST_REDIS=$(REDIS) cargo test --release --workspace --lib redis::

compat-smoke:
	$(say) "Checking the comparison with public modules, on an example"
	@if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then python3 tests/compat/tests.py; \
	else echo '!! NOT CHECKED: tests/compat, which requires Python 3.11'; fi

bench-smoke:
	$(say) "Running each benchmark briefly, to check that it works"
	cargo bench --workspace --bench store --bench sandbox --bench kinds --bench host_calls -- --smoke
	cargo bench --workspace --bench micro -- --test
	@if python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then python3 benches/peers/tests.py; \
	else echo '!! NOT CHECKED: benches/peers, which requires Python 3.10'; fi
	target/release/fusebox bench --smoke --allow-busy

bench: setup-bench build guests ## measures small steps, stores, sandbox, sync invokes and deployments
	$(say) "Measuring (about 15 minutes; an idle machine gives steadier figures)"
	cargo bench --workspace --bench micro
	cargo bench --workspace --bench store --bench sandbox --bench kinds --bench host_calls --bench invoke
	target/release/fusebox bench --out bench-output

peers: setup-peers build guests ## measures Fusebox beside other queues and hosts (10 minutes; PEERS='--rounds 5')
	$(say) "Building the reference programs"
	cargo build --release --workspace --bin axum-echo
	cargo bench --workspace --bench sandbox --bench kinds --no-run
	$(say) "Measuring (requires an idle machine)"
	@python3 benches/peers/peers.py $(PEERS)

compat: setup-compat build guests ## runs some sixty public modules from PyPI, npm and crates.io (about 30 minutes; COMPAT='--only go', COMPAT=--modes)
	$(say) "Running public modules (downloads about 600 MB the first time)"
	@python3 tests/compat/compat.py $(COMPAT)

chaos: setup-test build ## kills parts of real clusters 1,000 times, with 800 other faults (about 70 minutes)
	$(say) "Killing (each mode prints a report; a history that breaks a guarantee is kept)"
	target/release/fusebox chaos --rounds 340 --tasks 34000 --faults kill
	$(say) "Injecting all kinds of faults, on both stores"
	target/release/fusebox chaos --rounds 134 --tasks 13400
	target/release/fusebox chaos --rounds 134 --tasks 13400 --store embedded
	$(say) "Cutting the power of an embedded store at every flush"
	FUSEBOX_CUTS=200 cargo test --release --workspace --lib tests::cuts::what

fuzz: setup-fuzz ## fuzzes the first consumers of untrusted bytes, each for FUZZ_SECONDS (60)
	@scripts/fuzz.sh

api-fuzz: setup-api build ## runs schemathesis against a private server and its OpenAPI document
	@scripts/api-fuzz.sh

audit: ## checks licences, advisories and spelling, with cargo-deny and typos
	@scripts/audit.sh

fmt: ## formats all Rust code
	cargo fmt --all

clean: ## removes all build products
	cargo clean

setup-build setup-test setup-bench setup-peers setup-compat setup-fuzz setup-api setup-runtimes:
	@scripts/setup.sh $(@:setup-%=%)

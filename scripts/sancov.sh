#!/bin/sh
# Compiles the crates that are fuzzed so that libFuzzer sees which of their branches ran: cargo calls this instead of
# rustc for this workspace's crates (RUSTC_WORKSPACE_WRAPPER), so dependencies, wasmtime above all, stay as they are.
# The flags are those of cargo-fuzz without a sanitizer; the stable compiler knows them.
rustc=$1
shift
case " $* " in
*" --crate-name fusebox_core "* | *" --crate-name fusebox_sandbox "* | *" --crate-name fusebox "*"--crate-type lib "* | \
    *" --crate-name fusebox_fuzz "* | *" --crate-name fuzz_"*) ;;
*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing

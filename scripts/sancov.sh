#!/bin/sh
# Instruments the fuzzed crates for libFuzzer's branch coverage. Cargo calls this script in place of rustc for the crates
# of this workspace (RUSTC_WORKSPACE_WRAPPER), so dependencies such as wasmtime are not rebuilt. The flags are those of
# cargo-fuzz without a sanitizer; the stable compiler supports them.
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

#!/bin/sh
# Fuzzes the first consumers of untrusted bytes: all targets or the given ones, each for FUZZ_SECONDS (60).
# Findings are written to target/fuzz/TARGET/found; tests/fuzz/README.md describes how to handle them.
# Usage: scripts/fuzz.sh [TARGET...]
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

targets=${*:-wire module api imports artifact pickle}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
seconds=${FUZZ_SECONDS:-60}

say "Building the seeds and the compile child"
cargo build --release --workspace --bin fuzz-seeds --bin fuzz-compile-child
"$target_dir/release/fuzz-seeds" "$target_dir/fuzz-seeds"

say "Building the targets (the first time some minutes, for libFuzzer and a part of wasmtime)"
bins=
for target in $targets; do bins="$bins --bin fuzz-$target"; done
# shellcheck disable=SC2086 # words
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/sancov.sh \
    cargo build --release --workspace --features fusebox-fuzz/libfuzzer $bins

code=0
for target in $targets; do
    say "Fuzzing $target for $seconds s"
    dir=$target_dir/fuzz/$target
    mkdir -p "$dir/corpus" "$dir/found"
    log=$dir/log
    "$target_dir/release/fuzz-$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$dir/found/" "$dir/corpus" "$target_dir/fuzz-seeds/$target" >"$log" 2>&1 || code=1
    grep -hE '^stat::number_of_executed_units|^stat::average_exec|ERROR|SUMMARY|panicked at' "$log" || tail -n 5 "$log"
    grep -E 'cov: [0-9]+' "$log" | tail -n 1
done
if [ $code != 0 ]; then
    warn "A property was violated: copy the files in target/fuzz/*/found to tests/fuzz/regressions/TARGET/, and fix the code."
fi
exit $code

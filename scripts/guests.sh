#!/bin/sh
# Builds the example functions and copies each module to target/guests/NAME.wasm. Where this machine cannot build
# WebAssembly, copies the prebuilt modules of examples/prebuilt instead, and says so.
# Usage: scripts/guests.sh        FUSEBOX_WASM: see wasm-targets.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

build() { # TARGET PACKAGE...
    target=$1
    shift
    # A module names the files of its panics: without the paths of this machine, it is the same on every one.
    # shellcheck disable=SC2046 # a list
    RUSTC=$rustc RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=crates --remap-path-prefix=$PWD=." \
        cargo build --profile guest --target "$target" $(printf -- '-p %s ' "$@")
    for package; do
        built=${CARGO_TARGET_DIR:-target}/$target/guest/$package.wasm
        # Cargo writes a library's name with underscores, a program's as it is.
        [ -e "$built" ] || built=${built%/*}/$(echo "$package" | tr - _).wasm
        cp "$built" "target/guests/$package.wasm"
    done
}

mkdir -p target/guests
code=0
rustc=$(scripts/wasm-targets.sh wasm32-unknown-unknown wasm32-wasip1) || code=$?
if [ $code -eq 0 ]; then
    say "Building the example functions (about a minute the first time)"
    build wasm32-unknown-unknown hello thumbnail markdown counter notify spin-forever eat-memory
    build wasm32-wasip1 word-count
elif [ $code -eq 3 ]; then
    cp examples/prebuilt/*.wasm target/guests/
    warn "NOT BUILT HERE: target/guests has the prebuilt modules of examples/prebuilt, not what examples/ says now."
else
    exit $code
fi

#!/bin/sh
# Builds the example functions and copies each module to target/guests/NAME.wasm. If this machine cannot build
# WebAssembly, copies the modules of examples/prebuilt instead, with a warning.
# Usage: scripts/guests.sh        FUSEBOX_WASM: see wasm-targets.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

build() { # TARGET PACKAGE...
    target=$1
    shift
    # Panic messages contain file names: without this machine's paths, builds are identical on all machines.
    # shellcheck disable=SC2046 # a list
    RUSTC=$rustc RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=crates --remap-path-prefix=$PWD=." \
        cargo build --profile guest --target "$target" $(printf -- '-p %s ' "$@")
    for package; do
        built=${CARGO_TARGET_DIR:-target}/$target/guest/$package.wasm
        # Cargo replaces hyphens by underscores in the file names of libraries only.
        [ -e "$built" ] || built=${built%/*}/$(echo "$package" | tr - _).wasm
        cp "$built" "target/guests/$package.wasm"
    done
}

mkdir -p target/guests
code=0
rustc=$(scripts/wasm-targets.sh wasm32-unknown-unknown wasm32-wasip1) || code=$?
if [ $code -eq 0 ]; then
    say "Building the example functions (about a minute the first time)"
    build wasm32-unknown-unknown hello thumbnail markdown counter notify http-guestbook spin-forever eat-memory
    build wasm32-wasip1 word-count
elif [ $code -eq 3 ]; then
    cp examples/prebuilt/*.wasm target/guests/
    warn "NOT BUILT: target/guests contains the modules of examples/prebuilt, which may differ from the sources in examples/."
else
    exit $code
fi

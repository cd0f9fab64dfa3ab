# Shared by the scripts: messages on stderr, and the check of the Rust version.
# shellcheck shell=sh

PATH=$PATH:${HOME:-}/.cargo/bin

say() { printf '\n== %s\n' "$*" >&2; }
warn() { printf '!! %s\n' "$*" >&2; }

# Oldest supported Rust, from Cargo.toml.
rust_min=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

rust_is_new_enough() { # VERSION
    [ "$(printf '%s\n' "$rust_min" "$1" | sort -V | head -n 1)" = "$rust_min" ]
}

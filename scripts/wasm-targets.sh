#!/bin/sh
# Provides WebAssembly targets and prints the path of a rustc that supports them. Uses the first of these that works:
#   1. the installed Rust, if it has the targets;
#   2. rustup, which adds them;
#   3. Debian's Rust for the web, unpacked into target/wasm-toolchain: no root, nothing installed system-wide.
# Usage: RUSTC=$(scripts/wasm-targets.sh TARGET...)        Exit code 3: none works on this machine.
# FUSEBOX_WASM=rustup allows 1 and 2 only, =debian 3 only, =prebuilt none.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

has_targets() { # RUSTC TARGET...
    lib=$("$1" --print sysroot)/lib/rustlib
    shift
    for target; do ls "$lib/$target/lib/"libcore-*.rlib >/dev/null 2>&1 || return 1; done
}

by_rustup() { # TARGET...
    has_targets rustc "$@" && return
    command -v rustup >/dev/null || return
    say "Adding to Rust by rustup: $*"
    rustup target add "$@" >&2 || warn "rustup could not add them."
    has_targets rustc "$@"
}

prefix=$PWD/target/wasm-toolchain
usr=$prefix/usr

# Debian's packages contain the compiler and the sources of the standard library, but no compiled standard library.
by_debian() { # TARGET...
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return
    [ -x "$prefix/bin/rustc" ] || unpack || return
    for target; do
        has_targets "$prefix/bin/rustc" "$target" || build_std "$target" || return
    done
}

apt() { # apt-get|apt-cache ARGUMENT...; uses private package lists, so that no root is needed
    program=$1
    shift
    "$program" -o "Dir::State::Lists=$prefix/apt/lists" -o "Dir::Cache=$prefix/apt/cache" \
        -o APT::Sandbox::User="$(id -un)" -qq "$@"
}

depends_on() { # PACKAGE PATTERN
    apt apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1
}

unpack() {
    say "Unpacking Debian's Rust for WebAssembly into target/wasm-toolchain (140 MB to download, 1 GB on disk)"
    rm -rf "$prefix"
    mkdir -p "$prefix/apt/lists/partial" "$prefix/apt/cache/archives/partial" "$prefix/debs" "$prefix/bin"
    apt apt-get update >&2 || true # a broken source must not prevent the use of others; missing packages are detected below
    std=$(depends_on libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    llvm=$(depends_on "$std" 'libllvm[0-9]*')
    if [ -z "$std" ] || [ -z "$llvm" ]; then
        warn "apt-get has no rustc-web here."
        return 1
    fi
    rust_is_new_enough "${std#libstd-rust-web-}" || { warn "Debian's rustc-web is ${std##*-}, too old."; return 1; }
    packages="rustc-web $std libstd-rust-web-dev rust-web-src wasi-libc $llvm lld-${llvm#libllvm}"
    # Their dependencies that this machine lacks.
    # shellcheck disable=SC2086 # a list
    more=$(apt apt-get --simulate install --no-install-recommends $packages | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # shellcheck disable=SC2046,SC2086
    (cd "$prefix/debs" && apt apt-get download $(printf '%s\n' $packages $more | sort -u) >&2) || return
    for deb in "$prefix"/debs/*.deb; do dpkg -x "$deb" "$prefix" || return; done

    host=$(rustc -vV | sed -n 's/^host: //p')
    mkdir -p "$usr/lib/rustlib/$host/bin"
    ln -sf "$usr/bin/lld-${llvm#libllvm}" "$usr/lib/rustlib/$host/bin/rust-lld"
    libs=$(echo "$usr"/lib/*-linux-gnu):$usr/lib/llvm-${llvm#libllvm}/lib
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/bin/rustc "$@"\n' "$libs" "$usr" >"$prefix/rustc"
    chmod +x "$prefix/rustc"
    "$prefix/rustc" --version >&2 || return
    rm -rf "$prefix/apt" "$prefix/debs"
    mv "$prefix/rustc" "$prefix/bin/rustc" # last: marks the toolchain as complete
}

build_std() { # TARGET
    say "Building Rust's standard library for $1 (one to three minutes)"
    crates=std,panic_abort,panic_unwind
    case $1 in
    *-none) crates=core,alloc ;;
    *-wasi*)
        mkdir -p "$usr/lib/rustlib/$1/lib/self-contained"
        cp "$usr"/lib/wasm32-wasi/crt1-*.o "$usr/lib/wasm32-wasi/libc.a" "$usr/lib/rustlib/$1/lib/self-contained/"
        ;;
    esac
    # Building an empty crate compiles the standard library; the bitcode allows LTO of modules.
    mkdir -p "$prefix/seed/src"
    echo '#![no_std]' >"$prefix/seed/src/lib.rs"
    printf '[package]\nname = "seed"\nedition = "2024"\n[workspace]\n' >"$prefix/seed/Cargo.toml"
    (cd "$prefix/seed" && RUSTC=$prefix/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
        cargo build --quiet --release -Zbuild-std=$crates --target "$1" --target-dir "$prefix/seed/target" >&2) || return
    mkdir -p "$usr/lib/rustlib/$1/lib"
    cp "$prefix/seed/target/$1/release/deps/"lib*.rlib "$usr/lib/rustlib/$1/lib/"
    rm -rf "$prefix/seed"
}

way=${FUSEBOX_WASM:-any}
case $way in
any | rustup | debian) ;;
prebuilt) exit 3 ;;
*) warn "FUSEBOX_WASM=$way: must be rustup, debian or prebuilt."; exit 2 ;;
esac
if [ "$way" != debian ] && by_rustup "$@"; then
    command -v rustc
elif [ "$way" != rustup ] && by_debian "$@"; then
    echo "$prefix/bin/rustc"
else
    warn "Rust cannot build $* here: neither rustup nor Debian's packages provide it."
    exit 3
fi

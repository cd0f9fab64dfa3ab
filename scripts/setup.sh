#!/bin/sh
# Installs missing packages and prints their names first. Never prompts; quick if nothing is missing.
# Usage: scripts/setup.sh build|test|bench|peers|compat|fuzz|api|runtimes        (WebAssembly targets: wasm-targets.sh)
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

apt_install() { # PACKAGE...
    say "Installing Debian packages: $*"
    command -v apt-get >/dev/null || { warn "apt-get is missing: install the packages another way and try again."; exit 1; }
    if [ "$(id -u)" = 0 ]; then
        root=
    elif sudo -n true 2>/dev/null; then
        root='sudo -n'
    else
        warn "This requires root, and sudo would prompt for a password. Run this line, then try again:"
        echo "apt-get update && apt-get install -y --no-install-recommends $*" | sed 's/apt-get/sudo apt-get/g' >&2
        exit 1
    fi
    $root apt-get update -qq >&2 || true # a broken source must not prevent the use of others
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >&2
}

c_compiler() {
    echo 'int main(void) { return 0; }' | cc -x c - -o /dev/null 2>/dev/null || apt_install gcc libc6-dev
}

# For libFuzzer.
cxx() {
    echo 'int main() { return 0; }' | c++ -x c++ - -o /dev/null 2>/dev/null || apt_install g++
}

curl_() {
    command -v curl >/dev/null || apt_install curl
}

# For nng, which is written in C.
cmake_() {
    command -v cmake >/dev/null || apt_install cmake
}

# The tests start private Redis servers and stop them.
redis() {
    command -v redis-server >/dev/null || apt_install redis-server
}

wrk_() {
    command -v wrk >/dev/null || apt_install wrk
}

# Peers are installed below target/peers. Node.js is large and not installed: without it, its rows report that.
python() {
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3 python3-venv
}

# Clients of the Python platform: Python 3.11, which the runtime that tests use is of, with dill, pytest and requests.
pickles() {
    home=${CARGO_TARGET_DIR:-target}/python3.11
    "$home/bin/python" -c 'import dill, pytest, requests' 2>/dev/null && return
    python311=$(command -v python3.11 || true)
    [ -n "$python311" ] || { apt_install python3.11 python3.11-venv; python311=python3.11; }
    "$python311" -c 'import ensurepip' 2>/dev/null || apt_install python3.11-venv
    say "Installing dill, pytest and requests into $home"
    "$python311" -m venv "$home" && "$home/bin/python" -m pip install -q --disable-pip-version-check dill==0.4.1 pytest==8.4.2 requests==2.32.5
}

# Clients of the registries, for public modules. Node.js is large, but several modules are made with it.
registries() {
    python
    command -v pip3 >/dev/null || apt_install python3-pip
    command -v npm >/dev/null || apt_install npm
}

# The C compiler and library of WASI, what unpacks Debian's source packages, and a Python that builds another.
wasi() {
    missing=
    command -v clang >/dev/null || missing="$missing clang"
    command -v wasm-ld >/dev/null || missing="$missing lld"
    command -v llvm-ar >/dev/null || missing="$missing llvm"
    [ -e /usr/lib/wasm32-wasi/libc.a ] || missing="$missing wasi-libc"
    ls /usr/lib/llvm-*/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a >/dev/null 2>&1 || missing="$missing libclang-rt-dev-wasm32"
    command -v dpkg-source >/dev/null || missing="$missing dpkg-dev"
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
    command -v make >/dev/null || missing="$missing make"
    python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
    if ! command -v python3.11 >/dev/null && apt-cache show python3.11 >/dev/null 2>&1; then missing="$missing python3.11"; fi
    # shellcheck disable=SC2086 # a list
    [ -z "$missing" ] || apt_install $missing
}

rust() {
    if ! command -v cargo >/dev/null; then
        warn "Rust is missing. Install Rust $rust_min or newer, then try again:"
        warn "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
        exit 1
    fi
    version=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
    if [ -z "$version" ]; then
        warn "rustc does not run: $(rustc --version 2>&1 | head -n 1)"
        warn "With rustup, choose a toolchain, then try again:  rustup default stable"
        exit 1
    fi
    if ! rust_is_new_enough "${version%%-*}"; then
        warn "$(command -v rustc) is Rust $version; Fusebox needs $rust_min or newer. With rustup:  rustup update stable"
        exit 1
    fi
}

rust_component() { # CARGO_SUBCOMMAND COMPONENT
    cargo "$1" --version >/dev/null 2>&1 && return
    say "Adding to Rust by rustup: $2"
    rustup component add "$2" >&2 || { warn "\`cargo $1\` is missing and rustup could not add it."; exit 1; }
}

case ${1:-} in
build) c_compiler; cmake_; rust ;;
test) c_compiler; cmake_; redis; pickles; rust; rust_component fmt rustfmt; rust_component clippy clippy ;;
bench) c_compiler; cmake_; redis; rust; wrk_ ;;
peers) c_compiler; cmake_; redis; rust; wrk_; python ;;
compat) c_compiler; cmake_; rust; registries ;;
fuzz) c_compiler; cxx; cmake_; rust ;;
api) c_compiler; cmake_; rust; python; curl_ ;;
runtimes) c_compiler; cmake_; rust; wasi ;;
*) warn "Usage: scripts/setup.sh build|test|bench|peers|compat|fuzz|api|runtimes"; exit 2 ;;
esac

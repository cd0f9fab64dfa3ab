#!/bin/sh
# Builds runtimes: interpreters as WASI commands, each with the memory that it has once it has started, so that no run
# starts it again. Sources are Debian's source packages, checked by apt, and crates.io; packages of PyPI are checked by
# their SHA-256. Quick if nothing has changed.
# Usage: scripts/runtimes.sh [javascript] [python3.11] [python3.13]        Writes target/release/runtimes/NAME.wasm
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/runtimes
out=$target/release/runtimes
sources=guest-sdk/runtimes
jobs=$(nproc)
clang="clang --target=wasm32-wasi"
mkdir -p "$work" "$out"

# A digest of all that a runtime is made of, as far as this repository decides it.
digest() { # FILE|FOLDER...
    find "$@" -type f ! -path '*/target/*' ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

is_built() { # NAME FILE|FOLDER...
    name=$1
    shift
    stamp=$(digest scripts/runtimes.sh "$sources/snapshot" guest-sdk/c "$@")
    [ -e "$out/$name.wasm" ] && [ "$(cat "$work/$name.stamp" 2>/dev/null)" = "$stamp" ]
}

finish() { # NAME MODULE [OPTION...]; takes the image
    name=$1 module=$2
    shift 2
    cargo build --release --workspace --bin fusebox-snapshot >&2
    "$target/release/fusebox-snapshot" "$@" "$module" "$out/$name.wasm.new"
    mv "$out/$name.wasm.new" "$out/$name.wasm"
    echo "$stamp" >"$work/$name.stamp"
    echo "$out/$name.wasm: $(wc -c <"$out/$name.wasm" | awk '{ printf "%.1f MB", $1 / 1e6 }')" >&2
}

javascript() {
    is_built javascript $sources/javascript && return
    say "Building the runtime javascript (about a minute)"
    rustc=$(scripts/wasm-targets.sh wasm32-wasip1) || return
    RUSTC=$rustc RQUICKJS_SYS_NO_WASI_SDK=1 CC_wasm32_wasip1=clang AR_wasm32_wasip1=llvm-ar \
        CFLAGS_wasm32_wasip1="--target=wasm32-wasi -include $PWD/$sources/javascript/engine.h" \
        cargo build --release --locked --manifest-path $sources/javascript/Cargo.toml --target wasm32-wasip1 \
        --target-dir "$work/javascript" >&2
    finish javascript "$work/javascript/wasm32-wasip1/release/fusebox-runtime-javascript.wasm"
}

apt() { # apt-get ARGUMENT...; uses private package lists with Debian's sources, so that no root is needed
    program=$1
    shift
    "$program" -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

# Debian releases with the source packages, and their security updates; trixie has the newer Python.
source_lists() {
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    for suite in bookworm bookworm-security trixie trixie-security; do
        archive=debian
        case $suite in *-security) archive=debian-security ;; esac
        echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/$archive $suite main"
    done >"$work/apt/sources.list"
    apt apt-get update -qq >&2
}

unpacked() { # PACKAGE; prints the folder of its source, of the newest version that can be had
    folder=$work/source/$1
    if [ ! -e "$folder/.complete" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        # A mirror's lists may name versions that it does not have yet.
        for version in $(apt apt-cache showsrc "$1" | sed -n 's/^Version: //p' | sort -rV); do
            if (cd "$folder" && apt apt-get source -qq "$1=$version" >&2); then
                touch "$folder/.complete"
                break
            fi
        done
    fi
    [ -e "$folder/.complete" ] || { warn "The source package $1 cannot be had."; return 1; }
    find "$folder" -mindepth 1 -maxdepth 1 -type d
}

zlib() { # PREFIX
    [ ! -e "$1/lib/libz.a" ] || return 0
    zlib=$(unpacked zlib) || return
    mkdir -p "$1/lib" "$1/include"
    for part in adler32 crc32 deflate inffast inflate inftrees trees zutil compress uncompr; do
        $clang -Os -c "$zlib/$part.c" -o "$1/$part.o" || return
    done
    cp "$zlib/zlib.h" "$zlib/zconf.h" "$1/include/"
    llvm-ar rcs "$1/lib/libz.a" "$1"/*.o
}

# A Python of the same version, which freezes modules for the other.
build_python() { # VERSION SOURCE
    if command -v "python$1" >/dev/null && "python$1" -c 'import sys; sys.exit(sys.version_info[:2] != tuple(map(int, "'"$1"'".split("."))))'; then
        command -v "python$1"
        return
    fi
    folder=$work/python$1/native
    if [ ! -x "$folder/python" ]; then
        say "Building Python $1 for this machine, which builds the other"
        mkdir -p "$folder"
        (cd "$folder" && "$2/configure" CFLAGS=-O1 >configure.log 2>&1 && make -j"$jobs" python >make.log 2>&1) || return
    fi
    echo "$folder/python"
}

# Libraries that are part of Python's source, as its Makefile names them.
bundled() {
    sed -n 's/^LIB[A-Z0-9_]*_A=[[:space:]]*//p' Makefile
}

compile_python() { # VERSION SOURCE FOLDER
    native=$(build_python "$1" "$2") || return
    mkdir -p "$3/Modules"
    # Parts whose libraries are not built for WASI.
    printf '*disabled*\n_bz2 _crypt _ctypes _curses _curses_panel _dbm _gdbm _hashlib _lzma _sqlite3 _ssl _tkinter _uuid readline\n' \
        >"$3/Modules/Setup.local"
    site=$2/Tools/wasm/config.site-wasm32-wasi
    # This libc lacks threads, whose type some headers measure.
    (cd "$3" && CONFIG_SITE=$site "$2/configure" --host=wasm32-unknown-wasi --build="$("$2/config.guess")" \
        --with-build-python="$native" --disable-ipv6 --disable-test-modules --with-ensurepip=no \
        CC="$clang" CPP="$clang -E" AR=llvm-ar RANLIB=llvm-ranlib CFLAGS=-Os CPPFLAGS="-I$work/zlib/include" \
        LDFLAGS="-L$work/zlib/lib" ZLIB_CFLAGS="-I$work/zlib/include" ZLIB_LIBS="-L$work/zlib/lib -lz" \
        ac_cv_sizeof_pthread_t=4 >configure.log 2>&1 &&
        make -j"$jobs" "libpython$1.a" $(bundled) >make.log 2>&1) ||
        { warn "It does not compile; the end of $3/make.log or configure.log:"; tail -n 20 "$3"/*.log >&2; return 1; }
}

# What the interpreter finds while its image is taken: the standard library, the runtime's modules, and an empty file
# that dill opens to learn the types of files.
python_root() { # SOURCE ROOT
    rm -rf "$2"
    mkdir -p "$2/dev" "$2/runtime"
    : >"$2/dev/null"
    cp -r "$1/Lib" "$2/lib"
    for name in _sysconfigdata__wasm32-wasi _sysconfigdata__wasi_wasm32-wasi; do echo 'build_time_vars = {}' >"$2/lib/$name.py"; done
    cp -r $sources/python/_runtime $sources/python/fusebox.py "$2/runtime/"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes --only-binary :all: --target "$2/runtime" \
        --requirement $sources/python/requirements.txt >&2 || return
    rm -rf "$2"/runtime/*.dist-info
}

python() { # VERSION
    is_built "python$1" $sources/python && return
    folder=$work/python$1
    say "Building the runtime python$1 (about 3 minutes of CPU time)"
    [ -e "$work/apt/sources.list" ] || source_lists || { rm -f "$work/apt/sources.list"; return 1; }
    source=$(unpacked "python$1") && zlib "$work/zlib" || return
    [ -e "$folder/build/libpython$1.a" ] || compile_python "$1" "$source" "$folder/build" || return
    for part in main fusebox; do
        $clang -Os -I"$source/Include" -I"$folder/build" -Iguest-sdk/c -c "$sources/python/c/$part.c" -o "$folder/$part.o" || return
    done
    $clang -Os -s "$folder/main.o" "$folder/fusebox.o" -L"$folder/build" "-lpython$1" \
        $(cd "$folder/build" && bundled | sed "s|^|$PWD/|") "$work/zlib/lib/libz.a" \
        -lwasi-emulated-signal -lwasi-emulated-getpid -lwasi-emulated-process-clocks -lm \
        -Wl,-z,stack-size=1048576 -Wl,--stack-first -Wl,--initial-memory=20971520 -o "$folder/python.wasm" || return
    python_root "$source" "$folder/root" || return
    finish "python$1" "$folder/python.wasm" --root "$folder/root"
}

for name in "${@:-javascript}"; do
    case $name in
    javascript) javascript ;;
    python3.11) python 3.11 ;;
    python3.13) python 3.13 ;;
    *) warn "There is no runtime $name: javascript, python3.11 or python3.13."; exit 2 ;;
    esac
done

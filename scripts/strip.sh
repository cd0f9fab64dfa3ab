#!/bin/sh
# Moves the debug information of a program, two thirds of its size, into PROGRAM.debug beside it. Backtraces name
# functions, files and lines as long as that file is in the same folder. Cargo's copy in deps/ stays whole, so nothing is
# built again; each of Cargo's builds and tests puts the whole program back in place.
# Usage: scripts/strip.sh PROGRAM
set -eu

program=$1
debug=${program##*/}.debug
cd "${program%/*}"
program=${program##*/}
size() { wc -c <"$1" | awk '{ printf "%.0f MB", $1 / 1e6 }'; }

if readelf --section-headers "$program" | grep -q gnu_debuglink; then exit; fi # done before
objcopy --only-keep-debug --compress-debug-sections=zlib "$program" "$debug"
# Into a new file: the program is a hard link to Cargo's copy, which objcopy would write to.
objcopy --strip-all --add-gnu-debuglink="$debug" "$program" "$program.stripped"
whole=$(size "$program")
mv -f "$program.stripped" "$program"
echo "$program: $(size "$program") stripped of $whole; $debug: $(size "$debug")" >&2

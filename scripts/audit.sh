#!/bin/sh
# Checks licences and advisories of the dependencies, and spelling, with the tools that are there. They are no part of
# `make test`, since they are large and most changes cannot break them.
# Usage: scripts/audit.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

code=0
if command -v cargo-deny >/dev/null; then
    cargo deny --workspace check || code=1
else
    warn "cargo-deny is not installed:  cargo install --locked cargo-deny"
fi
if command -v typos >/dev/null; then
    typos || code=1
else
    warn "typos is not installed:  cargo install --locked typos-cli   or   pip install typos"
fi
exit $code

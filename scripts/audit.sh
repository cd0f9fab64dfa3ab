#!/bin/sh
# Checks licences and advisories of the dependencies, and spelling, with the installed tools. Not a part of `make test`,
# since the tools are large and most changes cannot break these checks.
# Usage: scripts/audit.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

code=0
if command -v cargo-deny >/dev/null; then
    cargo deny --workspace check bans licenses sources || code=1
    # Without a network an earlier copy is used; without any copy the check fails.
    if cargo deny fetch db 2>/dev/null; then
        cargo deny --workspace check advisories || code=1
    elif ls "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/crates >/dev/null 2>&1; then
        warn "The advisory database cannot be fetched: using an earlier copy."
        cargo deny --workspace --offline check advisories || code=1
    else
        warn "NOT CHECKED: the advisories. Their database cannot be fetched."
        code=1
    fi
else
    warn "cargo-deny is not installed:  cargo install --locked cargo-deny"
fi
if command -v typos >/dev/null; then
    typos || code=1
else
    warn "typos is not installed:  cargo install --locked typos-cli   or   pip install typos"
fi
exit $code

#!/bin/sh
# Runs schemathesis, which generates requests from the served /openapi.json, against a private server with an empty store.
# Every response must be documented there, and none may be an internal error. Requires Python 3.10; installs schemathesis
# into target/api-fuzz. Usage: scripts/api-fuzz.sh [schemathesis options]
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

version=4.32.5
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
dir=$target_dir/api-fuzz
if ! [ -x "$dir/venv/bin/schemathesis" ]; then
    say "Installing schemathesis $version into $dir/venv"
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet "schemathesis==$version"
fi

rm -rf "$dir/store"
# With a key, so that routes that require one are tested as such. It is the operator's, which no route refuses.
key=$("$target_dir/release/fusebox" keys create --store "$dir/store" --scope admin --name api-fuzz 2>/dev/null)
"$target_dir/release/fusebox" up --listen 127.0.0.1:0 --store "$dir/store" --log error >"$dir/server" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
url=
for _ in $(seq 100); do
    url=$(sed -n 's/.*\(http:\/\/[0-9.:]*\).*/\1/p' "$dir/server" | head -n 1)
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { warn "The server did not start."; exit 1; }

say "Sending requests to $url"
# One callable function, so that not all requests are refused.
curl -sSf -o /dev/null -H "Authorization: Bearer $key" --data-binary @host/crates/lab/src/bench/guests/echo.wasm "$url/v1/functions?name=echo"
# Valid requests may still be refused, since the document cannot describe modules: hence no positive_data_acceptance.
code=0
PYTHONPATH=scripts SCHEMATHESIS_HOOKS=api_fuzz_hooks "$dir/venv/bin/schemathesis" --config-file scripts/api-fuzz.toml \
    run "$url/openapi.json" -H "Authorization: Bearer $key" \
    --exclude-checks positive_data_acceptance --max-examples "${API_FUZZ_EXAMPLES:-50}" --request-timeout 60 \
    --seed "${API_FUZZ_SEED:-1}" --continue-on-failure "$@" || code=$?
kill -0 $server 2>/dev/null || { warn "The server ended."; code=1; }
exit $code

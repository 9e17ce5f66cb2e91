#!/usr/bin/env bash
# Requests made from the document of the API against a server of our own, without keys and with them: no 500, and nothing
# that the document does not say. Needs Python 3 and a package index; arguments are schemathesis's, such as
# `--max-examples 200`. The server is the program in STENTOR_PROGRAM, or the one for tests, which is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
place=$target/schemathesis
program=${STENTOR_PROGRAM:-$target/debug/stentor-under-test}
key=sk-schemathesis-0123456789

mkdir -p "$place"
[ -x "$place/venv/bin/python" ] || python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet -r tests/schemathesis/requirements.txt
[ -n "${STENTOR_PROGRAM:-}" ] || cargo build --package stentor-tests --bin stentor-under-test

server=
stop() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    server=
}
trap stop EXIT

# Short texts, because what is fuzzed is the API and not the voice. Its own data and voices, which may be thrown away.
start() {
    rm -rf "$place/run"
    mkdir -p "$place/run/data" "$place/run/models" "$place/run/voices"
    STENTOR_API_KEYS=$1 "$program" serve --model builtin --listen 127.0.0.1:0 --data-dir "$place/run/data" \
        --models "$place/run/models" --voices "$place/run/voices" --max-input-bytes 400 --max-voice-mib 1 \
        --drain-delay 0 >"$place/run/address" 2>"$place/run/log" &
    server=$!
    for _ in $(seq 300); do
        grep -q http "$place/run/address" && return
        kill -0 "$server" || { cat "$place/run/log"; return 1; }
        sleep 0.2
    done
    return 1
}

# Each round says what the server's log has of failures, too: a 500 that nobody documented is one.
fuzz() {
    local url
    url=$(sed 's/.* //' "$place/run/address")
    "$place/venv/bin/schemathesis" --config-file tests/schemathesis/schemathesis.toml run "$url/openapi.json" \
        --url "$url" --no-color "$@"
    if grep -aE 'ERROR|panicked' "$place/run/log"; then
        echo "the server logged failures" >&2
        return 1
    fi
    if LC_ALL=C grep -aP '[\x00-\x08\x0b-\x1f\x7f]' "$place/run/log"; then
        echo "clients wrote control characters into the log" >&2
        return 1
    fi
}

# The same requests each time, so that a change is judged by what it changed; with arguments, others each time.
given=("$@")
[ ${#given[@]} -gt 0 ] || given=(--max-examples 20 --max-time 60 --seed 1)

echo "== without keys"
start ""
fuzz "${given[@]}"
stop
echo "== with keys, and one"
start "$key"
fuzz "${given[@]}" --header "Authorization: Bearer $key"
echo "== with keys, and none"
fuzz --max-examples 5 --phases examples,coverage --seed 1
stop

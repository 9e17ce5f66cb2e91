#!/usr/bin/env bash
# A speech recognizer listens to the built-in voices through HTTP: word accuracy per voice.
# Needs Python 3 and a package index; everything goes under target/asr.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/asr/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet -r tests/asr/requirements.txt
cargo build --release --package stentor

ready=target/asr/address
target/release/stentor serve --model builtin --listen 127.0.0.1:0 --data-dir target/asr/data >"$ready" &
server=$!
trap 'kill "$server"' EXIT
for _ in $(seq 300); do
    grep -q http "$ready" && break
    sleep 0.2
done
"$venv/bin/python" tests/asr/word_accuracy.py --url "$(sed 's/.* //' "$ready")" "$@"

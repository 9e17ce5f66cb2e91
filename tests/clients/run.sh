#!/usr/bin/env bash
# Every official client against a server of its own, and every file through Debian's decoders:
# run.sh [--no-sdks] PROGRAM [WORDS OF THE CHECKS TO RUN]
# PROGRAM is `stentor-under-test`. SDKs are downloaded into the target directory, in the pinned versions; without them no
# network is needed.
set -euo pipefail
sdks=yes
if [ "${1:-}" = --no-sdks ]; then
    sdks=
    shift
fi
[ $# -ge 1 ] || { echo "usage: tests/clients/run.sh [--no-sdks] PROGRAM [WORDS]" >&2; exit 2; }
program=$(realpath "$1")
shift
cd "$(dirname "$0")/../.."

missing=()
while read -r tool package; do
    [ -z "$tool" ] || command -v "$tool" >/dev/null || missing+=("$tool (Debian: $package)")
done <<TOOLS
curl curl
ffmpeg ffmpeg
ffprobe ffmpeg
opusinfo opus-tools
flac flac
python3 python3
${sdks:+node nodejs}
${sdks:+npm npm}
TOOLS
if [ ${#missing[@]} -gt 0 ]; then
    printf 'missing: %s\n' "${missing[@]}" >&2
    exit 2
fi

[ -n "$sdks" ] || exec python3 tests/clients/run.py "$program" - "$@"

home=${CARGO_TARGET_DIR:-target}/clients
mkdir -p "$home/node"
for major in 2 3; do
    wanted=tests/clients/openai-python-$major.txt
    venv=$home/python-$major
    cmp --quiet "$wanted" "$venv/installed" && continue
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted"
    cp "$wanted" "$venv/installed"
done
if ! cmp --quiet tests/clients/package.json "$home/node/package.json" || [ ! -d "$home/node/node_modules" ]; then
    cp tests/clients/package.json "$home/node/"
    npm install --prefix "$home/node" --no-package-lock --no-audit --no-fund --loglevel error
fi
# A module is looked for beside the file that imports it.
cp tests/clients/openai_node.mjs "$home/node/"
exec python3 tests/clients/run.py "$program" "$home" "$@"

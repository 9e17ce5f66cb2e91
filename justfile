# The project's commands. The logic is in xtask and in the scripts they name.

# List the commands.
default:
    @just --list

# Everything that CI runs.
ci:
    bash .ci/run

test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo xtask tidy

# Licences, bans and sources (cargo install cargo-deny).
deny:
    cargo deny check licenses bans sources

# Spelling (cargo install typos-cli).
typos:
    typos

# Rebuild the parity goldens from the reference implementation (Python, downloads packages).
goldens *ARGS:
    cargo xtask goldens {{ARGS}}

# Break the port in each known way and see a golden turn red.
mutate-parity *ARGS:
    cargo xtask mutate-parity {{ARGS}}

# Whatever comes to libFuzzer's mind against all readers of foreign bytes (needs a C++ compiler); see fuzz/README.md.
fuzz *ARGS:
    cargo xtask fuzz {{ARGS}}

# Start the server, speak in each format, decode, measure.
smoke:
    cargo build --package stentor
    cargo run --package stentor-tests --bin stentor-smoke -- target/debug/stentor

# The page at `/` in headless Chromium (needs chromium and node).
page *ARGS:
    cargo build --package stentor-tests --bin stentor-under-test
    node tests/page/run.mjs target/debug/stentor-under-test {{ARGS}}

# OpenAI's SDKs and raw clients against a server, each file through ffmpeg, opus-tools and flac (Python and Node; downloads packages).
clients *ARGS:
    cargo build --package stentor-tests --bin stentor-under-test
    bash tests/clients/run.sh "${CARGO_TARGET_DIR:-target}/debug/stentor-under-test" {{ARGS}}

# Word accuracy of the built-in voice through HTTP (Python, downloads packages).
asr:
    bash tests/asr/run.sh

# Requests made from the document of the API, about two minutes (Python, downloads packages).
schemathesis *ARGS:
    bash tests/schemathesis/run.sh {{ARGS}}

# Write the document of the API to docs/openapi.json.
openapi:
    cargo xtask openapi

# First audio byte, and probes while the engine is busy.
bench-latency:
    cargo build --release
    cargo run --release --package stentor-benches --bin latency -- target/release/stentor

# From start to ready to the first sound, memory, and the program's size.
bench-cold:
    cargo build --release
    cargo run --release --package stentor-benches --bin cold -- target/release/stentor

# Cost by a text's length and by the number of clients, half an hour; or with limits, e.g. `just bench-growth --longest 10000`.
bench-growth *ARGS:
    cargo build --release
    cargo run --release --package stentor-benches --bin growth -- target/release/stentor {{ARGS}}

# Chatterbox under several streams, through the engine: FOLDER is what its example `hash_checkpoint` writes; then e.g. `--streams 1,4,16 --threads 2`.
bench-streams FOLDER *ARGS:
    cargo run --release --package stentor-engine-chatterbox --example streams -- {{FOLDER}} {{ARGS}}

# Chatterbox beside the reference implementation, full size, on the CPU. PYTHON is an interpreter that has the reference.
bench-chatterbox PYTHON *ARGS:
    python3 benches/compare/chatterbox.py --python {{PYTHON}} {{ARGS}}

# Ours beside the peers, in turns: Kokoro and Chatterbox, one table (Python; installs the peers unless `--python` names them; GBs of disk).
bench-compare *ARGS:
    python3 benches/compare/run.py {{ARGS}}

# Several models busy at once on the same cores (Python alone).
bench-crowd *ARGS:
    python3 benches/compare/crowd.py {{ARGS}}

# What the targets for cards ask for, on cuda:0: Kokoro alone and 64 times at once, Turbo and English beside PyTorch, a token of T3.
bench-cuda *ARGS:
    python3 benches/compare/run.py --device cuda --work kokoro --peers pytorch --streams 1 64 {{ARGS}}
    python3 benches/compare/run.py --device cuda --precision f16 --work chatterbox-turbo chatterbox-english {{ARGS}}
    cargo xtask cuda run --release --package stentor-engine-chatterbox --features cuda --example t3 -- speed english full 1 1 cuda:0 f16

# One program for CPU and NVIDIA cards, on a machine that needs no card (x86_64 Linux; installs a compiler under target/).
build-cuda:
    cargo xtask cuda build --release --package stentor --features cuda

# Lint what only the CUDA build compiles.
check-cuda:
    cargo xtask cuda clippy --release --all-targets --features cuda --package stentor-nn --package stentor-engine-kokoro --package stentor-engine-chatterbox --package stentor-worker -- -D warnings

# Compile every kernel for every card that is served, and print what it needs of one (x86_64 Linux; needs no card).
cuda-kernels:
    cargo xtask cuda-kernels

# The goldens on cuda:0; fails where there is none.
parity-cuda:
    cargo xtask cuda test --release --package stentor-nn --package stentor-engine-kokoro --package stentor-engine-chatterbox --features cuda --test cuda_parity -- --test-threads=1 --nocapture

# The same on a card that is emulated on the host: an hour (x86_64 Linux; needs no card).
parity-emulated:
    cargo xtask cuda-emulated test --release --package stentor-nn --package stentor-engine-kokoro --package stentor-engine-chatterbox --features cuda --test cuda_parity -- --test-threads=1 --nocapture

# Every drill at full scale, an hour and more; or those that are named, e.g. `just soak kills drain --scale 0.1`.
soak *ARGS:
    cargo build --release --package stentor-tests --bins
    cargo run --release --package stentor-tests --bin stentor-soak -- target/release/stentor-under-test {{ARGS}}

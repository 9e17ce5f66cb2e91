"""Chatterbox for run.py: what is written for it, and who speaks it."""

import shutil
import statistics
import subprocess
from pathlib import Path

from measuring import RATE, Peer, Server
from results import Pairing, Series

HERE = Path(__file__).parent
VARIANTS = {"chatterbox-nano": "nano", "chatterbox-turbo": "turbo", "chatterbox-english": "english"}
WORKS = [*VARIANTS]
TEXT = "Good day."
SAMPLES_PER_TOKEN = 960
CLOSING = 3  # tokens of silence at the end
FILES = {
    "english": {"conds": "conds.safetensors", "tokenizer": "tokenizer.json"},
    "turbo": {
        "conds": "conds.safetensors",
        "vocab": "vocab.json",
        "merges": "merges.txt",
        "added_tokens": "added_tokens.json",
    },
}
MANIFEST = """
engine = "chatterbox"
title = "Hash weights"
licence = "MIT"
languages = ["en-us"]
voice_kinds = ["preset", "reference"]
files = [
FILES
]
[voices]
default = "default"
[voices.names]
en-us = ["default"]
"""


def write_manifest(data: Path, variant: str) -> Path:
    """Tells the server of the checkpoint, whose folder is returned."""
    files = {"t3": "t3.safetensors", "s3gen": "s3gen.safetensors", "ve": "ve.safetensors"}
    files |= FILES["english" if variant == "english" else "turbo"]
    lines = "\n".join(f'  {{ role = "{role}", path = "{path}" }},' for role, path in files.items())
    (data / "manifests").mkdir(parents=True, exist_ok=True)
    (data / "manifests/bench.toml").write_text(MANIFEST.replace("FILES", lines))
    return data / "models/bench"


def prepare(release: Path, data: Path, variant: str) -> Path:
    """The checkpoint under `data`, where the server looks for it."""
    folder = write_manifest(data, variant)
    if not (folder / "conds.safetensors").exists():
        subprocess.run([release / "examples/hash_checkpoint", variant, folder], check=True)
    return folder


def tokens_of(samples: int, text: str) -> int:
    """Speech tokens of a run. Quiet is trimmed at both ends, so the bound for the text's length is preferred when it fits."""
    bound = 100 + 4 * len(text)
    missing = (bound + CLOSING) * SAMPLES_PER_TOKEN - samples
    return bound if 0 <= missing < RATE else samples // SAMPLES_PER_TOKEN - CLOSING


def reference(interpreter: str, arguments: list, threads: int) -> Peer:
    return Peer([interpreter, HERE / "chatterbox_reference.py", *arguments], threads)


def compare(options, work: str) -> list[Pairing]:
    """The reference between our two ways, round after round: all tokens at once as it does it, and windows as by default."""
    variant, text = VARIANTS[work], options.text or TEXT
    data = options.folder / variant
    server = peer = None
    try:
        folder = prepare(options.release, data, variant)
        server = Server(options.program, data, options.server_options())
        whole = {"voice": "default", "input": text, "stream_tokens": 0}
        tokens = tokens_of(server.speak(whole)["samples"], text)
        windows = {name: value for name, value in whole.items() if name != "stream_tokens"}
        device = "cpu" if options.device == "cpu" else "cuda"
        peer = reference(options.interpreter("chatterbox"), [variant, folder, options.threads, text, device], options.threads)
        flop = peer.ask({"flop": tokens})
        peer.speak(2)
        pairings = {}
        for name, body in ((work, whole), (f"{work}-windows", windows)):
            ours, theirs = Series(options.ours, server.load), Series(peer.about["name"], peer.load)
            pairings[name] = (body, Pairing(f"{name}-{options.device}-vs-pytorch", options.device, ours, theirs))
        for _ in range(options.rounds):
            for body, pairing in pairings.values():
                pairing.ours.runs.append(server.speak(body))
                pairing.theirs.runs.append(peer.speak(tokens))
        peak = peer.gemm()
        for _, pairing in pairings.values():
            pairing.flop, pairing.peak = flop["flop"] * RATE / flop["samples"], peak
        step = statistics.median(run["stages"]["t3"][0] for run in pairings[work][1].theirs.runs) / tokens
        work_done = f"{flop['flop'] * RATE / flop['samples'] / 1e9:.0f} GFLOP a second"
        options.say(f"{work}: {tokens} speech tokens, {work_done}; the reference's T3 takes {step * 1e3:.2f} ms for each, prefill included.")
        return [pairing for _, pairing in pairings.values()]
    finally:
        for program in filter(None, (server, peer)):
            program.stop()
        if not options.keep:
            shutil.rmtree(data, ignore_errors=True)

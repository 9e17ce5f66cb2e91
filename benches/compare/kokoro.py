"""Kokoro for run.py: what is written for it, and who speaks it."""

import shutil
import subprocess
from pathlib import Path

from measuring import Peer, Server
from results import Pairing, Series

HERE = Path(__file__).parent
# One chunk on all sides (ours cuts the first after 100 characters), at the speed by which the hash, which drawls, comes to as
# many frames a phoneme as trained weights do.
SENTENCE = "Every morning the baker opens his shop, and the smell of fresh bread fills the entire street."
# What stories are made of. The reference reads up to 510 phonemes in one pass, so all of it; ours has a short first chunk.
PARAGRAPH = f"""{SENTENCE} His neighbours come down one after the other, some of them still half asleep, and ask for the rolls they have asked \
for since they were children. Nobody says much before the first cup of coffee is empty."""
QUICK_TEXT = "Every morning the baker opens his shop."
TEXTS = {"kokoro": SENTENCE, "kokoro-paragraph": PARAGRAPH}
SPEED = 2.0
PEERS = ("pytorch", "onnxruntime", "stock-candle")
MANIFEST = """
engine = "kokoro"
title = "Hash weights"
licence = "MIT"
languages = ["en-us"]
voice_kinds = ["embedding"]
files = [{ role = "config", path = "config.json" }, { role = "weights", path = "kokoro-v1_0.pth" }]
[voices]
kind = "embedding"
path = "voices/{name}.pt"
default = "hash"
[voices.names]
en-us = ["hash"]
"""


def prepare(options, data: Path, peers: list[str]) -> Path:
    """The checkpoint under `data`, where the server looks for it, and as a graph beside it."""
    folder = data / "models/bench"
    (data / "manifests").mkdir(parents=True, exist_ok=True)
    (data / "manifests/bench.toml").write_text(MANIFEST)
    if not (folder / "voices/hash.pt").exists():
        subprocess.run([options.release / "examples/hash_model", folder], check=True)
    if "onnxruntime" in peers and not (folder / "model.onnx").exists():
        export = [options.interpreter("kokoro"), HERE / "kokoro_peer.py", "export", folder]
        subprocess.run(export, check=True, capture_output=not options.verbose)
    return folder


def start(options, peer: str, folder: Path) -> Peer:
    if peer == "stock-candle":
        return Peer([options.release / "examples/stock", folder, options.threads], options.threads)
    interpreter = options.interpreter("onnxruntime" if peer == "onnxruntime" else "kokoro")
    device = "cpu" if options.device == "cpu" else "cuda"
    return Peer([interpreter, HERE / "kokoro_peer.py", peer, folder, device, options.threads], options.threads)


def compare(options, work: str) -> list[Pairing]:
    """Ours before each of the peers, round after round."""
    # On a card our network is made of candle's ops and our kernels: there is no second form of it to stand beside.
    peers = [peer for peer in options.peers or PEERS if peer in PEERS and (options.device == "cpu" or peer != "stock-candle")]
    data = options.folder / "kokoro"
    server, running = None, {}
    try:
        folder = prepare(options, data, peers)
        server = Server(options.program, data, options.server_options())
        text = options.text or (QUICK_TEXT if options.quick else TEXTS[work])
        body = {"voice": "hash", "input": text, "speed": SPEED}
        phonemes = server.post("/v1/audio/phonemize", body | {"model": "bench"})["phonemes"]
        asked = {"phonemes": phonemes, "speed": SPEED}
        for peer in peers:
            running[peer] = start(options, peer, folder)
        server.speak(body)
        pairings = {}
        for name, peer in running.items():
            peer.speak(asked)
            for streams in options.streams:
                which = work if streams == 1 else f"{work}-{streams}-streams"
                theirs = Series(peer.about.get("name", name), peer.load)
                pairing = Pairing(f"{which}-{options.device}-vs-{name}", options.device, Series(options.ours, server.load), theirs)
                pairings[name, streams] = pairing
        for _ in range(options.rounds):
            for (name, streams), pairing in pairings.items():
                pairing.ours.runs.append(server.speak(body, streams))
                pairing.theirs.runs.append(running[name].speak(asked))
        against_peak(options, work, running, list(pairings.values()), asked)
        return list(pairings.values())
    finally:
        for program in filter(None, (server, *running.values())):
            program.stop()
        if not options.keep:
            shutil.rmtree(data, ignore_errors=True)


def against_peak(options, work: str, running: dict[str, Peer], pairings: list[Pairing], asked: dict) -> None:
    """The work in FLOP as torch counts it, and the machine's best product of matrices, whoever multiplies."""
    measured = [peer.gemm() for name, peer in running.items() if name != "onnxruntime"]
    if "pytorch" not in running:
        return
    samples = pairings[0].theirs.median("samples")
    flop = running["pytorch"].ask({"flop": asked})["flop"] * 24_000 / samples
    for pairing in pairings:
        pairing.flop, pairing.peak = flop, max(measured)
    options.say(f"{work}: {flop / 1e9:.1f} GFLOP for a second of audio; the best product makes {max(measured) / 1e9:.0f} GFLOP/s.")

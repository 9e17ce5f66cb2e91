"""Ours beside the peers: the same work, the same number of threads, in turns; one table.

usage: run.py [--work NAME ..] [--peers NAME ..] [--device cpu|cuda] [--threads N] [--rounds N] [--quick] [--json]
              [--precision f32|f16|int8] [--streams N ..] [--python [PART=]INTERPRETER ..] [--text TEXT] [--target FOLDER] [--no-build] [--keep] [--verbose]

| work | ours | peers |
|---|---|---|
| kokoro (a sentence), kokoro-paragraph | the release server, asked over HTTP: text to phonemes to samples | `pytorch`: PyPI's `kokoro`; `onnxruntime`: the same model as a graph, through `kokoro-onnx`; `stock-candle`: our network out of candle's own ops |
| chatterbox-nano, -turbo, -english | the same, whole as the reference does it, and in windows as by default | `pytorch`: PyPI's `chatterbox-tts` |

The weights are a hash at full size, so the sound is noise and the work is real; they are written for the occasion under
TARGET/compare and deleted afterwards. The peers are installed there too, from PyPI (`requirements-*.txt`, several GB), unless
--python names interpreters that have them: PART is kokoro, onnxruntime or chatterbox.

What is alike: weights, voice, phonemes (the peers are handed ours), f32 (unless --precision gives ours another), threads, and within a pair the minute of measuring.
What is not: ours also reads text, speaks HTTP, checks samples and keeps its allocator's blocks; peers do none of the first
three, run as installed (no allocator settings), and give no sound before all of it is there. ONNX's graph has the reference's own
substitute for complex numbers. Stock candle is more than a plain port would give: it has our graph (padding taken out of
transposed convolutions, LSTM inputs in one product, grouped convolutions in closed form) and AVX-512 products, which candle
alone does not switch on; its allocator is as glibc has it. Peak memory is the sum over a program's processes of what each
had at most; load is from the start of the process until it can speak, which ours says only after it has spoken a short word (Chatterbox's hash
weights never end one, so there it takes as long as the whole text). The share of the peak counts the reference's
multiplications and additions, as torch counts them, against the fastest product of matrices that torch or candle makes here,
for a CPU second on a processor and for a second on a card.

A ratio is the median over the pairs of theirs / ours for a second of audio: CPU seconds of all processes on a processor, for
others use it too; time on a card. With --streams so many clients ask for Kokoro's text at once, and their audio is added up; the peer, which has
no way to share its work, speaks it once: its row is what one stream of it makes.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import chatterbox_rows
import environments
import kokoro
from measuring import ROOT
from results import table

WORKS = [*kokoro.TEXTS, *chatterbox_rows.WORKS]


class Options(argparse.Namespace):
    """What was asked for, and what follows from it."""

    @property
    def build_target(self) -> Path:
        return self.target / "cuda" if self.device == "cuda" else self.target

    @property
    def release(self) -> Path:
        return self.build_target / "release"

    @property
    def program(self) -> Path:
        return self.release / "stentor"

    @property
    def folder(self) -> Path:
        return self.target / "compare"

    @property
    def ours(self) -> str:
        return "ours" if self.precision == "f32" else f"ours, {self.precision}"

    def server_options(self) -> list[str]:
        device = "cpu" if self.device == "cpu" else "cuda:0"
        return ["--device", device, "--threads", str(self.threads), "--precision", self.precision, "--max-waiting", "256"]

    def interpreter(self, part: str) -> str:
        """Python that has what `part` needs."""
        given = dict(entry.rpartition("=")[::2] for entry in self.python)
        return given.get(part) or given.get("") or environments.installed(self.folder, part, self.device)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr if self.json else sys.stdout, flush=True)


def build(options: Options) -> None:
    """The server and the helpers; release, without debug assertions."""
    on_card = ["--features", "cuda"] if options.device == "cuda" else []
    helpers = {"stentor-engine-kokoro": ["hash_model", "stock"], "stentor-engine-chatterbox": ["hash_checkpoint"]}
    commands = [["--package", "stentor", *on_card]]
    for package, names in helpers.items():
        examples = [argument for name in names for argument in ("--example", name)]
        commands.append(["--package", package, *examples, *on_card])
    cargo = ["cargo", "xtask", "cuda"] if options.device == "cuda" else ["cargo"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(options.target)}
    for command in commands:
        subprocess.run([*cargo, "build", "--release", "--quiet", *command], cwd=ROOT, env=environment, check=True)


def parse() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", nargs="+", choices=WORKS, help="all of them, with --quick kokoro alone")
    parser.add_argument("--peers", nargs="+", choices=kokoro.PEERS, help="all of them")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="f32", choices=["f32", "f16", "int8"], help="of ours, where the model knows it")
    parser.add_argument("--streams", nargs="+", type=int, default=[1], metavar="N", help="Kokoro: clients at once")
    parser.add_argument("--rounds", type=int, help="pairs for each ratio; 5, with --quick 1")
    parser.add_argument("--quick", action="store_true", help="few rounds of a short text")
    parser.add_argument("--json", action="store_true", help="rows on stdout: work, device, ours, theirs, ratio; the table on stderr")
    parser.add_argument("--python", nargs="+", default=[], metavar="[PART=]INTERPRETER", help="instead of installing the peers")
    parser.add_argument("--text", help="instead of the usual one")
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    parser.add_argument("--no-build", action="store_true", help="everything has been built")
    parser.add_argument("--keep", action="store_true", help="keep the checkpoints")
    parser.add_argument("--verbose", action="store_true", help="show what installing and exporting print")
    options = parser.parse_args(namespace=Options())
    if min(options.streams) < 1:
        parser.error("--streams: at least 1")
    options.work = options.work or (["kokoro"] if options.quick else WORKS)
    if options.peers and "pytorch" not in options.peers:
        options.work = [work for work in options.work if work in kokoro.TEXTS]  # the others have no other peer
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.target = options.target.resolve()
    return options


def main() -> None:
    options = parse()
    if not options.no_build:
        build(options)
    pairings = []
    for work in options.work:
        pairings += kokoro.compare(options, work) if work in kokoro.TEXTS else chatterbox_rows.compare(options, work)
    where = f"{options.device}, {options.threads} threads, {options.rounds} pairs, load {os.getloadavg()[0]:.1f}"
    options.say(f"\n{where}\n\n{table(pairings)}")
    if options.json:
        print(json.dumps([pairing.row() for pairing in pairings], indent=2))


if __name__ == "__main__":
    main()

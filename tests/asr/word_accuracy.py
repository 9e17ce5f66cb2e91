"""How many words of the built-in voice does a recognizer hear?

Speaks every sentence of sentences.tsv through a running server in every voice, lets pocketsphinx
(its bundled US-English model and large trigram language model) write down what it hears, and prints
word accuracy and levels per voice. Exits 1 when a voice is below its threshold, 2 when a request fails.

    python3 -m venv .venv && .venv/bin/pip install -r tests/asr/requirements.txt
    .venv/bin/python tests/asr/word_accuracy.py --url http://127.0.0.1:8004
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from recognizer import Recognizer, normalise, word_errors
from wav import Levels, decode, levels

HERE = Path(__file__).resolve().parent
THRESHOLDS = {"rms": 89.0, "slt": 83.0}
"""Least word accuracy in percent of each built-in voice."""


@dataclass
class Tally:
    """What one voice added up to over all sentences."""

    errors: int = 0
    words: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    characters: int = 0
    levels: list[Levels] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """100 x (1 - word error rate)."""
        return 100 * (1 - self.errors / self.words)


def read_sentences(path: Path) -> list[tuple[str, list[str]]]:
    """(text to speak, words expected) of each line that is not a comment."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return [(text, normalise(spoken)) for text, spoken in (line.split("\t") for line in lines)]


def speak(url: str, model: str, voice: str, text: str) -> bytes:
    """One POST to /v1/audio/speech; returns the WAV file."""
    body = json.dumps({"model": model, "voice": voice, "input": text, "response_format": "wav"}).encode()
    request = urllib.request.Request(f"{url}/v1/audio/speech", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return response.read()


def measure(args: argparse.Namespace, voice: str, recognizer: Recognizer) -> Tally:
    """Speaks and recognizes all sentences in one voice."""
    tally = Tally()
    for number, (text, expected) in enumerate(read_sentences(args.sentences), 1):
        started = time.monotonic()
        data = speak(args.url, args.model, voice, text)
        tally.waited += time.monotonic() - started
        if args.save:
            (args.save / f"{voice}-{number:02}.wav").write_bytes(data)
        wav = decode(data)
        heard = recognizer.listen(wav)
        errors = word_errors(expected, heard)
        tally.errors += errors
        tally.words += len(expected)
        tally.seconds += wav.seconds
        tally.characters += len(text)
        tally.levels.append(levels(wav))
        if args.verbose and errors:
            print(f"  {voice} {number:2}  {errors} of {len(expected)}  {' '.join(expected)}")
            print(f"{'':12}heard  {' '.join(heard)}")
    return tally


def report(tallies: dict[str, Tally]) -> bool:
    """Prints the table; true when every voice reaches its threshold."""
    print("voice  accuracy  errors/words  needed  rms dBFS  peak  clipped  lead ms  tail ms  ms/char  RTF")
    passed = True
    for voice, tally in tallies.items():
        needed = THRESHOLDS.get(voice, 0.0)
        passed &= tally.accuracy >= needed
        column = {name: [getattr(item, name) for item in tally.levels] for name in Levels.__dataclass_fields__}
        print(
            f"{voice:5}  {tally.accuracy:7.1f}%  {tally.errors:6}/{tally.words:<5}  {needed:5.1f}%"
            f"  {np.mean(column['rms_dbfs']):8.1f}  {max(column['peak']):4.2f}  {sum(column['clipped']):7}"
            f"  {max(column['lead_ms']):7.0f}  {max(column['tail_ms']):7.0f}"
            f"  {1000 * tally.seconds / tally.characters:7.0f}  {tally.waited / tally.seconds:.2f}"
        )
    print(
        "rms: mean level of what is not silent; peak, lead and tail: the largest; RTF: time waited / seconds of audio"
    )
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8004", help="base URL of the server")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--voices", nargs="+", default=list(THRESHOLDS))
    parser.add_argument("--sentences", type=Path, default=HERE / "sentences.tsv")
    parser.add_argument("--save", type=Path, help="folder to keep the WAV files in")
    parser.add_argument("--verbose", action="store_true", help="print what was misheard")
    args = parser.parse_args()
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
    recognizer = Recognizer()
    try:
        tallies = {voice: measure(args, voice, recognizer) for voice in args.voices}
    except urllib.error.HTTPError as error:
        print(f"{error.url} answered {error.code}: {error.read().decode(errors='replace')}", file=sys.stderr)
        return 2
    except (urllib.error.URLError, ValueError) as error:
        print(f"{args.url}: {error}", file=sys.stderr)
        return 2
    return 0 if report(tallies) else 1


if __name__ == "__main__":
    sys.exit(main())

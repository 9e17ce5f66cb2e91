"""Phonemes to a WAV file, from an exported voice alone.

python -m builtin_voice.synthesize --voice-name rms --out hello.wav "həlˈO, wˈɜɹld!"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile
import torch

from .dsp import RATE
from .export import load
from .model import BUILTIN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, default=BUILTIN, help="folder of an exported voice")
    parser.add_argument("--voice-name", default="rms")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("phonemes")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    voice = load(args.voice)
    speech = voice.network.speak(voice.ids(args.phonemes), voice.row(args.voice_name, args.phonemes), args.speed)
    audio = speech.audio * voice.config.get("output_gain", 1.0)
    soundfile.write(args.out, audio.clamp(-1, 1).numpy(), RATE, subtype="PCM_16")
    print(f"{args.out}: {len(audio) / RATE:.2f} s, peak {float(audio.abs().max()):.2f}")


if __name__ == "__main__":
    main()

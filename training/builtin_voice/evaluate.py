"""The held-out sentences, as the teachers speak them and as an exported voice does.

    python -m builtin_voice.evaluate --set build/set --voice build/voice rms slt

Word accuracy by pocketsphinx (the recognizer of tests/asr) of the teacher's audio, of a copy made with the teacher's
durations, F0 and energy, and of the voice from phonemes alone; and the copy's distance from the teacher in log mel.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from .data import VoiceSet
from .dsp import RATE, energy, log_mel
from .export import Voice, load
from .model import BUILTIN, REPOSITORY, Prosody
from .text import held_out

sys.path.insert(0, str(REPOSITORY / "tests" / "asr"))  # scripts rather than a package
from recognizer import Recognizer, normalise, word_errors  # noqa: E402
from wav import Wav  # noqa: E402


def evaluate(voice: Voice, voices: VoiceSet, name: str, recognizer: Recognizer, most: int) -> str:
    """One line of figures over the first `most` held-out sentences of one voice."""
    texts = held_out()
    errors = {"teacher": 0, "copy": 0, "voice": 0}
    words, distance, count = 0, 0.0, 0
    for item in [item for item in voices.held_out if item.voice == name][:most]:
        expected = normalise(texts[int(item.id[1:])])
        true = voices.audio(item)
        row = voice.row(name, item.phonemes)
        prosody = Prosody(torch.tensor(item.durations), voices.pitch(item), energy(true[None])[0])
        copy = voice.network.speak(item.ids, row, prosody=prosody).audio
        spoken: dict[str, Tensor] = {"teacher": true, "copy": copy, "voice": voice.network.speak(item.ids, row).audio}
        for kind, audio in spoken.items():
            errors[kind] += word_errors(expected, recognizer.listen(Wav(audio.double().numpy(), RATE)))
        words += len(expected)
        distance += float((log_mel(copy[None]) - log_mel(true[None])).abs().mean())
        count += 1
    accuracies = " ".join(f"{kind} {100 * (1 - wrong / words):.1f} %" for kind, wrong in errors.items())
    return f"{name}: {accuracies} of {words} words; log mel of the copy {distance / count:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--voice", type=Path, default=BUILTIN, help="folder of an exported voice")
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("voices", nargs="+")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    voice, recognizer = load(args.voice), Recognizer()
    voices = VoiceSet(args.set, args.voices, torch.device("cpu"))
    for name in args.voices:
        print(evaluate(voice, voices, name, recognizer, args.sentences), flush=True)


if __name__ == "__main__":
    main()

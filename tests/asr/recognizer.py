"""Pocketsphinx, and counting words: what was said against what was heard."""

from __future__ import annotations

import re

import numpy as np
from pocketsphinx import Decoder, get_model_path
from wav import Wav, resample_to_16k

SAME_WORD = {"mr": "mister", "dr": "doctor", "ok": "okay", "cancelled": "canceled"}
NUMERALS = set(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety".split()
)


def normalise(text: str) -> list[str]:
    """Lower-case words; one spelling per word; no "and" inside a number ("two hundred and fifty")."""
    words = [SAME_WORD.get(word, word) for word in re.sub(r"[^a-z' ]", " ", text.lower()).split()]
    return [
        word
        for i, word in enumerate(words)
        if not (
            word == "and" and words[i - 1 : i] in (["hundred"], ["thousand"]) and set(words[i + 1 : i + 2]) <= NUMERALS
        )
    ]


def word_errors(reference: list[str], heard: list[str]) -> int:
    """Edit distance in words: substitutions, insertions and deletions."""
    row = list(range(len(heard) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(diagonal + (expected != word), row[j] + 1, row[j - 1] + 1)
    return row[-1]


class Recognizer:
    """Pocketsphinx with its bundled acoustic model, dictionary and large trigram language model."""

    PEAK = 0.6
    PADDING = np.zeros(3200)
    """0.2 s of silence before and after."""

    def __init__(self) -> None:
        models = get_model_path("en-us")
        self.decoder = Decoder(
            hmm=f"{models}/en-us", dict=f"{models}/cmudict-en-us.dict", lm=f"{models}/en-us.lm.bin", loglevel="FATAL"
        )

    def listen(self, wav: Wav) -> list[str]:
        """The words heard in `wav`, whatever its level."""
        audio = np.concatenate([self.PADDING, resample_to_16k(wav), self.PADDING])
        audio *= self.PEAK / max(1e-3, np.abs(audio).max())
        self.decoder.start_utt()
        self.decoder.process_raw((audio * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        hypothesis = self.decoder.hyp()
        return normalise(hypothesis.hypstr) if hypothesis else []

"""The teachers' labels as phoneme tokens with durations, in the symbols that Kokoro's models read (misaki's).

A label file holds, per utterance, tab-separated lines:

    U  id  sample-rate
    W  index  word  punctuation-before  punctuation-after
    S  phone  end-in-seconds  stress(0|1)  first-in-syllable(0|1)  word-index(-1 in a pause)
    E

Where misaki and the teachers write one sound differently, the variants that misaki uses are written at random, so
that the trained model understands misaki's output.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .dsp import FRAME, RATE

FRAME_SECONDS = FRAME / RATE
EDGE = "$"
"""The pad token (id 0) at both ends of every utterance."""
TOUCH = 1e-4
"""Seconds: a token that takes no time of its own (it still gets one frame)."""

SYMBOLS = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "W", "ax": "ə", "ay": "I", "b": "b", "ch": "ʧ", "d": "d",
    "dh": "ð", "eh": "ɛ", "ey": "A", "f": "f", "g": "ɡ", "hh": "h", "ih": "ɪ", "iy": "i", "jh": "ʤ", "k": "k",
    "l": "l", "m": "m", "n": "n", "ng": "ŋ", "ow": "O", "oy": "Y", "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ",
    "t": "t", "th": "θ", "uh": "ʊ", "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
}  # fmt: skip
VOWELS = set("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split())
FUNCTION_WORDS = set(
    "a an the of to in on at by for from with and or but so if is are was were be been am do does did has have "
    "had will would could should can i you he she it we they me him her us them my your his its our their this "
    "that there as than then not".split()
)
PUNCTUATION = set(';:,.!?—…"()“”')


@dataclass(frozen=True)
class Segment:
    """One phone: `start` and `end` in seconds, `word` is -1 in a pause."""

    phone: str
    start: float
    end: float
    stressed: bool
    word: int

    @property
    def is_vowel(self) -> bool:
        return self.phone in VOWELS


PAUSE = Segment("pau", 0.0, 0.0, False, -1)


@dataclass
class Utterance:
    """One spoken sentence; `words` holds (word, punctuation after it)."""

    id: str
    rate: int
    words: list[tuple[str, str]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    def at(self, index: int) -> Segment:
        """The segment at `index`, a pause outside the utterance."""
        return self.segments[index] if 0 <= index < len(self.segments) else PAUSE


@dataclass
class Token:
    """A symbol and how long it lasts, in seconds."""

    symbol: str
    seconds: float


def parse(path: Path) -> Iterator[Utterance]:
    """The utterances of a label file."""
    utterance = Utterance("", 0)
    for line in path.read_text(encoding="latin-1").splitlines():
        kind, *rest = line.split("\t")
        if kind == "U":
            utterance = Utterance(rest[0], int(rest[1]))
        elif kind == "W":
            utterance.words.append((rest[1].lower(), rest[3]))
        elif kind == "S":
            phone, end, stress, _, word = rest
            utterance.segments.append(
                Segment(phone, utterance.at(len(utterance.segments) - 1).end, float(end), stress == "1", int(word))
            )
        elif kind == "E":
            yield utterance


class Tokenizer:
    """Turns one utterance into tokens; `chance` decides between misaki's variants."""

    def __init__(self, utterance: Utterance, chance: random.Random):
        self.utterance = utterance
        self.chance = chance
        self.tokens = [Token(EDGE, 0.0)]
        self.last_word = -1
        self.stresses_in_word = 0

    def run(self) -> list[Token]:
        """All tokens, an edge at both ends."""
        for index, segment in enumerate(self.utterance.segments):
            if segment.phone == "pau":
                self.pause(index, segment.end - segment.start)
            else:
                self.begin_word(segment.word)
                self.phone(index, segment)
        if self.tokens[-1].symbol != EDGE:
            self.add(EDGE, TOUCH)
        return self.tokens

    def add(self, symbol: str, seconds: float) -> None:
        self.tokens.append(Token(symbol, seconds))

    def punctuation(self) -> str:
        """The punctuation mark after the last word, or nothing."""
        if self.last_word < 0:
            return ""
        return next((mark for mark in self.utterance.words[self.last_word][1] if mark in PUNCTUATION), "")

    def pause(self, index: int, seconds: float) -> None:
        """A pause is spoken by punctuation and a space, or by the edges; one without punctuation becomes a comma."""
        if index == 0:
            self.tokens[0].seconds = seconds
            return
        final = index == len(self.utterance.segments) - 1
        mark = self.punctuation() or ("" if final else ",")
        if mark == "," and self.chance.random() < 0.06:
            mark = self.chance.choice(";:—")
        if mark:
            self.add(mark, seconds * (0.5 if final else 0.7))
        if final:
            self.add(EDGE, seconds * 0.5 if mark else seconds)
        else:
            self.add(" ", seconds * 0.3)

    def begin_word(self, word: int) -> None:
        """Before the first phone of another word: punctuation without a pause, and a space."""
        if word == self.last_word:
            return
        if self.last_word >= 0 and self.tokens[-1].symbol != " ":
            if mark := self.punctuation():
                self.add(mark, TOUCH)
            self.add(" ", TOUCH)
        self.last_word = word
        self.stresses_in_word = 0

    def phone(self, index: int, segment: Segment) -> None:
        seconds = segment.end - segment.start
        if not segment.is_vowel:
            self.add(self.consonant(index, segment), seconds)
            return
        if mark := self.stress_mark(segment):
            self.add(mark, min(FRAME_SECONDS, seconds / 3))
            seconds -= self.tokens[-1].seconds
        if segment.phone == "er":
            self.add("ɜ" if segment.stressed else "ə", seconds / 2)
            self.add("ɹ", seconds / 2)
        else:
            self.add(self.vowel(index, segment), seconds)

    def stress_mark(self, segment: Segment) -> str:
        """Primary stress on a word's first stressed vowel, mostly secondary later, often none on function words."""
        if not segment.stressed:
            return ""
        first = self.stresses_in_word == 0
        self.stresses_in_word += 1
        if self.utterance.words[segment.word][0] in FUNCTION_WORDS:
            return self.chance.choices(["", "ˈ", "ˌ"], [0.7, 0.2, 0.1])[0]
        if first:
            vowels = sum(other.is_vowel for other in self.utterance.segments if other.word == segment.word)
            return "ˌ" if vowels == 1 and self.chance.random() < 0.06 else "ˈ"
        return "ˌ" if self.chance.random() < 0.8 else "ˈ"

    def vowel(self, index: int, segment: Segment) -> str:
        """Reduced vowels as misaki writes them: ᵊ before a final sonorant, ᵻ in endings."""
        if segment.phone not in ("ax", "ih") or segment.stressed:
            return SYMBOLS[segment.phone]
        following, after = self.utterance.at(index + 1), self.utterance.at(index + 2)
        inside = following.word == segment.word
        if segment.phone == "ax" and inside and following.phone in ("l", "n", "m") and not after.is_vowel:
            if self.chance.random() < 0.6:
                return "ᵊ"
        elif inside and following.phone in ("d", "z") and after.word != segment.word and self.chance.random() < 0.6:
            return "ᵻ"
        elif segment.phone == "ih" and self.chance.random() < 0.15:
            return "ᵻ"
        return SYMBOLS[segment.phone]

    def consonant(self, index: int, segment: Segment) -> str:
        """American flaps between vowels are T (misaki) or ɾ (IPA)."""
        before, following = self.utterance.at(index - 1), self.utterance.at(index + 1)
        flapped = (
            segment.phone == "t"
            and (before.is_vowel or before.phone == "r")
            and before.word == following.word == segment.word
            and following.is_vowel
            and not following.stressed
        )
        if flapped and self.chance.random() < 0.75:
            return "T" if self.chance.random() < 0.8 else "ɾ"
        return SYMBOLS[segment.phone]


def to_frames(seconds: list[float], total: int) -> list[int]:
    """Durations in frames, at least one each, their ends as near as that allows to the true ends; they sum to `total`.

    `total` must be at least `len(seconds)`.
    """
    ends: list[int] = []
    time = 0.0
    for duration in seconds:
        time += duration
        ends.append(max((ends[-1] if ends else 0) + 1, round(time / FRAME_SECONDS)))
    ends[-1] = total
    for i in range(len(ends) - 2, -1, -1):
        ends[i] = min(ends[i], ends[i + 1] - 1)
    return [end - start for start, end in zip([0, *ends], ends)]

"""Training sentences: templates and word lists of our own, plus words of Debian's `wamerican` list for rare sounds.

Deterministic: the same count, seed and word list give the same sentences. With the defaults and wamerican
2020.12.07-2 these are the 2400 sentences that the published voice was trained on.

    python -m builtin_voice.text --out build/teachers

writes sentences.tsv (id<TAB>text, for flite_dump) and sentences.scm (the same for festival_dump.scm). Held-out
sentences get ids h000.., training sentences s00000..; a held-out sentence is never among the training sentences.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from . import words as lists

ROOT = Path(__file__).resolve().parents[1]
HELD_OUT = ROOT / "heldout.txt"
WORD_LIST = Path("/usr/share/dict/american-english")
LONGEST = 95
"""Characters; longer sentences are drawn again."""


class Grammar:
    """Draws sentences. All chance comes from one generator, in a fixed order of draws."""

    def __init__(self, seed: int, word_list: list[str]):
        self.random = random.Random(seed)
        self.rare = [word for word in word_list if re.fullmatch(r"[a-z]{3,11}", word)]
        self.random.shuffle(self.rare)
        self.next_rare = 0

    def pick(self, choices: str | list[str]) -> str:
        """One of `choices`: a list, or words separated by spaces."""
        return self.random.choice(choices.split() if isinstance(choices, str) else choices)

    def rare_word(self) -> str:
        """The next word of the shuffled word list."""
        self.next_rare = (self.next_rare + 1) % len(self.rare)
        return self.rare[self.next_rare]

    def noun(self) -> str:
        return self.rare_word() if self.random.random() < 0.35 else self.pick(lists.NOUNS)

    def adjective(self) -> str:
        return self.pick(lists.ADJECTIVES)

    def noun_phrase(self) -> str:
        """A name, or determiner, perhaps an adjective, and noun."""
        if self.random.random() < 0.15:
            return self.pick(lists.NAMES)
        own = self.pick(lists.POSSESSIVES)
        counted = "the " + self.pick(lists.NUMBERS)
        determiner = self.pick(["the", "a", "the", "this", "that", own, "every", "some", "another", counted])
        noun = self.noun() if self.random.random() < 0.55 else self.adjective() + " " + self.noun()
        return re.sub(r"\ba (?=[aeiou])", "an ", f"{determiner} {noun}")

    def place(self) -> str:
        """A prepositional phrase."""
        preposition = self.pick(lists.PREPOSITIONS)
        return preposition + " " + (self.noun_phrase() if self.random.random() < 0.8 else self.pick(lists.PLACES))

    def does(self) -> str:
        return self.pick(lists.TRANSITIVE)

    def acts(self) -> str:
        return self.pick(lists.INTRANSITIVE)

    def pronoun(self) -> str:
        return self.pick(lists.PRONOUNS)

    def number(self) -> str:
        return self.pick(lists.NUMBERS)

    def sentence(self) -> str:
        """One sentence from a random template, not yet capitalised."""
        return self.random.choice(TEMPLATES)(self)


TEMPLATES: list[Callable[[Grammar], str]] = [
    lambda g: f"{g.noun_phrase()} {g.does()} {g.noun_phrase()}.",
    lambda g: f"{g.noun_phrase()} {g.does()} {g.noun_phrase()} {g.place()}.",
    lambda g: f"{g.noun_phrase()} {g.acts()} {g.place()}.",
    lambda g: f"{g.pronoun()} will {g.pick(lists.WILL)} {g.noun_phrase()} {g.place()}.",
    lambda g: f"did {g.noun_phrase()} {g.pick(lists.DID)} {g.noun_phrase()}?",
    lambda g: f"where is {g.noun_phrase()}, and who {g.does()} {g.noun_phrase()}?",
    lambda g: f"why does {g.noun_phrase()} {g.pick('like need want hate avoid enjoy')} {g.noun_phrase()}?",
    lambda g: (
        f"{g.pick(lists.ADVERBS)}, {g.noun_phrase()} {g.acts()}, "
        f"but {g.noun_phrase()} {g.acts()} {g.pick(lists.ADVERBS)}."
    ),
    lambda g: f"{g.noun_phrase()} and {g.noun_phrase()} are {g.adjective()}.",
    lambda g: (
        f"{g.noun_phrase()} was {g.adjective()} and {g.adjective()}, "
        f"so {g.pronoun()} could not {g.pick('stay leave help answer sleep eat think go')}."
    ),
    lambda g: f"on {g.pick(lists.DAYS)}, {g.noun_phrase()} {g.does()} {g.number()} {g.noun()}s.",
    lambda g: f"there are {g.number()} {g.adjective()} {g.noun()}s {g.place()}.",
    lambda g: (
        f"please {g.pick('bring give show send tell teach read write')} me "
        f"{g.noun_phrase()}, {g.noun_phrase()}, and {g.noun_phrase()}."
    ),
    lambda g: f"{g.pick(lists.NAMES)} said that {g.noun_phrase()} {g.acts()}.",
    lambda g: f"if {g.noun_phrase()} {g.acts()}, then {g.noun_phrase()} {g.does()} {g.noun_phrase()}.",
    lambda g: (
        f"I don't think {g.pronoun()} can {g.pick('hear see help find catch reach judge')} "
        f"{g.noun_phrase()} {g.pick(lists.ADVERBS)}."
    ),
    lambda g: f"{g.rare_word()}, {g.rare_word()}, {g.rare_word()}, and {g.rare_word()}.",
    lambda g: f"the {g.rare_word()} of {g.rare_word()} {g.does()} {g.rare_word()}.",
    lambda g: f"{g.rare_word()} {g.rare_word()} {g.rare_word()}.",
    lambda g: f"what a {g.adjective()} {g.noun()}!",
    lambda g: f"hello, {g.pick(lists.NAMES)}. how are you today?",
    lambda g: f"{g.number()} {g.number()} {g.number()} {g.number()}.",
    lambda g: (
        f"the year is {g.pick('nineteen eighteen twenty')} {g.pick(lists.NUMBERS[9:28])} {g.pick(lists.NUMBERS[:9])}."
    ),
    lambda g: f"{g.noun_phrase()}; {g.noun_phrase()} {g.acts()}.",
    lambda g: (
        f"you should {g.pick('always never usually')} {g.pick('touch wash keep measure choose throw use')} "
        f"{g.noun_phrase()} {g.place()}."
    ),
    lambda g: f"yes, {g.pronoun()} {g.pick('would could should might')} be {g.adjective()}.",
    lambda g: "no, thank you.",
    lambda g: f"{g.rare_word()}.",
    lambda g: (
        f"{g.pick(lists.POSSESSIVES)} {g.noun()} is {g.pick('better worse bigger older thicker smoother sharper')} "
        f"than {g.pick(lists.POSSESSIVES)} {g.noun()}."
    ),
]


def held_out() -> list[str]:
    """The sentences that are never trained on."""
    return HELD_OUT.read_text(encoding="utf-8").split("\n")[:-1]


def training_sentences(count: int, seed: int, word_list: list[str]) -> Iterator[str]:
    """`count` different sentences, capitalised, none of them held out."""
    grammar = Grammar(seed, word_list)
    excluded = {sentence.lower() for sentence in held_out()}
    seen: set[str] = set()
    while len(seen) < count:
        sentence = grammar.sentence()
        if sentence in seen or sentence.lower() in excluded or len(sentence) > LONGEST:
            continue
        seen.add(sentence)
        yield sentence[0].upper() + sentence[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--words", type=Path, default=WORD_LIST, help="a word per line")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    words = args.words.read_text(encoding="utf-8").split("\n")
    rows = [(f"h{i:03}", text) for i, text in enumerate(held_out())]
    rows += [(f"s{i:05}", text) for i, text in enumerate(training_sentences(args.count, args.seed, words))]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "sentences.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in rows), encoding="utf-8")
    (args.out / "sentences.scm").write_text("".join(f'("{name}" "{text}")\n' for name, text in rows), encoding="utf-8")
    print(f"{len(rows)} sentences in {args.out}")


if __name__ == "__main__":
    main()

"""What would spoil a training run unnoticed: leaked test sentences, labels out of step, an export that changes."""

from __future__ import annotations

import random
import tempfile
import unittest
from pathlib import Path

import torch
from builtin_voice.data import VoiceSet
from builtin_voice.dsp import FRAME, HOP, RATE, energy, log_mel
from builtin_voice.export import load, network_weights, save, voice_rows
from builtin_voice.labels import FRAME_SECONDS, Tokenizer, parse, to_frames
from builtin_voice.losses import duration_losses, stft_loss
from builtin_voice.model import BUILTIN, REPOSITORY
from builtin_voice.resume import from_voice
from builtin_voice.text import WORD_LIST, held_out, training_sentences
from safetensors.torch import load_file

LABELS = """U\th000\t16000
W\t0\tbetter\t\t,
W\t1\tthe\t\t
W\t2\tbird\t\t?
S\tpau\t0.2\t0\t0\t-1
S\tb\t0.25\t1\t1\t0
S\teh\t0.35\t1\t0\t0
S\tt\t0.4\t0\t1\t0
S\ter\t0.5\t0\t0\t0
S\tpau\t0.7\t0\t0\t-1
S\tdh\t0.75\t0\t1\t1
S\tax\t0.8\t0\t0\t1
S\tb\t0.86\t1\t1\t2
S\ter\t1.0\t1\t0\t2
S\td\t1.1\t1\t0\t2
S\tpau\t1.3\t0\t0\t-1
E
"""


def tokens(seed: int) -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.lab"
        path.write_text(LABELS)
        (utterance,) = parse(path)
    return [(token.symbol, token.seconds) for token in Tokenizer(utterance, random.Random(seed)).run()]


def five_grams(sentence: str) -> set[tuple[str, ...]]:
    words = "".join(c for c in sentence.lower() if c.isalnum() or c in " '").split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


class Sentences(unittest.TestCase):
    """These need Debian's word list (package wamerican), as training does."""

    def setUp(self) -> None:
        self.words = WORD_LIST.read_text(encoding="utf-8").split("\n")

    def test_deterministic_and_distinct(self) -> None:
        first = list(training_sentences(500, 7, self.words))
        self.assertEqual(first, list(training_sentences(500, 7, self.words)))
        self.assertEqual(len(set(first)), 500)
        self.assertNotEqual(first, list(training_sentences(500, 8, self.words)))

    def test_recognizer_sentences_are_new(self) -> None:
        lines = (REPOSITORY / "tests" / "asr" / "sentences.tsv").read_text(encoding="utf-8").splitlines()
        tested = [line.split("\t") for line in lines if not line.startswith("#")]
        self.assertGreaterEqual(len(tested), 30)
        known = [*training_sentences(2400, 7, self.words), *held_out()]
        lower = {sentence.lower() for sentence in known}
        seen = set().union(*(five_grams(sentence) for sentence in known))
        for text, spoken in tested:
            self.assertNotIn(text.lower(), lower)
            self.assertEqual((five_grams(text) | five_grams(spoken)) & seen, set(), text)


class Labels(unittest.TestCase):
    def test_symbols(self) -> None:
        """Whatever the random variants, undoing them gives the one pronunciation."""
        plain = set()
        variants = {"".join(symbol for symbol, _ in tokens(seed)) for seed in range(40)}
        for variant in variants:
            commas = "".join("," if mark in ";:—" else mark for mark in variant)
            plain.add(commas.replace("ɾ", "t").replace("T", "t").replace("bˌɜ", "bˈɜ"))
        self.assertEqual(plain, {"$bˈɛtəɹ, ðə bˈɜɹd?$"})
        self.assertTrue(any("T" in variant for variant in variants))

    def test_time_is_kept(self) -> None:
        self.assertAlmostEqual(sum(seconds for _, seconds in tokens(0)), 1.3, delta=1e-3)

    def test_frames(self) -> None:
        seconds = [0.1, 1e-4, 1e-4, 0.3, 0.0125]
        total = 34
        frames = to_frames(seconds, total)
        self.assertEqual(sum(frames), total)
        self.assertGreaterEqual(min(frames), 1)
        self.assertLessEqual(abs(frames[0] - 0.1 / FRAME_SECONDS), 1)


class Signals(unittest.TestCase):
    def test_frame_counts(self) -> None:
        audio = torch.randn(2, 40 * FRAME)
        self.assertEqual(log_mel(audio).shape, (2, 80, 80))
        self.assertEqual(energy(audio).shape, (2, 40 * FRAME // HOP))

    def test_energy_follows_loudness(self) -> None:
        tone = torch.sin(torch.arange(RATE) * 2 * torch.pi * 440 / RATE)[None]
        self.assertGreater(float(energy(tone).mean()), float(energy(tone / 10).mean()) + 0.5)

    def test_losses_vanish_on_the_truth(self) -> None:
        audio = torch.randn(1, 20 * FRAME)
        self.assertLess(float(stft_loss(audio, audio)), 1e-6)
        frames, mask = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[1.0, 1.0, 0.0]])
        logits = torch.where(torch.arange(6) < frames[..., None], 30.0, -30.0)
        distance, entropy = duration_losses(logits, frames, mask)
        self.assertLess(float(distance), 1e-4)
        self.assertLess(float(entropy), 1e-4)


class PublishedVoice(unittest.TestCase):
    def test_speaks(self) -> None:
        torch.manual_seed(0)
        voice = load(BUILTIN)
        phonemes = "həlˈO, wˈɜɹld!"
        for name in ("rms", "slt"):
            speech = voice.network.speak(voice.ids(phonemes), voice.row(name, phonemes))
            self.assertEqual(len(speech.audio), int(speech.durations.sum()) * FRAME)
            self.assertTrue(0.5 < len(speech.audio) / RATE < 2)
            self.assertTrue(0.1 < float(speech.audio.abs().max()) < 1)
            voiced = speech.f0[speech.f0 > 10]
            self.assertTrue(80 < float(voiced.mean()) < 250)

    def test_resume_and_export_give_the_same_files(self) -> None:
        decoder, predictor = from_voice(BUILTIN)
        config = load(BUILTIN).config
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder), network_weights(decoder, predictor, config), voice_rows(decoder, predictor))
            for file in ("model", "voices"):
                old = load_file(BUILTIN / f"{file}.safetensors")
                new = load_file(Path(folder) / f"{file}.safetensors")
                self.assertEqual(set(old), set(new))
                for name, tensor in old.items():
                    self.assertTrue(torch.equal(tensor, new[name]), name)


class Sets(unittest.TestCase):
    def test_reader_spreads_tokens_over_frames(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "x.pcm").write_bytes(bytes(5 * FRAME * 2))
            (root / "x.f0").write_bytes(bytes(10 * 4))
            (root / "x.json").write_text(
                '[{"id":"s0","ids":[0,43,0],"durations":[1,3,1],"start":0,"frames":5,"phonemes":"a","voice":"x"}]'
            )
            voices = VoiceSet(root, ["x"], torch.device("cpu"))
        self.assertEqual(voices.alignment(voices.train, 5).tolist(), [[0, 1, 1, 1, 2]])
        self.assertEqual(voices.audio(voices.train[0], 2).shape, (2 * FRAME,))


if __name__ == "__main__":
    unittest.main()

"""The counting and measuring of this folder: python -m unittest discover -s tests/asr"""

from __future__ import annotations

import struct
import unittest

import numpy as np
from recognizer import normalise, word_errors
from wav import Wav, decode, levels, resample_to_16k


def wav_bytes(samples: np.ndarray, size: int | None = None) -> bytes:
    """A 24 kHz WAV file; `size` is written in place of both true sizes."""
    body = (samples * 32767).astype("<i2").tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 24_000, 48_000, 2, 16)
    riff, data = (36 + len(body), len(body)) if size is None else (size, size)
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + fmt + struct.pack("<4sI", b"data", data) + body


class Counting(unittest.TestCase):
    def test_edits(self) -> None:
        said = "the cat sat on the mat".split()
        for heard, errors in (
            ("the cat sat on the mat", 0),
            ("the cat sat on mat", 1),
            ("a cat sat on on the mat", 2),
            ("", 6),
        ):
            self.assertEqual(word_errors(said, heard.split()), errors, heard)

    def test_one_spelling_per_word(self) -> None:
        self.assertEqual(normalise("Dr. Who, two hundred and fifty."), "doctor who two hundred fifty".split())
        self.assertEqual(normalise("black and white and forty-five"), "black and white and forty five".split())


class Measuring(unittest.TestCase):
    def setUp(self) -> None:
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
        self.samples = np.concatenate([np.zeros(2_400), tone, np.zeros(4_800)])

    def test_sizes_of_a_stream(self) -> None:
        for size in (None, 0xFFFFFFFF):
            self.assertEqual(len(decode(wav_bytes(self.samples, size)).samples), len(self.samples))
        with self.assertRaises(ValueError):
            decode(b'{"error": "no"}')

    def test_levels(self) -> None:
        level = levels(decode(wav_bytes(self.samples)))
        self.assertAlmostEqual(level.rms_dbfs, -9.03, delta=0.1)
        self.assertEqual((level.lead_ms, level.tail_ms, level.clipped), (100, 200, 0))
        self.assertGreater(levels(Wav(np.clip(4 * self.samples, -1, 1), 24_000)).clipped, 1000)

    def test_resampling_keeps_the_tone(self) -> None:
        made = resample_to_16k(Wav(self.samples, 24_000))
        spectrum = np.abs(np.fft.rfft(made[1_600:17_600]))
        self.assertEqual(int(spectrum.argmax()), 440)
        self.assertAlmostEqual(float(np.abs(made).max()), 0.5, delta=0.01)


if __name__ == "__main__":
    unittest.main()

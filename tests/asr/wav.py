"""WAV bytes to samples, and the levels that a listener would complain about."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

SILENCE_DBFS = -45.0
"""A 10 ms frame below this level counts as silence."""


@dataclass(frozen=True)
class Wav:
    """Mono audio: `samples` in [-1, 1], float64, shape [n]; `rate` in Hz."""

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class Levels:
    """What `levels` measures. Levels in dBFS, times in milliseconds."""

    rms_dbfs: float
    peak: float
    clipped: int
    lead_ms: float
    tail_ms: float


def decode(data: bytes) -> Wav:
    """Decodes 16-bit mono PCM in RIFF; sizes of 0xFFFFFFFF (a stream) mean "to the end".

    The `wave` module of the standard library trusts the header's sizes, hence this reader.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"not a WAV file: it starts with {data[:12]!r}")
    rate, at = 0, 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if (coding, channels, bits) != (1, 1, 16):
                raise ValueError(f"expected 16-bit mono PCM, got coding {coding}, {channels} channels, {bits} bits")
        elif name == b"data":
            pcm = np.frombuffer(body[: len(body) & ~1], dtype="<i2")
            return Wav(pcm / 32768.0, rate)
        at += 8 + size + (size & 1)
    raise ValueError("the WAV file has no data chunk")


def dbfs(value: float) -> float:
    """Amplitude (1.0 = full scale) to dBFS, floored at -120."""
    return 20 * np.log10(max(value, 1e-6))


def levels(wav: Wav) -> Levels:
    """Loudness over the frames that are not silent, clipped samples, silence at both ends."""
    frame = wav.rate // 100
    count = len(wav.samples) // frame
    energy = np.sqrt(np.mean(wav.samples[: count * frame].reshape(count, frame) ** 2, axis=1))
    loud = np.flatnonzero(energy > 10 ** (SILENCE_DBFS / 20))
    if len(loud) == 0:
        return Levels(-120.0, 0.0, 0, 10.0 * count, 10.0 * count)
    return Levels(
        rms_dbfs=float(dbfs(np.sqrt(np.mean(energy[loud] ** 2)))),
        peak=float(np.abs(wav.samples).max()),
        clipped=int((np.abs(wav.samples) >= 32767 / 32768).sum()),
        lead_ms=10.0 * loud[0],
        tail_ms=10.0 * (count - 1 - loud[-1]),
    )


def resample_to_16k(wav: Wav) -> np.ndarray:
    """Band-limited resampling to 16 kHz by a windowed sinc; the rate must be a multiple of 8 kHz."""
    if wav.rate % 8000:
        raise ValueError(f"expected a multiple of 8000 Hz, got {wav.rate}")
    up, down = 2, wav.rate // 8000
    reach = 24 * down
    t = np.arange(-reach, reach + 1)
    taps = up / down * np.sinc(t / down) * np.hamming(len(t))
    stuffed = np.zeros(len(wav.samples) * up)
    stuffed[::up] = wav.samples
    return np.convolve(stuffed, taps, mode="same")[::down]

"""Spectra and energies, as the losses and the energy curve of the predictor need them. 24 kHz throughout."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F

RATE = 24_000
"""Samples per second."""
HOP = 150
"""Samples per half frame (6.25 ms): the rate of the F0 and energy curves."""
FRAME = 2 * HOP
"""Samples per duration frame (12.5 ms)."""
MELS = 80


@functools.cache
def mel_bank(n_fft: int, device: torch.device, f_min: float = 40.0, f_max: float = 8000.0) -> torch.Tensor:
    """Triangular HTK-mel filters, [MELS, n_fft / 2 + 1]."""

    def mel(hertz: float) -> float:
        return 2595 * np.log10(1 + hertz / 700)

    edges = 700 * (10 ** (np.linspace(mel(f_min), mel(f_max), MELS + 2) / 2595) - 1)
    bins = np.arange(n_fft // 2 + 1) * RATE / n_fft
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return torch.tensor(bank, dtype=torch.float32, device=device)


@functools.cache
def hann(length: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(length, device=device)


def magnitude(audio: torch.Tensor, n_fft: int, hop: int, window: int | None = None, centre: int = 0) -> torch.Tensor:
    """|STFT| of [batch, samples], as [batch, n_fft / 2 + 1, frames]; frame j is centred on sample j * hop + centre."""
    window = window or n_fft
    half = n_fft // 2
    padded = F.pad(audio, (half - centre, half + centre))
    spectrum = torch.stft(padded, n_fft, hop, window, hann(window, audio.device), center=False, return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).add(1e-9).sqrt()


def mel(audio: torch.Tensor) -> torch.Tensor:
    """Mel magnitudes of [batch, samples], [batch, MELS, samples / HOP]; frame j sits at the middle of half frame j."""
    bank = mel_bank(1024, audio.device)
    return (bank @ magnitude(audio, 1024, HOP, 800, HOP // 2))[..., : audio.shape[-1] // HOP]


def log_mel(audio: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of `mel`, floored at 1e-3."""
    return torch.log(mel(audio).clamp(min=1e-3))


def energy(audio: torch.Tensor) -> torch.Tensor:
    """The energy curve "N", [batch, samples / HOP]: log norm of the mel frames, scaled to about [-3, 1]."""
    return (torch.log(mel(audio).norm(dim=1) + 1e-2) - 1.0) / 2

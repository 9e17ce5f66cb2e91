"""What training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dsp import RATE, magnitude

RESOLUTIONS = ((2048, 480), (1024, 240), (512, 120), (128, 30))
"""(FFT size, hop) in samples."""
HIGHEST = 11_500
"""Hz: log magnitudes above it do not count."""


def stft_loss(made: Tensor, true: Tensor) -> Tensor:
    """Spectral convergence plus L1 of log magnitudes, averaged over the resolutions; audio is [B, samples]."""
    total = torch.zeros((), device=made.device)
    for n_fft, hop in RESOLUTIONS:
        a, b = magnitude(made, n_fft, hop), magnitude(true, n_fft, hop)
        bins = n_fft * HIGHEST // RATE
        logs = [x[:, :bins].clamp(min=2e-3).log() for x in (a, b)]
        total = total + (a - b).norm() / b.norm().clamp(min=1e-3) + F.l1_loss(*logs)
    return total / len(RESOLUTIONS)


def duration_losses(logits: Tensor, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(L1 in frames, cross entropy of the sigmoids); logits [B, L, max_dur], frames and mask [B, L].

    A duration of d frames is d ones and then zeros.
    """
    count = mask.sum()
    distance = ((torch.sigmoid(logits).sum(-1) - frames).abs() * mask).sum() / count
    ones = (torch.arange(logits.shape[-1], device=logits.device) < frames[..., None]).float()
    entropy = F.binary_cross_entropy_with_logits(logits, ones, reduction="none").mean(-1)
    return distance, (entropy * mask).sum() / count


Judgement = list[tuple[Tensor, list[Tensor]]]
"""Per discriminator its verdict and its feature maps."""


def discriminator_loss(real: Judgement, made: Judgement) -> Tensor:
    """Least squares: real to 1, made to 0."""
    pairs = zip(real, made)
    return sum(((1 - a) ** 2).mean() + (b**2).mean() for (a, _), (b, _) in pairs) / len(real)


def generator_losses(real: Judgement, made: Judgement) -> tuple[Tensor, Tensor]:
    """(least squares: made to 1, L1 between the feature maps)."""
    adversarial = sum(((1 - verdict) ** 2).mean() for verdict, _ in made)
    matching = sum(F.l1_loss(q, p.detach()) for (_, r), (_, m) in zip(real, made) for p, q in zip(r, m))
    return adversarial / len(made), matching / len(made)

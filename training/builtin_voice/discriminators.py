"""Discriminators of the adversarial stage: narrow versions of HiFi-GAN's multi-period one and of spectrogram ones.

The published voice did not go through that stage.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import weight_norm

from .dsp import magnitude
from .losses import Judgement

SLOPE = 0.1


def judge(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The verdict per patch and the feature maps on the way to it."""
    maps = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        maps.append(x)
    return last(x), maps


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample of [B, samples]."""

    def __init__(self, period: int):
        super().__init__()
        self.period = period
        widths = (1, 16, 64, 128, 256)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0))) for a, b in zip(widths, widths[1:])
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        padded = F.pad(audio, (0, -audio.shape[-1] % self.period), mode="replicate")
        return judge(self.convs, self.last, padded.view(len(audio), 1, -1, self.period))


class SpectrumDiscriminator(nn.Module):
    """Looks at the log magnitudes of one STFT of [B, samples]."""

    def __init__(self, n_fft: int):
        super().__init__()
        self.n_fft = n_fft
        width = 24
        layers = [
            nn.Conv2d(1, width, (9, 3), (2, 1), padding=(4, 1)),
            nn.Conv2d(width, width, (9, 3), (2, 2), padding=(4, 1)),
        ]
        layers += [nn.Conv2d(width, width, (9, 3), (2, 1), padding=(4, 1)) for _ in range(2)]
        self.convs = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.last = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        spectrum = magnitude(audio, self.n_fft, self.n_fft // 4).clamp(min=1e-4).log()
        return judge(self.convs, self.last, spectrum[:, None])


class Discriminators(nn.Module):
    """All of them; gives one (verdict, feature maps) each."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([SpectrumDiscriminator(n) for n in (512, 1024, 2048)])
        self.members.extend(PeriodDiscriminator(period) for period in (2, 3, 5, 7, 11))

    def forward(self, audio: Tensor) -> Judgement:
        return [member(audio) for member in self.members]

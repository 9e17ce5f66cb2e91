"""Training checkpoints and the averaged weights in them.

A checkpoint holds `last` and `average` (an exponential moving average, which is what gets exported), both flat maps of
tensors named <part>.<parameter>, the number of steps, and the voices in the order of the style table.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

DECODER_PARTS = ("text_encoder", "decoder")
PREDICTOR_PARTS = ("bert", "bert_encoder", "predictor")
STYLES = "styles.weight"
"""The style table, [voices, S], in both checkpoints."""


def part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part, without its prefix."""
    return {key[len(name) + 1 :]: tensor for key, tensor in weights.items() if key.startswith(f"{name}.")}


@dataclass
class Checkpoint:
    last: dict[str, Tensor]
    average: dict[str, Tensor]
    steps: int
    voices: list[str]

    @staticmethod
    def load(path: Path, device: str | torch.device = "cpu") -> Checkpoint:
        return Checkpoint(**torch.load(path, map_location=device, weights_only=True))

    def save(self, path: Path) -> None:
        """Replaces `path` in one step, so that an interrupted write leaves the old file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".tmp")
        torch.save(asdict(self), unfinished)
        os.replace(unfinished, path)


class Average:
    """Moving average of a module's state. It starts as a plain mean, so that early steps do not linger."""

    LONGEST = 0.998

    def __init__(self, module: nn.Module, state: dict[str, Tensor] | None = None):
        self.module = module
        self.state = {name: tensor.clone() for name, tensor in (state or module.state_dict()).items()}
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        keep = min(self.LONGEST, 1 - 1 / (self.steps + 1))
        for name, tensor in self.module.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - keep)
            else:
                self.state[name].copy_(tensor)

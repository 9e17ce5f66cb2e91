"""What the two trainings share: options, the loop's bookkeeping, starting from a checkpoint."""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from .checkpoint import STYLES, Average, Checkpoint
from .data import Item, VoiceSet
from .model import DEFAULT_CONFIG

SAVE_EVERY = 500
LOG_EVERY = 50
LARGEST_GRADIENT = 5.0
"""Norm; larger gradients are scaled down, infinite ones are skipped."""


def options(description: str | None) -> argparse.ArgumentParser:
    """The command line options of both trainings."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=Path, required=True, help="folder written by builtin_voice.data")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("voices", nargs="+")
    return parser


def cosine(progress: float, floor: float) -> float:
    """From 1 at progress 0 to `floor` at 1."""
    return max(floor, 0.5 * (1 + math.cos(math.pi * progress)))


def start_from(checkpoint: Checkpoint, parts: nn.ModuleDict, voices: list[str], optional: tuple[str, ...] = ()) -> bool:
    """Loads `last`; a voice that it does not know starts at the mean of those it does.

    Returns whether the parts named `optional` were in the checkpoint, too; the others must be.
    """
    weights = dict(checkpoint.last)
    known, table = checkpoint.voices, weights[STYLES]
    rows = [table[known.index(voice)] if voice in known else table.mean(0) for voice in voices]
    weights[STYLES] = torch.stack(rows)
    missing, unexpected = parts.load_state_dict(weights, strict=False)
    wrong = unexpected + [name for name in missing if not name.startswith(optional)]
    if wrong:
        raise ValueError(f"the checkpoint does not fit: {wrong}")
    return not missing


class Batches:
    """Endless training batches, in a new random order each time round."""

    def __init__(self, voices: VoiceSet, budget: int, longest: int, seed: int):
        self.voices, self.budget, self.longest = voices, budget, longest
        self.chance = random.Random(seed)
        self.left: list[list[Item]] = []

    def next(self) -> list[Item]:
        if not self.left:
            self.left = self.voices.batches(self.voices.train, self.budget, self.longest, self.chance)
        return self.left.pop()


class Loop:
    """Optimizer, moving average, log and checkpoint of one training run."""

    def __init__(self, parts: nn.ModuleDict, betas: tuple[float, float], args: argparse.Namespace, steps_before: int):
        self.parts, self.out, self.voices = parts, args.out, args.voices
        self.optimizer = torch.optim.AdamW(parts.parameters(), betas=betas, weight_decay=0.01)
        self.average = Average(parts)
        self.steps, self.planned, self.steps_before = 0, args.steps, steps_before
        self.log: dict[str, list[float]] = {}
        self.began = time.monotonic()

    def step(self, loss: Tensor, rate: float, record: dict[str, Tensor]) -> None:
        """One step of the optimizer at this learning rate; logs the mean of `record`."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        gradient = nn.utils.clip_grad_norm_(self.parts.parameters(), LARGEST_GRADIENT)
        if torch.isfinite(gradient):
            self.optimizer.step()
        self.average.update()
        self.steps += 1
        for name, value in record.items():
            self.log.setdefault(name, []).append(float(value.detach()))
        if self.steps % LOG_EVERY == 0 or self.steps == self.planned:
            self.print_log(rate)
        if self.steps % SAVE_EVERY == 0 or self.steps == self.planned:
            self.save()

    def print_log(self, rate: float) -> None:
        means = " ".join(f"{name} {sum(values) / len(values):.4f}" for name, values in self.log.items())
        minutes = (time.monotonic() - self.began) / 60
        print(f"step {self.steps} {minutes:.1f} min rate {rate:.1e} {means}", flush=True)
        self.log = {}

    def save(self) -> None:
        steps = self.steps_before + self.steps
        Checkpoint(self.parts.state_dict(), self.average.state, steps, self.voices).save(self.out)

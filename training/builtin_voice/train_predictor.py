"""Trains ALBERT and the predictor of durations, F0 and energy on the teachers' own.

python -m builtin_voice.train_predictor --set build/set --out build/predictor.pt --steps 3400 rms slt
"""

from __future__ import annotations

import argparse
import random
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .data import Item, VoiceSet
from .dsp import energy
from .losses import duration_losses
from .model import F0_TRAINING_SCALE, VOICED_ABOVE, Network, load_config
from .training import LOG_EVERY, Batches, Loop, cosine, options, start_from

BUDGET = 3500
"""Frames in a batch."""
LONGEST = 600
WARM_UP = 100
FLOOR = 0.03


def new_network(config: dict[str, Any]) -> Network:
    """Random weights, except that durations start out near 20 frames, the later ones unlikely, and F0 at 100 Hz."""
    network = Network(config)
    network.predictor.f0_scale = F0_TRAINING_SCALE
    with torch.no_grad():
        network.predictor.duration_proj.linear_layer.bias.copy_(torch.linspace(3, -6, config["max_dur"]))
        network.predictor.F0_proj.bias.fill_(1.0)
    return network


class PredictorLoss:
    """The losses of a batch; energy curves are computed once per utterance."""

    def __init__(self, network: Network, styles: nn.Embedding, voices: VoiceSet):
        self.network, self.styles, self.voices = network, styles, voices
        self.energies: dict[tuple[str, str], Tensor] = {}

    def energy(self, item: Item) -> Tensor:
        """[2T]"""
        key = (item.voice, item.id)
        if key not in self.energies:
            self.energies[key] = energy(self.voices.audio(item)[None])[0]
        return self.energies[key]

    def __call__(self, items: list[Item]) -> dict[str, Tensor]:
        """duration in frames, its cross entropy, F0 in 100 Hz, energy, and the part of frames voiced wrongly."""
        frames = min(item.frames for item in items)
        tokens = self.voices.tokens(items)
        style = self.styles(self.voices.voice_indices(items))
        durations = torch.zeros_like(tokens.mask)
        for row, item in zip(durations, items):
            row[: len(item.durations)] = torch.tensor(item.durations)
        encoded, logits = self.network.encode(tokens.ids, tokens.lengths, tokens.mask, style)
        distance, entropy = duration_losses(logits, durations, tokens.mask)
        index = self.voices.alignment(items, frames)[..., None].expand(-1, -1, encoded.shape[-1])
        f0, n = self.network.predictor.curves(torch.gather(encoded, 1, index), style)
        true_f0 = torch.stack([self.voices.pitch(item, frames) for item in items])
        true_n = torch.stack([self.energy(item)[: 2 * frames] for item in items])
        return {
            "duration": distance,
            "entropy": entropy,
            "f0": (f0 - true_f0).abs().mean() / F0_TRAINING_SCALE,
            "energy": (n - true_n).abs().mean(),
            "voicing": ((f0 > VOICED_ABOVE) != (true_f0 > VOICED_ABOVE)).float().mean(),
        }


@torch.no_grad()
def held_out(network: Network, losses: PredictorLoss, seed: int) -> str:
    """The mean losses of the held-out sentences."""
    network.eval()
    voices = losses.voices
    records = [losses(items) for items in voices.batches(voices.held_out, BUDGET, LONGEST, random.Random(seed))]
    network.train()
    return " ".join(
        f"{name} {sum(float(record[name]) for record in records) / len(records):.4f}" for name in records[0]
    )


def train(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    config = load_config(args.config)
    voices = VoiceSet(args.set, args.voices, device)
    network = new_network(config)
    styles = nn.Embedding(len(args.voices), config["style_dim"])
    parts = nn.ModuleDict(
        {"bert": network.bert, "bert_encoder": network.bert_encoder, "predictor": network.predictor, "styles": styles}
    )
    network.to(device).train()
    parts.to(device)
    before = 0
    if args.start:
        checkpoint = Checkpoint.load(args.start, device)
        start_from(checkpoint, parts, args.voices)
        before = checkpoint.steps
    losses = PredictorLoss(network, styles, voices)
    loop = Loop(parts, (0.9, 0.99), args, before)
    batches = Batches(voices, BUDGET, LONGEST, args.seed)
    while loop.steps < args.steps:
        record = losses(batches.next())
        loss = 0.3 * record["duration"] + 2 * record["entropy"] + 2 * record["f0"] + record["energy"]
        rate = args.rate * min(1, (loop.steps + 1) / WARM_UP) * cosine(loop.steps / args.steps, FLOOR)
        loop.step(loss, rate, record)
        if loop.steps % (10 * LOG_EVERY) == 0 or loop.steps == args.steps:
            print("held out", held_out(network, losses, args.seed), flush=True)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    train(parser.parse_args())


if __name__ == "__main__":
    main()

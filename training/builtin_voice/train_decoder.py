"""Trains text encoder, decoder and generator on the teachers' audio, given the teachers' durations, F0 and energy.

    python -m builtin_voice.train_decoder --stage features --set build/set --out build/features.pt --steps 430 rms slt
    python -m builtin_voice.train_decoder --stage full --start build/features.pt .. --out build/decoder.pt --steps 10000
    python -m builtin_voice.train_decoder --stage adversarial --start build/decoder.pt .. --out build/sharper.pt

`features` trains what comes before the generator through an auxiliary linear mel head, in minutes: it settles what is
said. `full` trains everything on whole utterances, so that instance norm sees in training what it sees at run time.
`adversarial` adds discriminators; the published voice did without.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .data import Item, VoiceSet
from .discriminators import Discriminators
from .dsp import MELS, energy, log_mel
from .losses import discriminator_loss, generator_losses, stft_loss
from .model import Network, enable_fast_training, load_config
from .training import Batches, Loop, cosine, options, start_from

WARM_UP = 50
CROP = 18_000
"""Samples that the discriminators look at."""
ADVERSARIAL_WARM_UP = 300


@dataclass(frozen=True)
class Stage:
    """`budget` and `longest` in frames, `rate` the highest learning rate, `floor` the part of it that stays."""

    budget: int
    longest: int
    rate: float
    floor: float
    auxiliary: float
    pitch_jitter: float


STAGES = {
    "features": Stage(budget=3000, longest=500, rate=2e-3, floor=0.3, auxiliary=1.0, pitch_jitter=0.03),
    "full": Stage(budget=480, longest=330, rate=1e-3, floor=0.04, auxiliary=0.3, pitch_jitter=0.0),
    "adversarial": Stage(budget=480, longest=330, rate=3e-4, floor=0.04, auxiliary=0.3, pitch_jitter=0.0),
}


@dataclass(frozen=True)
class Made:
    """A batch's audio [B, samples] as made (stage `features` makes none: the true audio) and as it should be."""

    audio: Tensor
    true_audio: Tensor
    losses: dict[str, Tensor]


class DecoderTraining:
    """The networks of a run and the losses of a batch."""

    def __init__(self, args: argparse.Namespace):
        self.stage, self.with_audio = STAGES[args.stage], args.stage != "features"
        device = torch.device(args.device)
        config = load_config(args.config)
        self.voices = VoiceSet(args.set, args.voices, device)
        self.network = Network(config)
        self.styles = nn.Embedding(len(args.voices), config["style_dim"])
        self.auxiliary = nn.Conv1d(config["istftnet"]["upsample_initial_channel"], MELS, 1)
        nn.init.constant_(self.auxiliary.bias, -2.0)
        network = self.network.to(device).train()
        self.parts = nn.ModuleDict(
            {
                "text_encoder": network.text_encoder,
                "decoder": network.decoder,
                "styles": self.styles,
                "auxiliary": self.auxiliary,
            }
        ).to(device)
        self.auxiliary_weight = self.stage.auxiliary
        self.steps_before = 0
        if args.start:
            checkpoint = Checkpoint.load(args.start, device)
            if not start_from(checkpoint, self.parts, args.voices, optional=("auxiliary.",)):
                self.auxiliary_weight = 0.0  # a head that knows nothing would pull at features that are good
            self.steps_before = checkpoint.steps
        if args.fast:
            enable_fast_training(network)

    def features(self, items: list[Item], f0: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's input [B, C, 2T] and the styles [B, S]."""
        tokens = self.voices.tokens(items)
        text = self.network.text_encoder(tokens.ids, tokens.lengths, tokens.mask)
        index = self.voices.alignment(items, f0.shape[1] // 2)
        aligned = torch.gather(text, 2, index[:, None].expand(-1, text.shape[1], -1))
        style = self.styles(self.voices.voice_indices(items))
        return self.network.decoder.features(aligned, f0, n, style), style

    def losses(self, items: list[Item]) -> Made:
        """Runs a batch, cut to its shortest utterance. Curves are jittered, as predicted ones are not exact either."""
        frames = min(item.frames for item in items)
        audio = torch.stack([self.voices.audio(item, frames) for item in items])
        f0 = torch.stack([self.voices.pitch(item, frames) for item in items])
        true_mel = log_mel(audio)
        jitter = torch.randn(2, len(items), 1, device=audio.device)
        n = energy(audio) + 0.05 * jitter[0]
        features, style = self.features(items, f0 * (1 + self.stage.pitch_jitter * jitter[1]), n)
        losses = {"auxiliary": F.l1_loss(self.auxiliary(features), true_mel)}
        if not self.with_audio:
            return Made(audio, audio, losses)
        made = self.network.decoder.generator(features, style, f0)
        losses |= {"mel": F.l1_loss(log_mel(made), true_mel), "stft": stft_loss(made, audio)}
        return Made(made, audio, losses)

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        loss = self.auxiliary_weight * losses["auxiliary"]
        if self.with_audio:
            loss = loss + 1.5 * losses["mel"] + losses["stft"]
        return loss


class Adversary:
    """The discriminators, their optimizer, and what they add to the decoder's loss."""

    def __init__(self, device: torch.device, seed: int):
        self.discriminators = Discriminators().to(device)
        self.optimizer = torch.optim.AdamW(self.discriminators.parameters(), 3e-4, betas=(0.8, 0.99), weight_decay=0.01)
        self.chance = random.Random(seed)

    def loss(self, made: Made, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Trains the discriminators on a random stretch, then gives the decoder's loss on the same stretch."""
        start = self.chance.randrange(max(1, made.audio.shape[1] - CROP))
        real, fake = (audio[:, start : start + CROP] for audio in (made.true_audio, made.audio))
        own = discriminator_loss(self.discriminators(real), self.discriminators(fake.detach()))
        self.optimizer.zero_grad()
        own.backward()
        self.optimizer.step()
        with torch.no_grad():
            truth = self.discriminators(real)
        adversarial, matching = generator_losses(truth, self.discriminators(fake))
        weight = min(1.0, step / ADVERSARIAL_WARM_UP)
        return weight * (0.3 * adversarial + 0.6 * matching), {
            "discriminator": own,
            "adversarial": adversarial,
            "matching": matching,
        }


def train(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    training = DecoderTraining(args)
    stage = training.stage
    loop = Loop(training.parts, (0.8, 0.99), args, training.steps_before)
    batches = Batches(training.voices, args.budget or stage.budget, stage.longest, args.seed)
    adversary = Adversary(torch.device(args.device), args.seed) if args.stage == "adversarial" else None
    highest = args.rate or stage.rate
    while loop.steps < args.steps:
        made = training.losses(batches.next())
        loss, record = training.total(made.losses), made.losses
        if adversary:
            added, judged = adversary.loss(made, loop.steps)
            loss, record = loss + added, record | judged
        rate = highest * min(1, (loop.steps + 1) / WARM_UP) * cosine(loop.steps / args.steps, stage.floor)
        loop.step(loss, rate, record)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--stage", choices=list(STAGES), required=True)
    parser.add_argument("--rate", type=float, help="highest learning rate, instead of the stage's")
    parser.add_argument("--budget", type=int, help="frames in a batch, instead of the stage's")
    parser.add_argument("--fast", action="store_true", help="compiled and in bfloat16: three times as fast on a CPU")
    train(parser.parse_args())


if __name__ == "__main__":
    main()

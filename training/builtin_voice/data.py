"""Teacher audio and labels -> training set, and the reader of that set.

    python -m builtin_voice.data --teachers build/teachers --out build/set rms slt

One token has a duration in frames of 12.5 ms; F0 and energy have two values per frame. Per voice the set holds
<voice>.pcm (int16, 24 kHz, all utterances end to end), <voice>.f0 (float32 Hz, 0 where unvoiced) and <voice>.json.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyworld
import soundfile
import torch
from scipy.signal import resample_poly

from .dsp import FRAME, HOP, RATE
from .labels import EDGE, FRAME_SECONDS, Tokenizer, Utterance, parse, to_frames
from .model import DEFAULT_CONFIG, load_config

KEPT_LEAD = 0.10
"""Seconds of leading silence that are kept."""
LOUDNESS = 0.09
"""RMS to which each voice is scaled, by its first utterance."""
F0_STEP = 0.005
"""Seconds between the values of a teacher's F0 track."""
MOST_TOKENS = 500


@dataclass(frozen=True)
class Item:
    """One utterance of a set."""

    id: str
    ids: list[int]
    """Token ids, the pad token at both ends."""
    durations: list[int]
    """Frames of each token."""
    start: int
    """Where it begins in the voice's files, in frames."""
    frames: int
    phonemes: str
    voice: str

    @property
    def is_held_out(self) -> bool:
        return self.id.startswith("h")


def read_teacher(folder: Path, utterance: Utterance) -> tuple[np.ndarray, np.ndarray]:
    """Audio at 24 kHz and F0 every 5 ms of one utterance.

    flite writes headerless PCM beside its vocoder's own F0; for Festival's WAV files F0 is found with WORLD.
    """
    raw = folder / f"{utterance.id}.raw"
    if raw.exists():
        audio = np.fromfile(raw, np.int16).astype(np.float32) / 32768
        return resample_poly(audio, RATE, utterance.rate), np.fromfile(raw.with_suffix(".f0"), np.float32)
    audio, rate = soundfile.read(raw.with_suffix(".wav"))
    slow, slow_rate = resample_poly(audio, 1, 2), rate / 2
    rough, times = pyworld.dio(slow, slow_rate, f0_floor=80, f0_ceil=350, frame_period=1000 * F0_STEP)
    return resample_poly(audio, RATE, rate).astype(np.float32), pyworld.stonemask(slow, rough, times, slow_rate)


def build(teachers: Path, out: Path, voice: str, vocab: dict[str, int], seed: int) -> list[Item]:
    """Writes one voice of a set. Utterances with more tokens than frames are left out."""
    chance = random.Random(seed)
    items: list[Item] = []
    start, gain = 0, 0.0
    with (out / f"{voice}.pcm").open("wb") as pcm, (out / f"{voice}.f0").open("wb") as pitch:
        for utterance in parse(teachers / f"{voice}.lab"):
            audio, track = read_teacher(teachers / voice, utterance)
            tokens = Tokenizer(utterance, chance).run()
            cut = max(0.0, tokens[0].seconds - KEPT_LEAD)
            tokens[0].seconds -= cut
            audio = audio[int(cut * RATE) :]
            frames = min(int(sum(token.seconds for token in tokens) / FRAME_SECONDS), len(audio) // FRAME)
            if frames < len(tokens) + 4 or len(tokens) > MOST_TOKENS:
                continue
            gain = gain or LOUDNESS / float(np.sqrt(np.mean(audio**2)))
            audio = np.clip(audio[: frames * FRAME] * gain, -1, 1)
            middles = (np.arange(2 * frames) + 0.5) * HOP / RATE + cut
            f0 = track[np.clip((middles / F0_STEP).astype(int), 0, len(track) - 1)]
            pcm.write((audio * 32767).astype(np.int16).tobytes())
            pitch.write(f0.astype(np.float32).tobytes())
            items.append(
                Item(
                    id=utterance.id,
                    ids=[0 if token.symbol == EDGE else vocab[token.symbol] for token in tokens],
                    durations=to_frames([token.seconds for token in tokens], frames),
                    start=start,
                    frames=frames,
                    phonemes="".join(token.symbol for token in tokens[1:-1]),
                    voice=voice,
                )
            )
            start += frames
    (out / f"{voice}.json").write_text(
        json.dumps([asdict(item) for item in items], ensure_ascii=False), encoding="utf-8"
    )
    return items


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch: `ids` [batch, longest] padded with 0, `lengths` [batch] (on the CPU), `mask` as `ids`."""

    ids: torch.Tensor
    lengths: torch.Tensor
    mask: torch.Tensor


class VoiceSet:
    """A set on disk; audio is mapped, not read. Tensors come out on `device`."""

    def __init__(self, root: Path, voices: list[str], device: torch.device):
        self.voices, self.device = voices, device
        self.pcm = {voice: np.memmap(root / f"{voice}.pcm", np.int16, "r") for voice in voices}
        self.f0 = {voice: np.memmap(root / f"{voice}.f0", np.float32, "r") for voice in voices}
        items = [Item(**fields) for voice in voices for fields in json.loads((root / f"{voice}.json").read_text())]
        self.train = [item for item in items if not item.is_held_out]
        self.held_out = [item for item in items if item.is_held_out]

    def audio(self, item: Item, frames: int | None = None) -> torch.Tensor:
        """Samples in [-1, 1], [frames * FRAME]."""
        span = slice(item.start * FRAME, (item.start + (frames or item.frames)) * FRAME)
        return torch.from_numpy(self.pcm[item.voice][span].astype(np.float32) / 32767).to(self.device)

    def pitch(self, item: Item, frames: int | None = None) -> torch.Tensor:
        """F0 in Hz, [2 * frames]."""
        span = slice(item.start * 2, (item.start + (frames or item.frames)) * 2)
        return torch.from_numpy(np.array(self.f0[item.voice][span])).to(self.device)

    def tokens(self, items: list[Item]) -> Tokens:
        lengths = torch.tensor([len(item.ids) for item in items])
        ids = torch.zeros(len(items), int(lengths.max()), dtype=torch.long)
        for row, item in zip(ids, items):
            row[: len(item.ids)] = torch.tensor(item.ids)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).float()
        return Tokens(ids.to(self.device), lengths, mask.to(self.device))

    def alignment(self, items: list[Item], frames: int) -> torch.Tensor:
        """Which token each of the first `frames` frames belongs to, [batch, frames]."""
        rows = [torch.repeat_interleave(torch.tensor(item.durations))[:frames] for item in items]
        return torch.stack(rows).to(self.device)

    def voice_indices(self, items: list[Item]) -> torch.Tensor:
        return torch.tensor([self.voices.index(item.voice) for item in items], device=self.device)

    def batches(self, items: list[Item], budget: int, longest: int, chance: random.Random) -> list[list[Item]]:
        """Shuffled batches of utterances of like length, about `budget` frames and at least two each.

        Utterances over `longest` frames are left out.
        """
        usable = sorted((i for i in items if i.frames <= longest), key=lambda i: i.frames + chance.random() * 4)
        groups: list[list[Item]] = []
        while usable:
            size = max(2, round(budget / usable[0].frames))
            groups.append(usable[:size])
            usable = usable[size:]
        chance.shuffle(groups)
        return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teachers", type=Path, required=True, help="folder of <voice>.lab and <voice>/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("voices", nargs="+")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    vocab = load_config(args.config)["vocab"]
    for voice in args.voices:
        items = build(args.teachers, args.out, voice, vocab, args.seed)
        minutes = sum(item.frames for item in items) * FRAME_SECONDS / 60
        longest = max(max(item.durations) for item in items)
        print(f"{voice}: {len(items)} utterances, {minutes:.1f} minutes, longest token {longest} frames")


if __name__ == "__main__":
    main()

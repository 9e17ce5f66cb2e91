"""Every stage of one sentence, as a test vector for another implementation.

    python -m builtin_voice.golden --out golden.safetensors
    python -m builtin_voice.golden --compare golden.safetensors

Tensors (float32, ids and pred_dur int64): ids [1,L], ref_s [1,2S], bert [1,L,hidden], duration_encoder [1,L,hidden+S],
duration [1,L], pred_dur [L], f0 and n [1,2T] (Hz, energy), text_encoder [1,hidden,L], decoder_features [1,C,2T],
source_clean [1,samples] (initial phases and noise 0), source [1,samples] (phases 0, with noise), audio [1,samples].
The audio is made from `source`: without noise the phase of empty bins would be rounding error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .export import Voice, load
from .model import BUILTIN

PHONEMES = "həlˈO, wˈɜɹld!"
TOLERANCE = 1e-3
"""Largest difference, relative to the largest value of the tensor, when comparing."""


def sources(voice: Voice, f0: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """(without noise, with noise); all harmonics start at phase 0."""
    module = voice.network.decoder.generator.m_source
    torch.manual_seed(seed)
    with mock.patch.object(torch, "rand", lambda *shape, device: torch.zeros(shape, device=device)):
        with mock.patch.object(torch, "randn_like", torch.zeros_like):
            clean = module(f0)
        return clean, module(f0)


@torch.no_grad()
def stages(voice: Voice, name: str, seed: int, source: Tensor | None = None) -> dict[str, Tensor]:
    """All stages; `source` replaces the noisy source."""
    network = voice.network
    ids = torch.tensor([voice.ids(PHONEMES)])
    row = voice.row(name, PHONEMES)
    lengths, mask = torch.tensor([ids.shape[1]]), torch.ones(ids.shape)
    decoder_style, style = network.split(row)
    encoded, logits = network.encode(ids, lengths, mask, style)
    duration = torch.sigmoid(logits).sum(-1)
    durations = duration.round().clamp(min=1).long()[0]
    f0, n = network.predictor.curves(encoded.repeat_interleave(durations, 1), style)
    text = network.text_encoder(ids, lengths, mask)
    features = network.decoder.features(text.repeat_interleave(durations, 2), f0, n, decoder_style)
    clean, noisy = sources(voice, f0, seed)
    source = noisy if source is None else source
    return {
        "ids": ids,
        "ref_s": row,
        "bert": network.bert(ids, attention_mask=mask.long()).last_hidden_state,
        "duration_encoder": encoded,
        "duration": duration,
        "pred_dur": durations,
        "f0": f0,
        "n": n,
        "text_encoder": text,
        "decoder_features": features,
        "source_clean": clean,
        "source": source,
        "audio": network.decoder.generator.synthesize(features, decoder_style, source),
    }


def compare(voice: Voice, name: str, golden: dict[str, Tensor]) -> bool:
    """Prints the largest difference of each stage; true when all are within TOLERANCE."""
    made = stages(voice, name, 0, golden["source"])
    good = True
    for stage, true in golden.items():
        if made[stage].shape != true.shape:
            print(f"{stage:17} {list(made[stage].shape)} instead of {list(true.shape)}")
            good = False
            continue
        difference = float((made[stage] - true).abs().max())
        largest = float(true.abs().max())
        good &= difference <= TOLERANCE * largest
        print(f"{stage:17} {str(list(true.shape)):15} differs by {difference:.2e}, largest value {largest:.3g}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, default=BUILTIN, help="folder of an exported voice")
    parser.add_argument("--voice-name", default="slt")
    parser.add_argument("--seed", type=int, default=0)
    to_do = parser.add_mutually_exclusive_group(required=True)
    to_do.add_argument("--out", type=Path)
    to_do.add_argument("--compare", type=Path, help="a file written earlier; exits 1 when a stage differs")
    args = parser.parse_args()
    voice = load(args.voice)
    if args.compare:
        return 0 if compare(voice, args.voice_name, load_file(args.compare)) else 1
    tensors = {name: tensor.contiguous() for name, tensor in stages(voice, args.voice_name, args.seed).items()}
    save_file(tensors, args.out)
    print(f"{args.out}: {tensors['audio'].shape[-1]} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Training checkpoints out of an exported voice, so that training can go on from there.

    python -m builtin_voice.resume --voice ../models/builtin --decoder build/decoder.pt --predictor build/predictor.pt

The decoder's auxiliary head is not exported: training that goes on from here does without it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .checkpoint import DECODER_PARTS, PREDICTOR_PARTS, STYLES, Checkpoint, part
from .export import F0_LAYER, load
from .model import F0_TRAINING_SCALE


def from_voice(folder: Path) -> tuple[Checkpoint, Checkpoint]:
    """(decoder, predictor) checkpoints with the weights of an exported voice."""
    voice = load(folder)
    weights = voice.network.state_dict()
    for name in F0_LAYER:
        weights[name] = weights[name] / F0_TRAINING_SCALE
    names = sorted(voice.rows)
    halves = voice.network.split(torch.stack([voice.rows[name][0, 0] for name in names]))
    checkpoints = []
    for parts, styles in zip((DECODER_PARTS, PREDICTOR_PARTS), halves):
        state = {f"{name}.{key}": tensor for name in parts for key, tensor in part(weights, name).items()}
        state[STYLES] = styles
        copies = [{name: tensor.clone() for name, tensor in state.items()} for _ in range(2)]
        checkpoints.append(Checkpoint(*copies, steps=0, voices=names))
    return checkpoints[0], checkpoints[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, required=True, help="folder of an exported voice")
    parser.add_argument("--decoder", type=Path, required=True)
    parser.add_argument("--predictor", type=Path, required=True)
    args = parser.parse_args()
    decoder, predictor = from_voice(args.voice)
    decoder.save(args.decoder)
    predictor.save(args.predictor)


if __name__ == "__main__":
    main()

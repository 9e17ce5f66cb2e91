"""Exported voices: writing one from the two training checkpoints, reading one back.

    python -m builtin_voice.export --decoder build/decoder.pt --predictor build/predictor.pt \\
        --set build/set --out build/voice

writes model.safetensors (float16, flat, the parameter names of the `kokoro` package), voices.safetensors (per voice
[510, 1, 2S]: a row per phoneme count as in Kokoro's voice packs, here all equal) and config.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .checkpoint import DECODER_PARTS, PREDICTOR_PARTS, STYLES, Checkpoint, part
from .model import DEFAULT_CONFIG, F0_TRAINING_SCALE, Network, load_config

ROWS = 510
F0_LAYER = ("predictor.F0_proj.weight", "predictor.F0_proj.bias")
EMBEDDINGS = ("text_encoder.embedding.weight", "bert.embeddings.word_embeddings.weight")
SUBSTITUTES = dict(
    zip('"()“”…aɒɐeocQɚrɻʁɽʔxçχɣyøœɥʏɯɨɲɳɴʎɟɖʈʂɕʝʋβɸɰɤʣʥʦʨːʲʰ', "     .æɑəAOkOəɹɹɹɹtkhhɡiɜɜjiuɪnnnlʤdtʃʃjvvfwʌzʤsʧəjh")
)
"""A symbol that training never showed takes the embedding of the nearest one that it did: quotes, other languages."""


@dataclass(frozen=True)
class Voice:
    """An exported voice: `rows` maps a voice's name to [510, 1, 2S]."""

    config: dict[str, Any]
    network: Network
    rows: dict[str, Tensor]

    def ids(self, phonemes: str) -> list[int]:
        """Token ids with the pad token at both ends; unknown symbols are left out."""
        vocab = self.config["vocab"]
        return [0, *(vocab[symbol] for symbol in phonemes if symbol in vocab), 0]

    def row(self, name: str, phonemes: str) -> Tensor:
        """The row [1, 2S] for this many phonemes, counted before unknown ones are left out."""
        return self.rows[name][len(phonemes) - 1]


def load(folder: Path) -> Voice:
    """Reads an exported voice, in float32."""
    config = load_config(folder / "config.json")
    network = Network(config)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    rows = {name: tensor.float() for name, tensor in load_file(folder / "voices.safetensors").items()}
    return Voice(config, network.eval(), rows)


def network_weights(decoder: Checkpoint, predictor: Checkpoint, config: dict[str, Any]) -> dict[str, Tensor]:
    """Both checkpoints' averaged weights under the network's names, F0 in Hz."""
    weights = {}
    for checkpoint, parts in ((decoder, DECODER_PARTS), (predictor, PREDICTOR_PARTS)):
        for name in parts:
            weights.update({f"{name}.{key}": tensor.clone() for key, tensor in part(checkpoint.average, name).items()})
    expected = set(Network(config).state_dict())
    if set(weights) != expected:
        raise ValueError(f"the checkpoints do not make up the network: {sorted(set(weights) ^ expected)}")
    for name in F0_LAYER:
        weights[name] *= F0_TRAINING_SCALE
    return weights


def substitute_unseen(weights: dict[str, Tensor], vocab: dict[str, int], seen: set[int]) -> str:
    """Copies embeddings to unseen symbols; returns the pairs as "unseen>source"."""
    pairs = []
    for symbol, source in SUBSTITUTES.items():
        to, of = vocab.get(symbol), vocab.get(source)
        if to is not None and of in seen and to not in seen:
            for name in EMBEDDINGS:
                weights[name][to] = weights[name][of]
            pairs.append(f"{symbol}>{source}")
    return " ".join(pairs)


def voice_rows(decoder: Checkpoint, predictor: Checkpoint) -> dict[str, Tensor]:
    """[510, 1, 2S] per voice that both checkpoints know."""
    rows = {}
    for name in sorted(set(decoder.voices) & set(predictor.voices)):
        halves = [checkpoint.average[STYLES][checkpoint.voices.index(name)] for checkpoint in (decoder, predictor)]
        rows[name] = torch.cat(halves).expand(ROWS, 1, -1)
    return rows


def save(folder: Path, weights: dict[str, Tensor], rows: dict[str, Tensor]) -> None:
    """Writes both files in float16; refuses weights that are not finite in it."""
    for file, tensors in (("model", weights), ("voices", rows)):
        half = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
        if broken := [name for name, tensor in half.items() if not torch.isfinite(tensor).all()]:
            raise ValueError(f"not finite in float16: {broken}")
        save_file(half, folder / f"{file}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", type=Path, required=True)
    parser.add_argument("--predictor", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True, help="the training set, to find out which symbols occurred")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    config = load_config(args.config)
    decoder, predictor = Checkpoint.load(args.decoder), Checkpoint.load(args.predictor)
    weights, rows = network_weights(decoder, predictor, config), voice_rows(decoder, predictor)
    items = [item for name in rows for item in json.loads((args.set / f"{name}.json").read_text())]
    pairs = substitute_unseen(weights, config["vocab"], {number for item in items for number in item["ids"]})
    args.out.mkdir(parents=True, exist_ok=True)
    save(args.out, weights, rows)
    shutil.copyfile(args.config, args.out / "config.json")
    print(f"{sum(tensor.numel() for tensor in weights.values())} parameters, voices {' '.join(rows)}, unseen: {pairs}")


if __name__ == "__main__":
    main()

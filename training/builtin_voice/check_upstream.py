"""Does the original implementation run an exported voice? Loads it into the `kokoro` package's own classes.

    python -m builtin_voice.check_upstream

The package (`pip install --no-deps kokoro==0.9.4`) writes a few widths into its source: 1024, 512 and 64 become
`decoder_dim`, `upsample_initial_channel` and `asr_res_dim` here, and nothing else is changed. Prints how far the two
implementations are apart; exits 1 when names, durations or values do not agree.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from transformers import AlbertConfig

from .export import Voice, load
from .golden import PHONEMES
from .model import BUILTIN, HARMONICS

PACKAGE = "kokoro"


def upstream_module(folder: Path, name: str, replacements: list[tuple[str, str]]) -> types.ModuleType:
    """One module of the package, its source changed after the line that begins class Decoder."""
    module = types.ModuleType(f"{PACKAGE}.{name}")
    module.__package__ = PACKAGE
    sys.modules[module.__name__] = module
    before, decoder, after = (folder / f"{name}.py").read_text(encoding="utf-8").partition("class Decoder")
    for old, new in replacements:
        after = after.replace(old, new)
    exec(compile(before + decoder + after, name, "exec"), module.__dict__)
    return module


def upstream_network(config: dict[str, Any]) -> nn.Module:
    """The package's parts under the names of an exported voice; the package itself is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the package {PACKAGE} is not installed")
    folder = Path(spec.submodule_search_locations[0])
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    unused = types.ModuleType(f"{PACKAGE}.custom_stft")  # for devices without complex numbers; wants further packages
    unused.CustomSTFT = None
    sys.modules.update({PACKAGE: package, unused.__name__: unused})
    width, residual, hidden = config["decoder_dim"], config["asr_res_dim"], config["hidden_dim"]
    last = config["istftnet"]["upsample_initial_channel"]
    widths = [
        ("1024 + 2 + 64, 512", f"{width} + 2 + {residual}, {last}"),
        ("1024 + 2 + 64", f"{width} + 2 + {residual}"),
        ("1024", str(width)),
        ("Conv1d(512, 64", f"Conv1d({hidden}, {residual}"),
    ]
    istftnet, modules = upstream_module(folder, "istftnet", widths), upstream_module(folder, "modules", [])
    bert = dict(config["plbert"])
    bert.pop("dropout")
    style, depth = config["style_dim"], config["n_layer"]
    network = nn.Module()
    network.bert = modules.CustomAlbert(AlbertConfig(vocab_size=config["n_token"], **bert), add_pooling_layer=False)
    network.bert_encoder = nn.Linear(bert["hidden_size"], hidden)
    network.predictor = modules.ProsodyPredictor(
        style_dim=style, d_hid=hidden, nlayers=depth, max_dur=config["max_dur"], dropout=config["dropout"]
    )
    network.text_encoder = modules.TextEncoder(
        channels=hidden, kernel_size=config["text_encoder_kernel_size"], depth=depth, n_symbols=config["n_token"]
    )
    network.decoder = istftnet.Decoder(dim_in=hidden, style_dim=style, dim_out=config["n_mels"], **config["istftnet"])
    return network.eval()


def same_chance() -> mock._patch_dict:
    """Initial phases of 0, and one fixed noise for both implementations."""
    noise = torch.randn(1, 200_000, HARMONICS)
    return mock.patch.dict(
        torch.__dict__,
        rand=lambda *shape, device=None: torch.zeros(shape),
        randn_like=lambda x: noise[:, : x.shape[1], : x.shape[2]].contiguous(),
    )


def run_upstream(network: nn.Module, ids: list[int], row: Tensor, style_dim: int) -> dict[str, Tensor]:
    """The package's own inference steps."""
    tokens, lengths = torch.tensor([ids]), torch.tensor([len(ids)])
    padding = torch.zeros(1, len(ids), dtype=torch.bool)
    style = row[:, style_dim:]
    x = network.bert_encoder(network.bert(tokens, attention_mask=(~padding).int())).transpose(-1, -2)
    encoded = network.predictor.text_encoder(x, style, lengths, padding)
    logits = network.predictor.duration_proj(network.predictor.lstm(encoded)[0])
    durations = torch.round(torch.sigmoid(logits).sum(-1)).clamp(min=1).long()[0]
    f0, n = network.predictor.F0Ntrain(encoded.transpose(-1, -2).repeat_interleave(durations, 2), style)
    text = network.text_encoder(tokens, lengths, padding).repeat_interleave(durations, 2)
    audio = network.decoder(text, f0, n, row[:, :style_dim])
    return {"durations": durations, "f0": f0[0], "n": n[0], "audio": audio.flatten()}


@torch.no_grad()
def check(voice: Voice, name: str) -> bool:
    upstream = upstream_network(voice.config)
    weights = voice.network.state_dict()
    result = upstream.load_state_dict(weights, strict=False)
    missing = [key for key in result.missing_keys if ".norm." not in key]  # instance norm's ones and zeros
    print(f"unexpected {result.unexpected_keys}, missing {missing}")
    ids, row = voice.ids(PHONEMES), voice.row(name, PHONEMES)
    with same_chance():
        ours = voice.network.speak(ids, row)
        theirs = run_upstream(upstream, ids, row, voice.network.style_dim)
    good = not result.unexpected_keys and not missing and torch.equal(ours.durations, theirs["durations"])
    print(f"durations equal: {torch.equal(ours.durations, theirs['durations'])}")
    for stage, tolerance in (("f0", 1e-2), ("n", 1e-3), ("audio", 1e-2)):
        difference = float((getattr(ours, stage) - theirs[stage]).abs().max())
        print(f"{stage} differs by {difference:.1e}")
        good &= difference < tolerance
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, default=BUILTIN, help="folder of an exported voice")
    parser.add_argument("--voice-name", default="slt")
    args = parser.parse_args()
    return 0 if check(load(args.voice), args.voice_name) else 1


if __name__ == "__main__":
    sys.exit(main())

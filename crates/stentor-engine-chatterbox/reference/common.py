"""The reference implementation with hash weights, at full width; few layers by default, all of them on demand.

`t3(variant)`, `s3gen(meanflow)` and `voice_encoder()` give torch modules; `Golden` collects what a Rust test compares.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch

import hash_weights

# The watermarker's package is not needed: nothing here finishes a waveform.
sys.modules["perth"] = types.ModuleType("perth")
sys.modules["perth"].PerthImplicitWatermarker = object

import chatterbox.models.s3gen.s3gen as s3gen_module  # noqa: E402
from chatterbox.models.s3gen import S3Gen  # noqa: E402
from chatterbox.models.t3 import T3  # noqa: E402
from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS  # noqa: E402
from chatterbox.models.t3.modules.t3_config import T3Config  # noqa: E402
from chatterbox.models.voice_encoder import VoiceEncoder  # noqa: E402
from s3tokenizer.model_v2 import S3TokenizerV2  # noqa: E402

torch.set_grad_enabled(False)
torch.set_num_threads(1)

# The published wheel predates Nano, which is the same class with GPT-2 small's sizes.
LLAMA_CONFIGS["GPT2_small"] = {**LLAMA_CONFIGS["GPT2_medium"], "n_embd": 768, "hidden_size": 768, "n_head": 12, "n_layer": 12}

VARIANTS = ("english", "multilingual", "turbo", "nano")
# Tensors that are computed, not learnt, and stay as the reference makes them.
COMPUTED = ("window", "_mel_filters", "num_batches_tracked", "freqs_cis", "inv_freq")


def fill(module: torch.nn.Module, prefix: str = "") -> torch.nn.Module:
    """Hash values for every learnt tensor, by its name in the published file."""
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not name.endswith(COMPUTED):
            value.copy_(torch.from_numpy(hash_weights.tensor(prefix + name, tuple(value.shape))))
    return module.eval()


def t3(variant: str, layers: int | None = 2, filled: bool = True) -> T3:
    """A T3 of `variant` with `layers` blocks; None means as published."""
    if variant in ("english", "multilingual"):
        config = T3Config.english_only() if variant == "english" else T3Config.multilingual()
        depth = "num_hidden_layers"
    else:
        config = T3Config(text_tokens_dict_size=50276)
        config.llama_config_name = "GPT2_medium" if variant == "turbo" else "GPT2_small"
        config.speech_tokens_dict_size = 6563
        config.input_pos_emb = None
        config.speech_cond_prompt_len = 375
        config.use_perceiver_resampler = False
        config.emotion_adv = False
        depth = "n_layer"
    published = LLAMA_CONFIGS[config.llama_config_name]
    LLAMA_CONFIGS[config.llama_config_name] = {**published, depth: layers or published[depth]}
    try:
        model = T3(config)
    finally:
        LLAMA_CONFIGS[config.llama_config_name] = published
    return fill(model) if filled else model.eval()


def s3gen(meanflow: bool, full: bool = False, filled: bool = True) -> S3Gen:
    """S3Gen with one block of each kind, or as published."""
    decoder, encoder = s3gen_module.ConditionalDecoder, s3gen_module.UpsampleConformerEncoder
    tokenizer_config = S3TokenizerV2.__init__.__defaults__[0]
    depth = tokenizer_config.n_audio_layer
    if not full:
        s3gen_module.ConditionalDecoder = lambda **k: decoder(**{**k, "num_mid_blocks": 1, "n_blocks": 1})
        s3gen_module.UpsampleConformerEncoder = lambda **k: encoder(**{**k, "num_blocks": 1})
        tokenizer_config.n_audio_layer = 1
    try:
        model = S3Gen(meanflow=meanflow)
    finally:
        s3gen_module.ConditionalDecoder, s3gen_module.UpsampleConformerEncoder = decoder, encoder
        tokenizer_config.n_audio_layer = depth
    if not full:
        model.flow.encoder.up_encoders = model.flow.encoder.up_encoders[:1]
    return fill(model) if filled else model.eval()


def voice_encoder(filled: bool = True) -> VoiceEncoder:
    return fill(VoiceEncoder()) if filled else VoiceEncoder().eval()


class Golden:
    """What a Rust test compares: whole tensors, or norms and some positions of large ones."""

    def __init__(self):
        self.tensors: dict[str, torch.Tensor] = {}

    def whole(self, name: str, value) -> None:
        """All values, in the dtype they have."""
        self.tensors[name] = torch.as_tensor(value).detach().clone().contiguous()

    def layer(self, name: str, value) -> None:
        """`<name>.shape`, `<name>.stats` (L2 norm, largest magnitude) and `<name>.values` at the hash's positions."""
        value = torch.as_tensor(value).detach().contiguous()
        flat = value.reshape(-1).double()
        self.tensors[f"{name}.shape"] = torch.tensor(value.shape, dtype=torch.int64)
        self.tensors[f"{name}.stats"] = torch.stack([flat.norm(), flat.abs().max()])
        chosen = torch.from_numpy(hash_weights.positions(name, flat.numel()))
        self.tensors[f"{name}.values"] = flat[chosen].float()

    def save(self, path: Path) -> None:
        from safetensors.torch import save_file

        save_file(self.tensors, str(path))
        print(path.name, path.stat().st_size, "bytes")


def write_tensor_lists(folder: Path) -> None:
    """`<part>-tensors.tsv`: name and shape of every learnt tensor of each published file."""
    parts = {f"t3-{variant}": t3(variant, None, filled=False) for variant in VARIANTS}
    parts["s3gen"] = s3gen(False, full=True, filled=False)
    parts["ve"] = voice_encoder(filled=False)
    for part, model in parts.items():
        rows = [
            f"{name}\t{','.join(map(str, value.shape))}\n"
            for name, value in model.state_dict().items()
            if value.is_floating_point() and not name.endswith(COMPUTED)
        ]
        (folder / f"{part}-tensors.tsv").write_text("".join(rows))


if __name__ == "__main__":
    write_tensor_lists(Path(sys.argv[1]))

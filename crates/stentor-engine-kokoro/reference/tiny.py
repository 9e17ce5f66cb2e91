"""The loader's fixtures: a tiny model of the reference's classes and its voices, written by `torch.save` as published ones are."""

import json
from pathlib import Path

import torch

import hash_weights as hw

PHONEMES = "hˈɛlO, wˈɜɹld!"
VOICE_ROWS = 510
SIZES = {
    "hidden_dim": 8,
    "style_dim": 4,
    "decoder_dim": 12,
    "asr_res_dim": 4,
    "n_layer": 1,
    "n_token": 178,
    "max_dur": 50,
    "text_encoder_kernel_size": 5,
    "dim_in": 64,
    "n_mels": 80,
    "dropout": 0.0,
    "plbert": {
        "hidden_size": 8,
        "embedding_size": 4,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "max_position_embeddings": 512,
        "num_hidden_layers": 2,
    },
    "istftnet": {
        "upsample_rates": [2, 3],
        "upsample_kernel_sizes": [4, 5],
        "upsample_initial_channel": 8,
        "gen_istft_n_fft": 16,
        "gen_istft_hop_size": 4,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
    },
}


def narrow_decoder(istftnet, sizes: dict):
    """The reference's decoder with the widths that it hard-codes taken from `sizes`; its `forward` is the reference's."""
    dim, text, res = sizes["decoder_dim"], sizes["hidden_dim"], sizes["asr_res_dim"]
    style, out = sizes["style_dim"], sizes["istftnet"]["upsample_initial_channel"]
    joined = dim + 2 + res
    weight_norm, conv, block = istftnet.weight_norm, torch.nn.Conv1d, istftnet.AdainResBlk1d

    class NarrowDecoder(istftnet.Decoder):
        def __init__(self, disable_complex: bool = False, **_):
            torch.nn.Module.__init__(self)
            self.encode = block(text + 2, dim, style)
            blocks = [block(joined, dim, style) for _ in range(3)]
            self.decode = torch.nn.ModuleList([*blocks, block(joined, out, style, upsample=True)])
            self.F0_conv = weight_norm(conv(1, 1, kernel_size=3, stride=2, padding=1))
            self.N_conv = weight_norm(conv(1, 1, kernel_size=3, stride=2, padding=1))
            self.asr_res = torch.nn.Sequential(weight_norm(conv(text, res, kernel_size=1)))
            self.generator = istftnet.Generator(style, **sizes["istftnet"], disable_complex=disable_complex)

    return NarrowDecoder


class Style:
    """A voice row that is cut in the middle where the reference cuts at its hard-coded 128."""

    def __init__(self, row: torch.Tensor):
        self.row, self.half = row, row.shape[1] // 2

    def __getitem__(self, key):
        columns = key[1]
        return self.row[:, : self.half] if columns.start is None else self.row[:, self.half :]


def save_voices(folder: Path, width: int) -> None:
    """A voice, and as some early packs were a view of a storage with one row more: here all but its first."""
    rows = [torch.from_numpy(hw.voice_row(row, width)) for row in range(VOICE_ROWS + 1)]
    longer = torch.stack(rows)[:, None]
    torch.save(longer[:VOICE_ROWS].clone(), folder / "tiny-voice.pt")
    torch.save(longer[1:], folder / "tiny-legacy-voice.pt")


def config(published: dict) -> dict:
    """The tiny configuration, with the published vocabulary."""
    return SIZES | {"vocab": published["vocab"]}


def write_config(path: Path, sizes: dict) -> None:
    path.write_text(json.dumps(sizes, ensure_ascii=False, indent=1) + "\n")

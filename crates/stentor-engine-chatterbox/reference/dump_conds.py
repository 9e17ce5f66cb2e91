"""Writes small voices as the reference saves them, and one as if saved from a card: `dump_conds.py OUT_FOLDER`."""

import io
import sys
import zipfile
from pathlib import Path

import common  # noqa: F401 (stands in for packages that the reference imports and does not need here)
import torch

from chatterbox.models.t3.modules.cond_enc import T3Cond
from chatterbox.tts import Conditionals

TOKENS = 6


def voice() -> Conditionals:
    """Values that tell their place; the mel is a transposed view, as it is in published files."""
    frames = 2 * TOKENS
    mel = torch.arange(80 * frames, dtype=torch.float32).reshape(1, 80, frames) / 100 - 4
    t3 = T3Cond(
        speaker_emb=torch.linspace(-1, 1, 256).reshape(1, 256),
        cond_prompt_speech_tokens=(torch.arange(150) * 43 % 6561).reshape(1, 150),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    gen = {
        "prompt_token": torch.arange(TOKENS).reshape(1, TOKENS) * 1000,
        "prompt_token_len": torch.tensor([TOKENS]),
        "prompt_feat": mel.transpose(1, 2),
        "prompt_feat_len": None,
        "embedding": torch.linspace(2, 3, 192).reshape(1, 192),
    }
    return Conditionals(t3, gen)


def on_card(saved: bytes) -> bytes:
    """The same file with storages that say they lay on a card."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as source, zipfile.ZipFile(out, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("data.pkl"):
                cpu, cuda = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
                assert cpu in content
                content = content.replace(cpu, cuda)
            target.writestr(item, content)
    return out.getvalue()


def main() -> None:
    folder = Path(sys.argv[1])
    buffer = io.BytesIO()
    voice().save(buffer)
    (folder / "conds.pt").write_bytes(buffer.getvalue())
    (folder / "conds-cuda.pt").write_bytes(on_card(buffer.getvalue()))


if __name__ == "__main__":
    main()

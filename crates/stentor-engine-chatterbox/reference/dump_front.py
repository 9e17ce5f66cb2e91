"""The front ends of a recording with hash weights: `dump_front.py OUT_FOLDER [--full]` writes `front.safetensors`."""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio

import hash_weights
from common import Golden, s3gen, voice_encoder
from front_signal import signal

import chatterbox.tts as english
import chatterbox.tts_turbo as turbo
from chatterbox.models.s3gen.utils.mel import mel_spectrogram
from chatterbox.models.s3gen.xvector import extract_feature
from chatterbox.models.voice_encoder.melspec import melspectrogram
import pyloudnorm


def keep(store: dict, name: str):
    """A hook that remembers a module's output without its batch."""

    def hook(_module, _inputs, output):
        store[name] = output[0] if isinstance(output, torch.Tensor) else output[0][0]

    return hook


def resamplers(golden: Golden) -> None:
    for rate in (44100, 48000, 22050, 16000):
        golden.layer(f"hq.{rate}", soxr.resample(signal(f"rate{rate}", rate, 2.5), rate, 24000, quality="HQ"))
    clip = signal("clip", 24000, 3.0)
    golden.layer("hq.16k", librosa.resample(clip, orig_sr=24000, target_sr=16000))
    # A third of a sample too long: what is appended to have a whole number is zero.
    part = librosa.resample(clip[20000:42052], orig_sr=24000, target_sr=16000)
    golden.whole("hq.length", np.array([len(part)]))
    golden.whole("hq.end", part[-8:])
    golden.layer("sinc.16k", torchaudio.transforms.Resample(24000, 16000)(torch.from_numpy(clip)))


def loudness(golden: Golden) -> None:
    clip = signal("clip", 24000, 3.0)
    values = [pyloudnorm.Meter(24000).integrated_loudness(clip * np.float32(gain)) for gain in (1.0, 0.01)]
    golden.whole("loudness", np.array(values))
    golden.layer("normalized", clip * np.float32(10.0 ** ((-27.0 - values[0]) / 20.0)))


def voice(golden: Golden, ve) -> None:
    clip = signal("voice", 16000, 3.0)
    trimmed, span = librosa.effects.trim(clip, top_db=20)
    golden.whole("trim", span.astype(np.int64))
    golden.layer("ve.mel", melspectrogram(trimmed, ve.hp).T)
    seen = {}
    handle = ve.proj.register_forward_hook(lambda _m, _i, output: seen.__setitem__("raw", output.relu()))
    golden.whole("ve.embedding", ve.embeds_from_wavs([clip], sample_rate=16000)[0])
    handle.remove()
    golden.layer("ve.windows", seen["raw"])


def tokenizer(golden: Golden, model) -> None:
    clip = torch.from_numpy(signal("voice", 16000, 3.0))
    golden.layer("s3.mel", model.log_mel_spectrogram(clip[None])[0].T)
    seen = {}
    encoder = model.encoder
    handles = [encoder.conv2.register_forward_hook(keep(seen, "s3.stem"))]
    handles += [b.register_forward_hook(keep(seen, f"s3.block{n}")) for n, b in enumerate(encoder.blocks)]
    handles.append(model.quantizer._codebook.project_down.register_forward_hook(
        lambda _m, _i, output: seen.__setitem__("s3.levels", output)))
    tokens, _ = model([clip])
    for handle in handles:
        handle.remove()
    seen["s3.stem"] = torch.nn.functional.gelu(seen["s3.stem"]).T
    for name, value in seen.items():
        golden.layer(name, value)
    golden.whole("s3.tokens", tokens[0])
    print("distinct tokens", len(set(tokens[0].tolist())), "of", tokens.shape[1])
    golden.whole("s3.first_tokens", model([clip], max_len=20)[0][0])
    # Around the borders between levels, on both sides of what 0.999 moves.
    levels = 0.55 + 0.002 * hash_weights.noise("levels", 512).astype(np.float64)
    levels[1::2] *= -1.0
    codebook = model.quantizer._codebook
    linear, codebook.project_down = codebook.project_down, torch.nn.Identity()
    golden.whole("quantized", codebook.encode(torch.from_numpy(levels.astype(np.float32)).reshape(1, 64, 8))[0])
    codebook.project_down = linear


def speaker(golden: Golden, model) -> None:
    clip = torch.from_numpy(signal("voice", 16000, 3.0))
    golden.layer("camp.fbank", extract_feature(clip[None])[0][0])
    seen = {}
    modules = {"camp.head": model.head, **{f"camp.{n}": m for n, m in model.xvector.named_children()}}
    handles = [module.register_forward_hook(keep(seen, name)) for name, module in modules.items()]
    xvector = model.inference(clip[None])[0]
    for handle in handles:
        handle.remove()
    seen["camp.statistics"] = seen.pop("camp.stats")
    for name in ("camp.dense", "camp.out_nonlinear"):
        seen.pop(name)
    for name, value in seen.items():
        golden.layer(name, value)
    golden.whole("camp.xvector", xvector)


def conditionals(golden: Golden, model, ve) -> None:
    golden.layer("flow.mel", mel_spectrogram(torch.from_numpy(signal("clip", 24000, 3.0))[None])[0].T)
    short = model.embed_ref(torch.from_numpy(signal("odd", 24000, 2.5)), 24000)
    golden.whole("odd.tokens", short["prompt_token"][0])
    golden.layer("odd.mel", short["prompt_feat"][0, : 2 * short["prompt_token"].shape[1]])
    golden.whole("odd.xvector", short["embedding"][0])
    for family, module, name, length in (
        ("english", english, "ChatterboxTTS", 150),
        ("turbo", turbo, "ChatterboxTurboTTS", 375),
    ):
        kind = getattr(module, name)
        t3 = SimpleNamespace(hp=SimpleNamespace(speech_cond_prompt_len=length))
        tts = kind(t3, model, ve, None, "cpu")
        if family == "turbo":
            # As with the versions that the package asks for, where a gain does not make doubles of singles.
            tts.norm_loudness = lambda wav, sr: kind.norm_loudness(tts, wav, sr).astype(np.float32)
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            soundfile.write(file.name, signal("long", 24000, 16.5), 24000, subtype="FLOAT")
            tts.prepare_conditionals(file.name)
        conds = tts.conds
        golden.whole(f"{family}.speaker", conds.t3.speaker_emb[0])
        golden.whole(f"{family}.t3_tokens", conds.t3.cond_prompt_speech_tokens[0])
        golden.whole(f"{family}.s3gen_tokens", conds.gen["prompt_token"][0])
        golden.layer(f"{family}.mel", conds.gen["prompt_feat"][0])
        golden.whole(f"{family}.xvector", conds.gen["embedding"][0])


def main() -> None:
    golden = Golden()
    resamplers(golden)
    loudness(golden)
    ve = voice_encoder()
    voice(golden, ve)
    model = s3gen(False, full="--full" in sys.argv)
    tokenizer(golden, model.tokenizer)
    speaker(golden, model.speaker_encoder)
    conditionals(golden, model, ve)
    golden.save(Path(sys.argv[1]) / "front.safetensors")


if __name__ == "__main__":
    main()

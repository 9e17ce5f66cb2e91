"""Writes `hift.safetensors`: the vocoder's layers, from the reference implementation with hash weights.

usage: dump_hift.py OUT_FOLDER [--full]      (the vocoder is never reduced, so --full changes nothing)

The reference is changed in two ways: its draws come from the hash, and the phase is summed in f64, where the reference sums
samples in f32 and drifts. `unpatched` has the reference's own phase, to be compared by correlation.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import common
import hash_weights
from chatterbox.models.s3gen import hifigan

HARMONICS = 9
FRAMES = 24
LOUD_FRAMES = 6
SAMPLES_PER_FRAME = 480
# What the hash's own rules would leave untouched; `edits` of the Rust test does the same.
PITCH_GAIN = 300.0
PITCH_BIAS = 130.0
LOUDER = 4.0


def load() -> torch.nn.Module:
    """The vocoder: pitch from zero to some hundred hertz, and one channel whose snake is flat."""
    model = common.fill(common.s3gen(False, filled=False).mel2wav, "mel2wav.")
    model.f0_predictor.classifier.weight.mul_(PITCH_GAIN)
    model.f0_predictor.classifier.bias.fill_(PITCH_BIAS)
    model.resblocks[0].activations1[0].alpha[0] = 0.0
    return model


def mel(frames: int) -> torch.Tensor:
    """(1, 80, frames) of log-mel-like values that change slowly, so that voiced stretches last."""
    steps = hash_weights.noise("hift.mel", 80 * frames).reshape(80, frames).astype(np.float64)
    slow = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, frames + 1))
    return torch.from_numpy((1.5 * slow - 4.0).astype(np.float32))[None]


def phases() -> torch.Tensor:
    return torch.from_numpy((np.pi * hash_weights.uniform("hift.phases", 0, HARMONICS)).astype(np.float32))


def share_draws() -> None:
    """Phases and noise from the hash; the module's second noise is discarded by the reference."""

    class Phases:
        def __init__(self, **_):
            pass

        def sample(self, sample_shape):
            return phases().reshape(sample_shape).clone()

    def noise(like: torch.Tensor, **_):
        if like.shape[1] != HARMONICS:
            return torch.zeros_like(like)
        return torch.from_numpy(hash_weights.noise("hift.noise", like.numel())).reshape(like.shape)

    hifigan.Uniform = Phases
    hifigan.torch.randn_like = noise


def run(model, x: torch.Tensor, golden: common.Golden | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(f0, unclamped samples); every layer goes to `golden`."""
    hooks = []

    def keep(name):
        def hook(_module, _inputs, output):
            value = output[0] if isinstance(output, tuple) else output
            if golden is not None:
                golden.layer(name, value.clone())

        return hook

    parts = {"conv_pre": model.conv_pre, "conv_post": model.conv_post, "source": model.m_source.l_tanh}
    for kind in ("ups", "source_downs", "source_resblocks", "resblocks"):
        parts |= {f"{kind}.{index}": part for index, part in enumerate(getattr(model, kind))}
    for name, part in parts.items():
        hooks.append(part.register_forward_hook(keep(name)))
    model.audio_limit = 1e30
    f0 = model.f0_predictor(x)
    wav, _ = model.inference(x)
    for hook in hooks:
        hook.remove()
    return f0, wav


def exact_sines(self, f0: torch.Tensor):
    """`SineGen.forward` with the phase of each harmonic in f64; everything else as it is there. f0: (1, 1, samples)."""
    order = torch.arange(1, self.harmonic_num + 2, dtype=torch.float64)[None, :, None]
    cycles = torch.cumsum(f0.double() / self.sampling_rate, -1) * order % 1
    start = hifigan.Uniform(low=-np.pi, high=np.pi).sample((1, self.harmonic_num + 1, 1))
    start[:, 0] = 0
    voiced = self._f02uv(f0)
    level = voiced * self.noise_std + (1 - voiced) * self.sine_amp / 3
    sines = (self.sine_amp * torch.sin(2 * np.pi * cycles + start.double())).float()
    noise = level * torch.randn_like(sines)
    return sines * voiced + noise, voiced, noise


def check(f0: torch.Tensor, wav: torch.Tensor) -> None:
    """Fails where rounding could change the voicing, or where a path is not taken."""
    voiced = f0 > 10.0
    print(f"f0 {f0.min():.1f}..{f0.max():.1f}, {voiced.float().mean():.0%} voiced, nearest {(f0 - 10).abs().min():.2f} Hz")
    print(f"rms {wav.std():.3f}, peak {wav.abs().max():.3f}, {(wav.abs() > 0.99).float().mean():.1%} clamped")
    assert (f0 - 10).abs().min() > 0.2 and 0.2 < voiced.float().mean() < 0.95


def main(folder: Path) -> None:
    golden = common.Golden()
    model, x = load(), mel(FRAMES)
    share_draws()
    _, drifting = run(model, x, None)
    hifigan.SineGen.forward = exact_sines
    f0, wav = run(model, x, golden)
    raw = model.f0_predictor.classifier(model.f0_predictor.condnet(x).transpose(1, 2))
    print(f"before the absolute value: {raw.min():.1f}..{raw.max():.1f} Hz")
    assert raw.min() < -10, "the absolute value should matter"
    check(f0, wav)
    golden.whole("mel", x[0])
    golden.whole("phases", phases())
    golden.whole("f0", f0[0])
    golden.layer("wav", wav)
    golden.layer("wav.clamped", wav.clamp(-0.99, 0.99))
    golden.whole("unpatched", drifting[0])
    # Magnitudes beyond the clip.
    model.conv_post.bias[:9] += LOUDER
    loud = []
    hook = model.conv_post.register_forward_hook(lambda _m, _i, output: loud.append(output[:, :9].max().exp().item()))
    f0, wav = run(model, x[..., :LOUD_FRAMES], None)
    hook.remove()
    print(f"loud: largest bin {loud[0]:.1f}")
    assert loud[0] > 200
    golden.whole("loud.f0", f0[0])
    golden.layer("loud.wav", wav)
    golden.save(folder / "hift.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Writes the goldens of the parity tests from the reference implementation (PyPI package `kokoro`) with hash weights.

usage: dump.py GOLDEN_DIR      (holds kokoro-config.json; everything else there is written)
"""

import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import hash_weights as hw
import tiny

HARMONICS = 9
PARTS = ["bert", "bert_encoder", "predictor", "decoder", "text_encoder"]
SHORT = "hˈɛlO wˈɜɹld!"
LONG = "ðə kwˈɪk fˈɑks ʤˈʌmps, nˈO?"
# Case name, phonemes, speed, whether layers before the alignment are written (speed does not change them).
CASES = [("short", SHORT, 1.0, True), ("long", LONG, 1.0, True), ("fast", LONG, 1.3, False)]
TEXT_LAYERS = [
    "bert.embeddings",
    "bert.encoder.embedding_hidden_mapping_in",
    "bert",
    "bert_encoder",
    "predictor.text_encoder.lstms.1",
    "predictor.text_encoder.lstms.3",
    "predictor.text_encoder",
    "predictor.lstm",
    "predictor.duration_proj",
    "text_encoder.cnn.0",
    "text_encoder.cnn.1",
    "text_encoder.cnn.2",
    "text_encoder",
]
FRAME_LAYERS = [
    "predictor.shared",
    *[f"predictor.{curve}.{i}" for curve in ("F0", "N") for i in range(3)],
    "predictor.F0_proj",
    "predictor.N_proj",
    "decoder.F0_conv",
    "decoder.N_conv",
    "decoder.asr_res",
    "decoder.encode",
    *[f"decoder.decode.{i}" for i in range(4)],
    "decoder.generator.m_source.l_linear",
    *[f"decoder.generator.{kind}.{i}" for i in range(2) for kind in ("noise_convs", "noise_res", "ups")],
    *[f"decoder.generator.resblocks.{i}" for i in range(6)],
    "decoder.generator.conv_post",
]


def import_reference():
    """`kokoro.model` and `kokoro.istftnet` without `kokoro/__init__`, which pulls in the whole text front end."""
    package = types.ModuleType("kokoro")
    package.__path__ = list(importlib.util.find_spec("kokoro").submodule_search_locations)
    sys.modules["kokoro"] = package
    from kokoro import istftnet, model

    return model.KModel, istftnet


def published_names(part: str, module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Tensor names of the published checkpoint for one part: old weight-norm pairs, no InstanceNorm affine."""
    names = {}
    for key, value in module.state_dict().items():
        if key.endswith((".norm.weight", ".norm.bias")):
            continue
        key = key.replace("parametrizations.weight.original0", "weight_g")
        key = key.replace("parametrizations.weight.original1", "weight_v")
        names[f"{part}.{key}"] = tuple(value.shape)
    return names


def checkpoint(shapes: dict[str, tuple[int, ...]]) -> dict[str, dict[str, torch.Tensor]]:
    """Hash weights in the published layout: five dicts whose keys start with `module.`."""
    parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in PARTS}
    for name, shape in shapes.items():
        part, key = name.split(".", 1)
        parts[part]["module." + key] = torch.from_numpy(hw.tensor(name, shape))
    return parts


def build(kmodel, config: dict, keep: Path | None = None) -> tuple[torch.nn.Module, dict[str, tuple[int, ...]]]:
    """The reference model, filled through its own loader, and the tensors it was filled with; the checkpoint stays at `keep`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save({}, path)
        empty = kmodel(repo_id="hexgrad/Kokoro-82M", config=config, model=str(path))
        shapes = {}
        for part in PARTS:
            shapes |= published_names(part, getattr(empty, part))
        weights = checkpoint(shapes)
        path = keep or path
        torch.save(weights, path)
        model = kmodel(repo_id="hexgrad/Kokoro-82M", config=config, model=str(path)).eval()
    check_filled(model, weights)
    return model, shapes


def check_filled(model: torch.nn.Module, weights: dict[str, dict[str, torch.Tensor]]) -> None:
    """The reference's loader ignores what it does not know, so compare everything with what was written."""
    for part, tensors in weights.items():
        loaded = getattr(model, part).state_dict()
        for key, value in tensors.items():
            key = key.removeprefix("module.")
            key = key.replace("weight_g", "parametrizations.weight.original0") if key not in loaded else key
            key = key.replace("weight_v", "parametrizations.weight.original1") if key not in loaded else key
            assert torch.equal(loaded[key], value), f"{part}.{key} was not loaded"


def share_noise() -> None:
    """The source takes its noise from the hash; its second noise is discarded by the reference, so zeros do."""

    def hashed(like: torch.Tensor, **_):
        if like.shape[-1] != HARMONICS:
            return torch.zeros_like(like)
        return torch.from_numpy(hw.noise(like.numel())).reshape(like.shape)

    torch.randn_like = hashed


def sines_in_f64(self, f0_values: torch.Tensor) -> torch.Tensor:
    """`SineGen._f02sine` with the phase accumulated in f64 and wrapped before the sine, without the initial phases.

    f0_values: (1, samples, harmonics), the harmonic's frequency in Hz, constant over each frame of `upsample_scale` samples.
    """
    scale = int(self.upsample_scale)
    fundamental = f0_values[:, ::scale, :1].double()
    harmonics = torch.arange(1, f0_values.shape[-1] + 1, dtype=torch.float64)
    cycles = torch.cumsum((fundamental * harmonics / self.sampling_rate) % 1, dim=1) * scale
    cycles = torch.nn.functional.interpolate(cycles.transpose(1, 2), scale_factor=scale, mode="linear")
    return torch.sin(cycles.transpose(1, 2) % 1 * (2 * torch.pi)).float()


def real_first_frame(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`TorchSTFT.transform` with a real spectrum for the first frame.

    By reflection that frame mirrors itself, so its spectrum is real; whether what rounding leaves of the imaginary parts makes a
    phase pi or -pi is the FFT's own affair. All later frames are as the reference has them.
    """
    spectrum = torch.stft(
        signal, self.filter_length, self.hop_length, self.win_length, window=self.window, return_complex=True
    )
    spectrum[..., 0] = spectrum[..., 0].real.to(spectrum.dtype)
    return spectrum.abs(), spectrum.angle()


class Recorder:
    """Keeps a copy of each named module's output (the first element of a tuple)."""

    def __init__(self, model: torch.nn.Module, layers: list[str]):
        self.outputs: dict[str, torch.Tensor] = {}
        modules = dict(model.named_modules())
        self.hooks = [modules[name].register_forward_hook(self.hook(name)) for name in layers]

    def hook(self, name: str):
        def keep(_module, _inputs, output):
            # Of an ALBERT output the first field is the last hidden state. `clone`: the generator adds in place.
            value = output if isinstance(output, torch.Tensor) else output[0]
            self.outputs[name] = value.detach().clone()

        return keep

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


def run(model, config: dict, phonemes: str, speed: float) -> tuple[np.ndarray, ...]:
    """(ids, durations, audio) of one synthesis; the voice row is chosen as by the reference's pipeline."""
    ids = [0, *[config["vocab"][p] for p in phonemes], 0]
    style = tiny.Style(torch.from_numpy(hw.voice_row(len(phonemes) - 1, 2 * config["style_dim"]))[None])
    audio, durations = model.forward_with_tokens(torch.tensor([ids]), style, speed)
    return np.array(ids), durations.numpy(), audio.numpy()


def golden_layer(name: str, output: torch.Tensor) -> dict[str, np.ndarray]:
    flat = output.contiguous().flatten().numpy()
    stats = [np.linalg.norm(flat.astype(np.float64)), np.abs(flat).max()]
    return {
        f"{name}.shape": np.array(output.shape, dtype=np.int64),
        f"{name}.stats": np.array(stats, dtype=np.float64),
        f"{name}.values": flat[hw.positions(name, flat.size)],
    }


def save(path: Path, phonemes: str, tensors: dict[str, np.ndarray]) -> None:
    """One golden file. A single metadata entry: the format's writer orders several of them at random."""
    save_file(tensors, path, metadata={"phonemes": phonemes})
    path.chmod(0o644)


def check_margins(case: str, duration: np.ndarray, f0: np.ndarray) -> None:
    """Fails where rounding could change a duration or the voicing, and where an interesting path is not taken."""
    tie = np.abs(duration - np.floor(duration) - 0.5).min()
    threshold = np.abs(f0 - 10.0).min()
    voiced = f0 > 10.0
    dips = int(np.sum(voiced[:-1] & (f0[1:] < 0)))
    print(
        f"{case}: {np.round(duration).clip(1).sum():.0f} frames, durations {duration.min():.2f}..{duration.max():.2f} "
        f"(nearest tie {tie:.4f}), F0 {f0.min():.0f}..{f0.max():.0f} Hz, {voiced.mean():.0%} voiced, "
        f"{dips} falls below zero, nearest to the threshold {threshold:.2f} Hz"
    )
    assert tie > 2e-3 and threshold > 0.02, "too close to a decision; change the phonemes"
    assert 0.2 < voiced.mean() < 0.9 and dips > 0 and f0.min() < 0, "voiced, unvoiced and negative F0 should occur"
    assert np.unique(np.round(duration)).size > 2, "durations should differ"


def dump_case(model, config: dict, case: tuple, folder: Path) -> None:
    name, phonemes, speed, with_text = case
    recorder = Recorder(model, TEXT_LAYERS + FRAME_LAYERS)
    ids, durations, audio = run(model, config, phonemes, speed)
    recorder.close()
    outputs = recorder.outputs
    duration = torch.sigmoid(outputs["predictor.duration_proj"]).sum(axis=-1) / speed
    f0 = outputs["predictor.F0_proj"].flatten().numpy()
    check_margins(name, duration.numpy(), f0)
    print(f"  audio {audio.size} samples, rms {audio.std():.3f}, peak {np.abs(audio).max():.3f}")
    tensors = {
        "ids": ids,
        "durations": durations,
        "audio": audio,
        "f0": f0,
        "n": outputs["predictor.N_proj"].flatten().numpy(),
    }
    tensors |= golden_layer("duration", duration)
    for layer in (TEXT_LAYERS if with_text else []) + FRAME_LAYERS:
        tensors |= golden_layer(layer, outputs[layer])
    save(folder / f"{name}.safetensors", phonemes, tensors | {"speed": np.array([speed], dtype=np.float32)})


def dump_ties(model, config: dict, folder: Path) -> None:
    """Durations that are exact ties before rounding: with a zero projection each is max_dur / 2 / speed."""
    saved = {key: value.clone() for key, value in model.predictor.duration_proj.state_dict().items()}
    for parameter in model.predictor.duration_proj.parameters():
        parameter.zero_()
    speeds = [2.0, 10.0]
    runs = [run(model, config, SHORT, speed) for speed in speeds]
    model.predictor.duration_proj.load_state_dict(saved)
    durations = np.stack([durations for _, durations, _ in runs])
    assert (durations == np.array([[12], [2]])).all(), "half to even"
    tensors = {"ids": runs[0][0], "speeds": np.array(speeds, dtype=np.float32), "durations": durations}
    save(folder / "ties.safetensors", SHORT, tensors)


def dump_tiny(kmodel, istftnet, published: dict, folder: Path) -> None:
    """The loader's fixtures, and what the reference says with them."""
    config = tiny.config(published)
    tiny.write_config(folder / "tiny-config.json", config)
    tiny.save_voices(folder, 2 * config["style_dim"])
    vars(sys.modules[kmodel.__module__])["Decoder"] = tiny.narrow_decoder(istftnet, config)
    model, _ = build(kmodel, config, folder / "tiny.pth")
    ids, durations, audio = run(model, config, tiny.PHONEMES, 1.0)
    print(f"tiny: {durations.sum()} frames, audio rms {audio.std():.3f}, peak {np.abs(audio).max():.3f}")
    save(folder / "tiny.safetensors", tiny.PHONEMES, {"ids": ids, "durations": durations, "audio": audio})


def dump_unpatched(model, config: dict, folder: Path) -> None:
    """Audio with the reference's own phase in f32, half as precise as the others: it is compared by correlation."""
    ids, _, audio = run(model, config, LONG, 1.0)
    save(folder / "unpatched.safetensors", LONG, {"ids": ids, "audio": audio.astype(np.float16)})


def dump_hash_rows(shapes: dict[str, tuple[int, ...]], folder: Path) -> None:
    """Samples of every kind of hash value, by which the Rust twin proves itself: kind, name, shape, index, value's bits."""
    rows = []
    for number, (name, shape) in enumerate(shapes.items()):
        if number % 8 == 0 or "_proj" in name or "conv_post" in name or "noise_convs" in name or "l_linear" in name:
            size = int(np.prod(shape))
            index = int(hw.hashes("row", number, 1)[0] % np.uint64(size))
            rows.append(("weight", name, shape, index, hw.tensor(name, shape).reshape(-1)[index].view(np.uint32)))
    for index in (0, 1, 8, 9, 12345, 400_000):
        rows.append(("noise", "noise", (index + 1,), index, hw.noise(index + 1)[index].view(np.uint32)))
    for row, column in ((0, 0), (14, 255), (509, 128)):
        rows.append(("voice", "voice", (510, 256), row * 256 + column, hw.voice_row(row, 256)[column].view(np.uint32)))
    for index in (0, 1, 511):
        rows.append(("position", "decoder.encode", (101_376,), index, hw.positions("decoder.encode", 101_376)[index]))
    lines = [f"{kind}\t{name}\t{','.join(map(str, shape))}\t{index}\t{bits:x}" for kind, name, shape, index, bits in rows]
    (folder / "hash-rows.tsv").write_text("\n".join(lines) + "\n")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    config = json.loads((folder / "kokoro-config.json").read_text())
    kmodel, istftnet = import_reference()
    model, shapes = build(kmodel, config)
    rows = "".join(f"{name}\t{','.join(map(str, shape))}\n" for name, shape in shapes.items())
    (folder / "kokoro-tensors.tsv").write_text(rows)
    dump_hash_rows(shapes, folder)

    share_noise()
    dump_unpatched(model, config, folder)
    istftnet.SineGen._f02sine = sines_in_f64
    istftnet.TorchSTFT.transform = real_first_frame
    for case in CASES:
        dump_case(model, config, case, folder)
    dump_ties(model, config, folder)
    dump_tiny(kmodel, istftnet, config, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Weights and inputs from a counter hash.

The same numbers, bit for bit, come from `stentor_testkit::{hash_weights, chatterbox}`; README.md beside this file is the
specification of both.
"""

import numpy as np

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
VALUES_PER_LAYER = 256


def fnv1a64(text: str) -> int:
    """FNV-1a over the UTF-8 bytes of `text`."""
    digest = 0xCBF29CE484222325
    for byte in text.encode():
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


def hashes(name: str, start: int, count: int) -> np.ndarray:
    """u64 hashes of the counters `start..start + count` of the stream `name`."""
    counter = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + counter * GOLDEN_GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(name: str, start: int, count: int) -> np.ndarray:
    """f64 in [-1, 1), multiples of 2**-23, so exact in f32 as well."""
    return (hashes(name, start, count) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def noise(name: str, count: int) -> np.ndarray:
    """f32, uniform with unit variance: stands for every normal draw of the reference."""
    return (np.sqrt(np.float64(3.0)) * uniform(name, 0, count)).astype(np.float32)


def integers(name: str, count: int, below: int) -> np.ndarray:
    """i64 in 0..below: token ids of made-up prompts."""
    return (hashes(name, 0, count) % np.uint64(below)).astype(np.int64)


def spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(centre, half-width) of a tensor's values. The first line that fits counts."""
    if name.endswith("running_var"):
        return 1.0, 0.5
    if name.endswith("f0_predictor.classifier.bias"):
        return 150.0, 0.0  # a random net's pitch is near zero: nothing would be voiced
    if name.endswith("original0"):
        return (0.3, 0.03) if ".conv_post." in name else (1.0, 0.1)
    if ".alpha" in name or (name.endswith("weight") and len(shape) == 1):
        return 1.0, 0.1
    if len(shape) >= 2:
        # GPT-2's Conv1D stores (in, out).
        conv1d = name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
        fan_in = float(shape[0] if conv1d else np.prod(shape[1:], dtype=np.int64))
        gain = 12.0 if ".project_down." in name else 1.0  # else every token would be the same
        return 0.0, gain * float(np.sqrt(np.float64(3.0) / fan_in))
    return 0.0, 0.05


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A whole weight tensor, f32."""
    center, scale = spread(name, shape)
    count = int(np.prod(shape, dtype=np.int64))
    return (center + scale * uniform(name, 0, count)).astype(np.float32).reshape(shape)


def positions(layer: str, size: int) -> np.ndarray:
    """The flat indices that a golden of `layer` holds: all of a small tensor, else hash-chosen (repeats may occur)."""
    if size <= VALUES_PER_LAYER:
        return np.arange(size, dtype=np.int64)
    return (hashes("positions:" + layer, 0, VALUES_PER_LAYER) % np.uint64(size)).astype(np.int64)

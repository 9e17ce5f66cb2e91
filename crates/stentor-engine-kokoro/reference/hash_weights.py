"""Weights, noise and sample positions from a counter hash.

The same numbers, bit for bit, come from `stentor_testkit::hash_weights`; README.md beside this file is the specification of both.
"""

import numpy as np

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
VALUES_PER_LAYER = 512


def fnv1a64(text: str) -> int:
    """FNV-1a over the UTF-8 bytes of `text`."""
    digest = 0xCBF29CE484222325
    for byte in text.encode():
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


def hashes(name: str, start: int, count: int) -> np.ndarray:
    """u64 hashes of the counters `start..start + count` of the stream `name`."""
    counter = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z = np.uint64(fnv1a64(name)) + counter * GOLDEN_GAMMA
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(name: str, start: int, count: int) -> np.ndarray:
    """f64 in [-1, 1), multiples of 2**-23, so exact in f32 as well."""
    return (hashes(name, start, count) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def scaled(name: str, start: int, count: int, center: float, scale: float) -> np.ndarray:
    """f32 `center + scale * uniform`, computed in f64 and rounded once."""
    return (center + scale * uniform(name, start, count)).astype(np.float32)


# The first rule whose ending and contained text fit a name gives its centre and half-width: the gain as it is ("plain"), or
# gain * sqrt(3 / fan_in), that is a variance of gain^2 / fan_in ("fan").
RULES = [
    # ending, contained, center, gain, kind
    ("_embeddings.weight", "bert.", 0.0, 0.02, "plain"),  # as small as trained ones: LayerNorm's epsilon shows
    (".query.weight", "", 0.0, 2.0, "fan"),
    (".dense.weight", "", 0.0, 0.25, "fan"),  # small branches: twelve passes of one layer must not drown the tokens
    (".ffn_output.weight", "", 0.0, 0.25, "fan"),
    (".bias", "bert.encoder.", 0.0, 0.03125, "plain"),
    ("LayerNorm.weight", "", 1.0, 0.2, "plain"),
    ("layer_norm.weight", "", 1.0, 0.2, "plain"),
    (".gamma", "", 1.0, 0.2, "plain"),
    ("", ".alpha", 1.0, 0.5, "plain"),
    ("embedding.weight", "text_encoder.", 0.0, 0.0625, "plain"),
    ("weight_g", ".F0_conv.", 0.03, 0.01, "plain"),
    ("weight_g", ".ups.", 2.0, 0.5, "plain"),
    ("weight_g", ".conv_post.", 0.25, 0.0625, "plain"),
    ("weight_g", ".pool.", 1.5, 0.375, "plain"),
    ("weight_g", "", 1.0, 0.25, "plain"),
    ("weight_v", "", 0.0, 2.0, "fan"),
    ("", ".weight_ih_", 0.0, 2.0, "fan"),
    ("", ".weight_hh_", 0.0, 0.75, "fan"),
    ("", ".bias_ih_", 0.0, 0.25, "plain"),
    ("", ".bias_hh_", 0.0, 0.25, "plain"),
    ("duration_proj.linear_layer.weight", "", 0.1875, 1.0, "fan"),  # a common part, so that durations differ
    ("duration_proj.linear_layer.bias", "", -3.0, 0.5, "plain"),
    ("F0_proj.weight", "", 0.0, 250.0, "fan"),
    ("F0_proj.bias", "", -80.0, 0.0, "plain"),
    ("N_proj.weight", "", 0.0, 0.0625, "fan"),
    ("N_proj.bias", "", 0.0, 0.0625, "plain"),
    ("l_linear.weight", "", 0.0, 2.0, "plain"),
    ("conv_post.bias", "", -0.5, 1.0, "plain"),
    (".weight", "", 0.0, 1.0, "fan"),
    ("", "", 0.0, 0.125, "plain"),  # every other bias and `beta`
]


def spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(center, half-width) of a tensor, by its name (`<part>.<key>`, without `module.`) and shape."""
    for ending, contained, center, gain, kind in RULES:
        if name.endswith(ending) and contained in name:
            fan_in = float(np.prod(shape[1:], dtype=np.int64))
            return center, gain if kind == "plain" else gain * float(np.sqrt(np.float64(3.0) / fan_in))
    raise AssertionError("the last rule takes everything")


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A whole weight tensor, f32."""
    center, scale = spread(name, shape)
    values = center + scale * uniform(name, 0, int(np.prod(shape, dtype=np.int64))).reshape(shape)
    if ".noise_convs." in name and name.endswith(".weight"):
        # The second half of the inputs are phases, which jump from pi to -pi at the smallest change: they are to be seen, but
        # not to drown everything else.
        values[:, shape[1] // 2 :] *= 2.0**-6
    return values.astype(np.float32)


def noise(count: int) -> np.ndarray:
    """The sine generator's noise: f32, uniform with unit variance, row-major over (samples, harmonics)."""
    return scaled("noise", 0, count, 0.0, float(np.sqrt(np.float64(3.0))))


def voice_row(row: int, width: int) -> np.ndarray:
    """Row `row` of the hash voice: f32 of `width`. Rows share a base and differ a little, as trained ones do."""
    own = 0.0625 * uniform("voice", row * width, width)
    return (0.5 * uniform("voice.base", 0, width) + own).astype(np.float32)


def positions(layer: str, size: int) -> np.ndarray:
    """The flat indices that a golden of `layer` holds: all of a small tensor, else hash-chosen (repeats may occur)."""
    if size <= VALUES_PER_LAYER:
        return np.arange(size, dtype=np.int64)
    return (hashes("positions:" + layer, 0, VALUES_PER_LAYER) % np.uint64(size)).astype(np.int64)

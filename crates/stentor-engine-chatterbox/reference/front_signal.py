"""The made-up recordings of the front ends' goldens. Their Rust twin is in `tests/golden_checks/front.rs`."""

import numpy as np

import hash_weights


def signal(name: str, rate: int, seconds: float) -> np.ndarray:
    """f32: sliding tones and noise, half a second of it 20 dB lower, between digital silence and next to nothing."""
    count = int(seconds * rate)
    t = np.arange(count) / rate
    tau = 2.0 * np.pi
    body = 0.22 * np.sin(tau * (140.0 * t + 30.0 * t * t)) * (0.6 + 0.4 * np.sin(tau * 2.3 * t))
    body += 0.1 * np.sin(tau * (1000.0 * t + 200.0 * np.sin(tau * 0.8 * t)))
    body += 0.06 * np.sin(tau * 3100.0 * t) * (0.5 + 0.5 * np.sin(tau * 3.1 * t))
    noise = hash_weights.noise(name, count).astype(np.float64)
    body += 0.03 * noise
    body[(t >= 1.0) & (t < 1.5)] *= 0.1
    body[t < 0.35] = 0.0
    end = t > seconds - 0.45
    body[end] = 6e-6 * noise[end]
    return body.astype(np.float32)

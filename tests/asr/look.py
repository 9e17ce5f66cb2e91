"""Pictures and levels of WAV files, for development.

.venv/bin/python tests/asr/look.py --out spectrograms.png first.wav second.wav
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from wav import decode, levels  # noqa: E402

WINDOW = 1024
FLOOR_DB, CEILING_DB = -140, -40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("files", type=Path, nargs="+")
    args = parser.parse_args()
    figure, axes = plt.subplots(len(args.files), 1, figsize=(13, 3.4 * len(args.files)), squeeze=False)
    print("seconds  rms dBFS  peak  clipped  lead ms  tail ms  file")
    for axis, path in zip(axes.flat, args.files):
        wav = decode(path.read_bytes())
        level = levels(wav)
        print(
            f"{wav.seconds:7.2f}  {level.rms_dbfs:8.1f}  {level.peak:4.2f}  {level.clipped:7}"
            f"  {level.lead_ms:7.0f}  {level.tail_ms:7.0f}  {path}"
        )
        dithered = wav.samples + 1e-6 * np.random.default_rng(0).standard_normal(len(wav.samples))
        axis.specgram(
            dithered,
            NFFT=WINDOW,
            Fs=wav.rate,
            noverlap=WINDOW * 3 // 4,
            vmin=FLOOR_DB,
            vmax=CEILING_DB,
            cmap="magma",
        )
        axis.set_title(path.name, fontsize=8)
    figure.tight_layout()
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()

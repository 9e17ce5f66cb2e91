"""Writes every golden of the parity tests, each part by a program of its own, which is gone from memory before the next begins.

usage: dump.py GOLDEN_DIR [--full]
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

import hash_weights

HERE = Path(__file__).parent
# Not goldens of a part: this one reads a recording that is not in the repository.
APART = {"dump_real.py"}
# Programs that write to another folder, beside the goldens.
FOLDERS = {"make_tokenizers.py": "data/text", "dump_text.py": "data/text"}
LISTS = ("t3-english", "t3-turbo", "s3gen", "ve")
# Names that a rule of `spread` is about, beside every so many others.
SPECIAL = ("running_var", "classifier.bias", "conv_post", ".alpha", "project_down", "time_embed", "original0", "attn.c_proj.weight")


def dump_hash_rows(folder: Path) -> None:
    """Samples of every kind of hash value, by which the Rust twin proves itself: kind, name, shape, index, value's bits."""
    rows = []
    for part in LISTS:
        lines = (folder / f"{part}-tensors.tsv").read_text().splitlines()
        seen = set()
        for number, line in enumerate(lines):
            name, shape = line.split("\t")
            shape = tuple(map(int, shape.split(",")))
            special = {text for text in SPECIAL if text in name} - seen
            if (number % 97 and not special) or np.prod(shape) > 3_000_000:
                continue
            seen |= special
            index = int(hash_weights.hashes("row", number, 1)[0] % np.uint64(np.prod(shape)))
            value = hash_weights.tensor(name, shape).reshape(-1)[index]
            rows.append(("weight", name, shape, index, value.view(np.uint32)))
    for index in (0, 1, 12345, 400_000):
        rows.append(("noise", "hift.noise", (index + 1,), index, hash_weights.noise("hift.noise", index + 1)[index].view(np.uint32)))
        rows.append(("integer", "tokens", (6561,), index, hash_weights.integers("tokens", index + 1, 6561)[index]))
    for index in (0, 1, 255):
        rows.append(("position", "ups.0", (101_376,), index, hash_weights.positions("ups.0", 101_376)[index]))
    lines = [f"{kind}\t{name}\t{','.join(map(str, shape))}\t{index}\t{int(bits):x}" for kind, name, shape, index, bits in rows]
    (folder / "hash-rows.tsv").write_text("\n".join(lines) + "\n")
    print("hash-rows.tsv", len(lines), "rows")


def main(folder: Path, options: list[str]) -> None:
    dump_hash_rows(folder)
    programs = [path.name for path in sorted(HERE.glob("make_*.py")) + sorted(HERE.glob("dump_*.py"))]
    for name in programs:
        if name in APART:
            continue
        target = folder.parent / FOLDERS[name] if name in FOLDERS else folder
        own = options if "--full" in (HERE / name).read_text() else []
        print(name, flush=True)
        subprocess.run([sys.executable, str(HERE / name), str(target), *own], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])

"""Python environments with the peers, made when first needed and kept under the target directory."""

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
CRATES = HERE.parents[1] / "crates"
REFERENCES = {part: CRATES / f"stentor-engine-{part}/reference/requirements.txt" for part in ("kokoro", "chatterbox")}
# What each part is made of: a file of pinned packages, and packages whose own dependencies are not wanted (user interfaces,
# text front ends, a watermark).
FILES = {"kokoro": ["kokoro", "onnxruntime"], "onnxruntime": ["kokoro", "onnxruntime"], "chatterbox": ["chatterbox"]}
ALONE = {
    "kokoro": ["kokoro==0.9.4", "kokoro-onnx==0.6.1"],
    "chatterbox": ["chatterbox-tts==0.1.7", "s3tokenizer==0.3.0", "librosa==0.11.0"],
}


def installed(folder: Path, part: str, device: str) -> str:
    """The interpreter of the environment that `part` runs in. A first time takes minutes and several GB."""
    name = FILES[part][0]
    home = folder / "venv" / f"{name}-{device}"
    python, done = home / "bin/python", home / "installed"
    if done.exists():
        return str(python)
    print(f"installing {name}'s reference and its like in {home}", file=sys.stderr, flush=True)
    venv.create(home, with_pip=True, clear=True)
    files = [REFERENCES.get(file, HERE / f"requirements-{file}-{device}.txt") for file in FILES[part]]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *(argument for file in files for argument in ("--requirement", file))], check=True)
    subprocess.run([*pip, "--no-deps", *ALONE[name]], check=True)
    done.touch()
    return str(python)

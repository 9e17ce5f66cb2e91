"""The peers' side of run.py for Kokoro: the reference implementation, or ONNX Runtime.

usage: kokoro_peer.py pytorch FOLDER DEVICE THREADS
       kokoro_peer.py onnxruntime FOLDER DEVICE THREADS      (FOLDER after `export`)
       kokoro_peer.py export FOLDER

FOLDER is what the engine's `hash_model` example wrote. A line of JSON on stdin asks, `{"phonemes", "speed"}`, `{"gemm": times}` or
`{"flop": {"phonemes", "speed"}}`, a line on stdout answers, `{"samples"}` or `{"flop"}`; the first says it is ready.
"""

import json
import os
import sys
from pathlib import Path

# What the packages print themselves goes to stderr.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
ROOT = Path(__file__).parents[2]


# This folder has a kokoro.py of its own, which must not be taken for the package.
HERE = sys.path.pop(0)
sys.path.append(HERE)


def reference(folder: Path, device: str, disable_complex: bool):
    """The reference's model through its own loader, without the package's text front end."""
    sys.path.insert(0, str(ROOT / "crates/stentor-engine-kokoro/reference"))
    import dump

    model, _ = dump.import_reference()
    files = {"config": str(folder / "config.json"), "model": str(folder / "kokoro-v1_0.pth")}
    return model(repo_id="hexgrad/Kokoro-82M", disable_complex=disable_complex, **files).to(device).eval()


class PyTorch:
    def __init__(self, folder: Path, device: str, threads: int):
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch, self.device = torch, device
        self.model = reference(folder, device, disable_complex=False)
        self.voice = torch.load(folder / "voices/hash.pt", weights_only=True).to(device)

    def about(self) -> dict:
        card = self.torch.cuda.get_device_name() if self.device != "cpu" else None
        return {"name": f"PyTorch {self.torch.__version__}", "threads": self.torch.get_num_threads(), "card": card}

    def speak(self, phonemes: str, speed: float) -> int:
        # The class hands the samples over in host memory, so the card has finished.
        audio = self.model(phonemes, self.voice[len(phonemes) - 1], speed)
        assert self.torch.isfinite(audio).all()
        return audio.numel()

    def flop(self, phonemes: str, speed: float) -> float:
        import torch_work

        with torch_work.counted(self.model) as counts:
            self.speak(phonemes, speed)
        return sum(counts)

    def gemm(self, times: int) -> dict:
        import torch_work

        return torch_work.multiply(self.device, times)


class OnnxRuntime:
    """Through `kokoro-onnx` where it is installed, else the same session alone: kokoro-onnx leaves all options as they are,
    and so does this but for the number of threads."""

    def __init__(self, folder: Path, device: str, threads: int):
        import numpy
        import onnxruntime

        if device != "cpu":
            onnxruntime.preload_dlls()  # the card's libraries come as packages, where the linker does not look
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=[provider])
        assert self.session.get_providers()[0] == provider, f"onnxruntime has no {provider}"
        self.name, self.numpy, self.package = f"onnxruntime {onnxruntime.__version__}", numpy, None
        try:
            import kokoro_onnx
        except ImportError:
            self.vocabulary = json.loads((folder / "config.json").read_text())["vocab"]
            self.voice = numpy.load(folder / "voices.npz")["hash"]
            return
        from importlib.metadata import version

        self.name += f", kokoro-onnx {version('kokoro-onnx')}"
        self.session._model_path = str(folder / "model.onnx")
        self.package = kokoro_onnx.Kokoro.from_session(self.session, str(folder / "voices.npz"))

    def about(self) -> dict:
        return {"name": self.name}

    def speak(self, phonemes: str, speed: float) -> int:
        if self.package:
            bare = {"is_phonemes": True, "trim": False, "sentence_pause": 0.0, "clause_pause": 0.0}
            return self.package.create(phonemes, "hash", speed, **bare)[0].size
        ids = [self.vocabulary[sign] for sign in phonemes if sign in self.vocabulary]
        inputs = {
            "input_ids": self.numpy.array([[0, *ids, 0]]),
            "style": self.voice[len(phonemes) - 1],
            "speed": self.numpy.array([speed], dtype=self.numpy.float32),
        }
        return self.session.run(None, inputs)[0].size


def export(folder: Path) -> None:
    """The reference as one graph, by its own way of doing so: `KModelForONNX`, its transforms without complex numbers."""
    import numpy
    import torch

    model = reference(folder, "cpu", disable_complex=True)
    from kokoro.model import KModelForONNX

    voice = torch.load(folder / "voices/hash.pt", weights_only=True)
    numpy.savez(folder / "voices.npz", hash=voice.numpy())
    ids = torch.arange(48).remainder(47).unsqueeze(0)
    inputs = {"input_names": ["input_ids", "style", "speed"], "output_names": ["waveform", "duration"]}
    axes = {"input_ids": {1: "tokens"}, "waveform": {0: "samples"}, "duration": {0: "tokens"}}
    how = {"dynamo": False, "opset_version": 17, "dynamic_axes": axes}
    path = str(folder / "model.onnx")
    torch.onnx.export(KModelForONNX(model).eval(), (ids, voice[45], torch.tensor([1.0])), path, **inputs, **how)


def main(kind: str, folder: Path, device: str, threads: int) -> None:
    speaker = {"pytorch": PyTorch, "onnxruntime": OnnxRuntime}[kind](folder, device, threads)
    print(json.dumps(speaker.about()), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        if "gemm" in asked:
            answer = speaker.gemm(asked["gemm"])
        elif "flop" in asked:
            answer = {"flop": speaker.flop(**asked["flop"])}
        else:
            answer = {"samples": speaker.speak(**asked)}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(Path(sys.argv[2]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))

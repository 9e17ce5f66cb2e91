"""The reference's side of chatterbox.py and run.py: English, Turbo or Nano from the checkpoint's files, driven through lines.

usage: chatterbox_reference.py VARIANT FOLDER THREADS TEXT [DEVICE]
Each line on stdin is a number of speech tokens to speak TEXT with; each line on stdout is a JSON object with the
samples, wall and CPU seconds of that run, and those of its stages. A negative number is the prefill alone, `{"flop": TOKENS}` also counts
multiplications and additions, `{"gemm": TIMES}` multiplies matrices. The first line tells of the text, not of a run.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

# What the reference prints itself goes to stderr.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
# In place of this folder, whose chatterbox.py is not the package.
sys.path[0] = str(Path(__file__).parents[2] / "crates/stentor-engine-chatterbox/reference")

import common  # noqa: E402  (stubs the watermarker)
import torch  # noqa: E402
from chatterbox.models.t3.modules.cond_enc import T3Cond  # noqa: E402
from chatterbox import tts, tts_turbo  # noqa: E402
from chatterbox.models.tokenizers import EnTokenizer  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import GPT2TokenizerFast  # noqa: E402

sys.path.append(str(Path(__file__).parent))
import torch_work  # noqa: E402

SILENCE = 4299


def filled(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    """`module` with the weights of `path`, which may leave out what is computed or not used for inference."""
    missing, unexpected = module.load_state_dict(load_file(path), strict=False)
    spare = (*common.COMPUTED, "trim_fade", "wte.weight", "text_head.weight")
    wrong = [name for name in missing if not name.endswith(spare)] + unexpected
    assert not wrong, wrong[:5]
    return module.eval()


def clock() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


class Stages:
    """Wall and CPU seconds by stage."""

    def __init__(self):
        self.costs: dict[str, list[float]] = {}

    def run(self, name: str, work):
        start = clock()
        result = work()
        self.costs[name] = [end - begin for begin, end in zip(start, clock())]
        return result


class Speaker:
    """Turbo or Nano."""

    meanflow, steps = True, 2

    def __init__(self, variant: str, folder: Path, device: str):
        self.device = device
        self.t3 = filled(common.t3(variant, None, filled=False), folder / "t3.safetensors").to(device)
        self.forbid_the_end()
        self.s3gen = filled(common.s3gen(self.meanflow, full=True, filled=False), folder / "s3gen.safetensors").to(device)
        voice = {name: value.to(device) for name, value in load_file(folder / "conds.safetensors").items()}
        self.voice = T3Cond(
            speaker_emb=voice["t3.speaker_emb"],
            cond_prompt_speech_tokens=voice["t3.cond_prompt_speech_tokens"],
            emotion_adv=0.5 * torch.ones(1, 1, 1, device=device),
        )
        prompt = voice["gen.prompt_token"]
        self.prompt = {
            "prompt_token": prompt,
            "prompt_token_len": torch.tensor([prompt.shape[1]], device=device),
            "prompt_feat": voice["gen.prompt_feat"],
            "prompt_feat_len": None,
            "embedding": voice["gen.embedding"],
        }

    def forbid_the_end(self) -> None:
        """Ours ended where the guard said; the reference is to go exactly as far."""
        del self.t3.tfmr.wte
        self.t3.speech_head.bias.data[self.t3.hp.start_speech_token :] = -1e9

    def read(self, folder: Path, text: str) -> torch.Tensor:
        tokenizer = GPT2TokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
        return tokenizer(tts_turbo.punc_norm(text), return_tensors="pt").input_ids.to(self.device)

    def decode(self, text: torch.Tensor, count: int) -> torch.Tensor:
        return self.t3.inference_turbo(t3_cond=self.voice, text_tokens=text, max_gen_len=count - 1)

    def closing(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.cat([tokens, torch.full((3,), SILENCE, device=self.device)])

    def wait(self) -> None:
        """A card works on its own; whoever measures waits for it."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def staged(self, stages: Stages, name: str, work):
        def whole():
            result = work()
            self.wait()
            return result

        return stages.run(name, whole)

    @torch.inference_mode()  # or the fade could not be put on in place
    def speak(self, text: torch.Tensor, count: int) -> dict:
        """As `generate` of the reference's class does it, stage by stage."""
        stages = Stages()
        start = clock()
        tokens = self.staged(stages, "t3", lambda: self.decode(text, count)).flatten()
        assert tokens.shape[-1] == count, tokens.shape
        tokens = self.closing(tokens[tokens < 6561])
        how = {"ref_dict": self.prompt, "n_cfm_timesteps": self.steps, "finalize": True}
        mel = self.staged(stages, "flow", lambda: self.s3gen.flow_inference(tokens, **how))
        wave, _ = self.staged(stages, "vocoder", lambda: self.s3gen.hift_inference(mel, None))
        wave[:, : len(self.s3gen.trim_fade)] *= self.s3gen.trim_fade
        assert torch.isfinite(wave.cpu()).all()
        wall, cpu = (end - begin for begin, end in zip(start, clock()))
        return {"samples": wave.shape[-1], "wall": wall, "cpu": cpu, "stages": stages.costs}


class English(Speaker):
    """The model that weighs its logits with and without the text, and whose flow takes ten steps."""

    meanflow, steps = False, 10

    def forbid_the_end(self) -> None:
        # No bias to set: its logits are changed as they come. Finite, since they are subtracted from each other.
        ends = torch.zeros(self.t3.hp.speech_tokens_dict_size, device=self.device)
        ends[self.t3.hp.start_speech_token :] = -1e9
        self.t3.speech_head.register_forward_hook(lambda _module, _inputs, logits: logits + ends)

    def read(self, folder: Path, text: str) -> torch.Tensor:
        tokens = EnTokenizer(str(folder / "tokenizer.json")).text_to_tokens(tts.punc_norm(text)).to(self.device)
        ends = (self.t3.hp.start_text_token, self.t3.hp.stop_text_token)
        start, stop = (torch.full((2, 1), end, dtype=tokens.dtype, device=self.device) for end in ends)
        return torch.cat([start, tokens.expand(2, -1), stop], dim=1)

    def decode(self, text: torch.Tensor, count: int) -> torch.Tensor:
        usual = {"temperature": 0.8, "cfg_weight": 0.5, "repetition_penalty": 1.2, "min_p": 0.05, "top_p": 1.0}
        return self.t3.inference(t3_cond=self.voice, text_tokens=text, max_new_tokens=count, **usual)

    def closing(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens


def answer(speaker: Speaker, ids: torch.Tensor, asked) -> dict:
    if isinstance(asked, dict) and "gemm" in asked:
        return torch_work.multiply(speaker.device, asked["gemm"])
    if isinstance(asked, dict):
        with torch_work.counted(speaker.t3, speaker.s3gen) as counts:
            run = speaker.speak(ids, asked["flop"])
        return run | {"flop": sum(counts)}
    if asked < 0:  # the prefill of voice and text alone
        stages = Stages()
        stages.run("t3 voice and text", lambda: speaker.decode(ids, 2))
        return {"stages": stages.costs}
    return speaker.speak(ids, asked) | {"peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def main(variant: str, folder: Path, threads: int, text: str, device: str) -> None:
    speaker = (English if variant == "english" else Speaker)(variant, folder, device)
    ids = speaker.read(folder, text)
    torch.set_num_threads(threads)
    about = {"text_tokens": ids.shape[1], "threads": torch.get_num_threads(), "name": f"PyTorch {torch.__version__}"}
    print(json.dumps(about), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(speaker, ids, json.loads(line))), file=answers)


if __name__ == "__main__":
    torch.manual_seed(1)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5] if len(sys.argv) > 5 else "cpu")

"""The reference's side of chatterbox.py: Turbo or Nano from the checkpoint's files, driven through lines.

usage: chatterbox_reference.py VARIANT FOLDER THREADS TEXT
Each line on stdin is a number of speech tokens to speak TEXT with; each line on stdout is a JSON object with the
samples, wall and CPU seconds of that run, and those of its stages. The first line tells of the text, not of a run.
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
from chatterbox.tts_turbo import punc_norm  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import GPT2TokenizerFast  # noqa: E402

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
    def __init__(self, variant: str, folder: Path):
        self.t3 = filled(common.t3(variant, None, filled=False), folder / "t3.safetensors")
        del self.t3.tfmr.wte
        # Ours ended where the guard said; the reference is to go exactly as far.
        self.t3.speech_head.bias.data[self.t3.hp.start_speech_token :] = -1e9
        self.s3gen = filled(common.s3gen(True, full=True, filled=False), folder / "s3gen.safetensors")
        voice = load_file(folder / "conds.safetensors")
        self.voice = T3Cond(
            speaker_emb=voice["t3.speaker_emb"],
            cond_prompt_speech_tokens=voice["t3.cond_prompt_speech_tokens"],
            emotion_adv=0.5 * torch.ones(1, 1, 1),
        )
        prompt = voice["gen.prompt_token"]
        self.prompt = {
            "prompt_token": prompt,
            "prompt_token_len": torch.tensor([prompt.shape[1]]),
            "prompt_feat": voice["gen.prompt_feat"],
            "prompt_feat_len": None,
            "embedding": voice["gen.embedding"],
        }

    def decode(self, text: torch.Tensor, count: int) -> torch.Tensor:
        return self.t3.inference_turbo(t3_cond=self.voice, text_tokens=text, max_gen_len=count - 1)

    @torch.inference_mode()  # or the fade could not be put on in place
    def speak(self, text: torch.Tensor, count: int) -> dict:
        """As `generate` of the reference's class does it, stage by stage."""
        stages = Stages()
        start = clock()
        tokens = stages.run("t3", lambda: self.decode(text, count))
        assert tokens.shape[-1] == count, tokens.shape
        tokens = torch.cat([tokens[tokens < 6561], torch.full((3,), SILENCE)])
        flow = lambda: self.s3gen.flow_inference(tokens, ref_dict=self.prompt, n_cfm_timesteps=2, finalize=True)  # noqa: E731
        mel = stages.run("flow", flow)
        wave, _ = stages.run("vocoder", lambda: self.s3gen.hift_inference(mel, None))
        wave[:, : len(self.s3gen.trim_fade)] *= self.s3gen.trim_fade
        wall, cpu = (end - begin for begin, end in zip(start, clock()))
        assert torch.isfinite(wave).all()
        return {"samples": wave.shape[-1], "wall": wall, "cpu": cpu, "stages": stages.costs}


def main(variant: str, folder: Path, threads: int, text: str) -> None:
    tokenizer = GPT2TokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    ids = tokenizer(punc_norm(text), return_tensors="pt").input_ids
    speaker = Speaker(variant, folder)
    torch.set_num_threads(threads)
    print(json.dumps({"text_tokens": ids.shape[1], "threads": torch.get_num_threads()}), file=answers)
    for line in sys.stdin:
        if int(line) < 0:  # the prefill of voice and text alone
            stages = Stages()
            stages.run("t3 voice and text", lambda: speaker.decode(ids, 2))
            print(json.dumps({"stages": stages.costs}), file=answers)
            continue
        run = speaker.speak(ids, int(line))
        run["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(run), file=answers)


if __name__ == "__main__":
    torch.manual_seed(1)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

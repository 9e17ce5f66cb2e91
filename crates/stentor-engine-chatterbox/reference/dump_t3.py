"""Writes goldens of T3 for all variants, and of the samplers: `dump_t3.py OUT_FOLDER [--full] [variant ..]`.

The reference generates greedily: its draw is replaced by the most probable token, and ids that are no sound are masked
before its own processors. Raw logits are recorded before that.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import common
import hash_weights
import chatterbox.models.t3.t3 as t3_module
from chatterbox.models.t3.modules.cond_enc import T3Cond
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

SOUNDS, START, STOP = 6561, 6561, 6562
STEPS, COMPARED = 24, 6
ALIGNED = [(12, 15), (13, 11), (9, 2)]


def masked(logits: torch.Tensor) -> torch.Tensor:
    ids = torch.arange(logits.shape[-1])
    return logits.masked_fill((ids >= SOUNDS) & (ids != STOP), -float("inf"))


class NoAnalyzer:
    """Later versions of the reference have none."""

    eos_idx = STOP

    def __init__(self, *_, **__):
        pass

    def step(self, logits, next_token=None):
        return logits


class Record:
    """What one generation shows."""

    def __init__(self):
        self.raw, self.unmasked, self.looks = [], [], []


def record_llama(record: Record) -> None:
    class Penalty(RepetitionPenaltyLogitsProcessor):
        def __call__(self, ids, scores):
            record.unmasked.append(int(super().__call__(ids, scores).argmax()))
            return super().__call__(ids, masked(scores))

    class Backend(common_backend):
        def forward(self, *args, **kwargs):
            kwargs["output_attentions"] = False
            out = super().forward(*args, **kwargs)
            record.raw.append(out.logits[:, -1].clone())
            return out

    t3_module.RepetitionPenaltyLogitsProcessor = Penalty
    t3_module.T3HuggingfaceBackend = Backend
    t3_module.AlignmentStreamAnalyzer = NoAnalyzer


def record_gpt2(record: Record) -> None:
    class Processors(LogitsProcessorList):
        def __call__(self, ids, scores):
            record.raw.append(scores.clone())
            record.unmasked.append(int(super().__call__(ids, scores).argmax()))
            return super().__call__(ids, masked(scores))

    t3_module.LogitsProcessorList = Processors


common_backend = t3_module.T3HuggingfaceBackend


def spy(model, llama: bool, text: slice, record: Record) -> None:
    """Records how the last position of row 0 looks at the text, mean over the heads that align or a stand-in for them."""
    blocks = model.tfmr.layers if llama else model.tfmr.h
    middle = len(blocks) // 2
    stand_in = [(layer, head) for layer in (middle - 1, middle) for head in range(model.cfg.num_attention_heads)]
    heads = ALIGNED if llama and len(blocks) > 13 else stand_in
    seen = {}

    def hook(layer):
        def keep(_module, _inputs, output):
            seen[layer] = output[1][0, :, -1, text].clone()
            if len(seen) == len({layer for layer, _ in heads}):
                record.looks.append(torch.stack([seen[layer][head] for layer, head in heads]).mean(0))
                seen.clear()

        return keep

    for layer in {layer for layer, _ in heads}:
        attention = blocks[layer].self_attn if llama else blocks[layer].attn
        attention.register_forward_hook(hook(layer))


def dump(variant: str, folder: Path, full: bool) -> None:
    llama = variant in ("english", "multilingual")
    model = common.t3(variant, None if full else 2)
    model.tfmr.config._attn_implementation = "eager"
    golden, record = common.Golden(), Record()
    speaker = torch.from_numpy(hash_weights.noise("t3.speaker", 256)) / 16.0
    prompt = torch.from_numpy(hash_weights.integers("t3.prompt", 150 if llama else 375, SOUNDS))
    vocabulary = model.hp.text_tokens_dict_size
    text = torch.from_numpy(hash_weights.integers("t3.text", 23, vocabulary))
    cond = T3Cond(
        speaker_emb=speaker[None],
        cond_prompt_speech_tokens=prompt[None],
        emotion_adv=0.7 * torch.ones(1, 1, 1) if llama else None,
    )
    prefix = model.prepare_conditioning(cond)
    golden.layer("t3.prefix", prefix[0])
    torch.multinomial = lambda probs, num_samples: probs.argmax(-1, keepdim=True)
    if llama:
        text = torch.cat([torch.tensor([255]), text, torch.tensor([0])])
    spy(model, llama, slice(prefix.shape[1], prefix.shape[1] + len(text)), record)
    if llama:
        record_llama(record)
        penalty = 1.2 if variant == "english" else 2.0
        tokens = model.inference(
            t3_cond=cond,
            text_tokens=torch.stack([text, text]),
            max_new_tokens=STEPS,
            temperature=0.8,
            top_p=1.0,
            min_p=0.05,
            repetition_penalty=penalty,
            cfg_weight=0.5,
        )
    else:
        record_gpt2(record)
        tokens = model.inference_turbo(cond, text[None], max_gen_len=STEPS - 1)
    for step in range(COMPARED):
        golden.layer(f"t3.logits.{step}", record.raw[step][0])
        if llama:
            golden.layer(f"t3.unguided.{step}", record.raw[step][1])
        golden.whole(f"t3.attention.{step}", record.looks[step])
    golden.whole("t3.tokens", tokens[0].int())
    golden.whole("t3.unmasked", torch.tensor(record.unmasked, dtype=torch.int32))
    golden.save(folder / f"t3-{variant}.safetensors")
    print(variant, tokens[0].tolist(), record.unmasked, "prefix", prefix.shape[1])


def dump_sampler(folder: Path) -> None:
    """The probabilities that each family's processors leave of made-up logits."""
    golden = common.Golden()
    history = torch.from_numpy(hash_weights.integers("sampler.history", 40, SOUNDS))
    cases = {
        "english.0": dict(temperature=0.8, min_p=0.05, top_p=1.0, penalty=1.2, cfg=0.5),
        "english.1": dict(temperature=1.3, min_p=0.001, top_p=0.8, penalty=2.0, cfg=1.5),
        "turbo.0": dict(temperature=0.8, top_k=1000, top_p=0.95, penalty=1.2),
        "turbo.1": dict(temperature=1.3, top_k=50, top_p=0.6, penalty=1.5),
    }
    for name, case in cases.items():
        english = name.startswith("english")
        size = 8194 if english else 6563
        logits = 3.0 * torch.from_numpy(hash_weights.noise(f"sampler.{name}.logits", size))[None]
        # The most probable tokens were said before, so that the penalty decides.
        said = torch.cat([torch.tensor([START]), history, masked(logits)[0].topk(12).indices[::2], history[:5]])[None]
        temperature = TemperatureLogitsWarper(case["temperature"])
        top_p = TopPLogitsWarper(case["top_p"])
        penalty = RepetitionPenaltyLogitsProcessor(case["penalty"])
        if english:
            unguided = 3.0 * torch.from_numpy(hash_weights.noise(f"sampler.{name}.unguided", size))[None]
            logits = logits + case["cfg"] * (logits - unguided)
            order = [penalty, temperature, MinPLogitsWarper(case["min_p"]), top_p]
        else:
            order = [temperature, TopKLogitsWarper(case["top_k"]), top_p, penalty]
        scores = masked(logits)
        for processor in order:
            scores = processor(said, scores)
        probabilities = torch.softmax(scores, -1)[0]
        golden.whole(f"{name}.history", said[0].int())
        golden.whole(f"{name}.kept", probabilities.nonzero()[:, 0].int())
        golden.whole(f"{name}.probabilities", probabilities[probabilities > 0])
        print(name, int((probabilities > 0).sum()), "kept")
    golden.save(folder / "sampler.safetensors")


if __name__ == "__main__":
    target, *options = sys.argv[1:]
    chosen = [option for option in options if option in common.VARIANTS] or list(common.VARIANTS)
    if "--full" not in options:
        dump_sampler(Path(target))
    for name in chosen:
        dump(name, Path(target), "--full" in options)

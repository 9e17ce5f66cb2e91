"""Writes flow.safetensors and flow-meanflow.safetensors: encoder, estimator and solver layer by layer.

usage: python dump_flow.py OUT_FOLDER [--full]
Activations are dumped as (time, channels). All draws are hash noise; see `Draws` for their order.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import common
import hash_weights

PROMPT, TARGET, MELS = 50, 30, 80
# Small enough that a layer norm's epsilon of 1e-5 in place of 1e-12 shows; exact in f32.
QUIET = 2.0**-13


class Draws:
    """Stands in for torch's generators. A mean flow draws the target's noise first (`randn`), then noise for everything
    (`randn_like`), whose target part it replaces; the other model draws once, for everything. What is replaced is 99 here."""

    def __init__(self, name: str, frames: int):
        self.noise = torch.from_numpy(hash_weights.noise(name, frames * MELS)).reshape(1, frames, MELS).transpose(1, 2)
        self.order: list[str] = []

    def randn(self, *shape, **_):
        self.order.append("randn")
        assert shape[2] == 2 * TARGET
        return self.noise[:, :, -shape[2] :].clone()

    def randn_like(self, like):
        assert like.shape == self.noise.shape, (like.shape, self.noise.shape)
        noise = self.noise.clone()
        if self.order:
            noise[:, :, 2 * PROMPT :] = 99.0
        self.order.append("randn_like")
        return noise

    @contextmanager
    def in_place(self):
        kept = torch.randn, torch.randn_like
        torch.randn, torch.randn_like = self.randn, self.randn_like
        try:
            yield
        finally:
            torch.randn, torch.randn_like = kept


class Taps:
    """Records what modules give the first time that they are called."""

    def __init__(self, golden: common.Golden, case: str, guided: bool):
        self.golden, self.case, self.guided, self.hooks, self.seen = golden, case, guided, [], set()

    def put(self, name: str, value: torch.Tensor) -> None:
        if name not in self.seen:
            self.seen.add(name)
            self.golden.layer(f"{self.case}.{name}", value)

    def encoder(self, name: str, module, turned: bool = False) -> None:
        def hook(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            self.put(name, output[0].T if turned else output[0])

        self.hooks.append(module.register_forward_hook(hook))

    def estimator(self, name: str, module, turned: bool = False) -> None:
        def hook(_module, _inputs, output):
            self.rows(name, output.transpose(1, 2) if turned else output)

        self.hooks.append(module.register_forward_hook(hook))

    def rows(self, name: str, output: torch.Tensor) -> None:
        self.put(f"cond.{name}", output[0])
        if self.guided:
            self.put(f"uncond.{name}", output[1])

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()


def attach(taps: Taps, flow) -> None:
    encoder, estimator = flow.encoder, flow.decoder.estimator
    taps.encoder("speaker", flow.spk_embed_affine_layer)
    taps.encoder("lookahead", encoder.pre_lookahead_layer)
    for index, layer in enumerate(encoder.encoders):
        taps.encoder(f"encoder.{index}", layer)
    taps.encoder("upsampled", encoder.up_layer, turned=True)
    for index, layer in enumerate(encoder.up_encoders):
        taps.encoder(f"up_encoder.{index}", layer)
    taps.encoder("encoder", encoder)
    taps.encoder("mu", flow.encoder_proj)
    taps.estimator("time", estimator.time_mlp if estimator.time_embed_mixer is None else estimator.time_embed_mixer)
    taps.estimator("resnet", estimator.down_blocks[0][0], turned=True)
    taps.estimator("down", estimator.down_blocks[0][1][-1])
    for index, (_, blocks) in enumerate(estimator.mid_blocks):
        taps.estimator(f"mid.{index}", blocks[-1])
    taps.estimator("up", estimator.up_blocks[0][1][-1])
    taps.estimator("final", estimator.final_block, turned=True)


def run(golden: common.Golden, model, case: str, finalize: bool, steps: int | None, detail: bool) -> None:
    """One utterance: `PROMPT` tokens with mel frames of a voice, `TARGET` tokens to speak."""
    flow, meanflow = model.flow, model.meanflow
    frames = 2 * (PROMPT + TARGET) - (0 if finalize else 6)
    draws, taps = Draws(f"{case} noise", frames), Taps(golden, case, not meanflow)
    if detail:
        attach(taps, flow)
    else:
        taps.encoder("mu", flow.encoder_proj)
    estimate, solve = flow.decoder.estimator.forward, flow.decoder.forward

    # The solver calls `forward` itself, past all hooks.
    def estimator(x, mask, mu, t, spks=None, cond=None, r=None):
        velocity = estimate(x, mask=mask, mu=mu, t=t, spks=spks, cond=cond, r=r)
        if detail:
            taps.rows("velocity", velocity.transpose(1, 2))
        return velocity

    # With `finalize=False` the reference leaves the mask longer than what it masks.
    def solver(mu, mask, **rest):
        return solve(mu=mu, mask=mask[:, :, : mu.shape[2]], **rest)

    flow.decoder.estimator.forward, flow.decoder.forward = estimator, solver
    reference = {
        "prompt_token": torch.from_numpy(hash_weights.integers("prompt tokens", PROMPT, 6561))[None],
        "prompt_token_len": torch.tensor([PROMPT]),
        "prompt_feat": torch.from_numpy(hash_weights.noise("prompt mel", 2 * PROMPT * MELS)).reshape(1, -1, MELS) * 2.0 - 5.0,
        "prompt_feat_len": None,
        "embedding": torch.from_numpy(hash_weights.noise("xvector", 192))[None] * 3.0,
    }
    tokens = torch.from_numpy(hash_weights.integers("tokens", TARGET, 6561))[None]
    try:
        with draws.in_place():
            mel = model.flow_inference(tokens, ref_dict=reference, finalize=finalize, n_cfm_timesteps=steps)
    finally:
        taps.remove()
        flow.decoder.estimator.forward, flow.decoder.forward = estimate, solve
    assert draws.order == (["randn", "randn_like"] if meanflow else ["randn_like"]), draws.order
    golden.layer(f"{case}.mel", mel[0])
    print(case, "mel", tuple(mel.shape), "magnitude", mel.abs().max().item(), "std", mel.std().item())


def main() -> None:
    folder, full = Path(sys.argv[1]), "--full" in sys.argv
    for meanflow, name in ((False, "flow"), (True, "flow-meanflow")):
        golden, model = common.Golden(), common.s3gen(meanflow, full)
        run(golden, model, "whole", True, None, True)
        run(golden, model, "steps", True, 3, False)
        if not meanflow:
            run(golden, model, "begun", False, 4, False)
            for tensor in ("weight", "bias"):
                for part in (model.flow.encoder.embed, model.flow.encoder.up_embed):
                    getattr(part.out[1], tensor).mul_(QUIET)
            run(golden, model, "quiet", True, 1, True)
        golden.save(folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()

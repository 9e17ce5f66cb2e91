"""What the reference makes of a recording, with hash weights: `dump_real.py CLIP OUT.safetensors [--full]`.

The signals after each resampler are kept as well, so that `examples/real_clips.rs` can tell its own resamplers' share of a
difference from the networks'.
"""

import sys
from pathlib import Path

import librosa
import numpy as np
import torch

from common import Golden, s3gen, voice_encoder

import pyloudnorm
from chatterbox.models.s3gen.s3gen import get_resampler
from chatterbox.models.s3gen.xvector import extract_feature
from chatterbox.models.voice_encoder.melspec import melspectrogram


def main() -> None:
    golden = Golden()
    ve, model = voice_encoder(), s3gen(False, full="--full" in sys.argv)
    clip, _ = librosa.load(sys.argv[1], sr=24000)
    heard = librosa.resample(clip, orig_sr=24000, target_sr=16000)
    golden.whole("clip.24k", clip)
    golden.whole("clip.16k", heard)
    golden.whole("loudness", np.array([pyloudnorm.Meter(24000).integrated_loudness(clip)]))
    golden.whole("ve.mel", melspectrogram(librosa.effects.trim(heard, top_db=20)[0], ve.hp).T)
    golden.whole("ve.embedding", ve.embeds_from_wavs([heard], sample_rate=16000)[0])
    golden.whole("s3.mel", model.tokenizer.log_mel_spectrogram(torch.from_numpy(heard[: 6 * 16000])[None])[0].T)
    golden.whole("t3.tokens", model.tokenizer([heard[: 6 * 16000]], max_len=150)[0][0])
    beginning = clip[: 10 * 24000]
    narrow = get_resampler(24000, 16000, "cpu")(torch.from_numpy(beginning)[None])
    golden.whole("clip.sinc", narrow[0])
    golden.whole("camp.fbank", extract_feature(narrow)[0][0])
    prompt = model.embed_ref(beginning, 24000)
    golden.whole("s3gen.tokens", prompt["prompt_token"][0])
    golden.whole("s3gen.mel", prompt["prompt_feat"][0, : 2 * prompt["prompt_token"].shape[1]])
    golden.whole("s3gen.xvector", prompt["embedding"][0])
    golden.save(Path(sys.argv[2]))


if __name__ == "__main__":
    main()

"""Kokoro's network (of the StyleTTS 2 family) with every width read from config.json.

Modules and parameters carry the names of the `kokoro` package, so that weights move between the two; weight-normed
convolutions hold weight_g and weight_v. Against that package this file differs in widths only: `decoder_dim` (1024
there), `asr_res_dim` (64), and AdaIN's instance norm has no affine parameters (ones and zeros there).

Shapes: B utterances, L tokens, T frames of 12.5 ms, 2T half frames (F0 and energy curves), S style width.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AlbertConfig, AlbertModel

REPOSITORY = Path(__file__).resolve().parents[2]
BUILTIN = REPOSITORY / "models" / "builtin"
"""The published voice."""
DEFAULT_CONFIG = BUILTIN / "config.json"

HARMONICS = 9
VOICED_ABOVE = 10.0
"""Hz: below it the source is noise only."""
F0_TRAINING_SCALE = 100.0
"""`ProsodyPredictor.f0_scale` while training."""


def load_config(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def run_lstm(lstm: nn.LSTM, x: Tensor, lengths: Tensor | None) -> Tensor:
    """A bidirectional LSTM over [B, L, C] that does not read padding when `lengths` (on the CPU) is given."""
    if lengths is None:
        return lstm(x)[0]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class AdaIN1d(nn.Module):
    """Instance norm over time, scaled and shifted by the style: [B, C, T] and [B, S] -> [B, C, T]."""

    def __init__(self, style_dim: int, channels: int):
        super().__init__()
        self.fc = nn.Linear(style_dim, channels * 2)

    def scale_shift(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """(gamma, beta), each [B, C, 1]; the norm is multiplied by 1 + gamma."""
        gamma, beta = self.fc(style).unsqueeze(-1).chunk(2, 1)
        return gamma, beta

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gamma, beta = self.scale_shift(style)
        return torch.addcmul(beta, 1 + gamma, F.instance_norm(x))


def adain_snake(x: Tensor, gamma: Tensor, beta: Tensor, alpha: Tensor) -> Tensor:
    """AdaIN, then Snake x + sin(alpha x)^2 / alpha, in float32; written in one piece so that a compiler can fuse it."""
    dtype = x.dtype
    x = x.float()
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean * mean
    x = (x - mean) * (torch.rsqrt(variance.clamp(min=0) + 1e-5) * (1 + gamma.float())) + beta.float()
    return (x + torch.sin(alpha * x).square() / alpha).to(dtype)


class AdaINResBlock1(nn.Module):
    """The generator's residual block: per dilation AdaIN, Snake, dilated convolution, AdaIN, Snake, convolution."""

    def __init__(self, channels: int, kernel: int, dilations: list[int], style_dim: int):
        super().__init__()

        def conv(dilation: int) -> nn.Module:
            padding = (kernel * dilation - dilation) // 2
            return weight_norm(nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation))

        def alphas() -> nn.ParameterList:
            return nn.ParameterList([nn.Parameter(torch.ones(1, channels, 1)) for _ in dilations])

        self.convs1 = nn.ModuleList([conv(dilation) for dilation in dilations])
        self.convs2 = nn.ModuleList([conv(1) for _ in dilations])
        self.adain1 = nn.ModuleList([AdaIN1d(style_dim, channels) for _ in dilations])
        self.adain2 = nn.ModuleList([AdaIN1d(style_dim, channels) for _ in dilations])
        self.alpha1, self.alpha2 = alphas(), alphas()
        self.activation = adain_snake

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        layers = zip(self.convs1, self.convs2, self.adain1, self.adain2, self.alpha1, self.alpha2)
        for conv1, conv2, norm1, norm2, alpha1, alpha2 in layers:
            y = conv1(self.activation(x, *norm1.scale_shift(style), alpha1))
            x = x + conv2(self.activation(y, *norm2.scale_shift(style), alpha2))
        return x


class AdainResBlk1d(nn.Module):
    """The decoder's and predictor's residual block; `upsample` doubles the length."""

    def __init__(self, dim_in: int, dim_out: int, style_dim: int, upsample: bool = False, dropout: float = 0.0):
        super().__init__()
        self.upsample = upsample
        self.dropout = nn.Dropout(dropout)
        self.conv1 = weight_norm(nn.Conv1d(dim_in, dim_out, 3, 1, 1))
        self.conv2 = weight_norm(nn.Conv1d(dim_out, dim_out, 3, 1, 1))
        self.norm1, self.norm2 = AdaIN1d(style_dim, dim_in), AdaIN1d(style_dim, dim_out)
        self.learned_shortcut = dim_in != dim_out
        if self.learned_shortcut:
            self.conv1x1 = weight_norm(nn.Conv1d(dim_in, dim_out, 1, bias=False))
        if upsample:
            self.pool = weight_norm(
                nn.ConvTranspose1d(dim_in, dim_in, 3, stride=2, groups=dim_in, padding=1, output_padding=1)
            )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm1(x, style), 0.2)
        if self.upsample:
            y = self.pool(y)
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        y = self.conv1(self.dropout(y))
        y = self.conv2(self.dropout(F.leaky_relu(self.norm2(y, style), 0.2)))
        if self.learned_shortcut:
            x = self.conv1x1(x)
        return (y + x) * math.sqrt(0.5)


class LayerNorm(nn.Module):
    """Layer norm over the channels of [B, C, L]."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


class TextEncoder(nn.Module):
    """What is said, for the decoder: token ids [B, L] -> [B, hidden, L]."""

    def __init__(self, channels: int, kernel: int, depth: int, symbols: int):
        super().__init__()
        self.embedding = nn.Embedding(symbols, channels)
        self.cnn = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Conv1d(channels, channels, kernel, padding=kernel // 2)),
                LayerNorm(channels),
                nn.LeakyReLU(0.2),
                nn.Dropout(0.1),
            )
            for _ in range(depth)
        )
        self.lstm = nn.LSTM(channels, channels // 2, 1, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(ids).transpose(1, 2) * mask[:, None]
        for layer in self.cnn:
            x = layer(x) * mask[:, None]
        return run_lstm(self.lstm, x.transpose(1, 2), lengths).transpose(1, 2)


class AdaLayerNorm(nn.Module):
    """Layer norm over the last axis of [B, L, C], scaled and shifted by the style."""

    def __init__(self, style_dim: int, channels: int):
        super().__init__()
        self.fc = nn.Linear(style_dim, channels * 2)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gamma, beta = self.fc(style).unsqueeze(1).chunk(2, -1)
        return (1 + gamma) * F.layer_norm(x, x.shape[-1:], eps=1e-5) + beta


class DurationEncoder(nn.Module):
    """LSTMs and style norms in turn; the style stays appended: [B, L, C] -> [B, L, C + S]."""

    def __init__(self, style_dim: int, channels: int, depth: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.lstms = nn.ModuleList()
        for _ in range(depth):
            self.lstms.append(nn.LSTM(channels + style_dim, channels // 2, 1, batch_first=True, bidirectional=True))
            self.lstms.append(AdaLayerNorm(style_dim, channels))

    def forward(self, x: Tensor, style: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        appended = style[:, None].expand(-1, x.shape[1], -1)
        x = torch.cat([x, appended], -1) * mask[..., None]
        for block in self.lstms:
            if isinstance(block, AdaLayerNorm):
                x = torch.cat([block(x, style), appended], -1) * mask[..., None]
            else:
                x = F.dropout(run_lstm(block, x, lengths), self.dropout, self.training)
        return x


class LinearNorm(nn.Module):
    """A linear layer under the name that the `kokoro` package gives it."""

    def __init__(self, dim_in: int, dim_out: int):
        super().__init__()
        self.linear_layer = nn.Linear(dim_in, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_layer(x)


class ProsodyPredictor(nn.Module):
    """Durations from tokens; F0 and energy from tokens spread over frames.

    `f0_scale` multiplies the output of F0_proj: F0_TRAINING_SCALE in training, so that the layer learns numbers near 1;
    `export` folds it into the weights, which then give Hz.
    """

    def __init__(self, style_dim: int, channels: int, depth: int, max_dur: int, dropout: float):
        super().__init__()
        self.f0_scale = 1.0
        self.text_encoder = DurationEncoder(style_dim, channels, depth, dropout)
        width = channels + style_dim
        self.lstm = nn.LSTM(width, channels // 2, 1, batch_first=True, bidirectional=True)
        self.duration_proj = LinearNorm(channels, max_dur)
        self.shared = nn.LSTM(width, channels // 2, 1, batch_first=True, bidirectional=True)

        def curve() -> nn.ModuleList:
            half = channels // 2
            return nn.ModuleList(
                [
                    AdainResBlk1d(channels, channels, style_dim, dropout=dropout),
                    AdainResBlk1d(channels, half, style_dim, upsample=True, dropout=dropout),
                    AdainResBlk1d(half, half, style_dim, dropout=dropout),
                ]
            )

        self.F0, self.N = curve(), curve()
        self.F0_proj, self.N_proj = nn.Conv1d(channels // 2, 1, 1), nn.Conv1d(channels // 2, 1, 1)

    def curves(self, encoded: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, C + S] -> F0 in Hz and energy, [B, 2T] each."""
        f0 = n = self.shared(encoded)[0].transpose(1, 2)
        for block in self.F0:
            f0 = block(f0, style)
        for block in self.N:
            n = block(n, style)
        return self.F0_proj(f0).squeeze(1) * self.f0_scale, self.N_proj(n).squeeze(1)


class SourceModule(nn.Module):
    """The excitation: harmonics of F0 where voiced, noise elsewhere; [B, 2T] -> [B, samples]."""

    def __init__(self, rate: int, scale: int):
        super().__init__()
        self.rate, self.scale = rate, scale
        self.l_linear = nn.Linear(HARMONICS, 1)

    @torch.no_grad()
    def sines(self, f0: Tensor) -> Tensor:
        """[B, samples, HARMONICS]: phase is summed at the rate of F0 and interpolated, as upstream does."""
        f0 = f0.repeat_interleave(self.scale, 1)[..., None]
        cycles = f0 * torch.arange(1.0, HARMONICS + 1, device=f0.device) / self.rate % 1
        offset = torch.rand(f0.shape[0], HARMONICS, device=f0.device)
        offset[:, 0] = 0
        cycles[:, 0] += offset
        cycles = F.interpolate(cycles.transpose(1, 2), scale_factor=1 / self.scale, mode="linear")
        phase = torch.cumsum(cycles, 2) * 2 * math.pi
        phase = F.interpolate(phase * self.scale, scale_factor=float(self.scale), mode="linear")
        voiced = (f0 > VOICED_ABOVE).float()
        sines = torch.sin(phase).transpose(1, 2) * 0.1 * voiced
        return sines + (voiced * 0.003 + (1 - voiced) * 0.1 / 3) * torch.randn_like(sines)

    def forward(self, f0: Tensor) -> Tensor:
        return torch.tanh(self.l_linear(self.sines(f0))).squeeze(-1)


class Generator(nn.Module):
    """iSTFTNet: features [B, C, 2T], style and F0 -> audio [B, samples].

    `low_precision` runs the convolutions in bfloat16, for training on a CPU.
    """

    def __init__(self, style_dim: int, rate: int, istft: dict[str, Any]):
        super().__init__()
        rates, kernels = istft["upsample_rates"], istft["upsample_kernel_sizes"]
        block_kernels, dilations = istft["resblock_kernel_sizes"], istft["resblock_dilation_sizes"]
        self.low_precision = False
        self.blocks_per_stage = len(block_kernels)
        self.n_fft, self.hop = istft["gen_istft_n_fft"], istft["gen_istft_hop_size"]
        self.m_source = SourceModule(rate, math.prod(rates) * self.hop)
        self.noise_convs, self.noise_res, self.ups, self.resblocks = (nn.ModuleList() for _ in range(4))
        channels = istft["upsample_initial_channel"]
        for stage, (up, kernel) in enumerate(zip(rates, kernels)):
            out = channels // 2
            self.ups.append(weight_norm(nn.ConvTranspose1d(channels, out, kernel, up, padding=(kernel - up) // 2)))
            for block_kernel, dilation in zip(block_kernels, dilations):
                self.resblocks.append(AdaINResBlock1(out, block_kernel, dilation, style_dim))
            stride = math.prod(rates[stage + 1 :])
            last = stage + 1 == len(rates)
            size, padding = (1, 0) if last else (2 * stride, (stride + 1) // 2)
            self.noise_convs.append(nn.Conv1d(self.n_fft + 2, out, size, stride, padding=padding))
            self.noise_res.append(AdaINResBlock1(out, 11 if last else 7, [1, 3, 5], style_dim))
            channels = out
        self.conv_post = weight_norm(nn.Conv1d(channels, self.n_fft + 2, 7, 1, padding=3))
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def forward(self, x: Tensor, style: Tensor, f0: Tensor) -> Tensor:
        source = self.m_source(f0.float()).detach()  # as upstream: nothing is learned through the source
        return self.synthesize(x, style, source)

    def synthesize(self, x: Tensor, style: Tensor, source: Tensor) -> Tensor:
        """The generator after its source [B, samples]."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.low_precision):
            spectrum = self.spectrum(x, style, source)
        bins = self.n_fft // 2 + 1
        magnitude, phase = torch.exp(spectrum[:, :bins].clamp(max=5)), torch.sin(spectrum[:, bins:])
        polar = torch.complex(magnitude * torch.cos(phase), magnitude * torch.sin(phase))
        return torch.istft(polar, self.n_fft, self.hop, self.n_fft, self.window)

    def spectrum(self, x: Tensor, style: Tensor, source: Tensor) -> Tensor:
        """Log magnitude and sine of the phase, [B, n_fft + 2, samples / hop + 1]."""
        harmonics = torch.stft(source, self.n_fft, self.hop, self.n_fft, self.window, return_complex=True)
        harmonics = torch.cat([harmonics.abs(), harmonics.angle()], 1)
        count = self.blocks_per_stage
        for stage, up in enumerate(self.ups):
            noise = self.noise_res[stage](self.noise_convs[stage](harmonics), style)
            x = up(F.leaky_relu(x, 0.1))
            if stage + 1 == len(self.ups):
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + noise
            x = sum(block(x, style) for block in self.resblocks[stage * count : (stage + 1) * count]) / count
        return self.conv_post(F.leaky_relu(x)).float()


class Decoder(nn.Module):
    """Aligned text features, F0, energy and style -> audio."""

    def __init__(self, dim_in: int, style_dim: int, width: int, residual: int, rate: int, istft: dict[str, Any]):
        super().__init__()
        joined = width + 2 + residual
        last = istft["upsample_initial_channel"]
        self.encode = AdainResBlk1d(dim_in + 2, width, style_dim)
        self.decode = nn.ModuleList([AdainResBlk1d(joined, width, style_dim) for _ in range(3)])
        self.decode.append(AdainResBlk1d(joined, last, style_dim, upsample=True))
        self.F0_conv = self.curve_conv(0.006)
        self.N_conv = self.curve_conv(0.6)
        self.asr_res = nn.Sequential(weight_norm(nn.Conv1d(dim_in, residual, 1)))
        self.generator = Generator(style_dim, rate, istft)

    @staticmethod
    def curve_conv(gain: float) -> nn.Module:
        """A convolution from half frames to frames that starts out as smoothing times about `gain`."""
        conv = weight_norm(nn.Conv1d(1, 1, 3, 2, padding=1))
        with torch.no_grad():
            conv.weight_v.copy_(torch.tensor([[[0.25, 0.5, 0.25]]]))
            conv.weight_g.fill_(gain)
            conv.bias.zero_()
        return conv

    def features(self, text: Tensor, f0: Tensor, n: Tensor, style: Tensor) -> Tensor:
        """[B, hidden, T], [B, 2T], [B, 2T] -> [B, C, 2T], the input of the generator."""
        f0, n = self.F0_conv(f0[:, None]), self.N_conv(n[:, None])
        x = self.encode(torch.cat([text, f0, n], 1), style)
        residual = self.asr_res(text)
        for block in self.decode:
            x = block(torch.cat([x, residual, f0, n], 1), style)
        return x

    def forward(self, text: Tensor, f0: Tensor, n: Tensor, style: Tensor) -> Tensor:
        return self.generator(self.features(text, f0, n, style), style, f0)


@dataclass(frozen=True)
class Speech:
    """One synthesized utterance: audio [samples], durations [L] in frames, F0 in Hz and energy [2T]."""

    audio: Tensor
    durations: Tensor
    f0: Tensor
    n: Tensor


@dataclass(frozen=True)
class Prosody:
    """Durations [L], F0 [2T] and energy [2T] that are given instead of predicted."""

    durations: Tensor
    f0: Tensor
    n: Tensor


class Network(nn.Module):
    """The whole voice. A voice row [1, 2S] holds the decoder's style, then the predictor's."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        hidden, style, dropout = config["hidden_dim"], config["style_dim"], config["dropout"]
        bert = dict(config["plbert"])
        bert_dropout = bert.pop("dropout")
        albert = AlbertConfig(
            vocab_size=config["n_token"],
            hidden_dropout_prob=bert_dropout,
            attention_probs_dropout_prob=bert_dropout,
            **bert,
        )
        self.style_dim = style
        self.bert = AlbertModel(albert, add_pooling_layer=False)
        self.bert_encoder = nn.Linear(bert["hidden_size"], hidden)
        self.predictor = ProsodyPredictor(style, hidden, config["n_layer"], config["max_dur"], dropout)
        self.text_encoder = TextEncoder(
            hidden, config["text_encoder_kernel_size"], config["n_layer"], config["n_token"]
        )
        self.decoder = Decoder(
            hidden, style, config["decoder_dim"], config["asr_res_dim"], config["sample_rate"], config["istftnet"]
        )

    def split(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """A voice row as (decoder style, predictor style), [B, S] each."""
        return row[:, : self.style_dim], row[:, self.style_dim :]

    def encode(self, ids: Tensor, lengths: Tensor, mask: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """[B, L] -> predictor features [B, L, hidden + S] and duration logits [B, L, max_dur].

        A duration is the sum of its sigmoids.
        """
        x = self.bert_encoder(self.bert(ids, attention_mask=mask.long()).last_hidden_state)
        encoded = self.predictor.text_encoder(x, style, lengths, mask)
        return encoded, self.predictor.duration_proj(run_lstm(self.predictor.lstm, encoded, lengths))

    @torch.no_grad()
    def speak(self, ids: list[int], row: Tensor, speed: float = 1.0, prosody: Prosody | None = None) -> Speech:
        """Synthesizes one utterance; `ids` has the pad token 0 at both ends."""
        tokens = torch.tensor([ids], device=row.device)
        lengths, mask = torch.tensor([len(ids)]), torch.ones(1, len(ids), device=row.device)
        decoder_style, style = self.split(row)
        if prosody is None:
            encoded, logits = self.encode(tokens, lengths, mask, style)
            durations = torch.round(torch.sigmoid(logits).sum(-1) / speed).clamp(min=1).long()[0]
            f0, n = self.predictor.curves(encoded.repeat_interleave(durations, 1), style)
        else:
            durations, f0, n = prosody.durations, prosody.f0[None], prosody.n[None]
        text = self.text_encoder(tokens, lengths, mask).repeat_interleave(durations, 2)
        return Speech(self.decoder(text, f0, n, decoder_style)[0], durations, f0[0], n[0])


def enable_fast_training(network: Network) -> None:
    """Compiles AdaIN + Snake into one kernel and runs the generator in bfloat16: a third of the time on a CPU.

    Batches have many lengths, hence the dynamic shapes; do not change the number of threads afterwards.
    """
    torch._dynamo.config.recompile_limit = 64
    fused = torch.compile(adain_snake, dynamic=True)
    network.decoder.generator.low_precision = True
    for module in network.modules():
        if isinstance(module, AdaINResBlock1):
            module.activation = fused

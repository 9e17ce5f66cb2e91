//! The ways to port Kokoro wrongly that are known to be easy: each as one edit of the source.

use super::{Mutant, NN, mutant};

const MODEL: &str = "crates/stentor-engine-kokoro/src/model";
const ENGINE: &str = "crates/stentor-engine-kokoro/src";

#[rustfmt::skip] // one mutant reads best as name, file, before, after
pub(crate) const MUTANTS: &[Mutant] = &[
    mutant("embedding-token-type", (MODEL, "albert.rs"), "sum.broadcast_add(&self.token_types.first(1)?)?", "sum"),
    mutant("albert-epsilon", (MODEL, "albert.rs"), "const EPS: f32 = 1e-12;", "const EPS: f32 = 1e-5;"),
    mutant(
        "gelu-exact",
        (MODEL, "albert.rs"),
        "activate(&self.widen.forward(&x, watch)?, Activation::GeluTanh, watch)?",
        "{ let _ = (Activation::GeluTanh, activate); self.widen.forward(&x, watch)?.gelu_erf()? }",
    ),
    mutant("text-epsilon", (MODEL, "text_encoder.rs"), "const EPS: f32 = 1e-5;", "const EPS: f32 = 1e-12;"),
    mutant("style-epsilon", (NN, "norm.rs"), "const STYLE_EPS: f32 = 1e-5;", "const STYLE_EPS: f32 = 1e-12;"),
    mutant(
        "gamma-after-beta",
        (NN, "norm.rs"),
        "Ok(((gamma + 1.0)?.contiguous()?, both.narrow(1, self.channels, self.channels)?.contiguous()?))",
        "Ok(((both.narrow(1, self.channels, self.channels)? + 1.0)?.contiguous()?, gamma.contiguous()?))",
    ),
    mutant("gamma-without-one", (NN, "norm.rs"), "(gamma + 1.0)?", "gamma"),
    mutant(
        "style-halves-swapped",
        (MODEL, "mod.rs"),
        "decoder: Tensor::new(decoder, device)?, prosody: Tensor::new(prosody, device)?",
        "decoder: Tensor::new(prosody, device)?, prosody: Tensor::new(decoder, device)?",
    ),
    mutant(
        "style-not-appended-again",
        (MODEL, "predictor.rs"),
        "x = with_style(&normal)?;",
        "x = Tensor::cat(&[&normal, &rows.zeros_like()?], 1)?;",
    ),
    mutant(
        "lstm-one-bias",
        (NN, "lstm.rs"),
        "+ scope.tensor(&format!(\"bias_hh_l0{suffix}\"), &[gates])?)?;",
        "+ (scope.tensor(&format!(\"bias_hh_l0{suffix}\"), &[gates])? * 0.0)?)?;",
    ),
    mutant(
        "lstm-reverse-reads-forward",
        (NN, "lstm.rs"),
        "values.chunks_exact(8 * hidden).rev()",
        "values.chunks_exact(8 * hidden)",
    ),
    mutant(
        "lstm-reverse-stays-reversed",
        (NN, "lstm.rs"),
        ".zip(backward.chunks_exact(hidden).rev())",
        ".zip(backward.chunks_exact(hidden))",
    ),
    mutant(
        "lstm-gate-order",
        (NN, "lstm.rs"),
        "let (cell, output) = rest.split_at(hidden);",
        "let (output, cell) = rest.split_at(hidden);",
    ),
    mutant("duration-ties-away-from-zero", (MODEL, "predictor.rs"), ".round_ties_even()", ".round()"),
    mutant(
        "speed-after-rounding",
        (MODEL, "predictor.rs"),
        "(expected / speed).round_ties_even()",
        "(expected.round_ties_even() / speed).round_ties_even()",
    ),
    mutant("duration-may-be-zero", (MODEL, "predictor.rs"), ".max(1.0)", ".max(0.0)"),
    mutant(
        "weight-norm-of-the-mean-row",
        (NN, "weights.rs"),
        "for (gain, row) in gains.iter().zip(values.chunks_exact_mut(row)) {
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();",
        "let squares = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        for (gain, row) in gains.iter().zip(values.chunks_exact_mut(row)) {
            let norm = (squares / gains.len() as f64).sqrt();",
    ),
    mutant(
        "weight-norm-over-transposed-outputs",
        (NN, "conv_transpose.rs"),
        "(scope.folded_weight(&widths)?,",
        "(scope.folded_weight(&[widths[1], widths[0], widths[2]])?.transpose(0, 1)?.contiguous()?,",
    ),
    mutant("block-slope", (MODEL, "blocks.rs"), "Activation::LeakyRelu(0.2)", "Activation::LeakyRelu(0.1)"),
    mutant("block-not-scaled", (MODEL, "blocks.rs"), "? * FRAC_1_SQRT_2)?", "? * (FRAC_1_SQRT_2 / FRAC_1_SQRT_2))?"),
    mutant("shortcut-bias", (MODEL, "blocks.rs"), "Conv1d::load_without_bias(", "Conv1d::load("),
    mutant(
        "pool-taps-mirrored",
        (NN, "conv_transpose.rs"),
        "pair[1] = taps[2] * x + taps[0] * next + bias;",
        "pair[1] = taps[0] * x + taps[2] * next + bias;",
    ),
    mutant("second-conv-dilated", (MODEL, "blocks.rs"), "half(2, index, 1)?", "half(2, index, dilation)?"),
    mutant("snake-not-divided", (NN, "activation.rs"), "let inverse = 1.0 / alpha;", "let inverse = 1.0;"),
    mutant(
        "generator-slope",
        (MODEL, "generator.rs"),
        "Activation::LeakyRelu(0.1)",
        "Activation::LeakyRelu(0.2)",
    ),
    mutant("last-slope", (MODEL, "generator.rs"), "Activation::LeakyRelu(0.01)", "Activation::LeakyRelu(0.1)"),
    mutant("pad-repeats-first", (NN, "packing.rs"), "x.narrow(2, 1, 1)?", "x.narrow(2, 0, 1)?"),
    mutant("pad-with-zero", (NN, "packing.rs"), "&x.narrow(2, 1, 1)?", "&x.narrow(2, 1, 1)?.zeros_like()?"),
    mutant("last-noise-kernel", (MODEL, "generator.rs"), "LAST_NOISE_KERNEL: usize = 11;", "LAST_NOISE_KERNEL: usize = 7;"),
    mutant("noise-dilations", (MODEL, "generator.rs"), "[usize; 3] = [1, 3, 5];", "[usize; 3] = [1, 2, 5];"),
    mutant("blocks-summed", (NN, "activation.rs"), "let scale = 1.0 / parts.len() as f32;", "let scale = 1.0;"),
    mutant("pitch-truncated-modulo", (MODEL, "source.rs"), ".rem_euclid(1.0);", " % 1.0;"),
    mutant("voiced-threshold", (MODEL, "source.rs"), "VOICED_ABOVE: f32 = 10.0;", "VOICED_ABOVE: f32 = 0.0;"),
    mutant("unvoiced-noise-level", (MODEL, "source.rs"), "{ SINE_AMPLITUDE / 3.0 }", "{ SINE_AMPLITUDE }"),
    mutant("phase-aligned-to-corners", (MODEL, "source.rs"), "0.5 / count + 0.5, before", "0.5 / count, before"),
    mutant(
        "phase-in-f32",
        (MODEL, "source.rs"),
        "sum * self.samples_per_value as f64\n",
        "f64::from((sum * self.samples_per_value as f64) as f32)\n",
    ),
    mutant("excitation-without-tanh", (MODEL, "source.rs"), "*x = x.tanh()", "*x += 0.0"),
    mutant("nyquist-phase-noise", (NN, "stft.rs"), "        sines[(bins - 1) * bins..].fill(0.0);\n", ""),
    mutant("real-bins-at-minus-pi", (NN, "stft.rs"), "let imaginary = 0.0 - dot(", "let imaginary = -1e-17 - dot("),
    mutant("phase-without-sine", (NN, "stft.rs"), "math::sin::<FMA>(math::sin::<FMA>(*sine) + turn)", "math::sin::<FMA>(*sine + turn)"),
    mutant("inner-bins-once", (NN, "stft.rs"), "if inner(bin) { 2.0 } else { 1.0 }", "1.0"),
    mutant("envelope-constant", (NN, "stft.rs"), "sum / envelope)", "sum / envelope.max(1.5))"),
    mutant("voice-row-not-shifted", (ENGINE, "voice.rs"), "phonemes.saturating_sub(1).min(last)", "phonemes.min(last)"),
    mutant("voice-row-by-known-phonemes", (ENGINE, "engine.rs"), "voice.row(tokens.characters)", "voice.row(tokens.known())"),
    mutant("storage-offset-ignored", (NN, "pickle.rs"), "bytes.drain(..start);", "bytes.truncate(bytes.len() - start);"),
];

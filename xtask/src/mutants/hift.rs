//! Chatterbox's vocoder and its rendering in windows.

use super::{Mutant, NN, mutant};

const HIFT: &str = "crates/stentor-engine-chatterbox/src/model/hift";
const RENDER: &str = "crates/stentor-engine-chatterbox/src/render";

#[rustfmt::skip] // one mutant reads best as name, file, before, after
pub(super) const MUTANTS: &[Mutant] = &[
    mutant("hift-pitch-keeps-its-sign", (HIFT, "pitch.rs"), ".map(f32::abs)", ".map(|x| x * 1.0)"),
    mutant("hift-pitch-activation", (HIFT, "pitch.rs"), "Activation::Elu", "Activation::LeakyRelu(0.1)"),
    mutant("hift-voiced-threshold", (HIFT, "source.rs"), "VOICED_ABOVE: f32 = 10.0;", "VOICED_ABOVE: f32 = 0.0;"),
    mutant("hift-unvoiced-noise", (HIFT, "source.rs"), "UNVOICED_NOISE: f32 = SINE_AMPLITUDE / 3.0;", "UNVOICED_NOISE: f32 = SINE_AMPLITUDE;"),
    mutant("hift-harmonics-count", (HIFT, "source.rs"), "self.weights.iter().enumerate() {", "self.weights.iter().enumerate().take(8) {"),
    mutant("hift-phase-at-the-start-of-a-sample", (HIFT, "source.rs"), "order * (onset.cycles + step) + phase", "order * onset.cycles + phase"),
    mutant("hift-phase-in-f32", (HIFT, "source.rs"), "(cycles + self.cycles(pitch)).fract());", "f64::from((cycles as f32 + self.cycles(pitch) as f32).fract()));"),
    mutant("hift-phase-not-summed", (HIFT, "source.rs"), "(cycles + self.cycles(pitch)).fract());", "{ let _ = cycles; self.cycles(pitch).fract() });"),
    mutant("hift-fundamental-has-a-random-phase", (HIFT, "source.rs"), "if harmonic == 0 {", "if harmonic > 9 {"),
    mutant("hift-source-without-tanh", (HIFT, "source.rs"), "*out = out.tanh();", "*out += 0.0;"),
    mutant("hift-noise-column-major", (HIFT, "source.rs"), "let row = &noise[harmonic * samples..][..samples];", "let row: Vec<f32> = noise.iter().copied().skip(harmonic).step_by(count).collect();"),
    mutant("hift-stage-slope", (HIFT, "generator.rs"), "const SLOPE: f32 = 0.1;", "const SLOPE: f32 = 0.01;"),
    mutant("hift-last-slope", (HIFT, "generator.rs"), "LAST_SLOPE: f32 = 0.01;", "LAST_SLOPE: f32 = 0.1;"),
    mutant("hift-pad-on-the-right", (HIFT, "generator.rs"), "x = packing.reflect_left(&x)?;", "{ let end = x.dims2()?.1; x = Tensor::cat(&[&x, &x.narrow(1, end - 2, 1)?], 1)?; }"),
    mutant("hift-pad-repeats-first", (NN, "packing.rs"), "x.narrow(2, 1, 1)?", "x.narrow(2, 0, 1)?"),
    mutant("hift-upsampling-padding", (HIFT, "generator.rs"), "rate, (kernel - rate) / 2)?", "rate, (kernel - rate) / 2 - 1)?"),
    mutant("hift-source-padding", (HIFT, "generator.rs"), "(2 * stride, stride / 2)", "(2 * stride, stride.div_ceil(2))"),
    mutant("hift-alpha-without-epsilon", (HIFT, "block.rs"), "(alpha + ALPHA_EPS)?", "(alpha + ALPHA_EPS * 0.0)?"),
    mutant("hift-second-conv-dilated", (HIFT, "block.rs"), "half(2, index, 1)?", "half(2, index, dilation)?"),
    mutant("hift-source-fused-before-its-block", (HIFT, "generator.rs"), "self.source_block.forward(source, packing, watch)?", "self.source_block.forward((source + &x)?, packing, watch)?"),
    mutant("hift-blocks-summed", (NN, "activation.rs"), "let scale = 1.0 / parts.len() as f32;", "let scale = 1.0;"),
    mutant("hift-blocks-in-a-row", (HIFT, "generator.rs"), "let output = block.forward(x, packing, watch)?;", "let output = block.forward(outputs.last().cloned().unwrap_or(x), packing, watch)?;"),
    mutant("hift-polar-source-spectrum", (HIFT, "generator.rs"), "transform_to_parts(", "transform("),
    mutant("hift-magnitude-not-clipped", (HIFT, "generator.rs"), "LARGEST_MAGNITUDE: f32 = 100.0;", "LARGEST_MAGNITUDE: f32 = f32::INFINITY;"),
    mutant("hift-limit", (HIFT, "mod.rs"), "LIMIT: f32 = 0.99;", "LIMIT: f32 = 1.0;"),
    mutant("weight-norm-over-upsampling-outputs", (NN, "conv_transpose.rs"), "(scope.folded_weight(&widths)?,", "(scope.folded_weight(&[widths[1], widths[0], widths[2]])?.transpose(0, 1)?.contiguous()?,"),
    mutant("trim-fade-too-short", (RENDER, "vocoding.rs"), "const TRIM: usize = 480;", "const TRIM: usize = 240;"),
    mutant("trim-fade-in-every-window", (RENDER, "vocoding.rs"), "trim_start(&mut samples, self.given * SAMPLES_PER_FRAME);", "trim_start(&mut samples, 0);"),
    mutant("window-noise-starts-anew", (RENDER, "mod.rs"), "draw(CHUNK, first + frame)", "draw(CHUNK, 0 * first + frame)"),
    mutant("window-phase-starts-anew", (RENDER, "vocoding.rs"), "hift.after(&self.pitch[..from], Onset::default());", "Onset { cycles: 0.0, ..hift.after(&self.pitch[..from], Onset::default()) };"),
    mutant("window-emits-what-may-change", (RENDER, "vocoding.rs"), "{ end } else { end.saturating_sub(RENDER_REACH) };", "{ end } else { end.saturating_sub(RENDER_REACH / 2) };"),
    mutant("window-pitch-may-change", (RENDER, "vocoding.rs"), "{ total } else { total.saturating_sub(PITCH_REACH) }", "{ total } else { total }"),
    mutant("window-join-not-faded", (RENDER, "mod.rs"), ".broadcast_mul(&share)?;", ".broadcast_mul(&share.ones_like()?)?;"),
    mutant("hift-gap-too-narrow", (HIFT, "block.rs"), "each.conv.reach()", "each.conv.reach() / 8"),
];

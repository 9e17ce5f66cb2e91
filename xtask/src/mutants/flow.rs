//! The flow: encoder, estimator and solver.

use super::{Mutant, NN, mutant};

const FLOW: &str = "crates/stentor-engine-chatterbox/src/model/flow";

#[rustfmt::skip] // one mutant reads best as name, file, before, after
pub(super) const MUTANTS: &[Mutant] = &[
    mutant("flow-eps", (FLOW, "encoder.rs"), "const BLOCK_EPS: f32 = 1e-12;", "const BLOCK_EPS: f32 = 1e-5;"),
    mutant("flow-embedding-scale", (FLOW, "encoder.rs"), "scale: (width as f64).sqrt(),", "scale: 1.0,"),
    mutant("flow-distances-reversed", (FLOW, "encoder.rs"), "[(len - 1 - distance, sin), (len - 1 + distance, -sin)]", "[(len - 1 - distance, -sin), (len - 1 + distance, sin)]"),
    mutant("flow-shift-by-one", (NN, "packed_attention.rs"), "products[last - first + rows.len() - 1 - row..][..self.len]", "products[last - first + (rows.len() - row) % rows.len()..][..self.len]"),
    mutant("flow-one-bias-for-both", (FLOW, "encoder.rs"), "key_bias: &self.key_bias,", "key_bias: &self.distance_bias,"),
    mutant("flow-lookahead-slope", (FLOW, "encoder.rs"), "const LOOKAHEAD_SLOPE: f32 = 0.01;", "const LOOKAHEAD_SLOPE: f32 = 0.1;"),
    mutant("flow-upsampling-looks-ahead", (FLOW, "encoder.rs"), "fill_in: conv(\"up_layer.conv\", RowShape::causal)?", "fill_in: conv(\"up_layer.conv\", RowShape::looking_ahead)?"),
    mutant("flow-lookahead-looks-back", (FLOW, "encoder.rs"), "ahead: conv(\"pre_lookahead_layer.conv1\", RowShape::looking_ahead)?", "ahead: conv(\"pre_lookahead_layer.conv1\", RowShape::causal)?"),
    mutant("flow-guidance-sign", (FLOW, "solver.rs"), "((velocity * (1.0 + GUIDANCE))? - (other * GUIDANCE)?)?", "((velocity * (1.0 - GUIDANCE))? + (other * GUIDANCE)?)?"),
    mutant("flow-schedule", (FLOW, "solver.rs"), "moments(steps, !meanflow)", "moments(steps, meanflow)"),
    mutant("flow-unconditional-sees", (FLOW, "estimator.rs"), "(self.columns.zeros_like()?, self.packing.clone())", "(self.columns.clone(), self.packing.clone())"),
    mutant("flow-time-scale", (FLOW, "estimator.rs"), "const MOMENTS: f32 = 1000.0;", "const MOMENTS: f32 = 1.0;"),
    mutant("flow-mish", (FLOW, "estimator.rs"), "self.norm.forward_activate(&x, Activation::Mish, among, watch)", "self.norm.forward_activate(&x, Activation::Silu, among, watch)"),
    mutant("flow-gelu-tanh", (FLOW, "estimator.rs"), "Activation::GeluErf", "Activation::GeluTanh"),
    mutant("flow-mean-flow-start-twice", (FLOW, "estimator.rs"), "&[embed(from)?, embed(to)?]", "&[embed(from)?, embed(from)?]"),
    mutant("flow-time-without-mish", (FLOW, "estimator.rs"), "activate(time, Activation::Mish, watch)?", "activate(time, Activation::Identity, watch)?"),
    mutant("flow-not-causal", (FLOW, "estimator.rs"), "conv: RowConv::load(&scope.at(0), RowShape::causal(input, output, kernel))?", "conv: RowConv::load(&scope.at(0), RowShape { input, output, kernel, before: 1, after: kernel - 2 })?"),
    mutant("flow-prompt-unknown", (FLOW, "mod.rs"), "let mut known = task.prompt.mel.clone();", "let mut known = vec![0f32; task.prompt.mel.len()];"),
    mutant("flow-x-vector-as-it-is", (FLOW, "mod.rs"), "(f64::from(x) / length) as f32", "(f64::from(x) / length.min(1.0)) as f32"),
    mutant("flow-skip-order", (FLOW, "estimator.rs"), "Tensor::cat(&[&x, &skipped], 1)?", "Tensor::cat(&[&skipped, &x], 1)?"),
    mutant("flow-lookahead-count", (FLOW, "mod.rs"), "if last { 0 } else { self.lookahead() };", "if last { 0 } else { self.lookahead() - 1 };"),
    mutant("flow-gap-is-seen", (FLOW, "encoder.rs"), "packing.clear_row_gaps(&self.embed.forward(x, watch)?)?", "self.embed.forward(x, watch)?"),
];

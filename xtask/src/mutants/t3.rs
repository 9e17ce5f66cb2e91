//! T3: conditioning, the two families of transformers, positions, and the samplers.

use super::{Mutant, NN, mutant};

const SRC: &str = "crates/stentor-engine-chatterbox/src";
const T3: &str = "crates/stentor-engine-chatterbox/src/model/t3";

#[rustfmt::skip] // one mutant reads best as name, file, before, after
pub(super) const MUTANTS: &[Mutant] = &[
    mutant("t3-one-start", (T3, "mod.rs"), "let starts = if matches!(self.positions, Positions::Own { .. }) { 2 } else { 1 };", "let starts = 1;"),
    mutant("t3-starts-counted", (T3, "mod.rs"), "Positions::Own { speech, .. } => speech.add(0, row)?,", "Positions::Own { speech, .. } => speech.add(index - text.len(), row)?,"),
    mutant("t3-first-token-at-zero", (T3, "step.rs"), "speech.add(sequence.spoken + 1, &mut row)?", "speech.add(sequence.spoken, &mut row)?"),
    mutant("t3-unguided-sees", (T3, "mod.rs"), "input.extend(self.embed(before, text, false)?);", "input.extend(self.embed(before, text, true)?);"),
    mutant("t3-unguided-without-positions", (T3, "mod.rs"), "if token.is_some() => text.add(index, row)?,", "if token.is_some() => if seen { text.add(index, row)? },"),
    mutant("t3-prompt-without-positions", (T3, "mod.rs"), "speech.add(position, out)?;", "speech.add(position, &mut vec![0.0; self.width])?;"),
    mutant("t3-voice-without-positions", (T3, "mod.rs"), "table.add(position, out)?;", "let _ = (table, position, out);"),
    mutant("t3-turbo-counts-speech-alone", (T3, "step.rs"), "all.add(sequence.cache.len(), &mut row)?", "all.add(sequence.spoken, &mut row)?"),
    mutant("t3-perceiver-residual", (T3, "cond.rs"), "Ok((x + self.out.forward(&found, watch)?)?)", "self.out.forward(&found, watch)"),
    mutant("t3-perceiver-once", (T3, "cond.rs"), "self.attend(&perceived, &perceived, watch)", "Ok(perceived)"),
    mutant("t3-perceiver-prompt-twice", (T3, "cond.rs"), "self.attend(&perceived, &perceived, watch)", "self.attend(&perceived, prompt, watch)"),
    mutant("t3-perceiver-heads", (T3, "cond.rs"), "const PERCEIVER_HEADS: usize = 4;", "const PERCEIVER_HEADS: usize = 16;"),
    mutant("t3-no-exaggeration", (T3, "cond.rs"), "exaggeration: whole.then(exaggeration).transpose()?,", "exaggeration: whole.then(exaggeration).transpose()?.filter(|_| false),"),
    mutant("t3-exaggeration-constant", (T3, "cond.rs"), "parts.push((token * f64::from(exaggeration))?);", "parts.push((token * 0.5)?);"),
    mutant("t3-not-transposed", (T3, "gpt2.rs"), "out: Linear::load_transposed(&attention.at(\"c_proj\"), width, width)?,", "out: Linear::load(&attention.at(\"c_proj\"), width, width)?,"),
    mutant("t3-gelu-erf", (T3, "backbone.rs"), "Activation::GeluTanh", "Activation::GeluErf"),
    mutant("t3-rope-unscaled", (T3, "llama.rs"), "factor: 8.0", "factor: 1.0"),
    mutant("t3-rope-pairs", (NN, "rope.rs"), "                out_first[pair] = first[pair] * cos[pair] - second[pair] * sin[pair];\n                out_second[pair] = second[pair] * cos[pair] + first[pair] * sin[pair];", "                let at = |i: usize| if i < PAIRS { first[i] } else { second[i - PAIRS] };\n                let (a, b) = (at(2 * pair), at(2 * pair + 1));\n                for (i, y) in [(2 * pair, a * cos[pair] - b * sin[pair]), (2 * pair + 1, b * cos[pair] + a * sin[pair])] {\n                    if i < PAIRS { out_first[i] = y } else { out_second[i - PAIRS] = y }\n                }"),
    mutant("t3-rms-eps", (T3, "llama.rs"), "const EPS: f32 = 1e-5;", "const EPS: f32 = 1e-6;"),
    mutant("t3-gate-order", (T3, "llama.rs"), "&[\"gate_proj\", \"up_proj\"]", "&[\"up_proj\", \"gate_proj\"]"),
    mutant("t3-head-bias", (T3, "load.rs"), "let head = Linear::load(&head, width, speech.rows())?;", "let _ = head.tensor(\"bias\", &[speech.rows()])?;\n            let head = Linear::load_without_bias(&head, width, speech.rows())?;"),
    mutant("t3-guidance-from-below", (SRC, "sampler.rs"), "Some(unguided) => logits[id] + weight", "Some(unguided) => unguided[id] + weight"),
    mutant("t3-guidance-sign", (SRC, "sampler.rs"), "weight * (logits[id] - unguided[id])", "weight * (unguided[id] - logits[id])"),
    mutant("t3-turbo-penalty-first", (SRC, "sampler.rs"), "        scores.soften(sampling.temperature);\n        scores.keep_largest(sampling.top_k);\n        scores.keep_mass(sampling.top_p)?;\n        scores.penalize(history, sampling.repetition_penalty);", "        scores.penalize(history, sampling.repetition_penalty);\n        scores.soften(sampling.temperature);\n        scores.keep_largest(sampling.top_k);\n        scores.keep_mass(sampling.top_p)?;"),
    mutant("t3-llama-penalty-last", (SRC, "sampler.rs"), "        scores.penalize(history, sampling.repetition_penalty);\n        scores.soften(sampling.temperature);\n        scores.keep_near_largest(sampling.min_p)?;\n        scores.keep_mass(sampling.top_p)?;", "        scores.soften(sampling.temperature);\n        scores.keep_near_largest(sampling.min_p)?;\n        scores.keep_mass(sampling.top_p)?;\n        scores.penalize(history, sampling.repetition_penalty);"),
    mutant("t3-penalty-divides-negatives", (SRC, "sampler.rs"), "if *score < 0.0 { *score * penalty } else { *score / penalty }", "*score / penalty"),
    mutant("t3-penalty-each-time", (SRC, "sampler.rs"), "said.dedup();", ""),
    mutant("t3-top-p-without-crossing", (SRC, "sampler.rs"), "keep[id] = true;", "keep[id] = reached == 0.0 || reached + share < f64::from(mass);"),
    mutant("t3-min-p-before-temperature", (SRC, "sampler.rs"), "scores.soften(sampling.temperature);\n        scores.keep_near_largest(sampling.min_p)?;", "scores.keep_near_largest(sampling.min_p)?;\n        scores.soften(sampling.temperature);"),
    mutant("t3-start-is-sayable", (SRC, "sampler.rs"), "id < SPEECH_TOKENS || id == STOP_SPEECH", "id <= STOP_SPEECH"),
];

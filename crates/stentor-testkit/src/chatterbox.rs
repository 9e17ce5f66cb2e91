//! Checkpoints of the Chatterbox family in the published layouts, with weights from a counter hash.
//!
//! The same numbers come from `hash_weights.py` of that engine's `reference` folder, whose README specifies both.

use crate::{hash_weights::Stream, pth};
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashMap, path::Path};

const GOLDEN: &str = "crates/stentor-engine-chatterbox/tests/golden";

/// One published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    T3English,
    T3Multilingual,
    T3Turbo,
    T3Nano,
    S3Gen,
    S3GenMeanflow,
    VoiceEncoder,
}

/// How much of a model is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Full width, two layers of T3 and one block of each kind elsewhere.
    Reduced,
    /// As published.
    Full,
}

impl Part {
    fn list(self) -> &'static str {
        match self {
            Self::T3English => {
                include_str!("../../stentor-engine-chatterbox/tests/golden/t3-english-tensors.tsv")
            }
            Self::T3Multilingual => {
                include_str!("../../stentor-engine-chatterbox/tests/golden/t3-multilingual-tensors.tsv")
            }
            Self::T3Turbo => {
                include_str!("../../stentor-engine-chatterbox/tests/golden/t3-turbo-tensors.tsv")
            }
            Self::T3Nano => include_str!("../../stentor-engine-chatterbox/tests/golden/t3-nano-tensors.tsv"),
            Self::S3Gen | Self::S3GenMeanflow => {
                include_str!("../../stentor-engine-chatterbox/tests/golden/s3gen-tensors.tsv")
            }
            Self::VoiceEncoder => include_str!("../../stentor-engine-chatterbox/tests/golden/ve-tensors.tsv"),
        }
    }

    /// Names and shapes of the file's learnt tensors.
    pub fn tensors(self, depth: Depth) -> Vec<(String, Vec<usize>)> {
        let row = |line: &str| {
            let (name, shape) = line.split_once('\t')?;
            let shape = shape.split(',').map(|n| n.parse().ok()).collect::<Option<Vec<usize>>>()?;
            Some((name.to_owned(), shape))
        };
        let mut all: Vec<_> = self.list().lines().filter_map(row).collect();
        if self == Self::S3GenMeanflow {
            all.push(("flow.decoder.estimator.time_embed_mixer.weight".to_owned(), vec![1024, 2048]));
        }
        all.retain(|(name, _)| depth == Depth::Full || is_in_reduced(name));
        all
    }
}

/// Whether the reduced model, which keeps the first of each kind of block, has a tensor.
fn is_in_reduced(name: &str) -> bool {
    /// What stands before a block's number, and how many blocks are kept.
    const KEPT: &[(&str, usize)] = &[
        ("tfmr.layers.", 2),
        ("tfmr.h.", 2),
        ("tokenizer.encoder.blocks.", 1),
        ("flow.encoder.encoders.", 1),
        ("flow.encoder.up_encoders.", 1),
        ("flow.decoder.estimator.mid_blocks.", 1),
        ("flow.decoder.estimator.down_blocks.0.1.", 1),
        ("flow.decoder.estimator.mid_blocks.0.1.", 1),
        ("flow.decoder.estimator.up_blocks.0.1.", 1),
    ];
    let beyond = |(start, kept): &(&str, usize)| {
        let number = name.strip_prefix(start).and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        number.is_some_and(|number| number >= *kept)
    };
    !KEPT.iter().any(beyond)
}

/// Centre and half-width of a tensor's values. The first line that fits counts.
pub fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    if name.ends_with("running_var") {
        return (1.0, 0.5);
    }
    if name.ends_with("f0_predictor.classifier.bias") {
        return (150.0, 0.0);
    }
    if name.ends_with("original0") {
        return if name.contains(".conv_post.") { (0.3, 0.03) } else { (1.0, 0.1) };
    }
    if name.contains(".alpha") || (name.ends_with("weight") && shape.len() == 1) {
        return (1.0, 0.1);
    }
    if shape.len() < 2 {
        return (0.0, 0.05);
    }
    let transposed =
        [".c_attn.weight", ".c_proj.weight", ".c_fc.weight"].iter().any(|end| name.ends_with(end));
    let fan_in = if transposed { shape[0] } else { shape[1..].iter().product() } as f64;
    let gain = if name.contains(".project_down.") { 12.0 } else { 1.0 };
    (0.0, gain * (3.0 / fan_in).sqrt())
}

/// A whole weight tensor, row-major.
pub fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let (center, scale) = spread(name, shape);
    let stream = Stream::new(name);
    let value = |index: usize| (center + scale * stream.uniform(index as u64)) as f32;
    (0..shape.iter().product::<usize>()).map(value).collect()
}

/// Uniform with unit variance: stands for every normal draw of the reference.
pub fn noise(name: &str, count: usize) -> Vec<f32> {
    let stream = Stream::new(name);
    (0..count as u64).map(|index| (3f64.sqrt() * stream.uniform(index)) as f32).collect()
}

/// Token ids below `below`.
pub fn integers(name: &str, count: usize, below: u64) -> Vec<u32> {
    let stream = Stream::new(name);
    (0..count as u64).map(|index| (stream.hash(index) % below) as u32).collect()
}

/// Writes one published file: as `torch.save` does where it is called `.pt`, else as safetensors.
pub fn write(path: &Path, part: Part, depth: Depth) -> std::io::Result<()> {
    let tensors = part.tensors(depth);
    if path.extension().is_some_and(|extension| extension == "pt") {
        return pth::write_state_dict(path, &tensors, tensor);
    }
    write_tensors(path, &tensors, |_, _| ())
}

/// Writes the given tensors with hash values as safetensors; `edit` may change those of each.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Vec<usize>)],
    edit: impl Fn(&str, &mut [f32]),
) -> std::io::Result<()> {
    let bytes_of = |(name, shape): &(String, Vec<usize>)| {
        let mut values = tensor(name, shape);
        edit(name, &mut values);
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(bytes_of).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (
            name.clone(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("invariant: one f32 an element"),
        )
    });
    safetensors::serialize_to_file(views, None, path).map_err(std::io::Error::other)
}

/// A golden that a reference dump of this engine wrote: see `reference/README.md`.
pub struct Golden {
    name: String,
    tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    /// Opens `tests/golden/<name>.safetensors` of the engine; panics where there is none, as a test does.
    pub fn open(name: &str) -> Self {
        // A test that was carried elsewhere is started in the root of a checkout.
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(GOLDEN);
        Self::read(name, if built.exists() { &built } else { Path::new(GOLDEN) })
    }

    /// Reads `<name>.safetensors` of `folder`; panics where there is none, as a test does.
    pub fn read(name: &str, folder: &Path) -> Self {
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a golden is safetensors");
        let read = |view: TensorView| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
                Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
                Dtype::I32 => data.as_chunks().0.iter().map(|b| f64::from(i32::from_le_bytes(*b))).collect(),
                other => panic!("goldens hold no {other:?}"),
            };
            (view.shape().to_vec(), values)
        };
        let tensors = file.tensors().into_iter().map(|(name, view)| (name, read(view))).collect();
        Self { name: name.to_owned(), tensors }
    }

    fn tensor(&self, name: &str) -> &(Vec<usize>, Vec<f64>) {
        self.tensors.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }

    /// Names of the layers of a case, without the case's own: `<case>.<name>.shape` is there. In order.
    pub fn layers(&self, case: &str) -> Vec<String> {
        let name = |key: &String| {
            Some(key.strip_prefix(case)?.strip_prefix('.')?.strip_suffix(".shape")?.to_owned())
        };
        let mut names: Vec<String> = self.tensors.keys().filter_map(name).collect();
        names.sort();
        names
    }

    /// The values of a tensor that is held whole.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.tensor(name).1.iter().map(|&value| value as f32).collect()
    }

    /// The values of a tensor of token ids or counts.
    pub fn integers(&self, name: &str) -> Vec<u32> {
        self.tensor(name).1.iter().map(|&value| value as u32).collect()
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        &self.tensor(name).0
    }

    /// Holds a layer, of the same row-major order as the reference's, to `<name>.shape`, `.stats` and `.values`: the largest error
    /// at the golden's positions and the error of the norm, both relative, may be `tolerance`. Gives the larger; panics with
    /// the figures.
    pub fn check(&self, name: &str, dims: &[usize], ours: &[f32], tolerance: f64) -> f64 {
        let shape: Vec<usize> =
            self.integers(&format!("{name}.shape")).into_iter().map(|n| n as usize).collect();
        let significant = |dims: &[usize]| dims.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        assert_eq!(significant(dims), significant(&shape), "shape of {name}");
        let stats = &self.tensor(&format!("{name}.stats")).1;
        let golden = &self.tensor(&format!("{name}.values")).1;
        let positions = positions(name, ours.len());
        assert_eq!(positions.len(), golden.len(), "positions of {name}");
        let largest = |max: f64, error: f64| if error > max || error.is_nan() { error } else { max };
        let differences =
            positions.iter().zip(golden).map(|(&at, value)| (f64::from(ours[at]) - value).abs());
        let error = differences.fold(0.0, largest) / stats[1].max(1e-30);
        let norm = ours.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let norm_error = (norm / stats[0].max(1e-30) - 1.0).abs();
        assert!(
            error <= tolerance && norm_error <= tolerance,
            "{}: {name} is off by {error:.1e} of its magnitude {:.3}, its norm by {norm_error:.1e}",
            self.name,
            stats[1]
        );
        error.max(norm_error)
    }
}

/// The flat indices that a golden of `layer` holds: all of a small tensor, else hash-chosen.
fn positions(layer: &str, size: usize) -> Vec<usize> {
    const VALUES_PER_LAYER: u64 = 256;
    if size as u64 <= VALUES_PER_LAYER {
        return (0..size).collect();
    }
    let stream = Stream::new(&format!("positions:{layer}"));
    (0..VALUES_PER_LAYER).map(|index| (stream.hash(index) % size as u64) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows `kind<TAB>name<TAB>shape<TAB>index<TAB>value bits` written by the Python twin.
    const TWIN: &str = include_str!("../../stentor-engine-chatterbox/tests/golden/hash-rows.tsv");

    fn value(kind: &str, name: &str, shape: &[usize], index: usize) -> u64 {
        match kind {
            "weight" => u64::from(tensor(name, shape)[index].to_bits()),
            "noise" => u64::from(noise(name, index + 1)[index].to_bits()),
            "integer" => u64::from(integers(name, index + 1, shape[0] as u64)[index]),
            "position" => positions(name, shape[0])[index] as u64,
            other => panic!("unknown kind {other}"),
        }
    }

    #[test]
    fn equals_the_python_twin_bit_for_bit() {
        let rows: Vec<_> = TWIN.lines().collect();
        assert!(rows.len() >= 40, "only {} rows", rows.len());
        for row in rows {
            let [kind, name, shape, index, bits] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let shape: Vec<usize> = shape.split(',').map(|n| n.parse().unwrap()).collect();
            let bits = u64::from_str_radix(bits, 16).unwrap();
            assert_eq!(value(kind, name, &shape, index.parse().unwrap()), bits, "{row}");
        }
    }

    #[test]
    fn reduced_models_keep_the_first_of_each_kind_of_block() {
        let names =
            |part: Part| part.tensors(Depth::Reduced).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let t3 = names(Part::T3English);
        assert!(t3.iter().any(|name| name.starts_with("tfmr.layers.1.")));
        assert!(!t3.iter().any(|name| name.starts_with("tfmr.layers.2.")));
        let s3gen = names(Part::S3GenMeanflow);
        assert!(s3gen.iter().any(|name| name.contains("mid_blocks.0.1.0.")));
        assert!(
            !s3gen.iter().any(|name| name.contains("mid_blocks.0.1.1.") || name.contains("mid_blocks.1."))
        );
        assert!(Part::S3Gen.tensors(Depth::Full).len() > 2300);
    }
}

//! Weights, noise and sample positions from a counter hash, so that a full-size model needs no stored weights.
//!
//! The same numbers, bit for bit, come from `hash_weights.py`; the README beside that file is the specification of both.

/// Every tensor of the published Kokoro checkpoint: `part.key<TAB>d0,d1,..`, in the checkpoint's order, without `module.`.
const KOKORO_TENSORS: &str = include_str!("../../stentor-engine-kokoro/tests/golden/kokoro-tensors.tsv");
const VALUES_PER_LAYER: u64 = 512;

/// How a rule's gain becomes a half-width.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// As it is.
    Plain,
    /// `gain * sqrt(3 / fan_in)`: a variance of `gain^2 / fan_in`.
    Fan,
}
use Kind::{Fan, Plain};

/// The first rule whose ending and contained text fit a name gives its centre, gain and kind.
const RULES: &[(&str, &str, f64, f64, Kind)] = &[
    (".query.weight", "", 0.0, 2.0, Fan),
    (".dense.weight", "", 0.0, 0.25, Fan),
    (".ffn_output.weight", "", 0.0, 0.25, Fan),
    (".bias", "bert.encoder.", 0.0, 0.03125, Plain),
    ("_embeddings.weight", "bert.", 0.0, 0.02, Plain),
    ("LayerNorm.weight", "", 1.0, 0.2, Plain),
    ("layer_norm.weight", "", 1.0, 0.2, Plain),
    (".gamma", "", 1.0, 0.2, Plain),
    ("", ".alpha", 1.0, 0.5, Plain),
    ("embedding.weight", "text_encoder.", 0.0, 0.0625, Plain),
    ("weight_g", ".F0_conv.", 0.03, 0.01, Plain),
    ("weight_g", ".ups.", 2.0, 0.5, Plain),
    ("weight_g", ".conv_post.", 0.25, 0.0625, Plain),
    ("weight_g", ".pool.", 1.5, 0.375, Plain),
    ("weight_g", "", 1.0, 0.25, Plain),
    ("weight_v", "", 0.0, 2.0, Fan),
    ("", ".weight_ih_", 0.0, 2.0, Fan),
    ("", ".weight_hh_", 0.0, 0.75, Fan),
    ("", ".bias_ih_", 0.0, 0.25, Plain),
    ("", ".bias_hh_", 0.0, 0.25, Plain),
    ("duration_proj.linear_layer.weight", "", 0.1875, 1.0, Fan),
    ("duration_proj.linear_layer.bias", "", -3.0, 0.5, Plain),
    ("F0_proj.weight", "", 0.0, 250.0, Fan),
    ("F0_proj.bias", "", -80.0, 0.0, Plain),
    ("N_proj.weight", "", 0.0, 0.0625, Fan),
    ("N_proj.bias", "", 0.0, 0.0625, Plain),
    ("l_linear.weight", "", 0.0, 2.0, Plain),
    ("conv_post.bias", "", -0.5, 1.0, Plain),
    (".weight", "", 0.0, 1.0, Fan),
    ("", "", 0.0, 0.125, Plain),
];

/// The values of one named stream.
#[derive(Debug, Clone, Copy)]
pub struct Stream(u64);

impl Stream {
    /// The stream of `name`: FNV-1a (64 bit) over its UTF-8 bytes.
    pub fn new(name: &str) -> Self {
        let step = |digest: u64, byte: u8| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        Self(name.bytes().fold(0xCBF2_9CE4_8422_2325, step))
    }

    /// The hash of counter `index` (from zero): splitmix64 started at the stream.
    pub fn hash(self, index: u64) -> u64 {
        let z = self.0.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [-1, 1): a multiple of 2^-23, so exact in f32 as well.
    pub fn uniform(self, index: u64) -> f64 {
        (self.hash(index) >> 40) as f64 / f64::from(1 << 23) - 1.0
    }
}

/// Centre and half-width of a tensor's values, by its name (`part.key`, without `module.`) and shape.
pub fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    let fits = |rule: &&(&str, &str, f64, f64, Kind)| name.ends_with(rule.0) && name.contains(rule.1);
    let &(_, _, center, gain, kind) =
        RULES.iter().find(fits).expect("invariant: the last rule takes everything");
    let fan_in = shape.iter().skip(1).product::<usize>() as f64;
    match kind {
        Plain => (center, gain),
        Fan => (center, gain * (3.0 / fan_in).sqrt()),
    }
}

/// A whole weight tensor, row-major.
pub fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let (center, scale) = spread(name, shape);
    let (stream, count) = (Stream::new(name), shape.iter().product::<usize>());
    let value = |index: usize| center + scale * stream.uniform(index as u64);
    if name.contains(".noise_convs.") && name.ends_with(".weight") {
        // The second half of the inputs are phases, which jump from pi to -pi at the smallest change: they are to be seen, but
        // not to drown everything else.
        let is_phase = |index: usize| index / shape[2] % shape[1] >= shape[1] / 2;
        let damped = |index| (if is_phase(index) { value(index) / 64.0 } else { value(index) }) as f32;
        return (0..count).map(damped).collect();
    }
    (0..count).map(|index| value(index) as f32).collect()
}

/// The sine generator's noise: uniform with unit variance, row-major over (samples, harmonics).
pub fn noise(count: usize) -> Vec<f32> {
    let (stream, scale) = (Stream::new("noise"), 3.0f64.sqrt());
    (0..count as u64).map(|index| (scale * stream.uniform(index)) as f32).collect()
}

/// Row `row` of the hash voice, `width` values. Rows share a base and differ a little, as trained ones do.
pub fn voice_row(row: usize, width: usize) -> Vec<f32> {
    let (base, own) = (Stream::new("voice.base"), Stream::new("voice"));
    let value = |column: usize| {
        let own = 0.0625 * own.uniform((row * width + column) as u64);
        (0.5 * base.uniform(column as u64) + own) as f32
    };
    (0..width).map(value).collect()
}

/// The flat indices that a golden of `layer` holds: all of a tensor of at most 512 values, else 512 hash-chosen ones.
pub fn positions(layer: &str, size: usize) -> Vec<usize> {
    let size = size as u64;
    if size <= VALUES_PER_LAYER {
        return (0..size as usize).collect();
    }
    let stream = Stream::new(&format!("positions:{layer}"));
    (0..VALUES_PER_LAYER).map(|index| (stream.hash(index) % size) as usize).collect()
}

/// Names (`part.key`, without `module.`) and shapes of all tensors of the published Kokoro checkpoint.
pub fn kokoro_tensors() -> Vec<(&'static str, Vec<usize>)> {
    tensor_list(KOKORO_TENSORS)
}

/// Reads a list of tensors: one `name<TAB>d0,d1,..` a line.
///
/// # Panics
/// When a line has another form.
pub fn tensor_list(rows: &str) -> Vec<(&str, Vec<usize>)> {
    let number = |text: &str| text.parse().expect("a dimension is a number");
    let row = |line| {
        let (name, shape) = str::split_once(line, '\t').expect("name<TAB>shape");
        (name, shape.split(',').map(number).collect())
    };
    rows.lines().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows `kind<TAB>name<TAB>shape<TAB>index<TAB>value bits` written by the Python twin.
    const TWIN: &str = include_str!("../../stentor-engine-kokoro/tests/golden/hash-rows.tsv");

    fn value(kind: &str, name: &str, shape: &[usize], index: usize) -> u64 {
        match kind {
            "weight" => u64::from(tensor(name, shape)[index].to_bits()),
            "noise" => u64::from(noise(index + 1)[index].to_bits()),
            "voice" => u64::from(voice_row(index / shape[1], shape[1])[index % shape[1]].to_bits()),
            "position" => positions(name, shape[0])[index] as u64,
            other => panic!("unknown kind {other}"),
        }
    }

    #[test]
    fn equals_the_python_twin_bit_for_bit() {
        let rows: Vec<_> = TWIN.lines().collect();
        assert!(rows.len() >= 64, "only {} rows", rows.len());
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
    fn the_checkpoint_has_the_published_size() {
        let tensors = kokoro_tensors();
        assert_eq!(tensors.len(), 25 + 2 + 122 + 375 + 24);
        let parameters: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(parameters, 81_763_410);
    }
}

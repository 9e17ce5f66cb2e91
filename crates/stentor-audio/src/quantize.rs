//! Float samples to what codecs take: the one place where rounding to 16 bits and clamping are defined.
//!
//! No dither: at 16 bits the rounding error lies near -98 dBFS, far below the noise that a vocoder leaves, while dither
//! would turn the exact silence of pauses into noise, cost FLAC bits and make equal requests differ.

/// The nearest 16-bit value of `sample`, full scale being 1.0 = 32768; halves round away from zero.
///
/// What lies outside is clamped, never wrapped: 1.0 becomes 32767. Not-a-number becomes 0.
pub fn to_s16(sample: f32) -> i16 {
    // A float-to-integer cast saturates and sends NaN to zero.
    (sample * 32_768.0).round() as i16
}

/// `sample` as a codec that works on floats may have it: within -1..=1, and 0 for not-a-number. LAME ends the process
/// and libopus loses its filters for good where a NaN comes in.
pub(crate) fn to_unit(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::to_s16;

    #[test]
    fn values_round_to_nearest_and_clamp() {
        let lsb = 1.0 / 32_768.0;
        for (sample, expected) in [
            (0.0, 0),
            (0.49 * lsb, 0),
            (0.5 * lsb, 1),
            (-0.5 * lsb, -1),
            (-0.49 * lsb, 0),
            (0.5, 16_384),
            (-1.0, i16::MIN),
            (1.0, i16::MAX),
            (1.5, i16::MAX),
            (-7.0, i16::MIN),
            (f32::INFINITY, i16::MAX),
            (f32::NEG_INFINITY, i16::MIN),
            (f32::NAN, 0),
        ] {
            assert_eq!(to_s16(sample), expected, "{sample}");
        }
    }

    #[test]
    fn every_16_bit_value_survives_the_way_through_float() {
        for value in i16::MIN..=i16::MAX {
            assert_eq!(to_s16(f32::from(value) / 32_768.0), value);
        }
    }
}

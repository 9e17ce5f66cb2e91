//! The values of attributes: times, rates, strengths.

/// A time such as `500ms` or `1.5s`, in milliseconds.
pub(super) fn time_ms(value: &str) -> Option<u32> {
    let value = value.trim();
    let (number, unit) = match value.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (value.strip_suffix('s')?, 1000.0),
    };
    // Capped by whoever pauses.
    Some((positive(number.strip_prefix('+').unwrap_or(number))? * unit).round() as u32)
}

/// Digits with a stop among them at most: no signs, no infinity.
fn positive(number: &str) -> Option<f64> {
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    Some(number).filter(|_| plain)?.parse().ok()
}

/// The pause of a strength, in milliseconds.
pub(super) fn strength_ms(value: &str) -> Option<u32> {
    Some(match value.trim() {
        "none" => 0,
        "x-weak" => 100,
        "weak" => 200,
        "medium" => 400,
        "strong" => 700,
        "x-strong" => 1200,
        _ => return None,
    })
}

/// A rate as a factor: a word, `120%`, `+20%`, `-20%` or `1.2`.
pub(super) fn rate(value: &str) -> Option<f32> {
    let value = value.trim();
    let factor = match value {
        "x-slow" => 0.5,
        "slow" => 0.75,
        "medium" | "default" => 1.0,
        "fast" => 1.25,
        "x-fast" => 1.5,
        _ => match value.strip_suffix('%').map(str::trim) {
            Some(percent) => match percent.strip_prefix(['+', '-']) {
                Some(change) if percent.starts_with('-') => 1.0 - positive(change)? / 100.0,
                Some(change) => 1.0 + positive(change)? / 100.0,
                None => positive(percent)? / 100.0,
            },
            None => positive(value)?,
        },
    };
    (0.01..=100.0).contains(&factor).then_some(factor as f32)
}

/// How much slower or faster a stressed stretch is spoken.
pub(super) fn emphasis(level: &str) -> Option<f32> {
    Some(match level.trim() {
        "strong" => 0.8,
        "moderate" => 0.9,
        "none" => 1.0,
        "reduced" => 1.1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, ms) in [("500ms", 500), ("1.5s", 1500), (" 0s ", 0), ("+2s", 2000)] {
            assert_eq!(time_ms(text), Some(ms), "{text}");
        }
        for text in ["", "5", "ms", "-1s", "infs", "1e3s", "1.2.3s", "NaNs"] {
            assert_eq!(time_ms(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_words_percentages_or_factors() {
        for (text, factor) in
            [("slow", 0.75), ("120%", 1.2), ("+20%", 1.2), ("-20%", 0.8), ("1.5", 1.5), ("default", 1.0)]
        {
            assert!((rate(text).expect(text) - factor).abs() < 1e-6, "{text}");
        }
        for text in ["", "quick", "0", "-100%", "0%", "1e9", "%", "inf", "+-5%", "999999%"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}

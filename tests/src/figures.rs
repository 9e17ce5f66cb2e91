//! Percentiles, medians, slopes, and the report of a drill.

use std::fmt;

/// The value below which `percent` of the values lie (nearest rank); NaN of nothing.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The slope of the straight line with the least squares through points `(x, y)`; 0 of fewer than two.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x_mean).powi(2)).sum();
    let common: f64 = points.iter().map(|point| (point.0 - x_mean) * (point.1 - y_mean)).sum();
    if spread > 0.0 { common / spread } else { 0.0 }
}

/// What a drill has measured and which of its bounds broke.
#[derive(Debug, Default)]
pub struct Report {
    drill: &'static str,
    figures: Vec<(String, String)>,
    broken: Vec<String>,
}

impl Report {
    pub fn new(drill: &'static str) -> Self {
        Self { drill, ..Self::default() }
    }

    pub fn figure(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.figures.push((name.into(), value.to_string()));
    }

    /// Notes `what` as broken unless it holds.
    pub fn bound(&mut self, holds: bool, what: impl fmt::Display) {
        if !holds {
            self.broken.push(what.to_string());
        }
    }

    /// A value that must not exceed `most`.
    pub fn at_most(&mut self, name: &str, value: f64, most: f64) {
        self.figure(name, format!("{value:.2} (at most {most:.2})"));
        self.bound(value <= most, format!("{name}: {value:.2} is more than {most:.2}"));
    }

    /// Takes over what a part of the drill has found.
    pub fn join(&mut self, part: Self) {
        self.figures.extend(part.figures);
        self.broken.extend(part.broken);
    }

    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// For tests: panics with everything that was measured.
    pub fn assert(&self) {
        assert!(self.holds(), "\n{self}");
    }
}

/// Rows of a table, then the broken bounds.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.figures {
            writeln!(f, "| {} | {name} | {value} |", self.drill)?;
        }
        for broken in &self.broken {
            writeln!(f, "BROKEN {}: {broken}", self.drill)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((percentile(&values, 99.0), median(&values)), (99.0, 50.0));
        assert_eq!(percentile(&[3.0], 99.0), 3.0);
        assert!(percentile(&[], 50.0).is_nan());
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[(4.0, 1.0)]), 0.0);
    }

    #[test]
    fn a_report_breaks_with_its_bounds() {
        let mut report = Report::new("x");
        report.at_most("good", 1.0, 2.0);
        assert!(report.holds());
        report.at_most("nothing was measured", f64::NAN, 2.0);
        assert!(!report.holds(), "{report}");
    }
}

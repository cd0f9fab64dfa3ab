//! Latencies of many requests, kept as a histogram, and their percentiles.

use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;

/// Significant digits of a recorded time.
const DIGITS: u8 = 3;
/// Upper bound of recorded times, in nanoseconds; longer ones are recorded as this one.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Histogram of latencies.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    /// Creates an empty histogram.
    ///
    /// # Errors
    /// Never fails: the bounds are valid.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).context("bounds of a histogram")?))
    }

    /// Records a latency.
    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// Returns a percentile in milliseconds; `None` without records.
    pub(super) fn percentile_ms(&self, percent: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| to_ms(self.0.value_at_percentile(percent)))
    }

    /// Returns the longest latency in milliseconds.
    pub(super) fn max_ms(&self) -> Option<f64> {
        self.percentile_ms(100.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds fits into 52 bits")]
fn to_ms(ns: u64) -> f64 {
    // Rounded down to the microseconds that are known.
    (ns / 1_000) as f64 / 1_000.0
}

/// Returns the minimum, median and maximum; `None` if there are no figures.
pub(super) fn spread(figures: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let half = sorted.len() / 2;
    let middle = match sorted.len() % 2 {
        0 => f64::midpoint(sorted[half - 1], sorted[half]),
        _ => sorted[half],
    };
    Some([least, middle, most])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut times = Times::new().unwrap();
        assert_eq!(times.percentile_ms(50.0), None);
        (1..=100).for_each(|ms| times.record(Duration::from_millis(ms)));
        let near = |percent, ms: f64| (times.percentile_ms(percent).unwrap() - ms).abs() <= ms / 500.0;
        assert!(near(50.0, 50.0) && near(90.0, 90.0) && near(99.0, 99.0));
        assert!((times.max_ms().unwrap() - 100.0).abs() <= 0.2);
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some([1.0, 2.0, 3.0]));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some([1.0, 2.5, 4.0]));
        assert_eq!(spread(&[]), None);
    }
}

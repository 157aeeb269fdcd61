//! Statistics of measured times.

use std::time::Duration;

use serde::Serialize;

/// Quantiles of a set of times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    pub n: usize,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub mean: f64,
}

impl Summary {
    pub fn of(mut times_ns: Vec<u64>) -> Self {
        times_ns.sort_unstable();
        let n = times_ns.len();
        let total: u64 = times_ns.iter().sum();
        let at = |per_mille| millis(rank(&times_ns, per_mille));
        Self {
            n,
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: at(1000),
            mean: millis(total / u64::try_from(n.max(1)).unwrap_or(u64::MAX)),
        }
    }
}

/// The value at `per_mille` thousandths of a sorted slice, nearest rank.
fn rank(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn millis(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

/// `count` per second over `time`.
pub fn rate(count: u64, time: Duration) -> f64 {
    ratio(float(count), time.as_secs_f64())
}

/// A quotient; zero if it is undefined.
pub fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes of a run are far below 2^52"
)]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// The median of the values. For an even number of values, it is the lower of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (per_mille, wanted) in [(0, 1), (500, 50), (990, 99), (999, 100), (1000, 100)] {
            assert_eq!(rank(&hundred, per_mille), wanted, "{per_mille}");
        }
        assert_eq!(rank(&[], 500), 0);
    }

    #[test]
    fn a_summary_is_in_milliseconds_for_any_order() {
        let summary = Summary::of(vec![3_000_000, 1_000_000, 2_000_000]);
        assert_eq!(summary.n, 3);
        assert!((summary.p50 - 2.0).abs() < 1e-9 && (summary.max - 3.0).abs() < 1e-9);
        assert!((summary.mean - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_nothing_is_zero() {
        for (values, wanted) in [(&[][..], 0.0), (&[3.0, 1.0, 2.0], 2.0), (&[2.0, 1.0], 1.0)] {
            assert!((median(values) - wanted).abs() < 1e-9);
        }
    }
}

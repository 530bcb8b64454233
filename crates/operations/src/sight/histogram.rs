//! Durations in fixed buckets: as much memory for a million as for one, and never told shorter than they were.

/// Buckets per doubling: a bucket is at most an eighth wider than the one before.
const PER_DOUBLING: usize = 8;
/// Longest duration that is told apart, milliseconds: about 12 days.
const LONGEST_MS: u64 = 1 << 30;
/// Enough for [`LONGEST_MS`].
const BUCKETS: usize = 30 * PER_DOUBLING;

/// Counts durations.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    /// Counts one duration, milliseconds.
    pub fn add(&mut self, duration_ms: u64) {
        if let Some(count) = self.counts.get_mut(bucket(duration_ms)) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// The duration that this share of all did not exceed, milliseconds: the upper edge of its bucket, at most an eighth too
    /// long. None when nothing was counted.
    pub fn quantile_ms(&self, share: f64) -> Option<u64> {
        if self.total == 0 {
            return None;
        }
        let mut before = 0_u64;
        for (index, count) in self.counts.iter().enumerate() {
            before += u64::from(*count);
            if count_as_float(before) >= share * count_as_float(self.total) && before > 0 {
                return Some(upper_ms(index));
            }
        }
        Some(LONGEST_MS)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a count beyond 2^53 is not reached in a day")]
fn count_as_float(count: u64) -> f64 {
    count as f64
}

/// Below 16 ms each millisecond has its bucket; from there on each doubling has eight.
fn bucket(duration_ms: u64) -> usize {
    let duration = duration_ms.min(LONGEST_MS - 1);
    let small = usize::try_from(duration).unwrap_or(BUCKETS);
    if small < 2 * PER_DOUBLING {
        return small;
    }
    let doubling = usize::try_from(duration.ilog2()).unwrap_or_default();
    // Eight buckets from 8 to 15, so the doubling that begins at 16 is the second one after them.
    let part = usize::try_from(duration >> (doubling - 3)).unwrap_or_default() - PER_DOUBLING;
    (doubling - 2) * PER_DOUBLING + part
}

/// The longest duration that falls in a bucket, milliseconds.
fn upper_ms(index: usize) -> u64 {
    if index < 2 * PER_DOUBLING {
        return u64::try_from(index).unwrap_or(LONGEST_MS);
    }
    let doubling = u32::try_from(index / PER_DOUBLING + 2).unwrap_or(30);
    let part = u64::try_from(index % PER_DOUBLING + PER_DOUBLING).unwrap_or(LONGEST_MS);
    ((part + 1) << (doubling - 3)) - 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_never_told_shorter_and_at_most_an_eighth_longer() {
        for exponent in 0..30 {
            for duration in [(1_u64 << exponent) - 1, 1 << exponent, (1 << exponent) + (1 << exponent) / 3] {
                let told = upper_ms(bucket(duration));
                assert!(told >= duration && told <= duration + duration / 8, "{duration} is told as {told}");
            }
        }
        assert_eq!(bucket(u64::MAX), bucket(LONGEST_MS - 1));
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn buckets_are_in_order_and_none_is_left_out() {
        let mut last = 0;
        for duration in 0..100_000 {
            let now = bucket(duration);
            assert!(now == last || now == last + 1, "{duration} jumps from {last} to {now}");
            last = now;
        }
    }

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for duration in 1..=100 {
            histogram.add(duration);
        }
        assert_eq!(histogram.quantile_ms(0.5), Some(51));
        assert_eq!(histogram.quantile_ms(0.99), Some(103));
        assert_eq!(histogram.quantile_ms(0.01), Some(1));
    }
}

//! How many exceptions were raised in each hour, kept as they are told, so that nobody has to look through all of them.

use super::types::Hour;
use std::collections::BTreeMap;

/// One hour, microseconds.
const HOUR_MICROS: i64 = 3_600_000_000;

/// Counts by hour. There are at most as many hours as exceptions that are held.
#[derive(Debug, Default)]
pub struct Hours {
    /// By number of the hour since 1970: settled and open ones.
    counts: BTreeMap<i64, [usize; 2]>,
}

impl Hours {
    /// An exception that was raised then is held from now on.
    pub fn add(&mut self, raised_at: i64, is_open: bool) {
        self.counts.entry(number(raised_at)).or_default()[usize::from(is_open)] += 1;
    }

    /// It is held no longer.
    pub fn take(&mut self, raised_at: i64, is_open: bool) {
        let number = number(raised_at);
        let Some(counts) = self.counts.get_mut(&number) else { return };
        let count = &mut counts[usize::from(is_open)];
        *count = count.saturating_sub(1);
        if *counts == [0, 0] {
            self.counts.remove(&number);
        }
    }

    /// The last hours up to now, oldest first, also those in which nothing was raised.
    pub fn last(&self, now: i64, hours: usize) -> Vec<Hour> {
        let this = number(now);
        let back = (0..i64::try_from(hours).unwrap_or_default()).rev();
        let hour = |back: i64| {
            let [settled, open] = self.counts.get(&(this - back)).copied().unwrap_or_default();
            Hour { start: (this - back) * HOUR_MICROS, settled, open }
        };
        back.map(hour).collect()
    }
}

fn number(at: i64) -> i64 {
    at.div_euclid(HOUR_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_raised_counts_for_its_hour_and_older_for_none() {
        let now = 1_000 * HOUR_MICROS + 17;
        let mut hours = Hours::default();
        hours.add(now, true);
        hours.add(now - HOUR_MICROS, false);
        hours.add(now - 23 * HOUR_MICROS, true);
        hours.add(now - 25 * HOUR_MICROS, true);
        hours.add(now + HOUR_MICROS, true);
        let last = hours.last(now, 24);
        assert_eq!(last.len(), 24);
        assert_eq!((last[23].open, last[22].settled, last[0].open), (1, 1, 1));
        assert_eq!(last.iter().map(|hour| hour.open + hour.settled).sum::<usize>(), 3);
        hours.take(now, true);
        hours.add(now, false);
        assert_eq!(hours.last(now, 1), [Hour { start: 1_000 * HOUR_MICROS, settled: 1, open: 0 }]);
        for (at, is_open) in [(now, false), (now - 25 * HOUR_MICROS, true)] {
            hours.take(at, is_open);
        }
        assert_eq!(hours.counts.len(), 3, "an hour of which nothing is held is forgotten");
    }
}

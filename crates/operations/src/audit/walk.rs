//! The order in which partitions are read backwards, so that what is shown is the newest and nothing in between is missing.
//!
//! Within a partition a record counts as no newer than the one behind it, whatever the clocks said: so the order of the topic is
//! kept, and where a look ends is one offset per partition.

use super::{AuditEntry, AuditFound};
use crate::offsets::Offsets;
use schemas::Audit;

/// Reads partitions backwards and keeps what fits.
pub struct Walk {
    lanes: Vec<Lane>,
    wanted: usize,
    looked_at: u64,
}

/// A partition that is read backwards.
pub struct Lane {
    partition: i32,
    /// The first offset that is asked for.
    start: i64,
    /// From this offset on it has been read.
    next: i64,
    /// Time of the oldest record that was read, milliseconds since 1970; what is not read yet is not newer.
    oldest_ms: i64,
    has_begun: bool,
    /// What fits, newest first; one more than is wanted at most.
    found: Vec<Found>,
}

struct Found {
    time_ms: i64,
    offset: i64,
    audit: Audit,
}

impl Lane {
    /// A partition between two offsets.
    pub fn new(partition: i32, start: i64, end: i64) -> Self {
        let next = end.max(start);
        Self { partition, start, next, oldest_ms: i64::MAX, has_begun: false, found: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.next > self.start
    }
}

impl Walk {
    /// Nothing is read yet.
    pub fn new(lanes: Vec<Lane>, wanted: usize) -> Self {
        Self { lanes, wanted: wanted.max(1), looked_at: 0 }
    }

    /// Number of partitions that hold something.
    pub fn lanes(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.is_open()).count()
    }

    /// Records that were looked at.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// What is to be read next: partition, first offset and offset after the last one; none when all is read.
    pub fn next_step(&self, step: i64) -> Option<(i32, i64, i64)> {
        let open = self.lanes.iter().filter(|lane| lane.is_open());
        let newest = open.max_by_key(|lane| (lane.oldest_ms, std::cmp::Reverse(lane.partition)))?;
        Some((newest.partition, newest.next.saturating_sub(step).max(newest.start), newest.next))
    }

    /// A record was looked at; each partition hands them over newest first. `audit` is what fits.
    pub fn take(&mut self, partition: i32, offset: i64, time_ms: Option<i64>, audit: Option<Audit>) {
        self.looked_at += 1;
        let most = self.wanted.saturating_add(1);
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) else { return };
        lane.oldest_ms = time_ms.unwrap_or(lane.oldest_ms).min(lane.oldest_ms);
        if let Some(audit) = audit.filter(|_| lane.found.len() < most) {
            lane.found.push(Found { time_ms: lane.oldest_ms, offset, audit });
        }
    }

    /// A partition is read from this offset on.
    pub fn has_read(&mut self, partition: i32, start: i64) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) {
            (lane.next, lane.has_begun) = (start, true);
        }
    }

    /// Whether each partition was looked at, so that a look that ends now gets further.
    pub fn has_begun_everywhere(&self) -> bool {
        self.lanes.iter().all(|lane| lane.has_begun || !lane.is_open())
    }

    /// Whether what is wanted is found, and nothing that is not read can stand before it.
    pub fn is_enough(&self) -> bool {
        let complete = self.complete_to();
        let sure = |lane: &Lane| lane.found.iter().filter(|found| is_sure(found, complete)).count();
        self.lanes.iter().map(sure).sum::<usize>() >= self.wanted
    }

    /// The answer.
    pub fn found(mut self) -> AuditFound {
        let complete = self.complete_to();
        let mut sure: Vec<(i64, i32, i64)> = Vec::new();
        for lane in &self.lanes {
            let found = lane.found.iter().filter(|found| is_sure(found, complete));
            sure.extend(found.map(|found| (found.time_ms, lane.partition, found.offset)));
        }
        sure.sort_by_key(|(time, partition, offset)| {
            (std::cmp::Reverse(*time), *partition, std::cmp::Reverse(*offset))
        });
        sure.truncate(self.wanted);
        let is_full = sure.len() == self.wanted;
        let mut records = Vec::with_capacity(sure.len());
        let mut older = Vec::with_capacity(self.lanes.len());
        let mut has_older = false;
        for (_, partition, offset) in &sure {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == *partition) else { continue };
            // Each partition's records are shown in its order, so the next one is always its first.
            if !lane.found.is_empty() {
                let Found { audit, .. } = lane.found.remove(0);
                records.push(AuditEntry { place: format!("{partition}@{offset}"), audit });
            }
        }
        for lane in &self.lanes {
            let before = lane.found.first().map_or(lane.next, |found| found.offset.saturating_add(1));
            has_older |= before > lane.start;
            older.push((lane.partition, before));
        }
        let last = sure.last().map(|(time, ..)| *time).filter(|_| is_full && has_older);
        AuditFound {
            records,
            looked_at: self.looked_at,
            back_to_ms: last.or(complete).filter(|time| *time != i64::MAX),
            older: has_older.then(|| Offsets::new(older)),
        }
    }

    /// Nothing that is not read is newer than this; none when all is read.
    fn complete_to(&self) -> Option<i64> {
        self.lanes.iter().filter(|lane| lane.is_open()).map(|lane| lane.oldest_ms).max()
    }
}

fn is_sure(found: &Found, complete: Option<i64>) -> bool {
    complete.is_none_or(|complete| found.time_ms >= complete)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    /// A partition of a topic: the times of its records, and which of them fit.
    type Partition = Vec<(i64, bool)>;

    /// One look at partitions that are read so many offsets at a time.
    fn look(topic: &[Partition], older: Option<&Offsets>, wanted: usize, step: i64, looked_at_max: u64) -> AuditFound {
        let lanes = topic.iter().enumerate().map(|(partition, records)| {
            let (partition, end) = (i32::try_from(partition).unwrap(), i64::try_from(records.len()).unwrap());
            Lane::new(partition, 0, older.map_or(end, |older| older.of(partition).unwrap()))
        });
        let mut walk = Walk::new(lanes.collect(), wanted);
        while let Some((partition, start, end)) = walk.next_step(step) {
            if walk.is_enough() || (walk.looked_at() >= looked_at_max && walk.has_begun_everywhere()) {
                break;
            }
            for offset in (start..end).rev() {
                let (time, fits) = topic[usize::try_from(partition).unwrap()][usize::try_from(offset).unwrap()];
                let audit = fits.then(|| Audit { detail: time.to_string(), ..Audit::default() });
                walk.take(partition, offset, Some(time), audit);
            }
            walk.has_read(partition, start);
        }
        walk.found()
    }

    fn places(found: &AuditFound) -> Vec<String> {
        found.records.iter().map(|entry| entry.place.clone()).collect()
    }

    /// Three busy partitions, in each of which one record in a few fits.
    fn busy() -> Vec<Partition> {
        let records = |every: i64, shift: i64| (0..300).map(|n| (n * 3 + shift, n % every == 0)).collect();
        vec![records(7, 0), records(50, 1), records(11, 2)]
    }

    /// All that fits, newest first.
    fn expected(topic: &[Partition]) -> Vec<String> {
        let mut all: Vec<(i64, usize, usize)> = Vec::new();
        for (partition, records) in topic.iter().enumerate() {
            let fitting = records.iter().enumerate().filter(|(_, (_, fits))| *fits);
            all.extend(fitting.map(|(offset, (time, _))| (*time, partition, offset)));
        }
        all.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        all.into_iter().map(|(_, partition, offset)| format!("{partition}@{offset}")).collect()
    }

    #[test]
    fn looks_one_after_the_other_show_everything_once_newest_first() {
        let topic = busy();
        for (wanted, step, most) in
            [(5, 10, 1_000), (1, 1, 1), (1_000, 7, 40), (3, 300, 1), (1, 300, 1), (50, 1_000, 9_999)]
        {
            let (mut shown, mut older) = (Vec::new(), None);
            for look_number in 0.. {
                let found = look(&topic, older.as_ref(), wanted, step, most);
                assert!(look_number < 1_000 && found.records.len() <= wanted);
                shown.extend(places(&found));
                older = found.older;
                if older.is_none() {
                    assert_eq!(found.back_to_ms, None, "everything was looked at");
                    break;
                }
                assert!(found.back_to_ms.is_some());
            }
            assert_eq!(shown, expected(&topic), "{wanted} wanted, {step} at a time, {most} at most");
        }
    }

    #[test]
    fn what_people_did_is_found_behind_what_was_left_out() {
        let mut topic = vec![vec![(5, true)], Vec::new()];
        topic[0].extend((0..20_000).map(|n| (n + 10, false)));
        let found = look(&topic, None, 10, 2_000, 100_000);
        assert_eq!((places(&found), found.looked_at, found.older), (vec!["0@0".to_owned()], 20_001, None));
    }

    #[test]
    fn bnd_1_a_look_ends_and_says_how_far_it_got() {
        let topic = vec![(0..20_000).map(|n| (n, false)).collect::<Partition>()];
        let found = look(&topic, None, 10, 2_000, 4_000);
        assert_eq!((found.looked_at, found.back_to_ms), (4_000, Some(16_000)));
        assert_eq!(found.older.unwrap().of(0), Some(16_000));
        assert_eq!(look(&[Vec::new()], None, 10, 2_000, 4_000).older, None);
    }

    #[test]
    fn a_clock_that_was_wrong_hides_nothing() {
        let topic = vec![vec![(1, true), (900, true), (2, true)], vec![(500, true), (600, true)]];
        let (mut shown, mut older) = (Vec::new(), None);
        loop {
            let found = look(&topic, older.as_ref(), 1, 1, 1);
            shown.extend(places(&found));
            older = found.older;
            if older.is_none() {
                break;
            }
        }
        shown.sort();
        assert_eq!(shown, ["0@0", "0@1", "0@2", "1@0", "1@1"]);
        // Each partition keeps its order, whatever its clocks said.
        let found = look(&topic, None, 5, 10, 100);
        let told: Vec<_> =
            found.records.iter().map(|entry| (entry.place.as_str(), entry.audit.detail.as_str())).collect();
        assert_eq!(told, [("1@1", "600"), ("1@0", "500"), ("0@2", "2"), ("0@1", "900"), ("0@0", "1")]);
    }
}

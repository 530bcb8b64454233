//! Whether a replay would let an event take effect behind newer ones of its key (ORD-1).
//!
//! ```text
//! a record that has had no effect yet ... a newer one of its key that has had one, or waits already -> overtaken
//! ```
//! In a room with effects the effect record of the newer one says so; in a room that writes events, an event that names it as its
//! cause. What is made again with the same ids, or is suppressed, takes no effect a second time and so overtakes nothing.

use super::count::Meaning;
use super::known::{Known, hash, hash_bytes};
use super::plan::Count;
use super::store::visit_readable;
use super::{CLOCK_SLACK_MS, Plan, ReplayError};
use runtime::RoomKind;
use runtime::codec::WireError;
use runtime::reader::{self, From, Range, Until};
use runtime::record::{Place, Record};
use schemas::{Audit, AuditKind, ReplayOvertaken, ReplaySpan, headers, topics};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rule under which the audit topic tells of an event that a person gave up: no rule of the room left it out.
const DISCARDED: &str = "discarded-by-operator";
/// Keys that are told one by one.
const EXAMPLES: usize = 10;

/// What a replay would let take effect behind newer events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overtaken {
    /// Keys of which something newer took effect.
    pub keys: i64,
    /// Some of them.
    pub examples: Vec<OvertakenKey>,
}

/// A key of which something newer took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OvertakenKey {
    /// The key, as text.
    pub key: String,
    /// Place of the first record that would take effect late.
    pub record: String,
    /// Place of the newest event of the key that took effect.
    pub newest: String,
    /// How many newer events took effect.
    pub newer: i64,
}

impl Overtaken {
    /// What the plan says of it; nothing when the order is kept.
    pub fn of(plan: &Plan) -> Option<Self> {
        let (keys, told) = (plan.counts.overtaken_keys, &plan.counts.overtaken);
        let example = |one: &ReplayOvertaken| OvertakenKey {
            key: one.key.clone(),
            record: one.record.clone(),
            newest: one.newest.clone(),
            newer: one.newer,
        };
        (keys > 0).then(|| Self { keys, examples: told.iter().map(example).collect() })
    }
}

/// Places only: a key belongs to the plan, not into what is logged.
impl std::fmt::Display for Overtaken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (keys, noun) = (self.keys, if self.keys == 1 { "key" } else { "keys" });
        write!(formatter, "newer events of {keys} {noun} took effect, or come first")?;
        for (index, one) in self.examples.iter().enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            write!(formatter, "{before}{} before {}", one.newest, one.record)?;
        }
        let rest = self.keys - i64::try_from(self.examples.len()).unwrap_or_default();
        if rest > 0 { write!(formatter, ", and of {rest} more") } else { Ok(()) }
    }
}

/// Follows the records of a range in their order. Bounded by the keys that the count holds.
#[derive(Default)]
pub(super) struct Order {
    late: HashMap<u128, Late>,
    told: Vec<(Late, String)>,
    overtaken: i64,
}

/// What is known of a key of which a record would take effect.
#[derive(Clone, Copy, Default)]
struct Late {
    first: (i32, i64),
    newest: (i32, i64),
    newer: i64,
    /// Among the examples.
    told: Option<usize>,
}

impl Order {
    /// A record would take effect that has not done so.
    pub fn late(&mut self, place: (i32, i64), key: &[u8]) {
        if !key.is_empty() {
            self.late.entry(hash_bytes(key)).or_insert(Late { first: place, ..Late::default() });
        }
    }

    /// A record has taken effect.
    pub fn took_effect(&mut self, place: (i32, i64), key: &[u8]) {
        let Some(late) = self.late.get_mut(&hash_bytes(key)) else { return };
        late.newest = place;
        late.newer += 1;
        if late.newer == 1 {
            self.overtaken += 1;
            if self.told.len() < EXAMPLES {
                late.told = Some(self.told.len());
                self.told.push((*late, String::from_utf8_lossy(key).into_owned()));
            }
        }
        if let Some(told) = late.told.and_then(|index| self.told.get_mut(index)) {
            told.0 = *late;
        }
    }

    /// What was found, into a plan.
    pub fn finish(self, topic: &str, plan: &mut Plan) {
        let topic: Arc<str> = Arc::from(topic);
        let place = |(partition, offset)| Place { topic: Arc::clone(&topic), partition, offset }.to_string();
        let told = |(late, key): (Late, String)| ReplayOvertaken {
            key,
            record: place(late.first),
            newest: place(late.newest),
            newer: late.newer,
        };
        let overtaken = self.late.iter().filter(|(_, late)| late.newer > 0).map(|(key, _)| *key);
        plan.counts.overtaken_digest = digest(overtaken.collect());
        plan.counts.overtaken_keys = self.overtaken;
        plan.counts.overtaken = self.told.into_iter().map(told).collect();
    }
}

/// Stands for a set of keys; empty for none.
fn digest(mut keys: Vec<u128>) -> String {
    if keys.is_empty() {
        return String::new();
    }
    keys.sort_unstable();
    let mut digest = Sha256::new();
    keys.iter().for_each(|key| digest.update(key.to_be_bytes()));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the topics say that records of a range have come to.
#[derive(Default)]
pub(super) struct History {
    /// Effects, of a room that has some.
    pub known: Known,
    /// Ids of records that caused events, of a room that writes those.
    causes: HashSet<u128>,
    /// Places that the room has left out on purpose: by a rule, or as there already.
    left_out: HashSet<(i32, i64)>,
}

impl History {
    /// Whether a record has taken effect.
    pub fn took_effect(&self, record: &Record) -> bool {
        self.known.is_applied((record.place.partition, record.place.offset)) || self.is_cause(record)
    }

    /// Whether a record would take effect that has not done so.
    pub fn is_late(&self, record: &Record, meaning: Meaning) -> bool {
        match meaning {
            Meaning::Effect | Meaning::InDoubt => true,
            Meaning::Suppressed(_) | Meaning::NoEffect => false,
            Meaning::Events => {
                !self.is_cause(record) && !self.left_out.contains(&(record.place.partition, record.place.offset))
            }
        }
    }

    fn is_cause(&self, record: &Record) -> bool {
        !self.causes.is_empty() && record.header(headers::ID).is_some_and(|id| self.causes.contains(&hash(id)))
    }
}

impl Count {
    /// Reads what the records of a plain replay have come to.
    pub(super) fn history(&self, spans: &[ReplaySpan]) -> Result<History, ReplayError> {
        let mut history = History { known: self.known(spans)?, ..History::default() };
        if self.room.info.kind == RoomKind::Processor && self.correcting.is_none() {
            let since = self.since(spans)?;
            self.read_causes(since, &mut history)?;
            self.read_left_out(since, &mut history)?;
        }
        Ok(history)
    }

    /// From when on something can have become of the records.
    fn since(&self, spans: &[ReplaySpan]) -> Result<From, ReplayError> {
        let mut first = i64::MAX;
        for span in spans {
            let topic = self.topic.name.to_owned();
            let (from, until) = (From::Offset(span.start), Until::Offset(span.end));
            let range = Range { topic, partitions: vec![span.partition], from, until };
            reader::read_range(self.kafka(), &range, |record| {
                first = first.min(record.timestamp_ms.unwrap_or_default());
                ControlFlow::Break(())
            })?;
        }
        Ok(From::TimeMs(first.saturating_sub(CLOCK_SLACK_MS).max(0)))
    }

    fn read_causes(&self, since: From, history: &mut History) -> Result<(), ReplayError> {
        let most = self.replays.own.effects_max;
        // What people are told of an event is no effect of it.
        for topic in self.room.info.writes.iter().filter(|topic| !topic.starts_with("ops.")) {
            let range = Range { from: since, ..Range::all(*topic) };
            visit_readable(self.kafka(), &range, |record| {
                history.causes.extend(record.header(headers::CAUSATION_ID).map(hash));
                self.within(history.causes.len(), "events that the room has written", most)
            })?;
        }
        Ok(())
    }

    fn read_left_out(&self, since: From, history: &mut History) -> Result<(), ReplayError> {
        let most = self.replays.own.effects_max;
        let range = Range { from: since, ..Range::all(topics::OPS_AUDIT_V1.name()) };
        visit_readable(self.kafka(), &range, |record| {
            let Some(value) = record.value.as_deref() else { return Ok(()) };
            let (writer, body) = self.handle.block_on(self.replays.codec.open(value))?;
            let audit: Audit = schemas::codec::decode(&writer, body).map_err(WireError::from)?;
            let is_left_out =
                matches!(audit.kind, AuditKind::Dropped | AuditKind::Duplicate) && audit.code != DISCARDED;
            if is_left_out
                && audit.room == self.room.info.name
                && audit.origin_topic.as_deref() == Some(self.topic.name)
            {
                history.left_out.extend(audit.origin_partition.zip(audit.origin_offset));
            }
            self.within(history.left_out.len(), "records that the room has left out", most)
        })
    }

    pub(super) fn within(&self, held: usize, what: &'static str, most: usize) -> Result<(), ReplayError> {
        if held > most { Err(ReplayError::TooMuch { what, key: "effects_max", most }) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    /// One line for each record: partition, offset, key, `late` or `done` or `-`.
    fn plan(text: &str) -> Plan {
        let (mut order, mut plan) = (Order::default(), Plan::default());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let place = (words[0].parse().unwrap(), words[1].parse().unwrap());
            match words[3] {
                "late" => order.late(place, words[2].as_bytes()),
                "done" => order.took_effect(place, words[2].as_bytes()),
                _ => {}
            }
        }
        order.finish("t", &mut plan);
        plan
    }

    #[test]
    fn ord_1_a_key_is_overtaken_by_what_took_effect_behind_its_first_late_record() {
        let overtaken = Overtaken::of(&plan(
            "
            0 1 a done
            0 2 b late
            0 3 a late
            0 4 c done
            0 5 b late
            0 6 b done
            0 7 b -
            0 8 b done
            1 1 d late",
        ))
        .unwrap();
        let b = OvertakenKey { key: "b".to_owned(), record: "t-0@2".to_owned(), newest: "t-0@8".to_owned(), newer: 2 };
        assert_eq!(overtaken, Overtaken { keys: 1, examples: vec![b] });
        assert_eq!(overtaken.to_string(), "newer events of 1 key took effect, or come first: t-0@8 before t-0@2");
        assert_eq!(Overtaken::of(&plan("0 1 a done\n0 2 a late")), None);
    }

    #[test]
    fn ord_1_which_keys_are_overtaken_is_known_by_a_digest() {
        let digest = |text: &str| plan(text).counts.overtaken_digest;
        let (both, first) = ("0 1 a late\n0 2 b late\n0 3 a done\n0 4 b done", "0 1 a late\n0 2 b late\n0 3 a done");
        assert_eq!(digest(both), digest("0 1 b late\n0 2 a late\n0 3 b done\n0 5 a done\n0 6 a done"));
        assert_ne!(digest(both), digest(first));
        assert_ne!(digest(first), digest("0 1 a late\n0 2 b late\n0 4 b done"), "as many, and others");
        assert_eq!(digest("0 1 a late"), "");
    }

    #[test]
    fn bnd_1_only_some_keys_are_told_and_all_are_counted() {
        let lines = |word: &str, base: usize| -> String {
            (0..EXAMPLES + 3).map(|number| format!("0 {} k{number} {word}\n", base + number)).collect()
        };
        let overtaken = Overtaken::of(&plan(&(lines("late", 0) + &lines("done", 100)))).unwrap();
        assert_eq!((overtaken.keys, overtaken.examples.len()), (13, EXAMPLES));
        assert!(overtaken.to_string().ends_with(", and of 3 more"), "{overtaken}");
        assert!(!overtaken.to_string().contains("k1"), "places only: {overtaken}");
    }

    #[test]
    fn ord_1_what_comes_out_with_the_same_ids_or_was_left_out_is_not_late() {
        let record = |offset: i64, id: &str| Record {
            place: Place { topic: Arc::from("t"), partition: 0, offset },
            timestamp_ms: None,
            key: None,
            value: None,
            headers: vec![(headers::ID.into(), Some(bytes::Bytes::copy_from_slice(id.as_bytes())))],
        };
        let history = History { causes: [hash("e1")].into(), left_out: [(0, 2)].into(), ..History::default() };
        let late = |offset, id: &str| history.is_late(&record(offset, id), Meaning::Events);
        assert_eq!((late(1, "e1"), late(2, "e2"), late(3, "e3")), (false, false, true));
        assert!(history.took_effect(&record(1, "e1")) && !history.took_effect(&record(3, "e3")));
        let means = [Meaning::Effect, Meaning::InDoubt, Meaning::Suppressed(None), Meaning::NoEffect];
        assert_eq!(means.map(|meaning| history.is_late(&record(3, "e3"), meaning)), [true, true, false, false]);
    }
}

//! What a comparison is about: which time, which rooms, and how long each class may take.

use super::difference::Part;
use super::reach::Reach;
use connector::erp::Rounding;
use processor::laws::Outcome;
use runtime::config::Limits;
use runtime::{RoomInfo, RoomKind};
use schemas::topics;
use std::collections::BTreeSet;

/// Counterparts are looked for so much earlier than the window begins: clocks of hosts differ.
pub const SLACK_MS: i64 = 300_000;

/// A stretch of time, by the time stamps of Kafka, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// First moment.
    pub from_ms: i64,
    /// The moment before which to stop.
    pub until_ms: i64,
}

/// A room, as far as its outcomes are accounted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounted {
    /// Its name.
    pub name: String,
    /// Topics it reads, by number in the catalogue.
    pub reads: Vec<u8>,
    /// Topics it writes, by number in the catalogue.
    pub writes: Vec<u8>,
    /// What it does outside.
    pub outside: Outside,
}

/// What a room does outside Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Nothing.
    Nothing,
    /// It posts to the ERP.
    Erp,
    /// It tells suppliers.
    Suppliers,
}

/// All that the comparisons must know beside the facts.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What is compared.
    pub window: Window,
    /// When the run began, milliseconds since 1970.
    pub now_ms: i64,
    /// Rooms whose outcomes are accounted for.
    pub rooms: Vec<Accounted>,
    /// How long a record of each topic may be under way, milliseconds, by number in the catalogue.
    pub allowed_ms: Vec<i64>,
    /// Topics on which events may be said again, because a person had records processed again.
    pub replayed: BTreeSet<u8>,
    /// Topics that do not reach back to the start of the window.
    pub reaches: Vec<Reach>,
    /// Whether the ERP was asked.
    pub erp: bool,
    /// How it rounds.
    pub rounding: Rounding,
}

impl Window {
    /// Whether a moment is in it.
    #[must_use]
    pub fn has(&self, at_ms: i64) -> bool {
        (self.from_ms..self.until_ms).contains(&at_ms)
    }
}

impl Scope {
    /// For these rooms and this time. A record may be under way for the latency of its topic and the budget of its class: so
    /// long may it wait or be tried again before its key is parked where everybody sees it.
    #[must_use]
    pub fn new(window: Window, now_ms: i64, rooms: &[RoomInfo], limits: &Limits) -> Self {
        let allowed = topics::ALL.iter().map(|topic| {
            let budget = limits.wait_budget(topic.class).as_millis();
            i64::try_from(u128::from(topic.latency_p99_ms) + budget).unwrap_or(i64::MAX)
        });
        let accounted = rooms.iter().filter(|room| matches!(room.kind, RoomKind::Processor | RoomKind::Effect));
        Self {
            window,
            now_ms,
            rooms: accounted.map(Accounted::of).collect(),
            allowed_ms: allowed.collect(),
            replayed: BTreeSet::new(),
            reaches: Vec::new(),
            erp: true,
            rounding: Rounding::Unknown,
        }
    }

    /// A person had a room process records again: it, and whoever reads what it writes, may say events again.
    pub fn replayed_by(&mut self, room: &str) {
        let mut open: Vec<&Accounted> = self.rooms.iter().filter(|known| known.name == room).collect();
        let mut written = BTreeSet::new();
        while let Some(room) = open.pop() {
            for topic in &room.writes {
                if written.insert(*topic) {
                    open.extend(self.rooms.iter().filter(|reader| reader.reads.contains(topic)));
                }
            }
        }
        self.replayed.extend(written);
    }

    /// Whether a record of a topic may still be under way.
    #[must_use]
    pub fn in_time(&self, topic: u8, at_ms: i64) -> bool {
        let allowed = self.allowed_ms.get(usize::from(topic)).copied().unwrap_or_default();
        at_ms.saturating_add(allowed) > self.now_ms
    }

    /// Whether a difference of this part and time cannot be told from what is gone.
    #[must_use]
    pub fn hides(&self, part: Part, at_ms: i64) -> bool {
        self.reaches.iter().any(|reach| reach.hides(part, at_ms))
    }

    /// The room that makes the events of a topic of what it reads, and the first topic that it reads.
    #[must_use]
    pub fn maker(&self, topic: u8) -> Option<(&str, &'static str)> {
        let is_maker = |room: &&Accounted| room.outside == Outside::Nothing && room.writes.contains(&topic);
        let room = self.rooms.iter().find(is_maker)?;
        let read = topics::ALL.get(usize::from(*room.reads.first()?))?;
        Some((&room.name, read.name))
    }

    /// The room with this number.
    #[must_use]
    pub fn room(&self, number: u8) -> Option<&Accounted> {
        self.rooms.get(usize::from(number))
    }
}

impl Accounted {
    fn of(room: &RoomInfo) -> Self {
        let outside = if room.writes.contains(&topics::ERP_POSTING_V1.name()) {
            Outside::Erp
        } else if room.writes.contains(&topics::PARTNER_SUPPLIER_NOTICE_V1.name()) {
            Outside::Suppliers
        } else {
            Outside::Nothing
        };
        Self { name: room.name.to_owned(), reads: numbers(&room.reads), writes: numbers(&room.writes), outside }
    }
}

/// Counts of a room, one for each way in which a record can have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Became at least one event.
    pub emitted: u64,
    /// Handled before.
    pub duplicate: u64,
    /// Left out by a named rule, or given up by a person.
    pub dropped: u64,
    /// Wait for a person, or behind a record that does.
    pub exception: u64,
    /// Kept as dead letters.
    pub dead_letter: u64,
    /// Still within their time.
    pub late: u64,
    /// Without an outcome.
    pub missing: u64,
}

impl Counts {
    /// Counts a record.
    pub fn count(&mut self, outcome: Outcome) {
        let place = match outcome {
            Outcome::Emitted => &mut self.emitted,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Dropped => &mut self.dropped,
            Outcome::Exception => &mut self.exception,
            Outcome::DeadLetter => &mut self.dead_letter,
        };
        *place += 1;
    }
}

fn numbers(names: &[&str]) -> Vec<u8> {
    let number = |name: &&str| topics::ALL.iter().position(|topic| topic.name == *name);
    names.iter().filter_map(number).filter_map(|number| u8::try_from(number).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &'static str, kind: RoomKind, reads: &'static str, writes: &'static str) -> RoomInfo {
        RoomInfo { name, purpose: "", kind, reads: vec![reads], looks_up: Vec::new(), writes: vec![writes] }
    }

    #[test]
    fn what_a_replayed_room_writes_and_what_follows_may_be_said_again() {
        let rooms = [
            room("validate", RoomKind::Processor, "clinical.supply-usage.v1", "supply.usage-validated.v1"),
            room("enrich", RoomKind::Processor, "supply.usage-validated.v1", "supply.usage-enriched.v1"),
            room("erp-post", RoomKind::Effect, "supply.usage-enriched.v1", "erp.posting.v1"),
            room("hl7v2", RoomKind::Source, "", "clinical.supply-usage.v1"),
        ];
        let window = Window { from_ms: 0, until_ms: 10 };
        let mut scope = Scope::new(window, 10, &rooms, &Limits::default());
        assert_eq!(scope.rooms.len(), 3, "sources have receipts, not outcomes");
        assert_eq!(scope.rooms[2].outside, Outside::Erp);
        scope.replayed_by("enrich");
        let names: Vec<_> = scope.replayed.iter().map(|number| topics::ALL[usize::from(*number)].name).collect();
        assert_eq!(names, ["erp.posting.v1", "supply.usage-enriched.v1"]);
    }

    #[test]
    fn a_record_is_in_time_for_the_latency_of_its_topic_and_the_budget_of_its_class() {
        let window = Window { from_ms: 0, until_ms: 1_000_000 };
        let scope = Scope::new(window, 1_000_000, &[], &Limits::default());
        let usage = numbers(&["clinical.supply-usage.v1"])[0];
        // 2 s and 60 s.
        assert!(scope.in_time(usage, 1_000_000 - 61_999) && !scope.in_time(usage, 1_000_000 - 62_000));
    }
}

//! LOSS-1 on the real topics: every record that a room reads has one visible outcome.

use operations::replay::STARTED;
use processor::laws::{Outcome, Violation, check_loss};
use schemas::{Audit, AuditKind, Exception, ExceptionState};
use std::collections::{BTreeMap, BTreeSet};

/// Where a record is, as one word: `topic-partition@offset`.
pub type Place = String;

/// What was seen of one room.
#[derive(Debug, Default)]
pub struct RoomLedger {
    /// Records it reads: place and event id.
    inputs: BTreeMap<Place, Option<String>>,
    /// Event ids that an output names as its cause.
    causes: BTreeSet<String>,
    /// Outcomes other than an output.
    others: BTreeMap<Place, BTreeSet<Outcome>>,
    /// A person had records processed again: then a record may have been emitted once and wait now.
    replayed: bool,
}

impl RoomLedger {
    /// A record that the room reads.
    pub fn input(&mut self, place: Place, event_id: Option<String>) {
        self.inputs.insert(place, event_id);
    }

    /// An output that names its cause.
    pub fn output(&mut self, cause: &str) {
        self.causes.insert(cause.to_owned());
    }

    /// An outcome that names the place of its input.
    pub fn outcome(&mut self, place: Place, outcome: Outcome) {
        self.others.entry(place).or_default().insert(outcome);
    }

    /// The newest state of an exception. A settled one leaves the word to what came after it.
    pub fn exception(&mut self, exception: &Exception) {
        if let (Some(topic), Some(partition), Some(offset)) =
            (&exception.origin_topic, exception.origin_partition, exception.origin_offset)
        {
            let place = place(topic, partition, offset);
            match exception.state {
                ExceptionState::Resolved if self.is_emitted(&place) => {}
                ExceptionState::Discarded => self.outcome(place, Outcome::Dropped),
                _ => self.outcome(place, Outcome::Exception),
            }
        }
    }

    /// A note on the audit topic.
    pub fn audit(&mut self, audit: &Audit) {
        let outcome = match audit.kind {
            AuditKind::Dropped => Outcome::Dropped,
            AuditKind::Duplicate | AuditKind::Suppressed => Outcome::Duplicate,
            AuditKind::Replay => {
                self.replayed |= audit.code == STARTED;
                return;
            }
            AuditKind::Action | AuditKind::Unknown => return,
        };
        if let (Some(topic), Some(partition), Some(offset)) =
            (&audit.origin_topic, audit.origin_partition, audit.origin_offset)
        {
            let place = place(topic, partition, offset);
            self.outcome(place, outcome);
        }
    }

    /// What breaks LOSS-1.
    pub fn violations(&self) -> Vec<Violation> {
        let repeated = self.repeated_ids();
        let outcomes = self.inputs.iter().flat_map(|(place, id)| {
            let mut found = self.others.get(place).cloned().unwrap_or_default();
            if self.is_emitted(place) {
                // Suppressing a repetition of what was done is no second outcome.
                found.remove(&Outcome::Duplicate);
                found.insert(Outcome::Emitted);
                // Of a record that came twice, or was replayed, the output counts and not what the repetition met.
                if self.replayed || id.as_ref().is_some_and(|id| repeated.contains(id.as_str())) {
                    found = BTreeSet::from([Outcome::Emitted]);
                }
            }
            found.into_iter().map(move |outcome| (place.as_str(), outcome))
        });
        check_loss(self.inputs.keys().map(String::as_str), outcomes.collect::<Vec<_>>())
    }

    /// Event ids that stand at several places: what a replay upstream said again.
    fn repeated_ids(&self) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let ids = self.inputs.values().flatten().map(String::as_str);
        ids.filter(|id| !seen.insert(*id)).collect()
    }

    fn is_emitted(&self, place: &str) -> bool {
        let event_id = self.inputs.get(place).and_then(Option::as_ref);
        event_id.is_some_and(|event_id| self.causes.contains(event_id))
    }
}

/// Names a place.
pub fn place(topic: &str, partition: i32, offset: i64) -> Place {
    format!("{topic}-{partition}@{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_1_finds_a_record_without_outcome() {
        let mut ledger = RoomLedger::default();
        ledger.input(place("t", 0, 1), Some("a".to_owned()));
        ledger.input(place("t", 0, 2), Some("b".to_owned()));
        ledger.output("a");
        let found: Vec<_> = ledger.violations().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["LOSS-1: input t-0@2 has no outcome"]);
    }

    #[test]
    fn a_suppressed_repetition_is_no_second_outcome() {
        let mut ledger = RoomLedger::default();
        ledger.input(place("t", 0, 1), Some("a".to_owned()));
        ledger.output("a");
        ledger.outcome(place("t", 0, 1), Outcome::Duplicate);
        assert_eq!(ledger.violations(), []);
    }

    #[test]
    fn a_replay_upstream_is_no_second_input() {
        let mut ledger = RoomLedger::default();
        for offset in [1, 9] {
            ledger.input(place("t", 0, offset), Some("a".to_owned()));
        }
        ledger.output("a");
        ledger.outcome(place("t", 0, 9), Outcome::Dropped);
        assert_eq!(ledger.violations(), []);
    }

    #[test]
    fn an_open_exception_beside_an_output_is_told() {
        let mut ledger = RoomLedger::default();
        ledger.input(place("t", 0, 1), Some("a".to_owned()));
        ledger.output("a");
        ledger.outcome(place("t", 0, 1), Outcome::Exception);
        assert_eq!(ledger.violations().len(), 1);
    }
}

//! All that is known of one record in one room, in order: what it was, what became of it, and when that was said.

use super::fact::{EffectFact, EffectStanding, Key, Output, RoomFact, Spot, Standing, Told, room_key};
use processor::laws::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one record in one room, in an order that is easy to judge.
#[derive(Debug, Default)]
pub struct Ledger<'a> {
    /// Places and times of the record; several when it was said again.
    pub inputs: Vec<(Spot, i64)>,
    /// Whether it has an event id.
    pub named: bool,
    /// The event that it follows from, where that is noted.
    pub cause: Option<Key>,
    /// Each event that was written because of it, once.
    pub outputs: Vec<&'a Output>,
    /// Those that are there again.
    pub again: Vec<(&'a Output, &'a Output)>,
    told: BTreeSet<Told>,
    /// When the last event or note was written, milliseconds since 1970.
    last_ms: Option<i64>,
    exceptions: BTreeMap<Key, (i64, Standing)>,
    parked: bool,
    /// The newest word on each effect.
    pub effects: BTreeMap<&'a str, &'a EffectFact>,
}

impl<'a> Ledger<'a> {
    /// Brings the facts about one record into order.
    #[must_use]
    pub fn of(facts: &'a [RoomFact]) -> Self {
        let mut ledger = Self::default();
        let mut firsts: BTreeMap<Key, &Output> = BTreeMap::new();
        for fact in facts {
            match fact {
                RoomFact::Input { spot, at_ms, named, cause } => {
                    ledger.named |= named;
                    ledger.cause = ledger.cause.or(*cause);
                    ledger.inputs.push((*spot, *at_ms));
                }
                RoomFact::Output(output) => {
                    ledger.last_ms = ledger.last_ms.max(Some(output.at_ms));
                    match firsts.get(&output.event) {
                        Some(first) => ledger.again.push((first, output)),
                        None => {
                            firsts.insert(output.event, output);
                            ledger.outputs.push(output);
                        }
                    }
                }
                RoomFact::Told { outcome, at_ms, .. } => {
                    ledger.last_ms = ledger.last_ms.max(Some(*at_ms));
                    ledger.told.insert(*outcome);
                }
                RoomFact::Exception { id, state, at_us } => {
                    let newest = ledger.exceptions.entry(*id).or_insert((*at_us, *state));
                    if *at_us >= newest.0 {
                        *newest = (*at_us, *state);
                    }
                }
                RoomFact::Parked { .. } => ledger.parked = true,
                RoomFact::Effect(effect) => {
                    let newest = ledger.effects.entry(&effect.effect_key).or_insert(effect);
                    // What is done stays done, whatever is written down about it later.
                    let settled = newest.state == EffectStanding::Applied && effect.state != EffectStanding::Applied;
                    if !settled && (effect.at_ms, effect.spot) >= (newest.at_ms, newest.spot) {
                        *newest = effect;
                    }
                }
            }
        }
        ledger.inputs.sort_unstable_by_key(|(spot, at_ms)| (*at_ms, *spot));
        ledger
    }

    /// Whether somebody has been asked already: an exception is open, or the record is parked.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.parked || self.stands(Standing::Open)
    }

    /// How the record has ended. An emitted one is never a duplicate too: suppressing a repetition is no second outcome. A
    /// settled exception leaves the word to what came after it, and is the outcome when nothing did.
    #[must_use]
    pub fn outcomes(&self) -> BTreeSet<Outcome> {
        let mut found: BTreeSet<Outcome> = self.told.iter().map(|told| Outcome::from(*told)).collect();
        if self.waits() {
            found.insert(Outcome::Exception);
        }
        if self.stands(Standing::Discarded) {
            found.insert(Outcome::Dropped);
        }
        if !self.outputs.is_empty() {
            found.remove(&Outcome::Duplicate);
            found.insert(Outcome::Emitted);
        }
        if found.is_empty() && self.stands(Standing::Resolved) {
            found.insert(Outcome::Exception);
        }
        found
    }

    /// Whether it may have ceased to wait while the comparison was reading: who waits is read first, and what became of it was
    /// written since.
    #[must_use]
    pub fn moved_since(&self, now_ms: i64) -> bool {
        self.waits() && self.last_ms.is_some_and(|last_ms| last_ms >= now_ms)
    }

    fn stands(&self, wanted: Standing) -> bool {
        self.exceptions.values().any(|(_, standing)| *standing == wanted)
    }

    /// Its event id, when it has one.
    #[must_use]
    pub fn event(&self, room: u8, key: Key) -> Option<Key> {
        let is_nameless = !self.inputs.is_empty() && !self.named;
        (!is_nameless).then(|| room_key(room, key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::super::fact::About;
    use super::*;

    fn spot(offset: i64) -> Spot {
        Spot { topic: 0, partition: 0, offset }
    }

    fn input(offset: i64) -> RoomFact {
        RoomFact::Input { spot: spot(offset), at_ms: offset, named: true, cause: None }
    }

    fn output(event: Key) -> RoomFact {
        RoomFact::Output(Output { spot: spot(1), at_ms: 1, event, about: About::Inside })
    }

    fn told(outcome: Told) -> RoomFact {
        RoomFact::Told { outcome, spot: spot(1), at_ms: 1 }
    }

    fn exception(state: Standing, at_us: i64) -> RoomFact {
        RoomFact::Exception { id: 7, state, at_us }
    }

    /// LOSS-1: the one outcome of each, or none, or several.
    #[test]
    fn what_a_record_has_become() {
        use Outcome::{Dropped, Duplicate, Emitted, Exception};
        let parked = || RoomFact::Parked { origin: spot(1) };
        let cases: [(&str, Vec<RoomFact>, &[Outcome]); 10] = [
            ("nothing is said", vec![input(1)], &[]),
            ("an event", vec![input(1), output(1)], &[Emitted]),
            (
                "a suppressed repetition is no second outcome",
                vec![input(1), output(1), told(Told::Duplicate)],
                &[Emitted],
            ),
            ("a repetition alone", vec![input(1), told(Told::Duplicate)], &[Duplicate]),
            ("parked", vec![input(1), parked()], &[Exception]),
            ("open beside an event", vec![input(1), output(1), exception(Standing::Open, 1)], &[Emitted, Exception]),
            (
                "a settled exception leaves the word to what came after it",
                vec![input(1), exception(Standing::Open, 1), exception(Standing::Resolved, 2), told(Told::Dropped)],
                &[Dropped],
            ),
            ("settled, and nothing came after it", vec![input(1), exception(Standing::Resolved, 2)], &[Exception]),
            ("given up", vec![input(1), exception(Standing::Discarded, 2)], &[Dropped]),
            (
                "the newest word counts",
                vec![exception(Standing::Discarded, 2), exception(Standing::Open, 1)],
                &[Dropped],
            ),
        ];
        for (name, facts, expected) in cases {
            let outcomes: Vec<Outcome> = Ledger::of(&facts).outcomes().into_iter().collect();
            assert_eq!(outcomes, expected, "{name}");
        }
    }

    #[test]
    fn what_was_applied_stays_so_whatever_is_written_later() {
        let effect = |state, at_ms| {
            RoomFact::Effect(EffectFact {
                spot: spot(at_ms),
                origin: spot(1),
                at_ms,
                effect_key: "k".to_owned(),
                document_key: "wl-1".to_owned(),
                document_id: String::new(),
                state,
            })
        };
        let facts =
            [effect(EffectStanding::Open, 1), effect(EffectStanding::Applied, 2), effect(EffectStanding::Open, 3)];
        assert_eq!(Ledger::of(&facts).effects["k"].state, EffectStanding::Applied);
        assert_eq!(Ledger::of(&facts[..1]).effects["k"].state, EffectStanding::Open);
    }

    #[test]
    fn an_event_that_is_there_twice_is_one_output_and_a_repetition() {
        let facts = [input(1), output(5), output(5), output(6)];
        let ledger = Ledger::of(&facts);
        assert_eq!((ledger.outputs.len(), ledger.again.len()), (2, 1));
    }

    #[test]
    fn what_was_written_since_the_run_began_may_have_ended_the_waiting() {
        let parked = || RoomFact::Parked { origin: spot(1) };
        let told = RoomFact::Told { outcome: Told::Dropped, spot: spot(1), at_ms: 9 };
        let moved = |facts: &[RoomFact], now_ms| Ledger::of(facts).moved_since(now_ms);
        assert!(moved(&[input(1), parked(), told.clone()], 9));
        assert!(moved(&[input(1), exception(Standing::Open, 1), output(5)], 1), "the event was written at 1");
        assert!(!moved(&[input(1), parked(), told.clone()], 10), "it was there before, and it waits all the same");
        assert!(!moved(&[input(1), told], 9), "it does not wait");
        assert!(!moved(&[input(1), parked()], 0), "nothing became of it");
    }
}

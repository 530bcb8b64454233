//! What a room read against what became of it (LOSS-1), and what it did outside against what it wrote about it (FX-1).

use super::difference::{Difference, Kind, Part};
use super::fact::{
    About, DocumentFact, EffectFact, EffectStanding, Key, Output, PostingFact, RoomFact, Spot, Standing, Told,
    event_id, room_key,
};
use super::proposal::Proposal;
use super::scope::{Accounted, Outside, Scope};
use super::sources::doubled;
use super::tally::Findings;
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
    cause: Option<Key>,
    /// Each event that was written because of it, once.
    pub outputs: Vec<&'a Output>,
    /// Those that are there again.
    again: Vec<(&'a Output, &'a Output)>,
    told: BTreeSet<Told>,
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
                RoomFact::Output(output) => match firsts.get(&output.event) {
                    Some(first) => ledger.again.push((first, output)),
                    None => {
                        firsts.insert(output.event, output);
                        ledger.outputs.push(output);
                    }
                },
                RoomFact::Told { outcome, .. } => {
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

    fn stands(&self, wanted: Standing) -> bool {
        self.exceptions.values().any(|(_, standing)| *standing == wanted)
    }
}

/// Compares all that is known of one record in one room; hands on what is to be compared with the ERP.
///
/// # Errors
/// What `documents` fails with.
pub fn compare<E>(
    room: u8,
    key: Key,
    facts: &[RoomFact],
    scope: &Scope,
    findings: &mut Findings,
    documents: &mut impl FnMut(&str, DocumentFact) -> Result<(), E>,
) -> Result<(), E> {
    let Some(accounted) = scope.room(room) else { return Ok(()) };
    let ledger = Ledger::of(facts);
    let event = ledger.event(room, key);
    for (first, last) in &ledger.again {
        // What came twice is told where it came in; that it goes on twice follows from that.
        let came_twice = ledger.inputs.len() > 1;
        if scope.window.has(last.at_ms) && !came_twice && !scope.replayed.contains(&last.spot.topic) {
            let found = doubled(last.event, first.spot, last.spot, last.at_ms, 2);
            findings.found(Difference { part: Part::Outcomes, ..found }.room(&accounted.name));
        }
    }
    let case = Case { accounted, ledger: &ledger, event, scope };
    let told = case.effects(findings);
    case.outcomes(told, findings);
    case.tally(findings);
    if accounted.outside == Outside::Erp { case.documents(documents) } else { Ok(()) }
}

/// One record in one room.
struct Case<'a> {
    accounted: &'a Accounted,
    ledger: &'a Ledger<'a>,
    /// Its event id, when it has one.
    event: Option<Key>,
    scope: &'a Scope,
}

impl Ledger<'_> {
    fn event(&self, room: u8, key: Key) -> Option<Key> {
        let is_nameless = !self.inputs.is_empty() && !self.named;
        (!is_nameless).then(|| room_key(room, key))
    }
}

impl Case<'_> {
    /// LOSS-1. What the effects have told already is not told again.
    fn outcomes(&self, told: bool, findings: &mut Findings) {
        let Some((newest, at_ms)) = self.ledger.inputs.last().copied() else { return };
        let outcomes = self.ledger.outcomes();
        let repeated = self.ledger.inputs.len() > 1;
        let counts = findings.room(&self.accounted.name);
        counts.read += self.ledger.inputs.len() as u64;
        let several = outcomes.len() > 1;
        match outcomes.first() {
            Some(outcome) => {
                counts.count(*outcome);
                for _ in 1..self.ledger.inputs.len() {
                    counts.count(Outcome::Duplicate);
                }
            }
            None if self.scope.in_time(newest.topic, at_ms) => {
                counts.late += 1;
                findings.late += 1;
            }
            None => {
                counts.missing += 1;
                if !told {
                    findings.found(self.lost(newest, at_ms));
                }
            }
        }
        // Of a record that was said again the outputs count, not what the repetition met.
        let replayed = self.accounted.writes.iter().any(|topic| self.scope.replayed.contains(topic));
        if several && !repeated && !replayed && !self.scope.in_time(newest.topic, at_ms) {
            findings.found(self.contradiction(newest, at_ms, &outcomes));
        }
    }

    /// FX-1. True when what is missing is told.
    fn effects(&self, findings: &mut Findings) -> bool {
        if self.accounted.outside == Outside::Nothing {
            return false;
        }
        let mut told = false;
        for effect in self.ledger.effects.values().filter(|effect| !effect.document_key.is_empty()) {
            let late = self.scope.in_time(effect.spot.topic, effect.at_ms);
            let is_written = self.ledger.outputs.iter().any(|output| is_about(output, effect));
            let difference = match effect.state {
                EffectStanding::Applied if !is_written => self.unwritten(effect),
                EffectStanding::Open if self.accounted.outside == Outside::Suppliers && !self.ledger.waits() => {
                    self.unanswered(effect)
                }
                // The comparison with the ERP tells it, with what the ERP knows of it.
                EffectStanding::Open if !self.ledger.waits() => {
                    told = true;
                    continue;
                }
                _ => continue,
            };
            told = true;
            if !self.scope.window.has(effect.at_ms) {
                continue;
            }
            if late {
                findings.late += 1;
            } else {
                findings.found(difference);
            }
        }
        for output in &self.ledger.outputs {
            let Some(difference) = self.output(output) else { continue };
            if !self.scope.window.has(output.at_ms) {
                continue;
            }
            if self.scope.in_time(output.spot.topic, output.at_ms) {
                findings.late += 1;
            } else {
                findings.found(difference);
            }
        }
        told
    }

    /// What is wrong with an output, by itself or for want of its effect record.
    fn output(&self, output: &Output) -> Option<Difference> {
        let applied = |key: &dyn Fn(&EffectFact) -> bool| {
            self.ledger.effects.values().any(|effect| effect.state == EffectStanding::Applied && key(effect))
        };
        match &output.about {
            About::Posting(posting) if acts(posting) && !applied(&|effect| effect.effect_key == posting.effect_key) => {
                Some(self.unrecorded(output, &posting.effect_key, ""))
            }
            About::Notice { notice_id, delivered: false } => Some(self.not_taken(output, notice_id)),
            About::Notice { notice_id, delivered: true } if !applied(&|effect| effect.document_key == *notice_id) => {
                Some(self.unrecorded(output, "", notice_id))
            }
            _ => None,
        }
    }

    fn tally(&self, findings: &mut Findings) {
        for output in self.ledger.outputs.iter().filter(|output| self.scope.window.has(output.at_ms)) {
            match &output.about {
                About::Posting(posting) => {
                    let centre = posting.cost_centre.as_deref();
                    findings.posted(&posting.kind, centre, &posting.currency, posting.amount);
                }
                About::Notice { delivered, .. } => findings.notices += u64::from(*delivered),
                About::Inside => {}
            }
        }
    }

    /// Effects and postings under the key of their document: what was brought back by a correction has one of its own.
    fn documents<E>(&self, documents: &mut impl FnMut(&str, DocumentFact) -> Result<(), E>) -> Result<(), E> {
        for effect in self.ledger.effects.values().filter(|effect| !effect.document_key.is_empty()) {
            let fact =
                DocumentFact::Effect { effect: (*effect).clone(), event: self.event, waits: self.ledger.waits() };
            documents(&effect.document_key, fact)?;
            if !self.ledger.outputs.iter().any(|output| is_about(output, effect)) {
                documents(&second(&effect.document_key), DocumentFact::Known)?;
            }
        }
        for output in &self.ledger.outputs {
            let About::Posting(posting) = &output.about else { continue };
            let Some(effect) = self.ledger.effects.get(posting.effect_key.as_str()).filter(|_| acts(posting)) else {
                continue;
            };
            let is_first = posting.document_id == effect.document_id || effect.document_id.is_empty();
            let document_key = if is_first { effect.document_key.clone() } else { second(&effect.document_key) };
            let fact = DocumentFact::Posting {
                posting: posting.clone(),
                spot: output.spot,
                at_ms: output.at_ms,
                event: self.event,
                cause: self.ledger.cause.zip(self.ledger.inputs.first().map(|(spot, _)| *spot)),
            };
            documents(&document_key, fact)?;
        }
        Ok(())
    }

    fn lost(&self, spot: Spot, at_ms: i64) -> Difference {
        let room = &self.accounted.name;
        let message = format!("{room} read {spot}, and nothing says what became of it (LOSS-1)");
        self.difference(Kind::Missing, Part::Outcomes, &self.subject(spot), at_ms, message)
            .place(spot)
            .replay(Proposal::again(room, spot), str::to_owned)
    }

    fn contradiction(&self, spot: Spot, at_ms: i64, outcomes: &BTreeSet<Outcome>) -> Difference {
        let room = &self.accounted.name;
        let names = outcomes.iter().map(|outcome| outcome.name()).collect::<Vec<_>>().join(", ");
        let message = format!("{room} ended {spot} in several ways: {names} (LOSS-1)");
        let next = match self.event {
            Some(event) => {
                format!("`wardline trace {}` shows all of them; decide the exception that is left", event_id(event))
            }
            None => "decide the exception that is left".to_owned(),
        };
        self.difference(Kind::Contradiction, Part::Outcomes, &self.subject(spot), at_ms, message)
            .place(spot)
            .sides("one outcome", names)
            .next(next)
    }

    /// An effect happened and no event tells of it.
    fn unwritten(&self, effect: &EffectFact) -> Difference {
        let room = &self.accounted.name;
        let message = format!(
            "{room} did what {} asks for, as document {}, and no event tells of it (FX-1)",
            effect.origin, effect.document_key
        );
        self.difference(Kind::Missing, Part::Effects, &effect.effect_key, effect.at_ms, message)
            .place(effect.spot)
            .effect(&effect.effect_key, &effect.document_key)
            .next("add it to what reads the events by hand: a replay would be suppressed, because the effect happened. The effect record at the place holds the event")
    }

    /// An event tells of an effect that no record knows.
    fn unrecorded(&self, output: &Output, effect_key: &str, document_key: &str) -> Difference {
        let room = &self.accounted.name;
        let message =
            format!("{} tells of something that {room} did, and no effect record knows it (FX-1)", output.spot);
        let subject = format!("recorded/{}", event_id(output.event));
        self.difference(Kind::Missing, Part::Effects, &subject, output.at_ms, message)
            .place(output.spot)
            .effect(effect_key, document_key)
            .next("compare it with the other side and settle it there by hand: a replay would do it once more, because nothing would suppress it")
    }

    /// A supplier was called and nobody knows the answer.
    fn unanswered(&self, effect: &EffectFact) -> Difference {
        let key = &effect.document_key;
        let message = format!("notice {key} about {} has no answer of the supplier", effect.origin);
        self.difference(Kind::NotAcknowledged, Part::Suppliers, key, effect.at_ms, message)
            .place(effect.origin)
            .effect(&effect.effect_key, key)
            .replay(Proposal::again(&self.accounted.name, effect.origin), |command| {
                format!("ask the supplier for the notice; if it has none: {command}")
            })
    }

    /// A supplier said no.
    fn not_taken(&self, output: &Output, notice_id: &str) -> Difference {
        let message = format!("notice {notice_id} at {} was not taken by the supplier", output.spot);
        self.difference(Kind::NotAcknowledged, Part::Suppliers, notice_id, output.at_ms, message)
            .place(output.spot)
            .effect("", notice_id)
            .next("ask the supplier why; tell it by other means when it should have known")
    }

    fn difference(&self, kind: Kind, part: Part, subject: &str, at_ms: i64, message: String) -> Difference {
        Difference::new(kind, part, subject, at_ms, message).room(&self.accounted.name).event(self.event.map(event_id))
    }

    fn subject(&self, spot: Spot) -> String {
        let record = self.event.map_or_else(|| spot.to_string(), event_id);
        format!("{}/{record}", self.accounted.name)
    }
}

/// The key of the document with which a correction brings back what was posted elsewhere before.
fn second(document_key: &str) -> String {
    format!("{document_key}-1")
}

/// Whether a posting moved something.
fn acts(posting: &PostingFact) -> bool {
    posting.kind != schemas::PostingKind::NoneNeeded.as_str()
}

/// Whether an output tells of an effect.
fn is_about(output: &Output, effect: &EffectFact) -> bool {
    match &output.about {
        About::Posting(posting) => posting.effect_key == effect.effect_key,
        About::Notice { notice_id, .. } => *notice_id == effect.document_key,
        About::Inside => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
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
        RoomFact::Told { outcome, spot: spot(1) }
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
}

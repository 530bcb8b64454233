//! What a room read against what became of it (LOSS-1), and what it did outside against what it wrote about it (FX-1).

use super::difference::{Difference, Kind, Part};
use super::fact::{
    About, DocumentFact, EffectFact, EffectStanding, Key, Output, PostingFact, RoomFact, Spot, event_id,
};
use super::ledger::Ledger;
use super::proposal::Proposal;
use super::scope::{Accounted, Outside, Scope};
use super::sources::doubled;
use super::tally::Findings;
use processor::laws::Outcome;
use std::collections::BTreeSet;

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

impl Case<'_> {
    /// LOSS-1. What the effects have told already is not told again.
    fn outcomes(&self, told: bool, findings: &mut Findings) {
        let Some((newest, at_ms)) = self.ledger.inputs.last().copied() else { return };
        let mut outcomes = self.ledger.outcomes();
        if self.ledger.moved_since(self.scope.now_ms) && outcomes.remove(&Outcome::Exception) {
            // Whether it waits still is told by the next run.
            findings.late += 1;
        }
        if outcomes.is_empty() && self.scope.hides(Part::Outcomes, at_ms) {
            return;
        }
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
                EffectStanding::Applied if !is_written && self.scope.hides(Part::Effects, effect.at_ms) => continue,
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

    /// Effects and postings under the key of their document: what was brought back by a correction has one of its own, which the
    /// same effect must have made.
    fn documents<E>(&self, documents: &mut impl FnMut(&str, DocumentFact) -> Result<(), E>) -> Result<(), E> {
        for effect in self.ledger.effects.values().filter(|effect| !effect.document_key.is_empty()) {
            let fact =
                |effect: EffectFact| DocumentFact::Effect { effect, event: self.event, waits: self.ledger.waits() };
            documents(&effect.document_key, fact((*effect).clone()))?;
            let is_second = |output: &&Output| match &output.about {
                About::Posting(posting) => posting.effect_key == effect.effect_key && !is_first(posting, effect),
                _ => false,
            };
            if effect.state == EffectStanding::Applied && self.ledger.outputs.iter().any(is_second) {
                let document_key = second(&effect.document_key);
                let of_second = EffectFact { document_key: document_key.clone(), ..(*effect).clone() };
                documents(&document_key, fact(of_second))?;
            }
            if !self.ledger.outputs.iter().any(|output| is_about(output, effect)) {
                documents(&second(&effect.document_key), DocumentFact::Known)?;
            }
        }
        for output in &self.ledger.outputs {
            let About::Posting(posting) = &output.about else { continue };
            let Some(effect) = self.ledger.effects.get(posting.effect_key.as_str()).filter(|_| acts(posting)) else {
                continue;
            };
            let document_key = match is_first(posting, effect) {
                true => effect.document_key.clone(),
                false => second(&effect.document_key),
            };
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

/// Whether a posting is about the first document of its effect.
fn is_first(posting: &PostingFact, effect: &EffectFact) -> bool {
    !acts(posting) || posting.document_id == effect.document_id || effect.document_id.is_empty()
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
    use super::super::fact::Told;
    use super::super::reach::Reach;
    use super::super::sample::Day;
    use super::*;

    /// What is told of a record of the first room, read an hour before the run began.
    fn found(facts: &[RoomFact], adjust: impl FnOnce(&mut Scope)) -> (Vec<String>, u64) {
        let mut scope = Day::new(10, &[]).scope();
        adjust(&mut scope);
        let mut findings = Findings::default();
        let spot = Spot::new("clinical.supply-usage.v1", 0, 1).unwrap();
        let input = RoomFact::Input { spot, at_ms: scope.window.until_ms - 1, named: true, cause: None };
        let facts = [&[input], facts].concat();
        compare(0, 1, &facts, &scope, &mut findings, &mut |_: &str, _| Ok::<(), ()>(())).unwrap();
        (findings.differences.iter().map(|one| one.code.clone()).collect(), findings.late)
    }

    #[test]
    fn what_ceased_to_wait_while_it_was_read_is_no_contradiction() {
        let spot = Spot::new("ops.parked.v1", 0, 1).unwrap();
        let now_ms = Day::new(10, &[]).scope().now_ms;
        let dropped = |at_ms| RoomFact::Told { outcome: Told::Dropped, spot, at_ms };
        let parked = RoomFact::Parked { origin: spot };
        assert_eq!(found(&[parked.clone(), dropped(now_ms)], |_| ()), (Vec::new(), 1));
        let before = found(&[parked, dropped(now_ms - 1)], |_| ());
        assert_eq!(before, (vec!["WL-7180".to_owned()], 0));
    }

    #[test]
    fn what_became_of_a_record_may_be_gone() {
        let reach = |topic: &str, scope: &mut Scope| {
            scope.reaches = vec![Reach { topic: topic.to_owned(), from_ms: scope.window.until_ms }];
        };
        assert_eq!(found(&[], |_| ()).0, ["WL-7170"]);
        assert_eq!(found(&[], |scope| reach("ops.receipt.v1", scope)).0, ["WL-7170"]);
        assert_eq!(found(&[], |scope| reach("supply.usage-validated.v1", scope)), (Vec::new(), 0));
    }
}

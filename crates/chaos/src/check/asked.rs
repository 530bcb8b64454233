//! What a person is asked about, and what must have gone through because nobody is asked about it.

use super::decide::{name, signatures, violation};
use super::evidence::{Evidence, Stage};
use crate::load::{Kind, of_signature};
use processor::laws::{Law, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// Encounters about which a person is asked.
pub(super) fn encounters(evidence: &Evidence) -> BTreeSet<u32> {
    evidence.asked.iter().filter_map(|one| of_signature(one.signature?)).map(|(encounter, _)| encounter).collect()
}

/// The first use of each encounter that cannot go through; what comes behind it may wait with it.
fn first_failing(evidence: &Evidence) -> BTreeMap<u32, u32> {
    let fails = |kind| matches!(kind, Kind::UnknownItem | Kind::NoLot | Kind::Refused);
    let failing = evidence.sent.iter().filter(|one| fails(one.kind)).filter_map(|one| of_signature(one.signature));
    let mut first: BTreeMap<u32, u32> = BTreeMap::new();
    for (encounter, seq) in failing {
        let known = first.entry(encounter).or_insert(seq);
        *known = seq.min(*known);
    }
    first
}

/// From end to end: what was accepted and nobody is asked about is enriched, has its posting, and its notice when one is due. So
/// is what comes before the use about which a person is asked.
pub(super) fn halfway(evidence: &Evidence) -> Vec<Violation> {
    let (asked, failing) = (encounters(evidence), first_failing(evidence));
    let waits = |(encounter, seq): (u32, u32)| {
        asked.contains(&encounter) && failing.get(&encounter).is_none_or(|first| seq >= *first)
    };
    let acted = |stage| -> BTreeSet<u32> {
        evidence.stage(stage).iter().filter(|one| one.acted).filter_map(|one| one.signature).collect()
    };
    let enriched = signatures(evidence.stage(Stage::Enriched));
    let (posted, told) = (acted(Stage::Posting), acted(Stage::Notice));
    let mut violations = Vec::new();
    for sent in evidence.sent.iter().filter(|one| one.accepted_ms.is_some()) {
        let one = sent.signature;
        if of_signature(one).is_none_or(waits) {
            continue;
        }
        let (moves, tells) = match sent.kind {
            // The ERP forgets at a restart what it is to refuse.
            Kind::Stock | Kind::Refused => (true, false),
            Kind::StockAndNotice => (true, true),
            Kind::Consigned => (false, true),
            // Somebody must be asked about these.
            Kind::UnknownItem | Kind::NoLot => (true, true),
        };
        let missing = [
            (!enriched.contains(&one), "is not enriched"),
            // What moves nothing has a posting without a quantity, which each room's own account covers.
            (moves && !posted.contains(&one), "has no posting"),
            (tells && !told.contains(&one), "has no notice"),
        ];
        let missing: Vec<&str> =
            missing.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, what)| what).collect();
        if !missing.is_empty() {
            let what = missing.join(" and ");
            violations.push(violation(Law::Loss1, format!("{} {what}, and nobody is asked about it", name(one))));
        }
    }
    violations
}

/// A person is asked about a use with which nothing is wrong: what passes by itself was given up, and the key waits for that
/// person.
pub(super) fn given_up(evidence: &Evidence, healthy: &BTreeSet<u32>) -> Vec<Violation> {
    let about = evidence.asked.iter().filter_map(|one| Some((one, one.signature.filter(|it| healthy.contains(it))?)));
    about
        .map(|(one, signature)| {
            let about = name(signature);
            violation(Law::Key1, format!("{} asks about {about}, with which nothing is wrong: {}", one.room, one.code))
        })
        .collect()
}

//! From evidence to a verdict for each law.

use super::account;
use super::asked;
use super::copies;
use super::evidence::{Effect, Evidence, KeptRecord, Seen, Stage, Wait};
use super::moments;
use crate::load::{Kind, of_signature};
use crate::proxy::Doubts;
use processor::laws::{
    Kept, Law, Violation, check_bounds, check_delays, check_effects, check_once, check_order, check_phi, check_raw,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A healthy key that waits longer in calm is held up by somebody: the budget of flows next to the patient, milliseconds.
const DELAY_MAX_MS: u64 = 60_000;
/// After a fault so long is not calm, milliseconds.
const RECOVERY_MS: i64 = 30_000;
/// Longest wait of a healthy key for one room, the storm included, milliseconds: two transaction time-outs and a session
/// time-out of whoever died, and the longest fault. Whatever takes longer waits for something that has no bound.
const WAIT_MAX_MS: usize = 120_000;
/// Fewer posts whose answer was lost say nothing about whether anybody looks before posting again.
const UNHEARD_MIN: u64 = 4;
/// Highest memory that a process of Wardline may take, MB.
const MEMORY_MAX_MB: usize = 512;

/// What is said of a law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It held.
    Held,
    /// It was broken.
    Broken,
    /// There was nothing to decide it by.
    Undecided,
}

/// A law, decided.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Which.
    pub law: Law,
    /// How.
    pub verdict: Verdict,
    /// What was looked at, in words and numbers.
    pub looked_at: String,
    /// What broke it.
    pub violations: Vec<Violation>,
}

/// Decides all laws that a storm can break.
#[must_use]
pub fn decide(evidence: &Evidence) -> Vec<Decided> {
    vec![
        loss(evidence),
        order(evidence),
        key(evidence),
        once(evidence),
        effects(evidence),
        raw(evidence),
        phi(evidence),
        bounds(evidence),
    ]
}

fn decided(law: Law, looked: usize, looked_at: String, violations: Vec<Violation>) -> Decided {
    let verdict = match (violations.is_empty(), looked) {
        (false, _) => Verdict::Broken,
        (true, 0) => Verdict::Undecided,
        (true, _) => Verdict::Held,
    };
    Decided { law, verdict, looked_at, violations }
}

pub(super) fn violation(law: Law, detail: String) -> Violation {
    Violation { law, detail }
}

/// Encounter and number of a use, in words.
pub(super) fn name(signature: u32) -> String {
    of_signature(signature)
        .map_or(format!("signature {signature}"), |(encounter, seq)| format!("use {encounter}/{seq}"))
}

pub(super) fn signatures(seen: &[Seen]) -> BTreeSet<u32> {
    seen.iter().filter_map(|one| one.signature).collect()
}

/// LOSS-1.
pub(super) fn loss(evidence: &Evidence) -> Decided {
    let law = Law::Loss1;
    let mut violations = Vec::new();
    let arrived = signatures(evidence.stage(Stage::Usage));
    for sent in &evidence.sent {
        if sent.accepted_ms.is_none() {
            violations.push(violation(law, format!("{}: its message was never accepted", name(sent.signature))));
        } else if !arrived.contains(&sent.signature) {
            violations.push(violation(law, format!("{} was accepted and is not on the topic", name(sent.signature))));
        }
    }
    violations.extend(moments::answered_early(evidence));
    violations.extend(receipts(evidence));
    violations.extend(asked::halfway(evidence));
    violations.extend(evidence.rooms.iter().flat_map(account::check));
    violations.extend(copies::of_nothing(evidence));
    violations.extend(untold(evidence, Stage::Posting, &evidence.ledger, "the ERP's books"));
    violations.extend(untold(evidence, Stage::Notice, &evidence.notices, "the suppliers"));
    let rows: BTreeSet<&str> = evidence.lake.iter().map(String::as_str).collect();
    let missing = evidence.for_the_lake().filter(|place| !rows.contains(place.as_str()));
    violations.extend(missing.map(|place| violation(law, format!("the lake has no row of {place}"))));
    let records: usize = evidence.rooms.iter().map(|room| room.inputs.len()).sum();
    let rooms: Vec<String> = evidence.rooms.iter().map(|room| format!("{} {}", room.room, room.inputs.len())).collect();
    let looked_at = format!(
        "{} uses sent, {} on the topic; {records} records read by rooms ({}), each with its outcome; {} receipts; {} rows in the lake",
        evidence.sent.len(),
        arrived.len(),
        rooms.join(", "),
        evidence.receipts.len(),
        rows.len()
    );
    decided(law, evidence.sent.len(), looked_at, violations)
}

/// Every accepted message has a receipt, and every event that a receipt promises is on its topic.
fn receipts(evidence: &Evidence) -> Vec<Violation> {
    let with: BTreeSet<&str> = evidence.receipts.iter().map(|(control_id, _)| control_id.as_str()).collect();
    let accepted = evidence.sent.iter().filter(|one| one.accepted_ms.is_some()).map(|one| one.control_id.as_str());
    let without: BTreeSet<&str> = accepted.filter(|one| !with.contains(one)).collect();
    let there: BTreeSet<&str> = evidence.stage(Stage::Usage).iter().map(|seen| seen.event_id.as_str()).collect();
    let promised = evidence.receipts.iter().flat_map(|(message, ids)| ids.iter().map(move |id| (message, id)));
    let broken = promised.filter(|(_, id)| !there.contains(id.as_str()));
    let without = without.into_iter().map(|one| format!("message {one} was accepted and has no receipt"));
    let broken = broken.map(|(message, id)| format!("the receipt of {message} promises {id}, which is not there"));
    without.chain(broken).map(|detail| violation(Law::Loss1, detail)).collect()
}

/// What happened outside and no event tells of it.
fn untold(evidence: &Evidence, stage: Stage, effects: &[Effect], side: &str) -> Vec<Violation> {
    let told: BTreeSet<u32> =
        evidence.stage(stage).iter().filter(|one| one.acted).filter_map(|one| one.signature).collect();
    let effects: BTreeSet<u32> = effects.iter().map(|effect| effect.signature).collect();
    let untold = effects.difference(&told);
    untold
        .map(|one| {
            violation(
                Law::Loss1,
                format!("{} is with {side}, and no event on {} tells of it", name(*one), stage.topic()),
            )
        })
        .collect()
}

/// ORD-1: by the first time that each use is seen; doubles are EOS-1 and FX-1.
pub(super) fn order(evidence: &Evidence) -> Decided {
    let mut violations = Vec::new();
    let mut looked = 0;
    for stage in Stage::ALL {
        let mut by_partition: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for seen in evidence.stage(stage) {
            by_partition.entry(seen.partition).or_default().extend(seen.signature);
        }
        let spread = by_partition.values().flat_map(|all| {
            all.iter().filter_map(|one| of_signature(*one)).map(|(key, _)| key).collect::<BTreeSet<_>>()
        });
        let mut partitions: BTreeMap<u32, usize> = BTreeMap::new();
        spread.for_each(|key| *partitions.entry(key).or_default() += 1);
        for (partition, all) in by_partition {
            looked += all.len();
            violations.extend(out_of_order(&all, &format!("{}-{partition}", stage.topic())));
        }
        // Notices are keyed by supplier; the others by encounter, so that an encounter is in one partition.
        let strayed = partitions.into_iter().filter(|(_, count)| stage != Stage::Notice && *count > 1);
        violations.extend(strayed.map(|(key, count)| {
            violation(Law::Ord1, format!("encounter {key} is in {count} partitions of {}", stage.topic()))
        }));
    }
    for (effects, side) in [(&evidence.ledger, "the ERP's books"), (&evidence.notices, "the suppliers")] {
        let all: Vec<u32> = effects.iter().map(|effect| effect.signature).collect();
        looked += all.len();
        violations.extend(out_of_order(&all, side));
    }
    let encounters: BTreeSet<u32> =
        evidence.sent.iter().filter_map(|sent| of_signature(sent.signature)).map(|(encounter, _)| encounter).collect();
    let looked_at = format!(
        "{looked} places of {} keys, on five topics, in the ERP's books and at the suppliers",
        encounters.len()
    );
    decided(Law::Ord1, looked, looked_at, violations)
}

fn out_of_order(signatures: &[u32], side: &str) -> Vec<Violation> {
    let mut first = BTreeSet::new();
    let seen: Vec<(String, String)> = signatures
        .iter()
        .filter(|one| first.insert(**one))
        .filter_map(|one| of_signature(*one))
        .map(|(key, seq)| (key.to_string(), format!("{seq:03}")))
        .collect();
    let mut sent = seen.clone();
    sent.sort();
    let mut found = check_order(
        sent.iter().map(|(key, seq)| (key.as_str(), seq.as_str())),
        seen.iter().map(|(key, seq)| (key.as_str(), seq.as_str())),
    );
    for one in &mut found {
        one.detail = format!("{side}: {}", one.detail);
    }
    found
}

/// KEY-1: in calm, keys that have nothing to wait for are through within their budget, beside those that fail.
pub(super) fn key(evidence: &Evidence) -> Decided {
    let healthy: BTreeSet<u32> = evidence.sent.iter().filter(|one| !one.fails).map(|one| one.signature).collect();
    let mut ends: BTreeMap<u32, i64> = BTreeMap::new();
    for seen in evidence.stage(Stage::Enriched) {
        if let Some(signature) = seen.signature {
            ends.entry(signature).or_insert(seen.at_ms);
        }
    }
    let is_calm = |at_ms: i64| {
        evidence.faults.iter().all(|(began, healed)| at_ms < *began - RECOVERY_MS || at_ms > healed + RECOVERY_MS)
    };
    // Whoever is asked about stands still by decision; whoever else is not through yet waits until now.
    let asked = asked::encounters(evidence);
    let now = evidence.topics.values().flatten().map(|seen| seen.at_ms).max().unwrap_or_default();
    let mut delays = Vec::new();
    let mut seen_already = BTreeSet::new();
    for seen in evidence.stage(Stage::Usage) {
        let Some(signature) = seen.signature.filter(|one| healthy.contains(one) && is_calm(seen.at_ms)) else {
            continue;
        };
        let is_asked = of_signature(signature).is_some_and(|(encounter, _)| asked.contains(&encounter));
        let end = ends.get(&signature).copied().or((!is_asked).then_some(now));
        if let Some(end) = end.filter(|_| seen_already.insert(signature)) {
            delays.push((name(signature), u64::try_from(end - seen.at_ms).unwrap_or_default()));
        }
    }
    let mut violations = check_delays(delays.iter().map(|(name, delay)| (name.as_str(), *delay)), DELAY_MAX_MS);
    violations.extend(moments::backwards(evidence));
    violations.extend(asked::given_up(evidence, &healthy));
    let mut sorted: Vec<u64> = delays.iter().map(|(_, delay)| *delay).collect();
    sorted.sort_unstable();
    let failing = evidence
        .sent
        .iter()
        .filter(|one| one.fails)
        .filter_map(|one| of_signature(one.signature))
        .map(|(encounter, _)| encounter);
    let looked_at = format!(
        "{} uses of healthy keys in calm, beside {} failing keys: half within {} ms, 99 of 100 within {} ms, all within {} ms",
        sorted.len(),
        failing.collect::<BTreeSet<_>>().len(),
        share(&sorted, 50),
        share(&sorted, 99),
        share(&sorted, 100),
    );
    decided(Law::Key1, sorted.len(), looked_at, violations)
}

/// The value below which so many of a hundred lie.
pub(crate) fn share(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// EOS-1.
pub(super) fn once(evidence: &Evidence) -> Decided {
    let mut violations = Vec::new();
    for (topic, ids) in &evidence.ids {
        for mut found in check_once(ids.iter().map(String::as_str)) {
            found.detail = format!("{topic}: {}", found.detail);
            violations.push(found);
        }
    }
    violations.extend(copies::check(evidence));
    violations.extend(check_once(evidence.told.iter().map(String::as_str)));
    for mut found in check_once(evidence.lake.iter().map(String::as_str)) {
        found.detail = format!("the lake: {}", found.detail);
        violations.push(found);
    }
    // Another id for the same fact is a double, too.
    for stage in Stage::ALL {
        let mut ids: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for seen in evidence.stage(stage) {
            if let Some(signature) = seen.signature {
                ids.entry(signature).or_default().insert(&seen.event_id);
            }
        }
        let doubled = ids.into_iter().filter(|(_, ids)| ids.len() > 1);
        violations.extend(doubled.map(|(signature, ids)| {
            violation(Law::Eos1, format!("{}: {} has {} ids", stage.topic(), name(signature), ids.len()))
        }));
    }
    let (copies, of_sources) = copies::counts(evidence);
    let looked = evidence.ids.values().map(Vec::len).sum::<usize>() + of_sources;
    let topics = evidence.ids.len() + evidence.sources.len();
    let looked_at = format!(
        "{looked} event ids on {topics} topics, {} dead letters and exceptions; {copies} copies on topics that sources write, left out",
        evidence.told.len()
    );
    decided(Law::Eos1, looked, looked_at, violations)
}

/// FX-1.
pub(super) fn effects(evidence: &Evidence) -> Decided {
    let mut violations = Vec::new();
    for (stage, effects, side) in
        [(Stage::Posting, &evidence.ledger, "the ERP's books"), (Stage::Notice, &evidence.notices, "the suppliers")]
    {
        let acted = evidence.stage(stage).iter().filter(|one| one.acted).filter_map(|one| one.signature);
        let expected: BTreeSet<String> = acted.map(name).collect();
        let there: Vec<String> = effects.iter().map(|effect| name(effect.signature)).collect();
        for mut found in check_effects(expected.iter().map(String::as_str), there.iter().map(String::as_str)) {
            let documents = effects.iter().filter(|one| found.detail.contains(&format!("{} ", name(one.signature))));
            let documents: Vec<&str> = documents.map(|one| one.document.as_str()).collect();
            found.detail = format!("{side}: {} (documents {})", found.detail, documents.join(", "));
            violations.push(found);
        }
    }
    let kinds: BTreeMap<u32, Kind> = evidence.sent.iter().map(|one| (one.signature, one.kind)).collect();
    for effect in &evidence.ledger {
        if !matches!(kinds.get(&effect.signature), Some(Kind::Stock | Kind::StockAndNotice | Kind::Refused)) {
            violations
                .push(violation(Law::Fx1, format!("the ERP's books: {} was not to be posted", name(effect.signature))));
        }
    }
    for notice in &evidence.notices {
        if !matches!(kinds.get(&notice.signature), Some(Kind::StockAndNotice | Kind::Consigned)) {
            violations.push(violation(
                Law::Fx1,
                format!("the suppliers: nobody was to be told of {}", name(notice.signature)),
            ));
        }
    }
    violations.extend(repeats(evidence));
    let looked = evidence.ledger.len() + evidence.notices.len();
    let [erp, suppliers] = evidence.doubts;
    let looked_at = format!(
        "{} movements in the ERP's books, {} notices at the suppliers; of {} and {} posts whose answer was lost {} and {} came again",
        evidence.ledger.len(),
        evidence.notices.len(),
        erp.unheard,
        suppliers.unheard,
        erp.repeated,
        suppliers.repeated
    );
    decided(Law::Fx1, looked, looked_at, violations)
}

/// Who looks before posting again finds what was carried out. Now and then a process was frozen between its look and its call,
/// and the key keeps that from harm; when most of what nobody heard of comes again, nobody looks.
fn repeats(evidence: &Evidence) -> Vec<Violation> {
    let sides = evidence.doubts.iter().zip(["the ERP", "the suppliers"]);
    let blind = sides.filter(|(doubts, _)| doubts.unheard >= UNHEARD_MIN && doubts.repeated * 2 > doubts.unheard);
    let told = |(doubts, side): (&Doubts, &str)| {
        let Doubts { unheard, repeated } = doubts;
        let text = format!("{repeated} posts came to {side} again, of {unheard} whose answer was lost: nobody looked");
        violation(Law::Fx1, text)
    };
    blind.map(told).collect()
}

/// RAW-1. What never came says nothing about what becomes of bytes that nobody can read: without all of the records that are no
/// events there is nothing to decide it by.
pub(super) fn raw(evidence: &Evidence) -> Decided {
    let mut violations: Vec<Violation> = evidence.kept.iter().flat_map(compare).collect();
    let kept: BTreeSet<&str> = evidence.kept.iter().map(|one| one.place.as_str()).collect();
    let unkept = evidence.garbage.iter().filter(|(_, place)| !kept.contains(place.as_str()));
    violations.extend(unkept.map(|(key, place)| {
        violation(Law::Raw1, format!("{key} at {place} is no event, and no dead letter or exception keeps it"))
    }));
    let came: BTreeSet<&str> = evidence.garbage.iter().map(|(key, _)| key.as_str()).collect();
    let all_came = !came.is_empty() && came.len() >= evidence.garbage_sent;
    let looked_at = format!(
        "{} exceptions and dead letters, compared with the records that they are about; {} of {} records that are no events came",
        evidence.kept.len(),
        came.len(),
        evidence.garbage_sent
    );
    decided(Law::Raw1, if all_came { evidence.kept.len() } else { 0 }, looked_at, violations)
}

fn compare(one: &KeptRecord) -> Vec<Violation> {
    let told: Vec<(&str, Option<&str>)> = one.told.iter().map(|(name, text)| (*name, text.as_deref())).collect();
    let original = one.original.as_ref().map(|bytes| kept(&one.place, bytes));
    check_raw(original.as_ref(), &kept(&one.place, &one.kept), &told)
}

fn kept<'a>(place: &'a str, bytes: &'a super::evidence::Bytes) -> Kept<'a> {
    Kept {
        place,
        key: bytes.key.as_deref(),
        value: bytes.value.as_deref(),
        headers: bytes.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect(),
    }
}

/// PHI-1.
pub(super) fn phi(evidence: &Evidence) -> Decided {
    let values: Vec<&str> = evidence.planted.iter().map(String::as_str).collect();
    let suspects = evidence.suspects.iter().map(|(place, text)| (place.as_str(), text.as_str()));
    let violations = check_phi(&values, suspects);
    let (texts, bytes) = evidence.texts;
    let looked_at = format!(
        "{} planted names and numbers, looked for in {texts} keys, headers, logs, metrics, documents and notices ({} MB)",
        values.len(),
        bytes / 1_000_000
    );
    decided(Law::Phi1, usize::try_from(texts).unwrap_or(usize::MAX), looked_at, violations)
}

/// BND-1, as far as it can be seen from outside: memory, waits, whether processes end when they are told to and only then, and
/// whether everything becomes quiet.
pub(super) fn bounds(evidence: &Evidence) -> Decided {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let peaks = evidence.peaks_mb.iter().filter(|(_, peak)| **peak > 0);
    let measured: Vec<(String, usize, usize)> =
        peaks.map(|(name, peak)| (format!("memory of {name} in MB"), size(*peak), MEMORY_MAX_MB)).collect();
    let highest = measured.iter().map(|(_, peak, _)| *peak).max().unwrap_or_default();
    let mut waits = Vec::new();
    for (room, all) in evidence.waits() {
        let named =
            |(wait, _, one): &Wait| (format!("wait of {} for {room} in ms", name(*one)), size(*wait), WAIT_MAX_MS);
        // The longest first: they are the ones that are shown.
        waits.extend(all.iter().rev().map(named));
    }
    let longest = waits.iter().map(|(_, wait, _)| *wait).max().unwrap_or_default();
    let all = measured.iter().chain(&waits);
    let mut violations = check_bounds(all.map(|(what, seen, most)| (what.as_str(), *seen, *most)));
    if evidence.stood_still > 0 {
        let what = format!(
            "{} records stood still in calm until all rooms were killed and started anew",
            evidence.stood_still
        );
        violations.insert(0, violation(Law::Bnd1, what));
    }
    if !evidence.restless.is_empty() {
        let what = format!("it did not become quiet: what still moved was {}", evidence.restless.join(", "));
        violations.insert(0, violation(Law::Bnd1, what));
    }
    let ended = evidence.ended.iter();
    violations.extend(ended.map(|name| violation(Law::Bnd1, format!("{name} ended, and nobody had told it to"))));
    let overstayed = evidence.overstayed.iter();
    violations.extend(overstayed.map(|name| {
        violation(Law::Bnd1, format!("{name} did not end within 30 s of SIGTERM, though its drain is bounded by 10 s"))
    }));
    let looked_at = format!(
        "memory of {} processes, at most {highest} MB (allowed {MEMORY_MAX_MB}); {} waits for rooms, at most {longest} ms \
         (allowed {WAIT_MAX_MS}); ends of processes, told and untold; whether everything became quiet",
        measured.len(),
        waits.len()
    );
    decided(Law::Bnd1, measured.len(), looked_at, violations)
}

//! Receipts against events: every event that a receipt promises is there once, and every event has a receipt.

use super::difference::{Difference, Kind, Part};
use super::fact::{Key, SourceFact, Spot, event_id};
use super::scope::Scope;
use super::tally::Findings;

/// Compares all that is known of one event of a source.
pub fn compare(key: Key, facts: &[SourceFact], scope: &Scope, findings: &mut Findings) {
    let mut promised: Option<(Spot, i64)> = None;
    let mut is_promised = false;
    let mut events: Vec<(Spot, i64)> = Vec::new();
    let mut receipted = true;
    for fact in facts {
        match fact {
            SourceFact::Promised { spot, at_ms } => {
                is_promised = true;
                // The oldest receipt of the window speaks: a message that was sent again has several.
                if scope.window.has(*at_ms) && promised.is_none_or(|(_, oldest)| *at_ms < oldest) {
                    promised = Some((*spot, *at_ms));
                }
            }
            SourceFact::Event { spot, at_ms, receipted: promises } => {
                receipted &= promises;
                events.push((*spot, *at_ms));
            }
        }
    }
    events.sort_unstable_by_key(|(spot, at_ms)| (*at_ms, *spot));
    findings.promised += u64::from(promised.is_some());
    findings.events += u64::try_from(events.iter().filter(|(_, at_ms)| scope.window.has(*at_ms)).count()).unwrap_or(0);
    match (promised, events.as_slice()) {
        (Some((spot, at_ms)), []) => missing(key, spot, at_ms, scope, findings),
        (_, [(spot, at_ms)]) if !is_promised && receipted && scope.window.has(*at_ms) => {
            unpromised(key, *spot, *at_ms, scope, findings);
        }
        (_, [(first, _), .., (last, at_ms)]) if scope.window.has(*at_ms) && !scope.replayed.contains(&last.topic) => {
            findings.found(doubled(key, *first, *last, *at_ms, events.len()));
        }
        _ => {}
    }
}

fn missing(key: Key, spot: Spot, at_ms: i64, scope: &Scope, findings: &mut Findings) {
    if scope.hides(Part::Receipts, at_ms) {
        return;
    }
    if scope.in_time(spot.topic, at_ms) {
        findings.late += 1;
        return;
    }
    let id = event_id(key);
    let message = format!("event {id} was acknowledged to its sender and is on no topic (LOSS-1)");
    let next =
        "let the source send the message again; the receipt at the place names it. Then find out which broker lost it";
    let difference = Difference::new(Kind::Missing, Part::Receipts, &id, at_ms, message);
    findings.found(difference.next(next).event(Some(id)).place(spot));
}

fn unpromised(key: Key, spot: Spot, at_ms: i64, scope: &Scope, findings: &mut Findings) {
    if scope.hides(Part::Receipts, at_ms) {
        return;
    }
    if scope.in_time(spot.topic, at_ms) {
        findings.late += 1;
        return;
    }
    let id = event_id(key);
    let message = format!("event {id} is at {spot}, and no receipt says which message it was made from");
    let next = format!("`wardline trace {id}` shows its source; when no connector of yours wrote it, find out who did");
    let difference = Difference::new(Kind::Unpromised, Part::Receipts, &id, at_ms, message);
    findings.found(difference.next(next).event(Some(id)).place(spot));
}

/// An event is on its topic several times.
pub fn doubled(key: Key, first: Spot, last: Spot, at_ms: i64, times: usize) -> Difference {
    let id = event_id(key);
    let message = format!("event {id} is there {times} times, first at {first}, last at {last} (EOS-1)");
    let next =
        format!("`wardline trace {id}`: effects are suppressed the second time; correct reports that counted both");
    let subject = format!("{}/{id}", last.topic_name());
    let difference = Difference::new(Kind::Doubled, Part::Receipts, &subject, at_ms, message);
    difference.next(next).event(Some(id)).place(last).sides("1", times.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::reach::Reach;
    use super::super::scope::{SLACK_MS, Window};
    use super::*;

    #[test]
    fn what_retention_has_taken_is_neither_missing_nor_unexpected() {
        let window = Window { from_ms: 0, until_ms: 10_000_000 };
        let scope = |topic: Option<&str>| {
            let mut scope = Scope::new(window, i64::MAX, &[], &runtime::config::Limits::default());
            scope.reaches =
                topic.map(|topic| Reach { topic: topic.to_owned(), from_ms: 1_000_000 }).into_iter().collect();
            scope
        };
        let told = |scope: &Scope, at_ms: i64| {
            let mut findings = Findings::default();
            let spot = Spot { topic: 0, partition: 0, offset: 1 };
            compare(1, &[SourceFact::Event { spot, at_ms, receipted: true }], scope, &mut findings);
            compare(2, &[SourceFact::Promised { spot, at_ms }], scope, &mut findings);
            findings.differences.iter().map(|one| one.code.clone()).collect::<Vec<_>>()
        };
        let both = ["WL-7179", "WL-7170"];
        assert_eq!(told(&scope(None), 5), both);
        for topic in ["ops.receipt.v1", "clinical.encounter.v1"] {
            assert!(told(&scope(Some(topic)), 5).is_empty(), "{topic}");
            assert_eq!(told(&scope(Some(topic)), 1_000_000 + SLACK_MS), both, "{topic}");
        }
        assert_eq!(told(&scope(Some("erp.posting.v1")), 5), both);
    }
}

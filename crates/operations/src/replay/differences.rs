//! What a recount of a plan finds to be otherwise, so that its preview does not hold. Pure.

use super::Plan;
use schemas::ReplaySpan;
use serde::Serialize;

/// Something that a recount found to be otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What.
    pub what: String,
    /// As it was planned.
    pub planned: i64,
    /// As it is now.
    pub now: i64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} -> {}", self.what, self.planned, self.now)
    }
}

/// What differs between a plan and a recount of it, so that its preview does not hold. A live flow that has gone on is no
/// difference: newer events of the same keys wait behind the replayed ones, and what took effect is told by
/// [`super::Overtaken`].
pub fn differences(planned: &Plan, now: &Plan) -> Vec<Difference> {
    let (before, after) = (&planned.counts, &now.counts);
    let pairs = [
        ("records", before.records, after.records),
        ("keys", before.keys, after.keys),
        ("parked already", before.waiting, after.waiting),
        ("effects to make", before.effects, after.effects),
        ("effects suppressed", before.suppressed, after.suppressed),
        ("effects in doubt", before.in_doubt, after.in_doubt),
        ("without effect", before.without_effect, after.without_effect),
    ];
    let mut found: Vec<Difference> = pairs
        .into_iter()
        .filter(|(_, planned, now)| planned != now)
        .map(|(what, planned, now)| Difference { what: what.to_owned(), planned, now })
        .collect();
    for span in &planned.spans {
        let position = now.spans.iter().find(|other| other.partition == span.partition).map(|other| other.committed);
        if let Some(position) = position.filter(|position| *position < span.end) {
            let what = format!("position of the room in partition {}", span.partition);
            found.push(Difference { what, planned: span.committed, now: position });
        }
    }
    if found.is_empty() && before.digest != after.digest {
        // The same numbers, of other records.
        let handed = |plan: &Plan| plan.counts.records;
        let what = match planned.correction {
            0 => "records, the same number of others",
            _ => "records, the same number of others or with other changes",
        };
        let (planned, now) = (handed(planned), handed(now));
        found.push(Difference { what: what.to_owned(), planned, now });
    }
    found
}

/// What differs between what is left of a correcting replay and a recount of that: what was agreed to is what these records said
/// would change. Of a plain one nothing does, as what it hands over is decided when it is handed over.
pub(super) fn differences_left(seen: &Plan, now: &Plan) -> Vec<Difference> {
    let left = seen.spans.iter().filter(|span| seen.correction > 0 && span.next < span.end);
    let differs = |span: &&ReplaySpan| {
        let other = now.spans.iter().find(|other| other.partition == span.partition);
        let is_nothing = |left: &str| left.bytes().all(|digit| digit == b'0');
        other.is_none_or(|other| other.left != span.left && !(is_nothing(&other.left) && is_nothing(&span.left)))
    };
    left.filter(differs)
        .map(|span| {
            let records = now.spans.iter().find(|other| other.partition == span.partition).map(|other| other.records);
            let what = format!("records left in partition {}, or what changes in them", span.partition);
            Difference { what, planned: span.records - span.handed, now: records.unwrap_or_default() }
        })
        .collect()
}

/// The part of a plan that was not handed over yet.
pub(super) fn left(plan: &Plan) -> Plan {
    let spans = plan.spans.iter().filter(|span| span.next < span.end);
    Plan { spans: spans.map(|span| ReplaySpan { start: span.next, ..span.clone() }).collect(), ..plan.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ReplayCounts;

    fn plan(records: i64, suppressed: i64, digest: &str, committed: i64) -> Plan {
        Plan {
            counts: ReplayCounts { records, suppressed, digest: digest.to_owned(), ..ReplayCounts::default() },
            spans: vec![ReplaySpan { partition: 3, end: 20, committed, ..ReplaySpan::default() }],
            ..Plan::default()
        }
    }

    #[test]
    fn rpl_1_a_preview_holds_until_records_effects_or_the_position_differ() {
        let planned = plan(5, 2, "a", 20);
        let told =
            |now: &Plan| differences(&planned, now).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert_eq!(told(&planned), "");
        assert_eq!(told(&plan(5, 2, "a", 99)), "", "the room has gone on");
        assert_eq!(told(&plan(5, 3, "b", 20)), "effects suppressed 2 -> 3");
        assert_eq!(told(&plan(4, 2, "b", 19)), "records 5 -> 4; position of the room in partition 3 20 -> 19");
        assert_eq!(told(&plan(5, 2, "b", 20)), "records, the same number of others 5 -> 5");
    }

    #[test]
    fn rpl_1_what_is_left_of_a_correction_is_as_it_was_agreed_to() {
        let seen = |left: &str| {
            let span =
                ReplaySpan { records: 5, handed: 2, left: left.to_owned(), ..plan(5, 0, "a", 20).spans[0].clone() };
            Plan { correction: 1, spans: vec![span], ..Plan::default() }
        };
        let told =
            |one: &Plan, other: &Plan| differences_left(one, other).iter().map(ToString::to_string).collect::<String>();
        let now = |left: &str, records| {
            let mut now = seen(left);
            now.spans[0].records = records;
            now
        };
        assert_eq!(told(&seen("0a"), &now("0a", 3)), "");
        assert_eq!(told(&seen("0a"), &now("0b", 3)), "records left in partition 3, or what changes in them 3 -> 3");
        assert_eq!(told(&seen("00"), &now("", 0)), "", "nothing is left");
        assert_eq!(told(&Plan { correction: 0, ..seen("0a") }, &now("", 3)), "");
        let mut done = seen("0a");
        done.spans[0].next = 20;
        assert_eq!(told(&done, &now("", 0)), "");
    }
}

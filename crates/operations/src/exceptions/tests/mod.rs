//! The index told by text, and what it answers as text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod acts;
mod size;

use super::feed::class_of;
use super::index::{Bounds, Index};
use super::query::{DueMicros, due_micros};
use super::told::{Told, ToldCorrection, ToldOrigin};
use super::types::{Filter, Page};
use super::waiting::Origin;
use super::{DueTimes, Found};
use schemas::approval::Stands;
use schemas::{Decimal, ExceptionKind, ExceptionState, topics};

const SECOND: i64 = 1_000_000;
const BOUNDS: Bounds = Bounds { exceptions_max: 100, parked_max: 100 };
const USAGE: &str = "clinical.supply-usage.v1";

/// Patient-adjacent flows are due after an hour.
fn due() -> DueMicros {
    due_micros(&DueTimes::default())
}

/// `park ROOM OFFSET KEY [AMOUNT CURRENCY]`, `unpark ROOM OFFSET`, and
/// `ID STATE ROOM CODE SUBJECT OFFSET KEY SECOND [name=VALUE]...`, where `-` stands for nothing.
fn tell(index: &mut Index, script: &str) {
    for (number, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["park", room, offset, key] => index.park(&origin(room, offset), key, None),
            ["park", room, offset, key, amount, currency] => {
                index.park(&origin(room, offset), key, Some((amount.parse::<Decimal>().unwrap(), currency)));
            }
            ["unpark", room, offset] => index.unpark(&origin(room, offset)),
            ["gone", id] => index.forget(id),
            _ => index.tell(told(&words, number)),
        }
    }
}

fn topic_of(room: &str) -> &'static str {
    if room == "erp-post" { topics::SUPPLY_USAGE_ENRICHED_V1.name() } else { USAGE }
}

fn origin<'a>(room: &'a str, offset: &str) -> Origin<'a> {
    Origin { room, topic: topic_of(room), partition: 0, offset: offset.parse().unwrap() }
}

fn told(words: &[&str], number: usize) -> Told {
    let [id, state, room, code, subject, offset, key, second, rest @ ..] = words else { panic!("{words:?}") };
    let named = |name: &str| {
        let value = rest.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned)
    };
    let state = match *state {
        "open" => ExceptionState::Open,
        "retrying" => ExceptionState::Retrying,
        "resolved" => ExceptionState::Resolved,
        "discarded" => ExceptionState::Discarded,
        other => panic!("{other}"),
    };
    let raised_at = second.parse::<i64>().unwrap() * SECOND;
    let origin = (*offset != "-").then(|| ToldOrigin {
        topic: topic_of(room).to_owned(),
        partition: 0,
        offset: offset.parse().unwrap(),
        key: (*key).to_owned(),
    });
    Told {
        id: (*id).to_owned(),
        partition: 0,
        offset: i64::try_from(number).unwrap(),
        kind: match named("kind").as_deref() {
            Some("retry") => ExceptionKind::RetryRequested,
            Some("resolved") => ExceptionKind::Resolved,
            Some("proposed") => ExceptionKind::CorrectionRequested,
            Some("agreed") => ExceptionKind::Corrected,
            Some(other) => panic!("{other}"),
            None => ExceptionKind::Raised,
        },
        state,
        room: (*room).to_owned(),
        code: (*code).to_owned(),
        subject: (*subject != "-").then(|| (*subject).to_owned()),
        message: format!("{id} says"),
        suggested_fix: None,
        class: class_of(room, origin.as_ref().map(|origin| origin.topic.as_str())),
        parked_key: origin.is_some(),
        origin,
        raised_at,
        at: raised_at,
        assignee: named("assignee"),
        discard_mark: named("asked").map(|actor| format!("mark of {actor}")),
        discard_requested_by: named("asked"),
        correction: correction(named("proposed").as_deref(), named("agreed").as_deref()),
    }
}

/// `proposed=MARK`, or `agreed=MARK` where `old` is an approval from before there were marks.
fn correction(proposed: Option<&str>, agreed: Option<&str>) -> Option<ToldCorrection> {
    let stands = match (proposed, agreed) {
        (Some(mark), _) => Stands::Waits { mark: mark.to_owned() },
        (None, Some("old")) => Stands::InForce,
        (None, Some(mark)) => Stands::Agreed { mark: mark.to_owned() },
        (None, None) => return None,
    };
    Some(ToldCorrection { stands, by: "ada".to_owned() })
}

/// A line per cause.
fn causes(index: &Index, now: i64) -> String {
    let lines = index.causes(&due(), now * SECOND).into_iter().map(|cause| {
        let money: Vec<String> = cause.money.iter().map(|one| format!(" {} {}", one.amount, one.currency)).collect();
        format!(
            "{} {} {} exceptions={} keys={} events={} overdue={} since={} {:?}{} unpriced={}\n",
            cause.code,
            cause.room,
            cause.subject.as_deref().unwrap_or("-"),
            cause.exceptions,
            cause.keys,
            cause.events,
            cause.overdue,
            cause.since / SECOND,
            cause.message,
            money.concat(),
            cause.events_without_price,
        )
    });
    lines.collect()
}

fn ids(index: &Index, filter: &Filter, page: Page, now: i64) -> (Vec<String>, usize) {
    let listed = index.list(filter, page, &due(), now * SECOND);
    (listed.rows.into_iter().map(|row| row.exception_id).collect(), listed.total)
}

fn told_by(script: &str) -> Index {
    let mut index = Index::new(BOUNDS);
    tell(&mut index, script);
    index
}

const DAY: &str = "
    park validate 1 a
    park validate 2 a
    park validate 3 a
    park validate 4 b
    park validate 5 b
    park validate 6 c
    park validate 7 d
    unpark validate 7
    park validate 2 a
    e6 open validate WL-4002 - 6 c 60
    e1 open validate WL-4010 item/4711 1 a 10
    e4 open validate WL-4010 item/4711 4 b 20 assignee=ada
    e9 open validate WL-4010 item/4712 9 z 30
    s1 open hl7v2 WL-1009 - - - 5
    e0 resolved validate WL-4010 item/4711 0 a 1";

#[test]
fn events_of_one_cause_are_one_line_and_the_largest_comes_first() {
    let expected = r#"WL-4010 validate item/4711 exceptions=2 keys=2 events=5 overdue=1 since=10 "e1 says" unpriced=5
WL-4002 validate - exceptions=1 keys=1 events=1 overdue=0 since=60 "e6 says" unpriced=1
WL-1009 hl7v2 - exceptions=1 keys=0 events=0 overdue=1 since=5 "s1 says" unpriced=0
WL-4010 validate item/4712 exceptions=1 keys=0 events=0 overdue=0 since=30 "e9 says" unpriced=0
"#;
    assert_eq!(causes(&told_by(DAY), 3_600 + 15), expected);
}

#[test]
fn views_that_were_told_in_another_order_agree_on_what_was_raised_in_the_same_moment() {
    let lines = ["e2 open validate C - 2 b 7", "e1 open validate C - 1 a 7", "e3 open validate C - 3 c 7"];
    let one = told_by(&lines.join("\n"));
    let other = told_by(&lines.map(|line| format!("{line}\n")).into_iter().rev().collect::<String>());
    assert_eq!(causes(&one, 9), causes(&other, 9));
    for newest_first in [false, true] {
        let page = Page { newest_first, ..Page::first(2) };
        let (rows, total) = ids(&one, &Filter::default(), page, 9);
        assert_eq!((&rows, total), (&ids(&other, &Filter::default(), page, 9).0, 3));
        assert_eq!(rows, if newest_first { ["e3", "e2"] } else { ["e1", "e2"] });
    }
}

#[test]
fn the_order_of_the_two_topics_does_not_matter() {
    let (parked, raised): (Vec<&str>, Vec<&str>) = DAY.lines().partition(|line| line.contains("park"));
    let one = told_by(&[&parked[..], &raised].concat().join("\n"));
    let other = told_by(&[&raised[..], &parked].concat().join("\n"));
    assert_eq!(causes(&one, 100), causes(&other, 100));
    assert_eq!(one.standing().parked, other.standing().parked);
}

#[test]
fn what_is_settled_leaves_nothing_behind() {
    let mut index = told_by(DAY);
    tell(
        &mut index,
        "unpark validate 1
        e1 resolved validate WL-4010 item/4711 1 a 10",
    );
    let left = causes(&index, 100);
    assert!(left.contains("WL-4010 validate item/4711 exceptions=1 keys=1 events=2 "), "{left}");
    tell(
        &mut index,
        "unpark validate 2
        unpark validate 3
        unpark validate 4
        unpark validate 5
        unpark validate 6",
    );
    let empty = causes(&index, 100);
    assert!(empty.contains("WL-4010 validate item/4711 exceptions=1 keys=0 events=0 "), "{empty}");
    tell(
        &mut index,
        "e4 discarded validate WL-4010 item/4711 4 b 20
        e6 resolved validate WL-4002 - 6 c 60
        e9 resolved validate WL-4010 item/4712 9 z 30
        gone s1",
    );
    assert_eq!(causes(&index, 100), "");
    let standing = index.standing();
    assert_eq!((standing.open, standing.parked, standing.keys, standing.exceptions), (0, 0, 0, 5));
}

#[test]
fn a_later_word_may_say_another_cause() {
    let mut index = told_by("park validate 1 a\n e1 open validate WL-4010 item/1 1 a 10");
    tell(&mut index, "e1 retrying validate WL-4011 item/2 1 a 10");
    let expected = "WL-4011 validate item/2 exceptions=1 keys=1 events=1 overdue=0 since=10 \"e1 says\" unpriced=1\n";
    assert_eq!(causes(&index, 20), expected);
}

#[test]
fn money_is_the_sum_of_what_waits_by_currency_and_says_what_it_lacks() {
    let mut index = told_by(
        "park erp-post 1 a 1299.50 EUR
        park erp-post 2 a -10.25 EUR
        park erp-post 3 b 5 USD
        park erp-post 4 b
        e1 open erp-post WL-5001 - 1 a 10
        e3 open erp-post WL-5001 - 3 b 10",
    );
    let money = |index: &Index| causes(index, 20).split("says\"").nth(1).unwrap().trim().to_owned();
    assert_eq!(money(&index), "1289.25 EUR 5 USD unpriced=1");
    tell(&mut index, "unpark erp-post 1\n unpark erp-post 4");
    assert_eq!(money(&index), "-10.25 EUR 5 USD unpriced=0");
}

#[test]
fn a_list_is_filtered_and_turned_page_by_page() {
    let index = told_by(&format!("{DAY}\n e8 open validate WL-4010 item/4711 8 a 40 assignee=bob asked=bob"));
    let list = |filter: &Filter, page| ids(&index, filter, page, 3_600 + 15);
    let all = Filter::default();
    assert_eq!(list(&all, Page::all()).0, ["s1", "e1", "e4", "e9", "e8", "e6"]);
    let page = Page { skip: 1, most: 2, newest_first: true };
    assert_eq!(list(&all, page), (vec!["e8".to_owned(), "e9".to_owned()], 6));
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (Filter { settled: true, room: text("validate"), ..all.clone() }, &["e0", "e1", "e4", "e9", "e8", "e6"][..]),
        (Filter { code: text("WL-4010"), subject: text("item/4711"), ..all.clone() }, &["e1", "e4", "e8"]),
        (Filter { subject: text(""), ..all.clone() }, &["s1", "e6"]),
        (Filter { assignee: text("ada"), ..all.clone() }, &["e4"]),
        (Filter { assignee: text(""), room: text("validate"), ..all.clone() }, &["e1", "e9", "e6"]),
        (Filter { overdue: true, ..all.clone() }, &["s1", "e1"]),
        (Filter { to_approve: true, ..all.clone() }, &["e8"]),
        (Filter { code: text("WL-9"), ..all.clone() }, &[]),
    ] {
        assert_eq!(list(&filter, Page::all()).0, expected, "{filter:?}");
    }
}

#[test]
fn the_start_of_an_id_is_enough_when_it_is_unique() {
    let index = told_by(
        "3aa58b87-1 open validate C - 1 a 1
        3aa58b87-2 open validate C - 2 b 1
        3aa58b87 open validate C - 3 c 1
        3b5d68dd-1 open validate C - 4 d 1",
    );
    assert_eq!(index.find("3b5d"), Found::One("3b5d68dd-1".to_owned()));
    assert_eq!(index.find("V1"), Found::None);
    assert_eq!(index.find("3aa"), Found::Several);
    assert_eq!(index.find("3aa58b87"), Found::One("3aa58b87".to_owned()), "the whole id names its exception");
}

#[test]
fn bnd_1_at_a_bound_the_oldest_settled_goes_first_and_what_is_missing_is_said() {
    let mut index = Index::new(Bounds { exceptions_max: 3, parked_max: 2 });
    tell(
        &mut index,
        "e1 resolved validate C - 1 a 1
        e2 resolved validate C - 2 b 2
        e3 open validate C - 3 c 3
        e4 open validate C - 4 d 4",
    );
    let all = Filter { settled: true, ..Filter::default() };
    assert_eq!(ids(&index, &all, Page::all(), 9).0, ["e2", "e3", "e4"]);
    let missing = index.standing().incomplete;
    assert!(missing.len() == 1 && missing[0].starts_with("WL-7102: 1 settled"), "{missing:?}");
    tell(
        &mut index,
        "e5 open validate C - 5 e 5
        e6 open validate C - 6 f 6
        e4 retrying validate C - 4 d 4
        park validate 1 a
        park validate 2 b
        park validate 3 c
        park validate 2 b",
    );
    assert_eq!(ids(&index, &all, Page::all(), 9).0, ["e3", "e4", "e5"], "a known one still changes");
    assert_eq!(index.standing().parked, 2);
    let missing = index.standing().incomplete.join("\n");
    assert!(missing.contains("WL-7100: 1 ") && missing.contains("WL-7101: 1 "), "{missing}");
}

#[test]
fn a_decision_behind_the_last_word_of_a_room_is_noticed() {
    let mut index = told_by("e1 open validate C - 1 a 1");
    let late = "e1 retrying validate C - 1 a 1 kind=retry";
    tell(&mut index, late);
    assert!(index.reopened.is_empty());
    tell(
        &mut index,
        &format!("e0 open validate C - 2 b 1\n e1 resolved validate C - 1 a 1 kind=resolved\n {late}\n {late}"),
    );
    let places: Vec<_> = index.reopened.values().copied().collect();
    assert_eq!(places, [(0, 1)], "the last word, not the first decision too late");
    tell(&mut index, "e1 resolved validate C - 1 a 1 kind=resolved");
    assert!(index.reopened.is_empty());
}

/// Two consoles decide in the same moment: what the topic says in which order decides, and every view says the same.
#[test]
fn an_approval_counts_for_what_waits_when_it_comes() {
    let (one, other) = (
        "e1 open validate C - 1 a 1 kind=proposed proposed=m1",
        "e1 open validate C - 1 a 1 kind=proposed proposed=m2",
    );
    let agreed = |mark: &str| format!("e1 retrying validate C - 1 a 1 kind=agreed agreed={mark}");
    let waits = |script: &[&str]| {
        let index = told_by(&script.join("\n"));
        let listed = index.list(&Filter { to_approve: true, ..Filter::default() }, Page::all(), &due(), 0);
        let overtaken: Vec<(i32, i64)> = index.overtaken.values().copied().collect();
        (listed.rows.first().and_then(|row| row.correction_mark.clone()), overtaken)
    };
    let still = |mark: &str| Some(mark.to_owned());
    assert_eq!(waits(&[one]), (still("m1"), vec![]));
    assert_eq!(waits(&[one, &agreed("m1")]), (None, vec![]), "agreed to as seen");
    assert_eq!(waits(&[one, other, &agreed("m1")]), (still("m2"), vec![(0, 1)]), "proposed anew before the approval");
    assert_eq!(waits(&[one, &agreed("m1"), other]), (still("m2"), vec![]), "proposed anew behind it");
    assert_eq!(waits(&[one, other, &agreed("m1"), &agreed("m2")]), (None, vec![]), "then agreed to what waits");
    assert_eq!(waits(&[one, other, &agreed("m1"), other]), (still("m2"), vec![]), "and repeated");
    assert_eq!(waits(&[one, &agreed("old")]), (None, vec![]), "an approval from before there were marks");
    assert_eq!(waits(&[&agreed("m1")]), (None, vec![]), "what a compacted topic keeps says it by itself");
    assert_eq!(waits(&[one, one, &agreed("m1")]), (None, vec![]), "the same proposed twice is the same");
    let index = told_by(&[one, other, &agreed("m1")].join("\n"));
    assert_eq!(index.list(&Filter::default(), Page::all(), &due(), 0).rows[0].state, ExceptionState::Open);
}

#[test]
fn what_is_told_anew_is_the_same_as_before() {
    let mut index = told_by(DAY);
    let before = causes(&index, 100);
    let (parked, raised): (Vec<&str>, Vec<&str>) = DAY.lines().partition(|line| line.contains("park"));
    index.clear_parked();
    assert!(causes(&index, 100).contains("keys=0 events=0"));
    tell(&mut index, &parked.join("\n"));
    assert_eq!(causes(&index, 100), before);
    index.clear_exceptions();
    assert_eq!(causes(&index, 100), "");
    tell(&mut index, &raised.join("\n"));
    assert_eq!(causes(&index, 100), before);
}

#[test]
fn an_exception_without_an_event_is_as_urgent_as_what_its_room_writes() {
    use schemas::Criticality::{Operational, PatientAdjacent};
    assert_eq!(class_of("hl7v2", None), PatientAdjacent);
    assert_eq!(class_of("erp", None), Operational);
    assert_eq!(class_of("validate", Some("erp.posting.v1")), Operational);
    assert_eq!(class_of("nobody", Some("no.topic.v1")), Operational);
}

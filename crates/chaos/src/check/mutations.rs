//! A check that cannot fail is worthless: invented evidence in which everything is right, and then one thing is wrong.

#![allow(clippy::unwrap_used, reason = "test")]

use super::decide::{Verdict, decide};
use super::evidence::{
    Asked, Bytes, Effect, Evidence, KeptRecord, Lying, RoomAccount, Seen, SentUse, SourceTopic, Stage,
};
use crate::load::{Kind, signature};
use processor::laws::{Law, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Two keys with three uses each: stock, stock and notice, consigned.
const KINDS: [Kind; 3] = [Kind::Stock, Kind::StockAndNotice, Kind::Consigned];

fn seen(stage: Stage, signature: u32, offset: i64, acted: bool) -> Seen {
    let event_id = format!("{stage:?}-{signature}");
    let at_ms = 1_000_000 + offset * 10;
    Seen { partition: 0, offset, at_ms, event_id, cause: String::new(), signature: Some(signature), acted }
}

fn account(room: &'static str, reads: Stage, count: usize) -> RoomAccount {
    let id = |offset: usize| format!("{}-{offset}", reads.topic());
    RoomAccount {
        room,
        inputs: (0..count).map(|offset| (format!("{}-0@{offset}", reads.topic()), Some(id(offset)))).collect(),
        causes: (0..count).map(id).collect(),
        others: BTreeMap::new(),
    }
}

fn lying(offset: i64) -> Lying {
    let place = super::evidence::place(Stage::Usage.topic(), 0, offset);
    Lying { place, partition: 0, key: Some(vec![1]), body: "what it says".to_owned() }
}

/// The first use lies on its topic once more, and both rooms that read it say so.
fn copied(evidence: &mut Evidence) -> String {
    let (copy, first) = (lying(6), evidence.stage(Stage::Usage)[0].clone());
    let place = copy.place.clone();
    evidence.sources[0].events.get_mut(&first.event_id).unwrap().push(copy);
    let id = evidence.rooms[0].inputs.values().next().unwrap().clone();
    evidence.rooms[0].inputs.insert(place.clone(), id);
    evidence.rooms[0].others.insert(place.clone(), BTreeSet::from([Outcome::Duplicate]));
    for room in ["validate", "analytics"] {
        evidence.copies.insert((room.to_owned(), place.clone()));
    }
    let at_ms = first.at_ms + 700;
    stage(evidence, Stage::Usage).push(Seen { offset: 6, at_ms, ..first });
    place
}

/// Where the record lies that is no event.
fn garbage_place() -> String {
    super::evidence::place(Stage::Usage.topic(), 0, 7)
}

/// A record that is no event comes, and has its dead letter.
fn bury(evidence: &mut Evidence) {
    let (place, key) = (garbage_place(), "garbage-0".to_owned());
    let validate = &mut evidence.rooms[0];
    validate.inputs.insert(place.clone(), None);
    validate.others.insert(place.clone(), BTreeSet::from([Outcome::DeadLetter]));
    let record = Bytes { key: Some(key.clone().into_bytes()), value: Some(vec![7]), headers: Vec::new() };
    let told = vec![("room", Some("validate".to_owned()))];
    evidence.kept.push(KeptRecord { place: place.clone(), original: Some(record.clone()), kept: record, told });
    (evidence.garbage_sent, evidence.garbage) = (1, vec![(key, place)]);
}

fn healthy() -> Evidence {
    let mut evidence = Evidence { planted: vec!["Quazname".to_owned()], texts: (1, 10), ..Evidence::default() };
    evidence.peaks_mb.insert("validate-1".to_owned(), 60);
    let mut offset = 0;
    for encounter in 1..=2 {
        for (seq, kind) in (1..).zip(KINDS) {
            let signature = signature(encounter, seq);
            let control_id = format!("C{signature}");
            evidence.receipts.push((control_id.clone(), vec![format!("Usage-{signature}")]));
            let accepted_ms = Some(1_000_000 + offset * 10 + 3);
            evidence.sent.push(SentUse { signature, kind, fails: false, control_id, accepted_ms });
            let moves = kind != Kind::Consigned;
            for stage in [Stage::Usage, Stage::Validated, Stage::Enriched, Stage::Posting] {
                let acted = stage == Stage::Posting && moves;
                evidence.topics.entry(stage).or_default().push(seen(stage, signature, offset, acted));
            }
            let document = format!("d{signature}");
            if moves {
                evidence.ledger.push(Effect { signature, document: document.clone() });
            }
            if kind != Kind::Stock {
                evidence.topics.entry(Stage::Notice).or_default().push(seen(Stage::Notice, signature, offset, true));
                evidence.notices.push(Effect { signature, document });
            }
            offset += 1;
        }
    }
    let usages = evidence.stage(Stage::Usage).iter();
    let events = usages.map(|one| (one.event_id.clone(), vec![lying(one.offset)])).collect();
    let source = SourceTopic { topic: Stage::Usage.topic(), readers: vec!["validate", "analytics"], events };
    evidence.sources.push(source);
    for (stage, all) in evidence.topics.iter().filter(|(stage, _)| **stage != Stage::Usage) {
        evidence.ids.insert(stage.topic().to_owned(), all.iter().map(|one| one.event_id.clone()).collect());
    }
    evidence.lake = evidence.for_the_lake().collect();
    evidence.rooms = vec![
        account("validate", Stage::Usage, 6),
        account("enrich", Stage::Validated, 6),
        account("erp-post", Stage::Enriched, 6),
    ];
    let record = Bytes { key: Some(vec![1]), value: Some(vec![2]), headers: vec![("h".to_owned(), None)] };
    evidence.kept.push(KeptRecord {
        place: "t-0@1".to_owned(),
        original: Some(record.clone()),
        kept: record,
        told: vec![("code", Some("c".to_owned()))],
    });
    bury(&mut evidence);
    evidence
}

/// The laws that are broken when something of the healthy evidence is changed.
fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<Law> {
    let mut evidence = healthy();
    change(&mut evidence);
    let decided = decide(&evidence);
    decided.into_iter().filter(|one| one.verdict == Verdict::Broken).map(|one| one.law).collect()
}

fn stage(evidence: &mut Evidence, stage: Stage) -> &mut Vec<Seen> {
    evidence.topics.get_mut(&stage).unwrap()
}

#[test]
fn nothing_wrong_is_nothing_broken_and_all_is_decided() {
    let decided = decide(&healthy());
    let held: Vec<Law> = decided.iter().filter(|one| one.verdict == Verdict::Held).map(|one| one.law).collect();
    assert_eq!(held.len(), 8, "{decided:#?}");
}

#[test]
fn nothing_seen_is_not_called_held() {
    assert!(decide(&Evidence::default()).iter().all(|one| one.verdict == Verdict::Undecided));
}

#[test]
fn a_use_that_was_accepted_and_is_nowhere_is_lost() {
    assert_eq!(broken(|evidence| drop(stage(evidence, Stage::Usage).remove(2))), [Law::Loss1]);
}

#[test]
fn a_message_without_receipt_and_a_promise_that_was_not_kept_are_found() {
    assert_eq!(broken(|evidence| drop(evidence.receipts.remove(2))), [Law::Loss1]);
    assert_eq!(broken(|evidence| evidence.receipts[0].1.push("nowhere".to_owned())), [Law::Loss1]);
}

#[test]
fn a_row_that_is_missing_in_the_lake_and_one_that_is_there_twice_are_found() {
    assert_eq!(broken(|evidence| drop(evidence.lake.remove(2))), [Law::Loss1]);
    assert_eq!(broken(|evidence| evidence.lake.push(evidence.lake[0].clone())), [Law::Eos1]);
}

#[test]
fn a_message_that_was_never_accepted_is_told() {
    assert_eq!(broken(|evidence| evidence.sent[0].accepted_ms = None), [Law::Loss1]);
}

#[test]
fn an_answer_before_the_brokers_had_what_it_is_about_is_found() {
    assert_eq!(broken(|evidence| evidence.sent[0].accepted_ms = Some(1_000_000 - 11)), [Law::Loss1]);
}

#[test]
fn a_record_without_outcome_and_one_with_two_are_found() {
    assert_eq!(broken(|evidence| drop(evidence.rooms[1].causes.pop_first())), [Law::Loss1]);
    let twice = |evidence: &mut Evidence| {
        let place = evidence.rooms[2].inputs.keys().next().unwrap().clone();
        evidence.rooms[2].others.insert(place, BTreeSet::from([Outcome::Exception]));
    };
    assert_eq!(broken(twice), [Law::Loss1]);
}

#[test]
fn that_a_repetition_was_suppressed_is_no_second_outcome() {
    let suppressed = |evidence: &mut Evidence| {
        let place = evidence.rooms[2].inputs.keys().next().unwrap().clone();
        evidence.rooms[2].others.insert(place, BTreeSet::from([Outcome::Duplicate]));
    };
    assert_eq!(broken(suppressed), []);
}

#[test]
fn an_outcome_of_a_record_that_nobody_sent_is_found() {
    let strange = |evidence: &mut Evidence| {
        evidence.rooms[0].others.insert("t-9@9".to_owned(), BTreeSet::from([Outcome::Dropped]));
    };
    assert_eq!(broken(strange), [Law::Loss1]);
}

#[test]
fn a_posting_without_event_is_lost_and_an_event_without_posting_never_happened() {
    assert_eq!(broken(|evidence| stage(evidence, Stage::Posting)[0].acted = false), [Law::Loss1]);
    assert_eq!(broken(|evidence| drop(evidence.ledger.remove(0))), [Law::Fx1]);
    assert_eq!(broken(|evidence| drop(evidence.notices.remove(0))), [Law::Fx1]);
}

#[test]
fn a_use_that_got_lost_halfway_is_found_unless_a_person_is_asked_about_it() {
    let lost = |evidence: &mut Evidence| {
        stage(evidence, Stage::Posting).remove(0);
        evidence.ledger.remove(0);
        evidence.lake = evidence.for_the_lake().collect();
    };
    assert_eq!(broken(lost), [Law::Loss1]);
    let asked = |evidence: &mut Evidence| {
        lost(evidence);
        ask_about(evidence, 1);
        evidence.sent[..3].iter_mut().for_each(|one| one.fails = true);
        evidence.sent[0].kind = Kind::Refused;
    };
    assert_eq!(broken(asked), []);
    // What comes before the use that cannot go through has nothing to wait for.
    let before = |evidence: &mut Evidence| {
        lost(evidence);
        ask_about(evidence, 2);
        evidence.sent[..3].iter_mut().for_each(|one| one.fails = true);
        evidence.sent[1].kind = Kind::Refused;
        evidence.notices.remove(0);
        stage(evidence, Stage::Notice).remove(0);
        evidence.lake = evidence.for_the_lake().collect();
    };
    assert_eq!(broken(before), [Law::Loss1]);
}

fn ask_about(evidence: &mut Evidence, seq: u32) {
    let (room, code, message) = ("erp-post".to_owned(), "c".to_owned(), "m".to_owned());
    evidence.asked.push(Asked { room, code, signature: Some(signature(1, seq)), message });
}

#[test]
fn a_person_who_is_asked_about_what_has_nothing_wrong_is_found() {
    assert_eq!(broken(|evidence| ask_about(evidence, 2)), [Law::Key1]);
}

#[test]
fn a_dead_letter_that_is_there_twice_is_found() {
    let once = |evidence: &mut Evidence| evidence.told.push("the dead letter of validate about t-0@1".to_owned());
    assert_eq!(broken(once), []);
    let twice = |evidence: &mut Evidence| {
        once(evidence);
        once(evidence);
    };
    assert_eq!(broken(twice), [Law::Eos1]);
}

#[test]
fn a_time_behind_a_room_that_is_before_the_one_in_front_of_it_is_found() {
    assert_eq!(broken(|evidence| stage(evidence, Stage::Posting)[0].at_ms -= 1_001), [Law::Key1]);
}

#[test]
fn what_is_booked_or_told_twice_is_found() {
    assert_eq!(broken(|evidence| evidence.ledger.push(evidence.ledger[3].clone())), [Law::Fx1]);
    assert_eq!(broken(|evidence| evidence.notices.push(evidence.notices[3].clone())), [Law::Fx1]);
}

#[test]
fn posts_that_are_repeated_without_a_look_are_found() {
    let repeated =
        |unheard, repeated| broken(|evidence| evidence.doubts[1] = crate::proxy::Doubts { unheard, repeated });
    assert_eq!(repeated(9, 9), [Law::Fx1]);
    assert_eq!((repeated(9, 4), repeated(3, 9)), (Vec::new(), Vec::new()));
}

#[test]
fn what_should_not_have_been_booked_or_told_is_found() {
    let consigned = signature(1, 3);
    let booked = |evidence: &mut Evidence| {
        stage(evidence, Stage::Posting)[2].acted = true;
        evidence.ledger.push(Effect { signature: consigned, document: "d".to_owned() });
    };
    assert_eq!(broken(booked), [Law::Fx1]);
}

#[test]
fn an_exchange_of_two_of_a_key_is_found_on_every_side() {
    for one in [Stage::Usage, Stage::Validated, Stage::Enriched, Stage::Posting, Stage::Notice] {
        assert_eq!(broken(|evidence| stage(evidence, one).swap(0, 1)), [Law::Ord1], "{one:?}");
    }
    assert_eq!(broken(|evidence| evidence.ledger.swap(0, 1)), [Law::Ord1]);
    assert_eq!(broken(|evidence| evidence.notices.swap(2, 3)), [Law::Ord1]);
}

#[test]
fn two_of_different_keys_may_come_in_any_order() {
    assert_eq!(broken(|evidence| evidence.ledger.swap(1, 2)), []);
}

#[test]
fn a_key_in_two_partitions_is_found() {
    assert_eq!(broken(|evidence| stage(evidence, Stage::Validated)[1].partition = 1), [Law::Ord1]);
}

#[test]
fn an_event_that_is_there_twice_is_found_under_the_same_id_and_under_another() {
    let same = |evidence: &mut Evidence| {
        evidence.ids.get_mut(Stage::Posting.topic()).unwrap().push("Posting-1001001".to_owned())
    };
    assert_eq!(broken(same), [Law::Eos1]);
    let other = |evidence: &mut Evidence| {
        let again = Seen { event_id: "other".to_owned(), ..evidence.stage(Stage::Validated)[0].clone() };
        stage(evidence, Stage::Validated).push(again);
    };
    assert_eq!(broken(other), [Law::Eos1]);
}

#[test]
fn a_copy_that_every_reader_has_left_out_breaks_nothing() {
    assert_eq!(broken(|evidence| drop(copied(evidence))), []);
}

#[test]
fn a_copy_that_is_let_through_is_found() {
    let unnoticed = |room: &'static str| {
        move |evidence: &mut Evidence| {
            let place = copied(evidence);
            evidence.copies.remove(&(room.to_owned(), place));
        }
    };
    assert_eq!(broken(unnoticed("validate")), [Law::Eos1]);
    assert_eq!(broken(unnoticed("analytics")), [Law::Eos1]);
    for behind in [Stage::Validated, Stage::Enriched, Stage::Posting, Stage::Notice] {
        let twice = |evidence: &mut Evidence| {
            copied(evidence);
            let ids = evidence.ids.get_mut(behind.topic()).unwrap();
            ids.push(ids[0].clone());
        };
        assert_eq!(broken(twice), [Law::Eos1], "{behind:?}");
    }
    let row = |evidence: &mut Evidence| {
        let place = copied(evidence);
        evidence.lake.push(place);
    };
    assert_eq!(broken(row), [Law::Eos1]);
}

#[test]
fn a_copy_that_is_not_the_same_is_found() {
    let changed = |change: fn(&mut Lying)| {
        broken(|evidence| {
            copied(evidence);
            let lying = evidence.sources[0].events.values_mut().find(|lying| lying.len() > 1).unwrap();
            change(&mut lying[1]);
        })
    };
    assert_eq!(changed(|copy| copy.body.push('!')), [Law::Eos1]);
    assert_eq!(changed(|copy| copy.key = None), [Law::Eos1]);
    assert_eq!(changed(|copy| copy.partition = 1), [Law::Eos1]);
}

#[test]
fn what_is_left_out_as_a_copy_and_is_none_is_lost() {
    let alone = |evidence: &mut Evidence| {
        evidence.copies.insert(("validate".to_owned(), lying(2).place));
    };
    assert_eq!(broken(alone), [Law::Loss1]);
    let both = |evidence: &mut Evidence| {
        copied(evidence);
        evidence.copies.insert(("validate".to_owned(), lying(0).place));
    };
    assert_eq!(broken(both), [Law::Loss1]);
}

#[test]
fn a_healthy_key_that_waits_in_calm_is_found_and_in_a_storm_is_not() {
    let late = |evidence: &mut Evidence| {
        for (late, place) in [(Stage::Enriched, 5), (Stage::Posting, 5), (Stage::Notice, 3)] {
            stage(evidence, late)[place].at_ms += 60_001;
        }
    };
    assert_eq!(broken(late), [Law::Key1]);
    let never = |evidence: &mut Evidence| {
        stage(evidence, Stage::Enriched).pop();
        evidence.lake.retain(|place| !place.starts_with(Stage::Enriched.topic()) || !place.ends_with("@5"));
        stage(evidence, Stage::Notice)[3].at_ms += 70_000;
    };
    assert_eq!(broken(never), [Law::Loss1, Law::Key1]);
    let stormy = |evidence: &mut Evidence| {
        late(evidence);
        evidence.faults.push((1_000_000, 1_100_000));
    };
    assert_eq!(broken(stormy), []);
    let failing = |evidence: &mut Evidence| {
        late(evidence);
        evidence.sent[5].fails = true;
    };
    assert_eq!(broken(failing), []);
}

#[test]
fn bytes_that_were_not_kept_and_a_place_that_does_not_exist_are_found() {
    assert_eq!(broken(|evidence| evidence.kept[0].kept.value = None), [Law::Raw1]);
    assert_eq!(broken(|evidence| evidence.kept[0].kept.headers.clear()), [Law::Raw1]);
    assert_eq!(broken(|evidence| evidence.kept[0].original = None), [Law::Raw1]);
    assert_eq!(broken(|evidence| evidence.kept[0].told[0].1 = None), [Law::Raw1]);
}

#[test]
fn what_is_no_event_and_is_kept_nowhere_is_found() {
    let without_letters = |evidence: &mut Evidence| evidence.kept.retain(|one| one.place != garbage_place());
    assert_eq!(broken(without_letters), [Law::Raw1]);
    // One of two places of the same record is not enough.
    let twice = |evidence: &mut Evidence| evidence.garbage.push(("garbage-0".to_owned(), lying(8).place));
    assert_eq!(broken(twice), [Law::Raw1]);
}

#[test]
fn without_all_that_is_no_event_nothing_is_said_of_bytes_that_nobody_can_read() {
    let verdict = |change: fn(&mut Evidence)| {
        let mut evidence = healthy();
        change(&mut evidence);
        decide(&evidence).into_iter().find(|one| one.law == Law::Raw1).unwrap().verdict
    };
    assert_eq!(verdict(|_| ()), Verdict::Held);
    assert_eq!(verdict(|evidence| evidence.garbage_sent += 1), Verdict::Undecided);
    assert_eq!(verdict(|evidence| evidence.garbage.clear()), Verdict::Undecided);
}

#[test]
fn a_name_in_a_log_is_found() {
    let told = |evidence: &mut Evidence| {
        super::gather::suspect(evidence, "the log validate-1.log", "no Quazname here");
    };
    assert_eq!(broken(told), [Law::Phi1]);
}

#[test]
fn too_much_memory_is_found() {
    let large = |evidence: &mut Evidence| evidence.peaks_mb.extend([("enrich-1".to_owned(), 5_000)]);
    assert_eq!(broken(large), [Law::Bnd1]);
}

#[test]
fn a_wait_without_end_and_a_process_that_does_not_end_are_found() {
    let slow = |evidence: &mut Evidence| {
        stage(evidence, Stage::Posting)[5].at_ms += 120_001;
        evidence.faults.push((0, i64::MAX - 1_000_000));
    };
    assert_eq!(broken(slow), [Law::Bnd1]);
    assert_eq!(broken(|evidence| evidence.stood_still = 5), [Law::Bnd1]);
    assert_eq!(broken(|evidence| evidence.overstayed.push("validate-1".to_owned())), [Law::Bnd1]);
    assert_eq!(broken(|evidence| evidence.ended.push("validate-1".to_owned())), [Law::Bnd1]);
    assert_eq!(broken(|evidence| evidence.restless.push("ops.parked.v1-0".to_owned())), [Law::Bnd1]);
}

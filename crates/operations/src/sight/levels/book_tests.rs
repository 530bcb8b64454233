#![allow(clippy::unwrap_used, reason = "test")]

use super::super::{LevelAlert, LevelsSnapshot};
use super::*;
use crate::exceptions::Cause;
use schemas::topics;

const DAY: Day = Day { start_ms: 1_000_000_000, end_ms: 1_086_400_000 };
const NOON_MS: i64 = DAY.start_ms + 12 * 3_600_000;

fn book() -> Book {
    let level = topics::SERVICE_LEVELS.iter().find(|level| level.name == "order-told").unwrap();
    Book::new(level, Bounds::default(), DAY)
}

impl Book {
    fn begins(&mut self, id: u128, at_ms: i64) {
        let topic = self.route.from[0];
        self.take(&Seen::Event { topic, id, cause: None, at_ms, recorded_ms: None });
    }

    fn arrives(&mut self, id: u128, at_ms: i64) {
        let topic = self.route.to;
        self.take(&Seen::Event { topic, id: id + 1_000_000, cause: Some(id), at_ms, recorded_ms: None });
    }
}

#[test]
fn what_arrives_in_time_meets_and_what_waits_does_not() {
    let mut book = book();
    assert_eq!(book.report(NOON_MS).state, LevelState::Idle);
    book.begins(1, NOON_MS);
    let report = book.report(NOON_MS + 1_000);
    assert_eq!((report.state, report.attainment_percent, report.waiting), (LevelState::OnCourse, None, 1));
    book.arrives(1, NOON_MS + 2_000);
    let report = book.report(NOON_MS + 3_000);
    assert_eq!((report.state, report.attainment_percent), (LevelState::Met, Some(100.0)));
    assert_eq!((report.median_ms, report.p99_ms), (Some(2_047), Some(2_047)));
}

#[test]
fn one_that_waits_beyond_the_promise_is_a_miss_before_it_arrives() {
    let mut book = book();
    for id in 0..50 {
        book.begins(id, NOON_MS);
        book.arrives(id, NOON_MS + 10);
    }
    book.begins(77, NOON_MS);
    let within = i64::try_from(book.level.within_ms).unwrap();
    assert_eq!(book.report(NOON_MS + within).state, LevelState::OnCourse);
    let report = book.report(NOON_MS + within + 1_000);
    assert_eq!((report.state, report.overdue, report.budget, report.budget_used), (LevelState::Missed, 1, 0, 1));
    assert_eq!(report.breach_at_ms, Some(NOON_MS + within + 1_000));
    assert_eq!(report.oldest_waiting_s, 301);
    book.arrives(77, NOON_MS + within + 2_000);
    let report = book.report(NOON_MS + within + 3_000);
    assert_eq!((report.state, report.late, report.in_time, report.oldest_waiting_s), (LevelState::Missed, 1, 50, 0));
}

/// An alert opens when something waits too long, names what most of it waits for, follows the causes, and closes by itself.
#[test]
fn an_alert_names_its_cause_and_closes_with_what_is_behind_it() {
    let (mut book, within) = (book(), book().level.within_ms);
    let late_ms = NOON_MS + i64::try_from(within).unwrap() + 1_000;
    let cause = |room: &str, code: &str, events| Cause {
        code: code.to_owned(),
        room: room.to_owned(),
        subject: Some(format!("supplier/{code}")),
        exceptions: 1,
        keys: events,
        events,
        since: NOON_MS * 1_000,
        message: String::new(),
        suggested_fix: None,
        overdue: 0,
        due: 0,
        money: Vec::new(),
        events_without_price: events,
    };
    let alerts = |book: &Book, now_ms: i64, causes: &[Cause]| {
        let level = book.report(now_ms);
        let mut snapshot = LevelsSnapshot {
            at_ms: now_ms,
            day_start_ms: DAY.start_ms,
            caught_up: true,
            problem: None,
            alerts: LevelAlert::of(&level, now_ms, 3_600).into_iter().collect(),
            classes: Vec::new(),
            levels: vec![level],
        };
        snapshot.name_causes(causes);
        snapshot.alerts
    };
    let room = *book.level.rooms.first().unwrap();
    let open = [cause("elsewhere", "WL-1", 900), cause(room, "WL-2", 3), cause(room, "WL-3", 40)];
    book.begins(1, NOON_MS);
    assert_eq!(alerts(&book, NOON_MS + 1_000, &open), [], "what waits within its promise is no alert");
    let opened = alerts(&book, late_ms, &open);
    let named = opened[0].cause.as_ref().unwrap();
    assert_eq!((named.room.as_str(), named.code.as_str(), named.events), (room, "WL-3", 40));
    assert_eq!(named.subject.as_deref(), Some("supplier/WL-3"));
    let mended = alerts(&book, late_ms, &open[..2]);
    assert_eq!(mended[0].cause.as_ref().unwrap().code, "WL-2", "what is mended is named no more");
    assert_eq!(
        alerts(&book, late_ms, &open[..1])[0].cause,
        None,
        "what waits in a room elsewhere holds nothing up here"
    );
    book.arrives(1, late_ms + 10);
    assert_eq!(alerts(&book, late_ms + 20, &open), [], "nothing is overdue any more");
}

#[test]
fn what_is_left_out_is_not_counted_and_a_dead_letter_is_a_miss() {
    let mut book = book();
    book.begins(1, NOON_MS);
    book.begins(2, NOON_MS);
    let note = |how, cause| Seen::Note { room: "supplier-fanout".to_owned(), cause, at_ms: NOON_MS + 5, how };
    book.take(&note(How::LeftOut, 1));
    let report = book.report(NOON_MS + 10);
    assert_eq!((report.left_out, report.waiting, report.attainment_percent), (1, 1, None));
    book.take(&note(How::Lost, 2));
    let report = book.report(NOON_MS + 10);
    assert_eq!((report.lost, report.waiting, report.attainment_percent), (1, 0, Some(0.0)));
}

#[test]
fn yesterday_is_not_counted_today_but_what_still_waits_is() {
    let mut book = book();
    book.begins(1, DAY.start_ms - 5_000);
    book.arrives(1, DAY.start_ms - 4_000);
    book.begins(2, DAY.start_ms - 5_000);
    let report = book.report(DAY.start_ms + 60_000);
    assert_eq!((report.in_time, report.waiting, report.median_ms), (0, 1, None));
    book.arrives(2, DAY.start_ms + 61_000);
    assert_eq!(book.report(DAY.start_ms + 62_000).in_time, 1);
    let next = Day { start_ms: DAY.end_ms, end_ms: DAY.end_ms + 86_400_000 };
    book.begins(3, DAY.end_ms - 1_000);
    book.turn(next, DAY.end_ms + 10);
    let report = book.report(DAY.end_ms + 10);
    assert_eq!((report.in_time, report.waiting, report.state), (0, 1, LevelState::OnCourse));
}

#[test]
fn a_note_that_is_put_right_counts_once() {
    let mut book = book();
    book.begins(1, NOON_MS);
    book.take(&Seen::Note { room: "supplier-fanout".to_owned(), cause: 1, at_ms: NOON_MS + 9, how: How::LeftOut });
    book.arrives(1, NOON_MS + 8);
    let report = book.report(NOON_MS + 10);
    assert_eq!((report.in_time, report.left_out, report.waiting), (1, 0, 0));
}

#[test]
fn rates_are_of_the_last_minutes_and_old_ones_are_forgotten() {
    let mut book = book();
    for id in 0..30 {
        book.begins(id, NOON_MS);
    }
    book.arrives(1, NOON_MS + 1);
    let report = book.report(NOON_MS + 2);
    assert!((report.arrivals_per_minute - 2.0).abs() < 1e-9, "{}", report.arrivals_per_minute);
    let later = NOON_MS + 3_600_000;
    book.turn(DAY, later);
    assert!(book.report(later).arrivals_per_minute < 1e-9);
    assert!(book.numbers.minutes.is_empty());
}

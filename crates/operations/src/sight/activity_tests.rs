#![allow(clippy::unwrap_used, reason = "test")]

use super::*;

const NOW_MS: i64 = 1_000 * HOUR_MS + 1_800_000;

fn ledger(domain: Domain) -> Ledger {
    ledgers(Bounds::default()).into_iter().find(|ledger| ledger.domain == domain).unwrap()
}

fn event(topic: &'static str, id: u128, cause: Option<u128>, at_ms: i64) -> Seen {
    Seen::Event { topic, id, cause, at_ms, recorded_ms: None }
}

/// In, done, left out, lost, waiting and exceptions of the last three hours.
fn last(ledger: &Ledger) -> Vec<[u64; 6]> {
    let report = ledger.report(NOW_MS);
    assert_eq!(report.hours.len(), HOURS);
    let numbers = |hour: &HourActivity| [hour.came, hour.done, hour.left_out, hour.lost, hour.waiting, hour.exceptions];
    report.hours.iter().skip(HOURS - 3).map(numbers).collect()
}

#[test]
fn what_came_in_one_hour_and_left_in_another_waited_between() {
    let mut erp = ledger(Domain::Erp);
    let (from, to) = (erp.route.from[0], erp.route.to);
    erp.take(&event(from, 1, None, NOW_MS - 2 * HOUR_MS));
    erp.take(&event(from, 2, None, NOW_MS - 2 * HOUR_MS));
    erp.take(&event(from, 2, None, NOW_MS - 2 * HOUR_MS));
    erp.take(&event(to, 11, Some(1), NOW_MS - HOUR_MS));
    assert_eq!(last(&erp), [[2, 0, 0, 0, 2, 0], [0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0]]);
    let hours = erp.report(NOW_MS).hours;
    assert!(hours[HOURS - 2].p50_ms.unwrap() >= 3_600_000 && hours[HOURS - 1].p50_ms.is_none());
    let json = serde_json::to_value(&hours[HOURS - 2]).unwrap();
    assert_eq!((&json["in"], &json["done"]), (&0.into(), &1.into()));
}

#[test]
fn an_exception_counts_once_in_the_hour_it_was_raised() {
    let mut supply = ledger(Domain::Supply);
    let raised = |room: &str| Seen::Raised { room: room.to_owned(), exception: 5, at_ms: NOW_MS - HOUR_MS };
    supply.take(&raised("validate"));
    supply.take(&raised("validate"));
    supply.take(&raised("erp-post"));
    assert_eq!(last(&supply)[1], [0, 0, 0, 0, 0, 1]);
}

#[test]
fn messages_are_counted_by_their_receipts() {
    let mut clinical = ledger(Domain::Clinical);
    let received = |how| Seen::Received { received_ms: NOW_MS - 10, at_ms: NOW_MS, how };
    for how in [How::Done, How::Done, How::LeftOut, How::Lost] {
        clinical.take(&received(how));
    }
    assert_eq!(last(&clinical)[2], [4, 2, 1, 1, 0, 0]);
}

#[test]
fn bnd_1_old_hours_are_forgotten() {
    let mut erp = ledger(Domain::Erp);
    for hour in 0..100 {
        erp.take(&event(erp.route.from[0], hour, None, NOW_MS - i64::try_from(hour).unwrap() * HOUR_MS));
    }
    erp.turn(NOW_MS);
    assert_eq!(erp.hours.len(), HOURS);
}

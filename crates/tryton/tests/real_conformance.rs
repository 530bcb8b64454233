//! The adapter against a real Tryton: everything the contract asks for, and what only Tryton does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

mod support;

use connector::erp::conformance::{self, faults, feed};
use connector::erp::{Direction, Erp, ErpError, Line, Lookup, MovementQuery, RefusalCode, Stream};
use rust_decimal::Decimal;
use std::time::Duration;
use support::{Clerk, address, client, config, fixture};
use testkit::fault_proxy::{Fault, FaultProxy};
use wardline_tryton::{Tryton, TrytonConfig};

#[tokio::test]
async fn passes_the_conformance_suite() {
    conformance::all(&client(address()), &fixture("suite")).await.unwrap();
}

#[tokio::test]
async fn fx_1_one_document_whatever_call_is_cut() {
    let proxy = FaultProxy::start(address()).await.unwrap();
    let erp = client(proxy.address());
    faults::one_document_whatever_is_cut(&erp, &proxy, &fixture("cut")).await.unwrap();
}

#[tokio::test]
async fn fx_1_one_document_whatever_call_comes_late() {
    let proxy = FaultProxy::start(address()).await.unwrap();
    let erp = client(proxy.address());
    faults::one_document_whatever_comes_late(&erp, &proxy, &fixture("late-call")).await.unwrap();
}

#[tokio::test]
async fn the_feed_sees_what_is_new_and_what_has_changed() {
    let erp = client(address());
    feed::every_stream_can_be_read(&erp).await.unwrap();
    feed::sees_a_new_and_a_changed_item(&erp, &Clerk(address()), "71-900001").await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_is_in_doubt_and_then_found() {
    let proxy = FaultProxy::start(address()).await.unwrap();
    let hasty = TrytonConfig { request_timeout_ms: 1_500, ..config(proxy.address()) };
    let erp = Tryton::new(hasty).unwrap();
    let fixture = fixture("slow");
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    // The fourth call with an effect is `do`: the stock moves, and nobody hears of it in time.
    proxy.arm(Fault::DelayAnswer(Duration::from_secs(4)), 3);
    let error = erp.post(&posting).await.unwrap_err();
    assert!(matches!(error, ErpError::InDoubt { .. }), "{error}");
    assert!(proxy.heal());
    let patient = client(proxy.address());
    assert_eq!(patient.find(&posting.document_key).await.unwrap(), Lookup::HalfDone);
    let resumed = patient.resume(&posting.document_key, posting.cost_centre.as_deref(), true).await.unwrap();
    let Lookup::Done(posted) = resumed else { panic!("{resumed:?}") };
    assert_eq!(posted.documents.len(), 2, "the allocation was made up for");
    assert!(patient.post(&posting).await.unwrap().already_there);
}

#[tokio::test]
async fn errors_of_the_server_are_transient_and_say_how_long_to_wait() {
    let proxy = FaultProxy::start(address()).await.unwrap();
    let erp = client(proxy.address());
    let fixture = fixture("errors");
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    for (status, retry_after_s) in [(429, Some(7)), (503, Some(9)), (500, None)] {
        proxy.arm_all(Fault::Answer { status, retry_after_s });
        let ErpError::Transient { retry_after, .. } = erp.post(&posting).await.unwrap_err() else { panic!("{status}") };
        assert_eq!(proxy.calls(), 1, "whoever calls the adapter decides about trying again");
        assert_eq!(retry_after, retry_after_s.map(Duration::from_secs));
    }
    proxy.heal();
    assert_eq!(erp.find(&posting.document_key).await.unwrap(), Lookup::Absent);
    erp.post(&posting).await.unwrap();
}

#[tokio::test]
async fn an_error_after_the_first_step_is_in_doubt_and_two_may_resume_at_once() {
    let proxy = FaultProxy::start(address()).await.unwrap();
    let erp = client(proxy.address());
    let fixture = fixture("half");
    // Of create, wait, assign_try, do, create the allocation and post it, all but the first fail once.
    for call in 1..6 {
        let posting = fixture.posting(&call.to_string(), Direction::Consume, vec![fixture.plain(1)]);
        proxy.arm(Fault::Answer { status: 503, retry_after_s: None }, call);
        let error = erp.post(&posting).await.unwrap_err();
        assert!(matches!(error, ErpError::InDoubt { .. }), "{call}: {error}");
        proxy.heal();
        let resume = || erp.resume(&posting.document_key, posting.cost_centre.as_deref(), true);
        let (one, other) = tokio::join!(resume(), resume());
        let (Lookup::Done(one), Lookup::Done(other)) = (one.unwrap(), other.unwrap()) else { panic!("{call}") };
        assert_eq!(one.documents, other.documents, "{call}");
        let movements = erp.stock_movements(&MovementQuery::Keys(vec![posting.document_key.clone()])).await.unwrap();
        assert_eq!(movements.len(), 1, "{call}");
    }
}

/// FX-1: a document of several events may be looked up by several instances, which know nothing of each other.
#[tokio::test]
async fn fx_1_two_instances_that_resume_at_once_allocate_once() {
    let proxy = FaultProxy::start(address()).await.unwrap();
    let fixture = fixture("two");
    for number in 0..8 {
        let posting = fixture.posting(&number.to_string(), Direction::Consume, vec![fixture.plain(1)]);
        // The fifth call with an effect creates the allocation.
        proxy.arm(Fault::LoseRequest, 4);
        client(proxy.address()).post(&posting).await.unwrap_err();
        assert!(proxy.heal());
        let (one, other) = (client(address()), client(address()));
        let cost_centre = posting.cost_centre.as_deref();
        let _whatever = tokio::join!(
            one.resume(&posting.document_key, cost_centre, true),
            other.resume(&posting.document_key, cost_centre, true)
        );
        let settled = one.resume(&posting.document_key, cost_centre, true).await.unwrap();
        assert!(matches!(settled, Lookup::Done(_)), "{number}: {settled:?}");
        let borne = one.allocations(&posting.document_key).await.unwrap();
        assert_eq!(borne.iter().map(|line| line.amount).collect::<Vec<_>>(), [Decimal::new(235, 2)], "{number}");
    }
}

#[tokio::test]
async fn an_item_that_was_given_up_can_still_come_back() {
    let erp = client(address());
    let fixture = fixture("given-up");
    let trocar = Line { item: "71-200001".to_owned(), ..fixture.plain(1) };
    let posted = erp.post(&fixture.posting("1", Direction::Return, vec![trocar])).await.unwrap();
    assert_eq!(posted.lines[0].quantity, Decimal::ONE);
}

#[tokio::test]
async fn a_day_that_has_not_come_yet_is_booked_today() {
    let erp = client(address());
    let mut fixture = fixture("early");
    let today = erp.post(&fixture.posting("0", Direction::Consume, vec![fixture.plain(1)])).await.unwrap();
    let today = today.effective_date.unwrap();
    fixture.effective_date = Some(today.tomorrow().unwrap());
    let posted = erp.post(&fixture.posting("1", Direction::Consume, vec![fixture.plain(1)])).await.unwrap();
    assert_eq!(posted.effective_date, Some(today));
}

#[tokio::test]
async fn a_wrong_key_and_a_server_that_is_gone_hold_everything_but_refuse_nothing() {
    let fixture = fixture("gone");
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    let stranger = Tryton::new(TrytonConfig { key: "wrong".into(), ..config(address()) }).unwrap();
    let gone = client("127.0.0.1:9".parse().unwrap());
    for erp in [stranger, gone] {
        let error = erp.post(&posting).await.unwrap_err();
        assert!(matches!(error, ErpError::Transient { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_pack_is_converted_by_the_erp_and_costs_what_its_content_costs() {
    let erp = client(address());
    let fixture = fixture("pack");
    let pack = Line { uom: "PK10".to_owned(), ..fixture.plain(2) };
    let posting = fixture.posting("1", Direction::Consume, vec![pack]);
    let posted = erp.post(&posting).await.unwrap();
    assert_eq!(posted.unit_cost(&fixture.plain_item, None), Some(Decimal::new(235, 1)));
    let borne = erp.allocations(&posting.document_key).await.unwrap();
    assert_eq!(borne.iter().map(|line| line.amount).sum::<Decimal>(), Decimal::from(47));
}

#[tokio::test]
async fn a_day_without_an_open_period_is_booked_today() {
    let erp = client(address());
    let mut fixture = fixture("late");
    fixture.effective_date = Some(jiff::civil::date(2001, 2, 3));
    let posting = fixture.posting("1", Direction::Consume, vec![fixture.plain(1)]);
    let posted = erp.post(&posting).await.unwrap();
    assert!(posted.effective_date.unwrap() > jiff::civil::date(2020, 1, 1));
    assert_eq!(posted.documents.len(), 2);
}

#[tokio::test]
async fn fifty_lines_go_into_one_document_and_one_more_is_refused() {
    let erp = client(address());
    let fixture = fixture("fifty");
    let line = |index: usize| Line { line_key: format!("l{index}"), ..fixture.plain(1) };
    let posting = |lines| fixture.posting("1", Direction::Consume, (0..lines).map(line).collect());
    let refusal = erp.post(&posting(51)).await.unwrap_err();
    assert_eq!(refusal.code(), RefusalCode::InvalidPosting.as_str());
    let posted = erp.post(&posting(50)).await.unwrap();
    assert_eq!((posted.documents.len(), posted.lines.len()), (2, 50));
    let movements = erp.stock_movements(&MovementQuery::Prefix(fixture.key_prefix.clone())).await.unwrap();
    assert_eq!(movements.iter().map(|movement| movement.quantity).sum::<Decimal>(), Decimal::from(50));
}

#[tokio::test]
async fn the_feed_carries_what_events_need() {
    let erp = client(address());
    let mut seen = Vec::new();
    for stream in Stream::ALL {
        let mut cursor = None;
        loop {
            let page = erp.changes(stream, cursor.as_ref()).await.unwrap();
            seen.extend(page.changes.iter().map(|change| (stream, change.key.clone())));
            if !page.more {
                break;
            }
            cursor = Some(page.next);
        }
    }
    for (stream, key) in [
        (Stream::Items, "71-100234"),
        (Stream::Items, "71-200001"),
        (Stream::Suppliers, "V-300"),
        (Stream::Locations, "OR1"),
        (Stream::CostCentres, "CC-OR"),
        (Stream::Employees, "E001"),
    ] {
        assert!(seen.contains(&(stream, key.to_owned())), "{stream} {key}");
    }
    let count = |stream| seen.iter().filter(|(seen, _)| *seen == stream).count();
    assert_eq!((count(Stream::PurchaseOrders), count(Stream::Receipts)), (2, 1));
}

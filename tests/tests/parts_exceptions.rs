//! The view of exceptions and the acts on it over a broker and a room: views agree, survive the broker, and a room does what
//! people decided, once two of them have where two are demanded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use operations::exceptions::{By, Cause, DecideError, Decider, ExceptionsView, Filter, Page, Row};
use runtime::outgoing::Outgoing;
use runtime::{Shutdown, clock, shutdown};
use schemas::{
    Audit, AuditKind, Decimal, Exception, ExceptionKind, ExceptionState, MasterItem, MasterLocation, Money,
    SupplyUsage, Timestamp, ValidatedUsage, topics,
};
use std::time::Duration;
use testkit::held::Held;
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::{documented, usage};
use wardline_tests::toys;

const WITHIN: Duration = Duration::from_secs(60);

fn by(actor: &str, comment: &str) -> By {
    By { actor: actor.to_owned(), comment: Some(comment.to_owned()), via: "cli" }
}

fn start(stack: &Stack, shutdown: &Shutdown) -> ExceptionsView {
    ExceptionsView::start(&stack.config, shutdown).unwrap()
}

/// Exceptions, keys and events of the only cause.
fn counts(view: &ExceptionsView) -> (usize, usize, usize) {
    match &view.causes()[..] {
        [Cause { exceptions, keys, events, .. }] => (*exceptions, *keys, *events),
        causes => (causes.len(), 0, 0),
    }
}

fn rows(view: &ExceptionsView) -> Vec<Row> {
    view.list(&Filter { settled: true, ..Filter::default() }, Page::all()).rows
}

/// The exception about the first event of a key.
async fn of_key(view: &ExceptionsView, key: &str) -> String {
    for row in rows(view) {
        let exception = view.exception(&row.exception_id).await.unwrap().unwrap();
        if exception.origin_key.as_ref().is_some_and(|bytes| bytes.as_ref() == key.as_bytes()) {
            assert!(exception.raw_value.is_some(), "RAW-1: the original bytes come with it");
            return row.exception_id;
        }
    }
    panic!("no exception of {key}")
}

fn code_of(refused: Result<operations::exceptions::Outcome, DecideError>) -> &'static str {
    match refused {
        Err(DecideError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

async fn validated(stack: &Stack, key: &str, quantity: i64) {
    let has = |event: &ValidatedUsage| event.encounter_ref == key && event.quantity == quantity.into();
    stack.until::<ValidatedUsage>("the event", |events| events.iter().any(has)).await;
}

/// Breaks the broker and starts it again; the view says that it is away, and goes on.
async fn restart(mut stack: Stack, view: &ExceptionsView) -> Stack {
    let killed = tokio::task::spawn_blocking(move || {
        stack.kafka.kill();
        stack
    });
    stack = killed.await.unwrap();
    until("the view says that Kafka is away", || view.standing().trouble.is_some()).await;
    let started = tokio::task::spawn_blocking(move || {
        stack.kafka.restart();
        stack
    });
    stack = started.await.unwrap();
    until("the view says that Kafka is back", || view.standing().trouble.is_none()).await;
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn views_agree_and_rooms_do_what_people_decide() {
    let mut stack = Stack::start().await;
    let (_trigger, stop) = shutdown();
    let early = start(&stack, &stop);
    let mut changes = early.changes();
    let running = stack.run(vec![toys::validate()]).await;
    let events: Vec<_> = (1..=3).flat_map(|key| [1, 2].map(|number| (format!("enc-{key}"), number))).collect();
    let item = |number: &usize| if *number == 1 { "REJECT" } else { "plain" };
    stack.publish(&events.iter().map(|(key, number)| usage(key, *number, item(number))).collect::<Vec<_>>()).await;
    until("three keys wait with their followers", || counts(&early) == (3, 3, 6)).await;
    assert!(changes.has_changed().unwrap() && *changes.borrow_and_update() > 0);

    let decider = Decider::connect(&stack.config, &early).await.unwrap();
    let id = of_key(&early, "enc-1").await;
    notes_and_a_retry(&decider, &early, &id).await;
    four_eyes(&stack, &decider, &early, &id).await;
    running.stop().await;

    stack = restart(stack, &early).await;
    let running = stack.run(vec![toys::validate()]).await;
    let late = start(&stack, &stop);
    late.until_caught_up(WITHIN).await.unwrap();
    assert_eq!(counts(&early), (3, 3, 6), "a request to discard decides nothing");
    assert_eq!(rows(&late), rows(&early));
    assert_eq!(late.causes(), early.causes());

    let decider = Decider::connect(&stack.config, &late).await.unwrap();
    assert_eq!(code_of(decider.approve_discard(&id, &by("ada", "sure")).await), "WL-7107");
    let done = decider.approve_discard(&id, &by("bob", "sent twice, agreed")).await.unwrap().done;
    assert_eq!((done[0].kind, done[0].state), (ExceptionKind::Discarded, ExceptionState::Discarded));
    validated(&stack, "enc-1", 2).await;
    let last_word = |view: &ExceptionsView| {
        view.row(&id).is_some_and(|row| (row.kind, row.state) == (ExceptionKind::Resolved, ExceptionState::Discarded))
    };
    until("both views show what the room made of it", || last_word(&early) && last_word(&late)).await;
    until("both views show what still waits", || counts(&early) == (2, 2, 4) && counts(&late) == (2, 2, 4)).await;

    let outcome = decider.retry_cause(toys::CODE.as_str(), None, None, &by("ada", "again")).await.unwrap();
    assert_eq!((outcome.done.len(), outcome.left_out.len()), (2, 0));
    until("the room says that it did not help", || {
        let retried = |row: &Row| row.kind == ExceptionKind::Retried && row.state == ExceptionState::Open;
        late.list(&Filter::default(), Page::all()).rows.iter().filter(|row| retried(row)).count() == 2
    })
    .await;
    told(&stack, &late, &id).await;
    running.stop().await;
    settled_in_the_same_moment(&stack, &decider, &late).await;
}

/// A room settles an exception while somebody asks for a retry: the request comes behind the last word, which is said again.
async fn settled_in_the_same_moment(stack: &Stack, decider: &Decider, view: &ExceptionsView) {
    let id = of_key(view, "enc-2").await;
    let open = view.exception(&id).await.unwrap().unwrap();
    let word = |kind, state, comment: &str| Exception {
        kind,
        state,
        comment: Some(comment.to_owned()),
        at: Timestamp(clock::now_micros()),
        ..Exception::clone(&open)
    };
    let resolved = word(ExceptionKind::Resolved, ExceptionState::Resolved, "the item came");
    let late = word(ExceptionKind::RetryRequested, ExceptionState::Retrying, "too late");
    stack.publish(&[resolved, late]).await;
    let state = |state| view.row(&id).is_some_and(|row| row.state == state);
    until("the late request is the newest record", || state(ExceptionState::Retrying)).await;
    assert_eq!(decider.mend().await.unwrap(), std::slice::from_ref(&id));
    assert!(state(ExceptionState::Resolved));
    let last = view.exception(&id).await.unwrap().unwrap();
    assert_eq!(last.comment.as_deref(), Some("the item came"));
    assert_eq!(decider.mend().await.unwrap(), Vec::<String>::new());
}

/// Who has it and what was said stays when the room speaks.
async fn notes_and_a_retry(decider: &Decider, view: &ExceptionsView, id: &str) {
    decider.assign(id, Some("ada".to_owned()), &by("eve", "yours")).await.unwrap();
    decider.comment(id, &by("ada", "looking at it")).await.unwrap();
    let row = view.row(id).unwrap();
    assert_eq!((row.kind, row.assignee.as_deref()), (ExceptionKind::Commented, Some("ada")));
    assert_eq!(code_of(decider.resolve(id, &by("ada", "done")).await), "WL-7071");
    decider.retry(id, &by("ada", "try")).await.unwrap();
    until("the retry did not help", || view.row(id).is_some_and(|row| row.kind == ExceptionKind::Retried)).await;
    let row = view.row(id).unwrap();
    assert_eq!((row.state, row.assignee.as_deref()), (ExceptionState::Open, Some("ada")));
}

/// One person cannot discard what is next to the patient, and the room does not take the request for a decision.
async fn four_eyes(stack: &Stack, decider: &Decider, view: &ExceptionsView, id: &str) {
    let asked = decider.discard(&id[..8], &by("ada", "sent twice")).await.unwrap().done;
    assert_eq!((asked[0].kind, asked[0].state), (ExceptionKind::DiscardRequested, ExceptionState::Open));
    assert_eq!(code_of(decider.discard(id, &by("ada", "now")).await), "WL-7107");
    assert_eq!(code_of(decider.discard(id, &by("bob", "now")).await), "WL-7108");
    let waiting = view.list(&Filter { to_approve: true, ..Filter::default() }, Page::all());
    assert_eq!(waiting.total, 1);
    assert_eq!(waiting.rows[0].discard_requested_by.as_deref(), Some("ada"));
    // A note after the request is read by the room after it: when its answer to a later event is there, it has seen both.
    decider.comment(id, &by("eve", "bob has to look at it")).await.unwrap();
    stack.publish(&[usage("enc-free", 1, "plain")]).await;
    validated(stack, "enc-free", 1).await;
}

/// What happened is told by the exception topic, and what people did by the audit topic as well.
async fn told(stack: &Stack, view: &ExceptionsView, id: &str) {
    let history = view.history(id).await.unwrap();
    let steps: Vec<_> = history.iter().map(|step| (step.what.as_str(), step.actor.as_deref())).collect();
    let expected = [
        ("RAISED", None),
        ("ASSIGNED", Some("eve")),
        ("COMMENTED", Some("ada")),
        ("RETRY_REQUESTED", Some("ada")),
        ("RETRIED", None),
        ("DISCARD_REQUESTED", Some("ada")),
        ("COMMENTED", Some("eve")),
        ("DISCARDED", Some("bob")),
        ("RESOLVED", Some("bob")),
    ];
    assert_eq!(steps, expected);
    let audits: Vec<Audit> = stack.events::<Audit>().await;
    let about = audits.iter().filter(|audit| audit.exception_id.as_deref() == Some(id));
    let acts: Vec<_> = about
        .map(|audit| {
            assert_eq!((audit.kind, audit.room.as_str()), (AuditKind::Action, "cli"));
            (audit.code.as_str(), audit.actor.as_deref().unwrap(), audit.detail.as_str())
        })
        .collect();
    let expected = [
        ("exception.assign", "eve", "assigned to ada: yours"),
        ("exception.comment", "ada", "commented: looking at it"),
        ("exception.retry", "ada", "retry requested: try"),
        ("exception.discard", "ada", "discard requested: sent twice"),
        ("exception.comment", "eve", "commented: bob has to look at it"),
        ("exception.approve-discard", "bob", "discarded: sent twice, agreed"),
    ];
    assert_eq!(acts, expected);
}

/// A usage of an article that nobody knows, with what its sender charges.
fn charged(visit: &str, number: usize, cents: Option<i64>) -> SupplyUsage {
    let money = |cents| Money { amount: Decimal::new(cents, 2), currency: "EUR".to_owned() };
    SupplyUsage { stated_amount: cents.map(money), ..documented(visit, number, "4711", "OR1") }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_unknown_item_has_its_money_and_carries_it_on() {
    let stack = Stack::with(|config| config.limits.wait_budget_ms.patient_adjacent = 0).await;
    let (_trigger, stop) = shutdown();
    let view = start(&stack, &stop);
    stack.publish(&[MasterLocation { location_id: "OR1".to_owned(), ..MasterLocation::default() }]).await;
    let running = stack.run(vec![validate::room()]).await;
    let usages = [charged("enc-1", 1, Some(4_830_000)), charged("enc-1", 2, Some(-9_000)), charged("enc-2", 3, None)];
    stack.publish(&usages).await;
    until("the cause tells its events", || counts(&view) == (2, 2, 3)).await;
    let cause = view.causes().remove(0);
    let money: Vec<String> = cause.money.iter().map(|one| format!("{} {}", one.amount, one.currency)).collect();
    assert_eq!((money.join(", ").as_str(), cause.events_without_price), ("48210 EUR", 1));

    stack
        .publish(&[MasterItem { item_id: "4711".to_owned(), base_uom: "EA".to_owned(), ..MasterItem::default() }])
        .await;
    let three = |events: &[ValidatedUsage]| events.len() == 3;
    let validated = stack.until::<ValidatedUsage>("all go on", three).await;
    let mut stated: Vec<_> =
        validated.into_iter().map(|event| (event.meta.business_key, event.stated_amount)).collect();
    stated.sort_by(|one, other| one.0.cmp(&other.0));
    let sent = usages.map(|usage| (usage.meta.business_key, usage.stated_amount));
    assert_eq!(stated, sent, "what the sender charges travels on");
    until("nothing waits", || view.causes().is_empty()).await;
    running.stop().await;
}

/// BND-1: whole records are read of those that are listed alone, and one that cannot be read leaves the others be.
#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_of_what_is_listed_the_whole_records_are_read_and_one_that_is_broken_harms_no_other() {
    let stack = Stack::start().await;
    let id = |number: usize| format!("00000000-0000-5000-8000-{number:012}");
    let raised = |number: usize| Exception {
        exception_id: id(number),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: "erp".to_owned(),
        code: "WL-1009".to_owned(),
        message: format!("number {number}"),
        raised_at: Timestamp(1),
        at: Timestamp(1),
        ..Exception::default()
    };
    stack.publish(&(0..20).map(raised).collect::<Vec<_>>()).await;
    let topic = topics::OPS_EXCEPTION_V1.name();
    let broken = Outgoing { value: Some(b"no record"[..].into()), ..Outgoing::tombstone(topic, None, "broken") };
    stack.publish_raw(&[broken]).await;
    let (_trigger, stop) = shutdown();
    let view = start(&stack, &stop);
    view.until_caught_up(WITHIN).await.unwrap();
    assert_eq!(counts(&view), (20, 0, 0), "the causes are counted without the records");
    let (wanted, nobody) = ([id(3), id(17)], id(99));
    let ids: Vec<&str> = wanted.iter().chain([&nobody]).map(String::as_str).collect();
    let (found, unreadable) = view.whole(&ids).await.unwrap();
    let mut told: Vec<_> = found.values().map(|exception| exception.message.as_str()).collect();
    told.sort_unstable();
    assert_eq!((told, unreadable), (vec!["number 17", "number 3"], 0));
}

/// A room has written to the topic and not committed yet, so that nobody can read what was decided behind that. Whoever decides waits
/// for it, and writes over nothing that they have not seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_behind_an_open_transaction_is_not_written_over() {
    const ID: &str = "00000000-0000-5000-8000-000000000001";
    let stack = Stack::start().await;
    let raised = Exception {
        exception_id: ID.to_owned(),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        // Not next to the patient: one person decides.
        room: "erp".to_owned(),
        code: "WL-1009".to_owned(),
        raised_at: Timestamp(1),
        at: Timestamp(1),
        ..Exception::default()
    };
    stack.publish(&[raised]).await;
    let (_trigger, stop) = shutdown();
    let views = [start(&stack, &stop), start(&stack, &stop)];
    for view in &views {
        until("the exception in the view", || view.row(ID).is_some()).await;
    }
    let topic = topics::OPS_EXCEPTION_V1.name();
    let partition = stack.records(topic).await[0].place.partition;
    let room = Held::open(&stack, topic, partition).await;

    let ada = Decider::connect(&stack.config, &views[0]).await.unwrap();
    let bob = Decider::connect(&stack.config, &views[1]).await.unwrap();
    let mut discarding = tokio::spawn(async move { ada.discard(ID, &by("ada", "sent twice")).await });
    let early = tokio::time::timeout(Duration::from_secs(2), &mut discarding).await;
    assert!(early.is_err(), "what others have said cannot be read yet");
    let mut assigning = tokio::spawn(async move { bob.assign(ID, Some("bob".to_owned()), &by("bob", "mine")).await });
    let early = tokio::time::timeout(Duration::from_secs(2), &mut assigning).await;
    assert!(early.is_err(), "nor by the other one");
    room.abort().await;
    assert_eq!(discarding.await.unwrap().unwrap().done.len(), 1);
    let is_assigned = assigning.await.unwrap().is_ok();
    let written = stack.events::<Exception>().await;
    let last = written.last().unwrap();
    assert_eq!((last.kind, last.state), (ExceptionKind::Discarded, ExceptionState::Discarded), "{written:?}");
    assert_eq!(last.assignee.is_some(), is_assigned, "whoever came second wrote over nothing: {written:?}");
}

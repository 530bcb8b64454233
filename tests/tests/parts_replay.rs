//! Replays over a broker, a registry and an ERP: what a plan says is true, who may do what, and that records are handed over in
//! order and once (RPL-1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use operations::replay::{
    Apply, Outcome, Plan, ReplayError, ReplayRoom, ReplaySelection, ReplayState, Replays, Request, Resume, Runner,
    Words,
};
use runtime::{clock, shutdown};
use schemas::{
    Audit, AuditKind, Decimal, EnrichedUsage, ErpPosting, EventMeta, Exception, ExceptionKind, ExceptionState,
    MasterSupplier, Parked, PurchaseOrder, Timestamp, topics,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use testkit::parts::Erp as ErpPart;
use testkit::stack::Stack;
use wardline_tests::events::enriched;

/// Keys, and usages of each.
const VISITS: usize = 6;
const USAGES: usize = 4;

async fn start() -> (Stack, ErpPart) {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    let block = server.block(server.address());
    stack.configure(erp_post::NAME, block);
    (stack, server)
}

fn replays(stack: &Stack) -> Arc<Replays> {
    let rooms = vec![ReplayRoom::from(&erp_post::room()), ReplayRoom::from(&supplier_fanout::room())];
    Replays::new(Arc::clone(&stack.config), Arc::clone(&stack.codec), rooms).unwrap()
}

fn usage(visit: usize, number: usize) -> EnrichedUsage {
    let price = Some(Decimal::new(235, 2));
    EnrichedUsage { supplier_id: Some("SUP-7".to_owned()), unit_price: price, ..enriched(visit, number) }
}

fn all() -> Vec<EnrichedUsage> {
    (0..USAGES).flat_map(|number| (0..VISITS).map(move |visit| usage(visit, number))).collect()
}

fn request(selection: ReplaySelection) -> Request {
    Request {
        room: erp_post::NAME.to_owned(),
        topic: None,
        selection,
        correct: false,
        reason: "the test asks for it".to_owned(),
        actor: "Ada".to_owned(),
    }
}

fn resume() -> Resume {
    Resume { words: by("Ada"), ..Resume::default() }
}

fn from_start() -> ReplaySelection {
    ReplaySelection { from_time_ms: Some(0), ..ReplaySelection::default() }
}

fn by(actor: &str) -> Words {
    Words { actor: actor.to_owned(), comment: None }
}

fn at(rate: u32) -> Apply {
    Apply { words: by("Ada"), rate, ..Apply::default() }
}

fn code<T>(outcome: Result<T, ReplayError>) -> String {
    outcome.err().map(|error| error.to_string().split(':').next().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// What replays have parked, in order, by partition: offsets of the origin.
async fn handed_over(stack: &Stack) -> BTreeMap<i32, Vec<i64>> {
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for parked in stack.events::<Parked>().await {
        if parked.reason_code == "replay" {
            offsets.entry(parked.partition).or_default().push(parked.offset);
        }
    }
    offsets
}

/// Positions of the room behind all that was published, so that everything can be replayed.
async fn passed(replays: &Arc<Replays>, records: i64) -> Plan {
    let started = clock::tick();
    loop {
        if let Ok(plan) = replays.plan(&request(from_start()), |_| ()).await
            && plan.counts.records + plan.counts.waiting >= records
        {
            return plan;
        }
        assert!(clock::tick().since(started) < testkit::stack::PATIENCE, "the room does not pass {records} records");
    }
}

/// RPL-1: suppressed effects, what waits, what asks for nothing, money and newer events are those that are there.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_plan_counts_what_is_true() {
    let (stack, _server) = start().await;
    let replays = replays(&stack);
    let consigned = EnrichedUsage { consigned: true, ..usage(0, 90) };
    // The ERP wants a lot of it: refused, and so parked behind an exception.
    let no_lot = EnrichedUsage { item_id: Some("71-100234".to_owned()), unit_price: None, ..usage(99, 0) };
    let sent: Vec<_> = all().into_iter().chain([consigned, no_lot]).collect();
    stack.publish(&sent).await;
    let running = stack.run(vec![erp_post::room()]).await;
    let exceptions = stack.until::<Exception>("the refusal", |exceptions| !exceptions.is_empty()).await;
    let usages = i64::try_from(VISITS * USAGES).unwrap();
    let plan = passed(&replays, usages + 2).await;
    let counts = &plan.counts;
    assert_eq!((counts.records, counts.waiting), (usages + 1, 1), "what is parked is left out");
    assert_eq!((counts.suppressed, counts.without_effect, counts.effects), (usages, 1, 0));
    assert_eq!((counts.keys, counts.newer, plan.state), (i64::try_from(VISITS).unwrap(), 0, ReplayState::Planned));
    let documents: HashSet<String> =
        stack.events::<schemas::Effect>().await.into_iter().map(|effect| effect.document_key).collect();
    let documents = documents.iter().filter(|key| !key.is_empty()).count();
    assert!(counts.documents > 0 && usize::try_from(counts.documents).unwrap() <= documents, "{}", counts.documents);
    assert_eq!(counts.amounts.len(), 1);
    assert_eq!(counts.amounts[0].amount, Decimal::new(470, 2) * Decimal::from(usages + 1), "price times quantity");
    assert_eq!((counts.new_amounts.len(), counts.without_amount), (0, 0));
    assert_eq!((counts.targets[0].target.as_str(), counts.targets[0].records), ("SUP-7", usages + 1));

    a_discarded_event_would_be_posted(&stack, &replays, &exceptions[0]).await;

    // The first usage of each visit: the later ones wait behind it.
    let first: Vec<String> = (0..VISITS).map(|visit| usage(visit, 0).meta.event_id).collect();
    let selection = ReplaySelection { event_ids: first, ..ReplaySelection::default() };
    let plan = replays.plan(&request(selection), |_| ()).await.unwrap();
    assert_eq!(plan.counts.records, i64::try_from(VISITS).unwrap());
    assert_eq!(plan.counts.newer, i64::try_from(VISITS * (USAGES - 1) + 1).unwrap());
    assert_eq!(plan.counts.newer_examples.len(), 5);
    let fields = vec![operations::replay::field_condition("consigned=true").unwrap()];
    let plan = replays.plan(&request(ReplaySelection { fields, ..from_start() }), |_| ()).await.unwrap();
    assert_eq!((plan.counts.records, plan.counts.without_effect), (1, 1));
    let nothing = ReplaySelection { key: Some("nobody".to_owned()), ..ReplaySelection::default() };
    assert_eq!(code(replays.plan(&request(nothing), |_| ()).await), "WL-7153");
    running.stop().await;
}

/// Given up, it waits no more, and its effect would be made.
async fn a_discarded_event_would_be_posted(stack: &Stack, replays: &Arc<Replays>, raised: &Exception) {
    let discarded = Exception {
        kind: ExceptionKind::Discarded,
        state: ExceptionState::Discarded,
        at: Timestamp(clock::now_micros()),
        ..raised.clone()
    };
    stack.publish(&[discarded]).await;
    let only = request(ReplaySelection { key: Some("enc-99".to_owned()), ..ReplaySelection::default() });
    let started = clock::tick();
    let plan = loop {
        // Nothing to replay as long as it is parked.
        match replays.plan(&only, |_| ()).await {
            Ok(plan) => break plan,
            Err(error) => assert_eq!(code(Err::<(), _>(error)), "WL-7153"),
        }
        assert!(clock::tick().since(started) < testkit::stack::PATIENCE, "it waits on");
    };
    assert_eq!((plan.counts.records, plan.counts.effects, plan.counts.new_documents), (1, 1, 1));
    assert_eq!((plan.counts.without_amount, plan.counts.amounts.len()), (1, 0), "unknown is no zero");
}

/// BND-1: what is held of effects is what the range needs, however many the room has had.
#[tokio::test(flavor = "multi_thread")]
async fn bnd_1_only_the_effects_of_the_range_count() {
    let mut stack = Stack::with(|config| {
        config.operations.insert("replay".to_owned(), serde_json::json!({"effects_max": 1}));
    })
    .await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    stack.configure(erp_post::NAME, server.block(server.address()));
    let replays = replays(&stack);
    stack.publish(&all()).await;
    let running = stack.run(vec![erp_post::room()]).await;
    stack.until::<ErpPosting>("all postings", |postings| postings.len() >= VISITS * USAGES).await;
    // The newest usage of its visit: nothing behind it is needed either.
    let of = |number| ReplaySelection { event_ids: vec![usage(0, number).meta.event_id], ..ReplaySelection::default() };
    let started = clock::tick();
    let plan = loop {
        match replays.plan(&request(of(USAGES - 1)), |_| ()).await {
            Ok(plan) => break plan,
            Err(error) => assert_eq!(code(Err::<(), _>(error)), "WL-7153"),
        }
        assert!(clock::tick().since(started) < testkit::stack::PATIENCE, "the room does not pass it");
    };
    assert_eq!((plan.counts.records, plan.counts.suppressed), (1, 1));
    assert_eq!(code(replays.plan(&request(of(0)), |_| ()).await), "WL-7159", "with what is newer it is more than one");
    running.stop().await;
}

async fn a_second_run_over_the_same_records_is_refused(replays: &Arc<Replays>) {
    let second = replays.plan(&request(from_start()), |_| ()).await.unwrap().replay_id;
    replays.approve(&second, &by("Bert")).await.unwrap();
    assert_eq!(code(Runner::apply(replays, &second, &at(4), |_| ()).await), "WL-7165");
    let paused = replays.find(&second).await.unwrap();
    let handed: i64 = paused.spans.iter().map(|span| span.handed).sum();
    assert_eq!((paused.state, handed), (ReplayState::Paused, 0));
}

/// RPL-1, ORD-1, FX-1: approved by a second person, handed over in order and once, over a pause, and with no second effect.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_plan_is_approved_applied_paused_and_resumed() {
    let (stack, _server) = start().await;
    let replays = replays(&stack);
    stack.publish(&all()).await;
    let running = stack.run(vec![erp_post::room()]).await;
    let usages = VISITS * USAGES;
    stack.until::<ErpPosting>("all postings", |postings| postings.len() >= usages).await;
    let plan = passed(&replays, i64::try_from(usages).unwrap()).await;
    let id = plan.replay_id.clone();

    assert_eq!(code(Runner::apply(&replays, &id, &at(10), |_| ()).await), "WL-7155");
    assert_eq!(code(replays.approve(&id, &by("ada ")).await), "WL-7156");
    assert_eq!(code(replays.approve(&id, &by(" ")).await), "WL-7162");
    assert_eq!(replays.approve(&id, &by("Bert")).await.unwrap().approved_by.as_deref(), Some("Bert"));
    assert_eq!(code(replays.approve(&id, &by("Bert")).await), "WL-7154");
    assert_eq!(code(Runner::apply(&replays, &id, &at(1_000_000), |_| ()).await), "WL-7163");

    let runner = Runner::apply(&replays, &id, &at(4), |_| ()).await.unwrap();
    assert_eq!(code(Runner::apply(&replays, &id, &at(4), |_| ()).await), "WL-7154", "it runs already");
    a_second_run_over_the_same_records_is_refused(&replays).await;
    let (_trigger, stop) = shutdown();
    let going = tokio::spawn(async move { runner.run(&stop, |_| ()).await });
    stack.until::<Parked>("the first records", |parked| !parked.is_empty()).await;
    let paused = replays.pause(&id, &by("Cleo")).await.unwrap();
    let Outcome::Paused(told) = going.await.unwrap().unwrap() else { panic!("it was paused") };
    assert_eq!((told.actor.as_str(), &told.spans), ("Cleo", &paused.spans));
    let handed = |plan: &Plan| usize::try_from(plan.spans.iter().map(|span| span.handed).sum::<i64>()).unwrap();
    let before: usize = handed_over(&stack).await.values().map(Vec::len).sum();
    assert!((1..usages).contains(&before), "{before}");
    assert_eq!(handed(&paused), before, "progress and parked records are one");

    let runner = Runner::resume(&replays, &id, &Resume { rate: Some(1_000), ..resume() }, |_| ()).await.unwrap();
    let (_trigger, stop) = shutdown();
    let Outcome::Done(done) = runner.run(&stop, |_| ()).await.unwrap() else { panic!("it ends") };
    assert_eq!(handed(&done), usages);
    for (partition, offsets) in handed_over(&stack).await {
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "ORD-1: {partition}: {offsets:?}");
    }
    let suppressed = |audits: &[Audit]| audits.iter().filter(|audit| audit.kind == AuditKind::Suppressed).count();
    let audits = stack.until::<Audit>("all suppressed", |audits| suppressed(audits) >= usages).await;
    assert_eq!(stack.events::<ErpPosting>().await.len(), usages, "FX-1: nothing is posted again");
    let steps: Vec<&str> =
        audits.iter().filter(|audit| audit.kind == AuditKind::Replay).map(|audit| audit.code.as_str()).collect();
    for step in ["planned", "approved", "started", "paused", "resumed", "done"] {
        assert!(steps.contains(&format!("replay.{step}").as_str()), "{step}: {steps:?}");
    }
    let mut waits = usages;
    while waits > 0 {
        waits = usize::try_from(replays.status(&id).await.unwrap().still_parked).unwrap();
    }
    assert_eq!(suppressed(&stack.events::<Audit>().await), usages, "each of them once");
    assert_eq!(code(Runner::resume(&replays, &id, &resume(), |_| ()).await), "WL-7154");
    running.stop().await;
}

/// RPL-1: a plan that is too old, or whose preview does not hold any more, is not applied.
#[tokio::test(flavor = "multi_thread")]
async fn rpl_1_a_stale_plan_is_refused() {
    let (stack, _server) = start().await;
    let replays = replays(&stack);
    stack.publish(&all()).await;
    let running = stack.run(vec![erp_post::room()]).await;
    let usages = i64::try_from(VISITS * USAGES).unwrap();
    let plan = passed(&replays, usages).await;
    let approved = replays.approve(&plan.replay_id, &by("Bert")).await.unwrap();
    let old = Plan { planned_at: Timestamp(0), replay_id: "an-old-one".to_owned(), ..approved.clone() };
    // As if an effect had been unknown when it was counted.
    let mut other = Plan { replay_id: "another-preview".to_owned(), ..approved.clone() };
    other.counts.suppressed -= 1;
    other.counts.effects += 1;
    stack.publish(&[old, other.clone()]).await;
    assert_eq!(code(Runner::apply(&replays, "an-old-one", &at(10), |_| ()).await), "WL-7157");
    let refused = Runner::apply(&replays, "another", &at(10), |_| ()).await;
    let Err(ReplayError::Changed { differences, .. }) = refused else { panic!("the preview does not hold") };
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["effects to make 1 -> 0".to_owned(), format!("effects suppressed {} -> {usages}", usages - 1)]);
    let mut accepted = Apply { accept_changes: true, may_agree: true, ..at(1_000) };
    assert_eq!(code(Runner::apply(&replays, "another", &accepted, |_| ()).await), "WL-7162", "without a reason");
    accepted.words.comment = Some("the effect has come since".to_owned());
    assert_eq!(code(Runner::apply(&replays, "another", &accepted, |_| ()).await), "WL-7164", "by the planner");
    accepted.words.actor = "Bert".to_owned();
    let runner = Runner::apply(&replays, "another", &accepted, |_| ()).await.unwrap();
    assert_eq!(runner.plan().counts.suppressed, usages, "what was found is what is on record");
    let aborted = replays.abort("another", &by("Ada")).await.unwrap();
    let (_trigger, stop) = shutdown();
    let Outcome::Aborted(told) = runner.run(&stop, |_| ()).await.unwrap() else { panic!("it was aborted") };
    assert_eq!((told, handed_over(&stack).await.len()), (aborted, 0));
    assert_eq!(code(replays.approve("no-such", &by("Bert")).await), "WL-7150");
    running.stop().await;
}

/// RPL-1: the planner may apply what is not patient-adjacent; a source takes no replay.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_an_operational_topic_needs_nobody_else() {
    let mut stack = Stack::start().await;
    stack.configure(supplier_fanout::NAME, serde_json::json!({}));
    let replays = replays(&stack);
    let order = |number: usize| PurchaseOrder {
        meta: EventMeta {
            event_id: schemas::identity::event_id("test", "order", &number.to_string(), "order"),
            business_key: format!("order/{number}"),
            ..EventMeta::default()
        },
        po_number: format!("PO-{number}"),
        supplier_id: "SUP-7".to_owned(),
        ..PurchaseOrder::default()
    };
    // Without a profile it is told nothing: the orders are dropped by a rule, and so passed.
    stack.publish(&[MasterSupplier { supplier_id: "SUP-7".to_owned(), ..MasterSupplier::default() }]).await;
    stack.publish(&(0..3).map(order).collect::<Vec<_>>()).await;
    let running = stack.run(vec![supplier_fanout::room()]).await;
    let request = Request {
        room: supplier_fanout::NAME.to_owned(),
        topic: Some(topics::SUPPLY_PURCHASE_ORDER_V1.name().to_owned()),
        ..request(from_start())
    };
    let started = clock::tick();
    let plan = loop {
        match replays.plan(&request, |_| ()).await {
            Ok(plan) if plan.counts.records + plan.counts.waiting == 3 => break plan,
            _ => assert!(clock::tick().since(started) < testkit::stack::PATIENCE, "the orders are passed"),
        }
    };
    running.stop().await;
    assert!(!plan.needs_approval);
    let runner = Runner::apply(&replays, &plan.replay_id, &at(1_000), |_| ()).await.unwrap();
    let (_trigger, stop) = shutdown();
    let Outcome::Done(done) = runner.run(&stop, |_| ()).await.unwrap() else { panic!("it ends") };
    assert_eq!(done.spans.iter().map(|span| span.handed).sum::<i64>(), done.counts.records);
    let unread = Request { topic: Some(topics::CLINICAL_ENCOUNTER_V1.name().to_owned()), ..request };
    assert_eq!(code(replays.plan(&unread, |_| ()).await), "WL-7065");
}

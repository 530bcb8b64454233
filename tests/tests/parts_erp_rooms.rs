//! The two rooms at the ERP, over a broker, a registry and an ERP: what the ERP knows becomes events once, and usages become
//! stock movements once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test")]

use connector::erp::{Erp, MovementQuery, Net, net};
use erp_post::ErpPostConfig;
use schemas::{
    Action, Cursor, Decimal, EnrichedUsage, ErpPosting, Event, EventMeta, Exception, GoodsReceipt, MasterCostCenter,
    MasterEmployee, MasterItem, MasterLocation, MasterSupplier, PurchaseOrder, RecordStatus,
};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use testkit::parts::Erp as ErpPart;
use testkit::stack::Stack;

/// Starts an ERP and tells both rooms where it is.
async fn start() -> (Stack, ErpPart) {
    let mut stack = Stack::start().await;
    let dir = stack.dir.path().join("erp");
    let server = tokio::task::spawn_blocking(move || ErpPart::start(&dir)).await.unwrap();
    let block = server.block(server.address());
    let mut followed = block.clone();
    followed["poll_ms"] = json!(200);
    stack.configure(erp::NAME, followed);
    stack.configure(erp_post::NAME, block);
    (stack, server)
}

/// The ERP as the room that posts to it sees it.
fn open(stack: &Stack) -> Arc<dyn Erp> {
    let config: ErpPostConfig = stack.config.room(erp_post::NAME).unwrap();
    config.system.open(&config.tryton, &config.sandbox).unwrap().erp
}

async fn ids<T: Event>(stack: &Stack) -> Vec<String> {
    stack.events::<T>().await.iter().map(|event| event.event_id().unwrap_or_default().to_owned()).collect()
}

/// LOSS-1, EOS-1: every record of the ERP is published once, also over a restart, and a change once more.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_what_the_erp_knows_becomes_events_once() {
    let (stack, server) = start().await;
    let running = stack.run(vec![erp::room()]).await;
    stack.until::<GoodsReceipt>("two lines of the receipt", |receipts| receipts.len() == 2).await;
    let items = stack.until::<MasterItem>("all items", |items| items.len() >= 50).await;
    assert_eq!(items.len(), 50);
    assert!(items.iter().any(|item| item.status == RecordStatus::Inactive));
    assert_eq!(ids::<MasterSupplier>(&stack).await.len(), 4);
    assert_eq!(ids::<MasterEmployee>(&stack).await.len(), 6);
    assert_eq!(ids::<MasterCostCenter>(&stack).await.len(), 5);
    assert_eq!(ids::<PurchaseOrder>(&stack).await.len(), 2);
    let locations = stack.events::<MasterLocation>().await;
    let theatre = locations.iter().find(|location| location.location_id == "OR1").unwrap();
    assert_eq!(theatre.cost_centre_id.as_deref(), Some("CC-OR"));
    running.stop().await;

    let running = stack.run(vec![erp::room()]).await;
    let first = &items[0];
    server.rename_item(&first.item_id, first.erp_id.as_deref(), "Renamed").await;
    let renamed = |items: &[MasterItem]| items.iter().any(|item| item.description == "Renamed");
    let after = stack.until::<MasterItem>("the renamed item", renamed).await;
    running.stop().await;
    // The overlap shows what was published before the restart again, and the room knows it.
    assert_eq!(after.len(), 51);
    let newest = after.iter().find(|item| item.description == "Renamed").unwrap();
    assert_eq!(newest.item_id, first.item_id);
    assert!(newest.meta.revision > first.meta.revision);
    assert_eq!(stack.events::<Exception>().await, []);
    assert!(!stack.events::<Cursor>().await.is_empty());
}

/// FX-1: an order that the ERP wrote again without changing what it says is not told again, also when the room did not run then.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_an_order_that_says_nothing_new_is_not_published_again() {
    let (stack, server) = start().await;
    let running = stack.run(vec![erp::room()]).await;
    stack.until::<GoodsReceipt>("two lines of the receipt", |receipts| receipts.len() == 2).await;
    running.stop().await;
    let before = stack.events::<PurchaseOrder>().await;
    for order in &before {
        let (id, _) = order.meta.source.message_id.split_once('@').unwrap();
        server.touch_order(&order.po_number, id).await;
    }

    let running = stack.run(vec![erp::room()]).await;
    let item = stack.events::<MasterItem>().await.remove(0);
    // Items are swept before orders, so the second name is seen when the orders have been.
    for name in ["Renamed", "Renamed again"] {
        server.rename_item(&item.item_id, item.erp_id.as_deref(), name).await;
        let renamed = |items: &[MasterItem]| items.iter().any(|item| item.description == name);
        stack.until::<MasterItem>("the renamed item", renamed).await;
    }
    running.stop().await;
    assert_eq!((before.len(), ids::<PurchaseOrder>(&stack).await.len()), (2, 2));
    assert_eq!(ids::<GoodsReceipt>(&stack).await.len(), 2);
}

fn usage(visit: &str, number: usize, quantity: i64) -> EnrichedUsage {
    let text = |text: &str| Some(text.to_owned());
    EnrichedUsage {
        meta: EventMeta {
            event_id: schemas::identity::event_id("test", visit, &number.to_string(), "usage"),
            business_key: format!("usage/{visit}/{number}"),
            ..EventMeta::default()
        },
        encounter_ref: visit.to_owned(),
        item_id: text("71-400101"),
        base_quantity: Some(Decimal::from(quantity)),
        base_uom: text("EA"),
        stock_location_id: text("OR1"),
        cost_centre_id: text("CC-OR"),
        // What the price is in; the ERP's books are in EUR.
        currency: text("USD"),
        ..EnrichedUsage::default()
    }
}

fn later(visit: &str, revision: i32, quantity: i64) -> EnrichedUsage {
    let mut usage = usage(visit, 1, quantity);
    usage.meta.revision = revision;
    usage.meta.event_id = schemas::identity::event_id("test", visit, &revision.to_string(), "correction");
    usage.meta.action = Action::Update;
    usage
}

async fn moved(erp: &dyn Erp) -> Net {
    let movements = erp.stock_movements(&MovementQuery::Prefix("wl-".to_owned())).await.unwrap();
    net(&movements, |place| place == "OR1")
}

/// FX-1: what the ERP moved is what the postings say, after first statements, corrections, retractions and refusals.
#[tokio::test(flavor = "multi_thread")]
async fn fx_1_usages_become_movements_once() {
    let (stack, _server) = start().await;
    let erp = open(&stack);
    let mut sent: Vec<EnrichedUsage> = (0..30).map(|visit| usage(&format!("enc-{visit}"), 1, 1)).collect();
    // Each of ten is corrected to 4 and then to 2: every correction needs to know what the one before has posted.
    for (revision, quantity) in [(1, 4), (2, 2)] {
        sent.extend((0..10).map(|visit| later(&format!("enc-{visit}"), revision, quantity)));
    }
    let mut retracted = later("enc-10", 1, 0);
    retracted.meta.action = Action::Retract;
    let consigned = EnrichedUsage { consigned: true, ..usage("enc-12", 2, 1) };
    let no_lot = EnrichedUsage { item_id: Some("71-100234".to_owned()), ..usage("enc-29", 2, 1) };
    sent.extend([retracted, consigned, no_lot]);
    stack.publish(&sent).await;
    let running = stack.run(vec![erp_post::room()]).await;
    let postings = stack.until::<ErpPosting>("52 postings", |postings| postings.len() >= 52).await;
    let exceptions = stack.until::<Exception>("the refusal", |exceptions| !exceptions.is_empty()).await;
    assert_eq!(exceptions[0].code, "WL-3004");
    stack.publish(&sent[..10]).await;
    stack.until::<schemas::Audit>("suppressed repetitions", |audits| audits.len() >= 10).await;
    running.stop().await;

    let said: Decimal = postings.iter().map(|posting| posting.quantity).sum();
    let later: Vec<_> = postings.iter().filter(|posting| posting.revision > 0).collect();
    assert_eq!(said, Decimal::from(30 + 10 - 1), "{later:?}");
    assert_eq!(moved(erp.as_ref()).await, [(("71-400101".to_owned(), None, "OR1".to_owned()), said)].into());
    let documents: HashSet<&str> =
        postings.iter().flat_map(|posting| &posting.documents).map(|found| found.id.as_str()).collect();
    assert!(documents.len() < 80, "lines share documents: {}", documents.len());
    let cost: Decimal = postings.iter().filter_map(|posting| posting.amount).sum();
    assert_eq!(cost, said * Decimal::new(235, 2));
    let currency = |posting: &ErpPosting| posting.amount.map(|_| posting.currency.clone().unwrap_or_default());
    let currencies: HashSet<String> = postings.iter().filter_map(currency).collect();
    assert_eq!(currencies, HashSet::from(["EUR".to_owned()]), "the cost is the ERP's, in its currency");
    assert!(postings.iter().all(|posting| posting.amount.is_some() == posting.currency.is_some()));
}

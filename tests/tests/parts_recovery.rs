//! KEY-1 after an outage: with a backlog in every class they drain in the order of their urgency, and nobody starves.

use runtime::metrics;
use schemas::{EnrichedUsage, ErpPosting, Event, EventMeta, GoodsReceipt, PurchaseOrder, SupplyUsage};
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::usage;
use wardline_tests::recovery::{Endpoint, Every, room};

fn meta(id: String) -> EventMeta {
    EventMeta { business_key: id.clone(), event_id: id, ..EventMeta::default() }
}

fn orders(count: usize) -> Vec<PurchaseOrder> {
    let order = |number| PurchaseOrder {
        meta: meta(format!("order-{number}")),
        po_number: format!("PO{number}"),
        ..PurchaseOrder::default()
    };
    (0..count).map(order).collect()
}

fn receipts(count: usize) -> Vec<GoodsReceipt> {
    let receipt = |number| GoodsReceipt {
        meta: meta(format!("receipt-{number}")),
        po_number: format!("PO{number}"),
        ..GoodsReceipt::default()
    };
    (0..count).map(receipt).collect()
}

fn enriched(numbers: std::ops::Range<usize>) -> Vec<EnrichedUsage> {
    let usage = |number| EnrichedUsage {
        meta: meta(format!("usage-{number}")),
        encounter_ref: format!("enc-{number}"),
        ..EnrichedUsage::default()
    };
    numbers.map(usage).collect()
}

async fn stack() -> Stack {
    Stack::with(|config| {
        config.limits.retry_delay_max_ms = 500;
        config.limits.records_in_flight_max = 200;
    })
    .await
}

/// When the last of so many events of a topic was through, and how many others were by then; counted in calls.
fn drained(taken: &[String], topic: &str, count: usize) -> (usize, usize) {
    let places: Vec<usize> = (0..taken.len()).filter(|place| taken[*place] == topic).collect();
    assert_eq!(places.len(), count, "FX-1: one call for each event of {topic}");
    let last = places[count - 1] + 1;
    (last, last - count)
}

/// Usages, orders and receipts of the backlog of one room, and more of the two that yield than the room holds.
const BACKLOG: [usize; 3] = [200, 300, 400];

/// What one room with a backlog in every class has called for, in order: the least urgent came first and filled their part of it.
async fn drained_in_one_room<const IN_TIME: bool>() -> Vec<String> {
    let (stack, endpoint) = (stack().await, Endpoint::away());
    let [usages, ordered, received] = BACKLOG;
    stack.publish(&receipts(received)).await;
    let running = stack.run(vec![room::<Every<IN_TIME>>("toy-recovery", &endpoint, &[])]).await;
    until("the endpoint is found away", || metrics::encode().contains("room=\"toy-recovery\",target=\"erp\"} 1")).await;
    stack.publish(&orders(ordered)).await;
    let usages: Vec<SupplyUsage> = (0..usages).map(|number| usage(&format!("enc-{number}"), 1, "plain")).collect();
    stack.publish(&usages).await;
    endpoint.comes_back();
    let all: usize = BACKLOG.iter().sum();
    stack.until::<ErpPosting>("all of them", |postings| postings.len() >= all).await;
    running.stop().await;
    endpoint.taken()
}

/// For each class, when the last of its backlog was through, counted in calls.
fn ends(taken: &[String]) -> [usize; 3] {
    let topics = [SupplyUsage::topic(), PurchaseOrder::topic(), GoodsReceipt::topic()];
    std::array::from_fn(|class| drained(taken, topics[class].name, BACKLOG[class]).0)
}

/// How many of a class were through by then.
fn by(taken: &[String], topic: &str, calls: usize) -> usize {
    taken[..calls].iter().filter(|name| *name == topic).count()
}

/// In one room, with a backlog in every class, all of it late: they drain in order of their urgency, and each has its turns while it
/// yields.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_in_one_room_every_class_drains_in_order_of_its_urgency() {
    let taken = drained_in_one_room::<false>().await;
    let [usages, orders, receipts] = ends(&taken);
    let [order, receipt] = [PurchaseOrder::topic().name, GoodsReceipt::topic().name];
    assert!(usages < orders && orders < receipts, "{usages}, {orders}, {receipts}");
    assert!(usages <= 320, "the last usage was call {usages} of {}", taken.len());
    let meanwhile = [by(&taken, order, usages), by(&taken, receipt, usages)];
    assert!(meanwhile.iter().all(|made| *made >= 8), "nobody starves: {meanwhile:?} while usages were late");
    let received = by(&taken, receipt, orders);
    assert!(received <= 200, "{received} receipts before the last order");
    assert!(received >= meanwhile[1] + 8, "receipts have turns while orders are late: {received}");
}

/// The same backlog, in time: nobody has to make way then, and each class has its even part from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_in_one_room_what_is_in_time_makes_nobody_wait() {
    let taken = drained_in_one_room::<true>().await;
    let [usages, ..] = ends(&taken);
    let made = [PurchaseOrder::topic(), GoodsReceipt::topic()].map(|topic| by(&taken, topic.name, usages));
    assert!(made.iter().all(|made| *made >= 100), "a third each: {made:?} of {usages} calls");
    assert!(usages <= 700, "and a third for the most urgent one: {usages}");
}

/// Across rooms: the one with orders makes way for the one with usages, until these are in time.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_a_room_makes_way_for_a_more_urgent_one_at_the_same_endpoint() {
    let (stack, endpoint) = (stack().await, Endpoint::away());
    let urgent = room::<EnrichedUsage>("erp-post", &endpoint, &[]);
    let other = room::<PurchaseOrder>("supplier-fanout", &endpoint, &["erp-post"]);
    let running = stack.run(vec![urgent, other]).await;
    // It has worked before, and then it goes away.
    endpoint.comes_back();
    stack.publish(&enriched(0..20)).await;
    stack.until::<ErpPosting>("the first usages", |postings| postings.len() >= 20).await;
    endpoint.goes_away();
    stack.publish(&orders(300)).await;
    stack.publish(&enriched(20..320)).await;
    let late = r#"wardline_makes_way{room="supplier-fanout",other="erp-post"} 1"#;
    until("it is seen that usages are late", || metrics::encode().contains(late)).await;
    endpoint.comes_back();
    stack.until::<ErpPosting>("all of them", |postings| postings.len() >= 620).await;
    let in_time = r#"wardline_makes_way{room="supplier-fanout",other="erp-post"} 0"#;
    until("it is seen that nothing is late", || metrics::encode().contains(in_time)).await;
    running.stop().await;

    let taken = endpoint.taken();
    let (calls, others) = drained(&taken, EnrichedUsage::topic().name, 320);
    assert!(others <= 100, "{others} orders before the last usage, which was call {calls} of {}", taken.len());
    assert!(others >= 10, "only {others} orders meanwhile");
}

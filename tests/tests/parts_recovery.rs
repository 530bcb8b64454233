//! KEY-1 after an outage: with a backlog in every class, the flows next to the patient drain first, and the others do not starve.

use runtime::metrics;
use schemas::{EnrichedUsage, ErpPosting, Event, EventMeta, PurchaseOrder, SupplyUsage};
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::usage;
use wardline_tests::recovery::{Both, Endpoint, room};

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

/// In one room: usages and orders wait for one endpoint, more orders than the room holds.
#[tokio::test(flavor = "multi_thread")]
async fn key_1_in_one_room_the_urgent_class_drains_first() {
    let (stack, endpoint) = (stack().await, Endpoint::away());
    stack.publish(&orders(900)).await;
    let running = stack.run(vec![room::<Both>("toy-recovery", &endpoint, &[])]).await;
    // The room is full of orders before the first usage comes.
    until("the endpoint is found away", || metrics::encode().contains("room=\"toy-recovery\",target=\"erp\"} 1")).await;
    let usages: Vec<SupplyUsage> = (0..200).map(|number| usage(&format!("enc-{number}"), 1, "plain")).collect();
    stack.publish(&usages).await;
    endpoint.comes_back();
    stack.until::<ErpPosting>("all of them", |postings| postings.len() >= 1_100).await;
    running.stop().await;

    let taken = endpoint.taken();
    let (calls, others) = drained(&taken, SupplyUsage::topic().name, 200);
    assert!(calls <= 450, "the last usage was call {calls} of {}", taken.len());
    assert!(others >= 10, "only {others} orders meanwhile");
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

//! Tools and reports read while the broker comes and goes.

use runtime::config::KafkaConfig;
use runtime::reader::{Range, group_lag, read_range};
use schemas::{Event, SupplyUsage};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::stack::Stack;
use testkit::until;
use wardline_tests::events::usage;

/// How often the broker is killed.
const KILLS: usize = 3;
/// So many read at once, so that each kill meets one in each step.
const READERS: usize = 8;
const EVENTS: u64 = 200;

/// LOSS-1: a report that is drawn while the broker is killed and started again has everything, and does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_outlives_a_broker_that_is_killed() {
    let mut stack = Stack::start().await;
    let events: Vec<SupplyUsage> = (0..200).map(|number| usage("enc", number, "plain")).collect();
    stack.publish(&events).await;
    let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let (config, over, reads) = (Arc::clone(&stack.config), Arc::clone(&over), Arc::clone(&reads));
        readers.spawn_blocking(move || {
            while !over.load(Ordering::SeqCst) {
                read(&config.kafka);
                reads.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for _ in 0..KILLS {
        let before = reads.load(Ordering::SeqCst);
        until("every reader is at work", || reads.load(Ordering::SeqCst) >= before + 2 * READERS).await;
        stack.kafka.kill();
        stack.kafka.restart();
    }
    over.store(true, Ordering::SeqCst);
    readers.join_all().await;
}

fn read(kafka: &KafkaConfig) {
    let topic = SupplyUsage::topic().name;
    let mut records = 0;
    let read = read_range(kafka, &Range::all(topic), |_| {
        records += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(read.map_err(|error| error.to_string()), Ok(EVENTS));
    assert_eq!(records, EVENTS);
    let lag = group_lag(kafka, "nobody", &[topic]).map(|lags| lags.iter().map(|lag| lag.lag).sum::<i64>());
    assert_eq!(lag.map(i64::unsigned_abs).map_err(|error| error.to_string()), Ok(EVENTS));
}

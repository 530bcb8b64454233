//! What tools, reports and listeners read, also while the broker comes and goes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use runtime::config::KafkaConfig;
use runtime::kafka;
use runtime::reader::{From, Range, Until, group_lag, read_range};
use runtime::readers::Readers;
use runtime::tail::Tail;
use schemas::{Event, SupplyUsage, topics};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::stack::{PATIENCE, Stack};
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

/// What is asked again on a connection that is kept is answered as it stands now, and the newest places are the newest.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_says_how_things_stand_now() {
    let stack = Stack::start().await;
    let topic = SupplyUsage::topic().name;
    let readers = Readers::new(&stack.config.kafka);
    for round in 1..=3 {
        let events: Vec<SupplyUsage> = (0..10).map(|number| usage("enc", round * 10 + number, "plain")).collect();
        stack.publish(&events).await;
        let readers = readers.clone();
        let read = move || {
            let behind: i64 = readers.group_lag("nobody", &[topic]).unwrap().iter().map(|lag| lag.lag).sum();
            let ends: i64 = readers.ends(&[topic]).unwrap().values().sum();
            let mut places = Vec::new();
            let newest = Range { from: From::Newest(3), ..Range::all(topic) };
            readers
                .read_range(&newest, |record| {
                    places.push(record.place.offset);
                    ControlFlow::Continue(())
                })
                .unwrap();
            (behind, ends, places)
        };
        let (behind, ends, places) = tokio::task::spawn_blocking(read).await.unwrap();
        let all = i64::try_from(round).unwrap() * 10;
        assert_eq!((behind, ends), (all, all), "one key, so one partition has them all");
        assert_eq!(places, [all - 3, all - 2, all - 1]);
    }
}

fn tail(stack: &Stack) -> Tail {
    Tail::open(&stack.config.kafka, SupplyUsage::topic().name, From::Earliest).unwrap()
}

/// EOS-1: whoever asks has seen all that was written before; nothing is visited twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_has_all_that_was_there_when_it_was_asked() {
    let stack = Stack::start().await;
    let mut seen = Vec::new();
    let mut tail = tail(&stack);
    for round in 0..20 {
        let events: Vec<SupplyUsage> =
            (0..10).map(|number| usage(&format!("enc-{number}"), round * 10 + number, "plain")).collect();
        stack.publish(&events).await;
        if round % 2 == 0 {
            tail.drain(|record| seen.push(record.place)).unwrap();
        }
        tail.catch_up(PATIENCE, |record| seen.push(record.place)).unwrap();
        assert_eq!(seen.len(), (round + 1) * 10);
    }
    assert_eq!(tail.catch_up(PATIENCE, |_| {}).unwrap(), 0);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
}

/// The mark that ends a transaction takes a place of its own, which nobody ever sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_gets_past_the_end_of_a_transaction() {
    let stack = Stack::start().await;
    let mut tail = tail(&stack);
    let settings = kafka::producer(&stack.config.kafka, Some("tail"));
    tokio::task::spawn_blocking(move || in_transactions(&settings)).await.unwrap();
    assert_eq!(tail.catch_up(PATIENCE, |_| {}).unwrap(), 2, "records of given up transactions are told too");
    assert_eq!(tail.catch_up(PATIENCE, |_| {}).unwrap(), 0);
}

/// One that is committed, and one that is given up.
fn in_transactions(settings: &ClientConfig) {
    let producer: BaseProducer = settings.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for committed in [true, false] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::to(SupplyUsage::topic().name).partition(0).key("k").payload("v")).unwrap();
        producer.flush(PATIENCE).unwrap();
        let ended =
            if committed { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
        ended.unwrap();
    }
}

/// LOSS-1: connections that are used again read the same as new ones: no record, end or trouble of an earlier read, of another
/// place or topic, gets into a later one, also when an earlier one was broken off or the broker was killed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_used_again_reads_the_same_as_a_new_one() {
    let mut stack = Stack::start().await;
    let events: Vec<SupplyUsage> =
        (0..EVENTS).map(|number| usage(&format!("enc-{number}"), usize::try_from(number).unwrap(), "plain")).collect();
    stack.publish(&events).await;
    let settings = kafka::producer(&stack.config.kafka, Some("readers"));
    tokio::task::spawn_blocking(move || in_transactions(&settings)).await.unwrap();
    let readers = Readers::new(&stack.config.kafka);
    for killed in [false, true] {
        if killed {
            stack.kafka.kill();
            stack.kafka.restart();
        }
        let (readers, config) = (readers.clone(), Arc::clone(&stack.config));
        tokio::task::spawn_blocking(move || same(&readers, &config.kafka)).await.unwrap();
    }
}

/// Compares both ways for ranges of all kinds, one after the other.
fn same(readers: &Readers, kafka: &KafkaConfig) {
    let (usages, empty) = (SupplyUsage::topic().name, topics::OPS_AUDIT_V1.name());
    let spans = readers.spans(&Range::all(usages)).unwrap();
    // The first one ends with the mark of a transaction.
    for (partition, span) in spans.into_iter().take(2) {
        for offset in [span.start, span.start + (span.end - span.start) / 2, span.end - 1] {
            let part = |from, until| Range { from, until, ..Range::all(usages).partitions([partition]) };
            for range in [
                part(From::Offset(offset), Until::EndNow),
                Range::all(empty),
                part(From::Earliest, Until::Offset(offset)),
                Range::all(usages),
            ] {
                let (mut again, mut anew) = (Vec::new(), Vec::new());
                readers.read_range(&range, |record| broken_off(&mut again, record.place, usize::MAX)).unwrap();
                read_range(kafka, &range, |record| broken_off(&mut anew, record.place, usize::MAX)).unwrap();
                again.sort();
                anew.sort();
                assert_eq!(again, anew, "{range:?}");
                let mut begun = Vec::new();
                readers.read_range(&range, |record| broken_off(&mut begun, record.place, 1)).unwrap();
                assert_eq!(begun.len(), anew.len().min(1));
            }
            let one = readers.read_one(usages, partition, offset).unwrap();
            let found = runtime::reader::read_one(kafka, usages, partition, offset).unwrap();
            assert_eq!(one.map(|one| one.place), found.map(|found| found.place));
        }
    }
}

fn broken_off<T>(seen: &mut Vec<T>, one: T, most: usize) -> ControlFlow<()> {
    seen.push(one);
    if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

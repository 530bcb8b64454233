use kafka_protocol::error::ResponseError as E;

use super::*;

#[test]
fn what_is_produced_is_fetched_also_after_a_restart() {
    let mut bench = Bench::new();
    assert_eq!(bench.produce("t", &["x"]).0, E::UnknownTopicOrPartition.code());
    assert_eq!(bench.create("t", 1, &[]), 0);
    assert_eq!(bench.produce("t", &["a", "b"]), (0, 0));
    assert_eq!(bench.produce("t", &["c"]), (0, 2));
    for _ in 0..2 {
        assert_eq!(bench.values("t", false), ["a", "b", "c"]);
        assert_eq!(bench.values("t", true), ["a", "b", "c"]);
        assert_eq!(bench.offset("t", -1, false), 3);
        bench.restart();
    }
    assert_eq!(bench.produce("t", &["d"]), (0, 3));
}

#[test]
fn a_fetch_waits_for_data_or_its_time() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    let first = bench.send(11, fetch("t", 0, false, 500));
    assert!(bench.answers().is_empty());
    assert_eq!(bench.core.next_deadline_ms().unwrap_or_default(), bench.now_ms + 500);
    bench.produce("t", &["a"]);
    bench.produce("t", &["b"]);
    let second = bench.send(11, fetch("t", 1, false, 500));
    let ids: Vec<_> = bench.answers().iter().map(|answer| answer.id).collect();
    assert_eq!(ids, [second], "the first was answered with the first produce");
    let third = bench.send(11, fetch("t", 2, false, 500));
    bench.now_ms += 500;
    bench.core.tick(bench.now_ms);
    let ids: Vec<_> = bench.answers().iter().map(|answer| answer.id).collect();
    assert_eq!(ids, [third]);
    assert!(first < second);
}

#[test]
fn a_connection_that_is_gone_is_not_answered() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    bench.send(11, fetch("t", 0, false, 500));
    bench.core.disconnected(1);
    bench.produce("t", &["a"]);
    assert!(bench.answers().is_empty());
}

#[test]
fn sequences_are_checked_and_repeats_answered_as_the_first_time() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    let writer = Writer { id: 5, epoch: 0, sequence: 0, transactional: false };
    let first = batch(writer, &["a", "b"], 1);
    assert_eq!(bench.produce_raw("t", None, first.clone()).base_offset, 0);
    bench.produce("t", &["other"]);
    for _ in 0..2 {
        assert_eq!(bench.produce_raw("t", None, first.clone()).base_offset, 0);
        let gap = batch(Writer { sequence: 3, ..writer }, &["d"], 1);
        assert_eq!(bench.produce_raw("t", None, gap).error_code, E::OutOfOrderSequenceNumber.code());
        bench.restart();
    }
    let next = batch(Writer { sequence: 2, ..writer }, &["c"], 1);
    assert_eq!(bench.produce_raw("t", None, next).base_offset, 3);
    assert_eq!(bench.values("t", false), ["a", "b", "other", "c"]);
}

#[test]
fn damaged_and_impossible_batches_are_refused() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[("max.message.bytes", "100")]);
    let good = batch(NOBODY, &["a"], 1);
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(bench.produce_raw("t", None, damaged.into()).error_code, E::CorruptMessage.code());
    assert_eq!(bench.produce_raw("t", None, good.slice(..50)).error_code, E::CorruptMessage.code());
    let twice = [&good[..], &good[..]].concat();
    assert_eq!(bench.produce_raw("t", None, twice.into()).error_code, E::InvalidRecord.code());
    let long = batch(NOBODY, &[&"x".repeat(100)], 1);
    assert_eq!(bench.produce_raw("t", None, long).error_code, E::MessageTooLarge.code());
    let marker = super::super::super::storage::control_batch(1, 0, true, 1);
    assert_eq!(bench.produce_raw("t", None, marker).error_code, E::InvalidRecord.code());
    let future = batch(NOBODY, &["a"], bench.now_ms + 3_600_001);
    assert_eq!(bench.produce_raw("t", None, future).error_code, E::InvalidTimestamp.code());
    assert_eq!(bench.offset("t", -1, false), 0);
}

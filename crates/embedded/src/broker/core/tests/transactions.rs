use kafka_protocol::error::ResponseError as E;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use super::*;

/// A transactional producer, as a client library keeps it.
pub(super) struct Producer {
    name: &'static str,
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl Producer {
    fn new(bench: &mut Bench, name: &'static str) -> Self {
        Self::try_new(bench, name).expect("refused")
    }

    pub(super) fn try_new(bench: &mut Bench, name: &'static str) -> Option<Self> {
        let (error, id, epoch) = init(bench, name);
        (error == 0).then_some(Self { name, id, epoch, sequence: 0 })
    }

    pub(super) fn add(&self, bench: &mut Bench, topic: &str) -> i16 {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(self.name)))
            .with_v3_and_below_producer_id(ProducerId(self.id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        match bench.ask(3, request) {
            ResponseKind::AddPartitionsToTxn(answer) => {
                answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn write(&mut self, bench: &mut Bench, topic: &str, values: &[&str]) -> i16 {
        let writer = Writer { id: self.id, epoch: self.epoch, sequence: self.sequence, transactional: true };
        let answer = bench.produce_raw(topic, Some(self.name), batch(writer, values, bench.now_ms));
        if answer.error_code == 0 {
            self.sequence += i32::try_from(values.len()).unwrap();
        }
        answer.error_code
    }

    /// Commits a position of a group in the transaction.
    pub(super) fn commit_position(&self, bench: &mut Bench, group: &'static str, topic: &str, offset: i64) {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(self.name)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(text(group)));
        match bench.ask(3, request) {
            ResponseKind::AddOffsetsToTxn(answer) => assert_eq!(answer.error_code, 0),
            other => panic!("{other:?}"),
        }
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic =
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(self.name)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(text(group)))
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        match bench.ask(3, request) {
            ResponseKind::TxnOffsetCommit(answer) => assert_eq!(answer.topics[0].partitions[0].error_code, 0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn end(&self, bench: &mut Bench, committed: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(self.name)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        match bench.ask(3, request) {
            ResponseKind::EndTxn(answer) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }
}

/// The committed position of a group.
pub(super) fn position(bench: &mut Bench, group: &'static str, topic: &str) -> i64 {
    let wanted = OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![wanted]));
    match bench.ask(7, request) {
        ResponseKind::OffsetFetch(answer) => answer.topics[0].partitions[0].committed_offset,
        other => panic!("{other:?}"),
    }
}

fn init(bench: &mut Bench, name: &str) -> (i16, i64, i16) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(name))))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    match bench.ask(4, request) {
        ResponseKind::InitProducerId(answer) => (answer.error_code, answer.producer_id.0, answer.producer_epoch),
        other => panic!("{other:?}"),
    }
}

#[test]
fn readers_of_committed_data_see_whole_transactions_only() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    let mut a = Producer::new(&mut bench, "a");
    let mut b = Producer::new(&mut bench, "b");
    assert_eq!(a.write(&mut bench, "t", &["early"]), E::InvalidTxnState.code());
    assert_eq!((a.add(&mut bench, "t"), b.add(&mut bench, "t")), (0, 0));
    assert_eq!(a.write(&mut bench, "t", &["a1"]), 0);
    assert_eq!(b.write(&mut bench, "t", &["b1", "b2"]), 0);
    bench.produce("t", &["plain"]);
    bench.restart();
    assert!(bench.values("t", true).is_empty(), "the first transaction is open");
    assert_eq!(bench.values("t", false), ["a1", "b1", "b2", "plain"]);
    assert_eq!(bench.offset("t", -1, true), 0);
    assert_eq!(b.end(&mut bench, false), 0);
    assert!(bench.values("t", true).is_empty());
    assert_eq!(a.end(&mut bench, true), 0);
    for _ in 0..2 {
        assert_eq!(bench.values("t", true), ["a1", "plain"]);
        assert_eq!(a.end(&mut bench, true), 0, "asked again, it answers again");
        assert_eq!(a.end(&mut bench, false), E::InvalidTxnState.code());
        bench.restart();
    }
}

#[test]
fn a_new_owner_shuts_the_old_one_out() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    let mut old = Producer::new(&mut bench, "p");
    old.add(&mut bench, "t");
    old.write(&mut bench, "t", &["old"]);
    let mut new = Producer::new(&mut bench, "p");
    assert!(new.id == old.id && new.epoch > old.epoch);
    assert_eq!(old.write(&mut bench, "t", &["late"]), E::InvalidProducerEpoch.code());
    assert_eq!(old.add(&mut bench, "t"), E::ProducerFenced.code());
    assert_eq!(old.end(&mut bench, true), E::ProducerFenced.code());
    new.add(&mut bench, "t");
    assert_eq!(new.write(&mut bench, "t", &["new"]), 0);
    assert_eq!(new.end(&mut bench, true), 0);
    assert_eq!(bench.values("t", true), ["new"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_shut_out() {
    let mut bench = Bench::new();
    bench.create("t", 1, &[]);
    let mut slow = Producer::new(&mut bench, "p");
    slow.add(&mut bench, "t");
    slow.write(&mut bench, "t", &["slow"]);
    bench.produce("t", &["plain"]);
    bench.restart();
    bench.now_ms += 59_999;
    bench.core.tick(bench.now_ms);
    assert!(bench.values("t", true).is_empty());
    assert_eq!(bench.core.next_deadline_ms(), Some(bench.now_ms + 1));
    bench.now_ms += 1;
    bench.core.tick(bench.now_ms);
    assert_eq!(bench.values("t", true), ["plain"]);
    assert_eq!(slow.end(&mut bench, true), E::ProducerFenced.code());
}

#[test]
fn an_unknown_partition_is_not_added() {
    let mut bench = Bench::new();
    let producer = Producer::new(&mut bench, "p");
    assert_eq!(producer.add(&mut bench, "none"), E::UnknownTopicOrPartition.code());
    assert_eq!(producer.end(&mut bench, true), E::InvalidTxnState.code());
}

//! Positions: commit, fetch, delete, alone and in transactions.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, ProducerId, TopicName, TransactionalId,
    TxnOffsetCommitRequest,
};

use super::*;

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn commit(member: &str, generation: i32, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(3)
        .with_committed_metadata(Some(text("watermark")));
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![
            OffsetCommitRequestTopic::default().with_name(topic("usage")).with_partitions(vec![partition]),
        ])
}

fn txn_commit(member: &str, generation: i32, partition: i32, offset: i64) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("in transaction")));
    TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text("validate-0")))
        .with_group_id(group())
        .with_producer_id(ProducerId(PRODUCER))
        .with_producer_epoch(EPOCH)
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_topics(vec![
            TxnOffsetCommitRequestTopic::default().with_name(topic("usage")).with_partitions(vec![partition]),
        ])
}

/// The codes of all partitions of a commit.
fn codes(answer: ResponseKind) -> Vec<i16> {
    match answer {
        ResponseKind::OffsetCommit(answer) => {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
        }
        ResponseKind::TxnOffsetCommit(answer) => {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
        }
        other => panic!("{other:?}"),
    }
}

impl Driver {
    /// Offset, metadata and error code of a partition of `usage`.
    fn position(&mut self, partition: i32, stable: bool) -> (i64, String, i16) {
        let topics =
            vec![OffsetFetchRequestTopics::default().with_name(topic("usage")).with_partition_indexes(vec![partition])];
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(topics));
        let request = OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(stable);
        match self.ask(9, request) {
            ResponseKind::OffsetFetch(answer) => {
                let found = &answer.groups[0].topics[0].partitions[0];
                (found.committed_offset, found.metadata.as_deref().unwrap_or_default().to_owned(), found.error_code)
            }
            other => panic!("{other:?}"),
        }
    }

    /// A coordinator that knows what this one persisted.
    fn restarted(&self) -> Self {
        let mut restarted = Self::new();
        self.journal.iter().for_each(|entry| restarted.groups.restore(entry.clone()));
        assert_eq!(restarted.groups.snapshot(), self.groups.snapshot());
        restarted
    }
}

#[test]
fn a_consumer_without_a_group_commits() {
    let mut driver = Driver::new();
    assert_eq!(driver.position(0, false), (-1, String::new(), 0));
    assert_eq!(codes(driver.ask(9, commit("", -1, 0, 42))), vec![0]);
    assert_eq!(driver.position(0, false), (42, "watermark".to_owned(), 0));
    let mut restarted = driver.restarted();
    assert_eq!(restarted.position(0, true), (42, "watermark".to_owned(), 0));
    assert_eq!(restarted.state(), "Empty");
}

#[test]
fn only_members_of_the_generation_commit() {
    let mut driver = Driver::new();
    assert_eq!(codes(driver.ask(9, commit("ghost", 1, 0, 1))), vec![ResponseError::IllegalGeneration.code()]);
    let (member, generation) = driver.working();
    assert_eq!(codes(driver.ask(9, commit("", -1, 0, 1))), vec![ResponseError::UnknownMemberId.code()]);
    assert_eq!(codes(driver.ask(9, commit("ghost", generation, 0, 1))), vec![ResponseError::UnknownMemberId.code()]);
    let old = commit(&member, generation - 1, 0, 1);
    assert_eq!(codes(driver.ask(9, old)), vec![ResponseError::IllegalGeneration.code()]);
    assert_eq!(codes(driver.ask(9, commit(&member, generation, 0, 5))), vec![0]);
    let (second, _) = driver.enter();
    assert_eq!(codes(driver.ask(9, commit(&member, generation, 0, 6))), vec![0], "before it joins again");
    let again = driver.send(9, join(&member, &["range"]));
    driver.joined(again).expect("joined");
    let early = commit(&member, generation + 1, 0, 7);
    assert_eq!(codes(driver.ask(9, early)), vec![ResponseError::RebalanceInProgress.code()]);
    driver.ask(5, leave(&[(&second, None)]));
    assert_eq!(driver.position(0, false).0, 6);
}

#[test]
fn a_commit_keeps_the_member_alive() {
    let mut driver = Driver::new();
    let (member, generation) = driver.working();
    for offset in 0..5 {
        driver.pass(i64::from(SESSION_MS) - 1);
        assert_eq!(codes(driver.ask(9, commit(&member, generation, 0, offset))), vec![0]);
    }
}

#[test]
fn commits_are_bounded_and_name_partitions_that_there_are() {
    let mut driver = Driver::new();
    let mut large = commit("", -1, 0, 1);
    large.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4_097)));
    assert_eq!(codes(driver.ask(9, large)), vec![ResponseError::OffsetMetadataTooLarge.code()]);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(codes(driver.ask(9, commit("", -1, 4, 1))), vec![unknown]);
    let mut elsewhere = commit("", -1, 0, 1);
    elsewhere.topics[0].name = topic("nowhere");
    assert_eq!(codes(driver.ask(9, elsewhere)), vec![unknown]);
    let nobody = commit("", -1, 0, 1).with_group_id(GroupId::default());
    assert_eq!(codes(driver.ask(9, nobody)), vec![ResponseError::InvalidGroupId.code()]);
    assert!(driver.journal.is_empty());
}

#[test]
fn all_positions_of_a_group_in_each_version() {
    let mut driver = Driver::new();
    driver.ask(9, commit("", -1, 1, 10));
    driver.ask(9, commit("", -1, 3, 30));
    let all = OffsetFetchRequest::default().with_group_id(group()).with_topics(None);
    match driver.ask(7, all) {
        ResponseKind::OffsetFetch(answer) => {
            let found: Vec<_> = answer.topics[0].partitions.iter().map(|found| found.committed_offset).collect();
            assert_eq!((answer.error_code, found), (0, vec![10, 30]));
            assert_eq!(answer.topics[0].partitions[0].committed_leader_epoch, 3);
        }
        other => panic!("{other:?}"),
    }
    let one = OffsetFetchRequestTopic::default().with_name(topic("usage")).with_partition_indexes(vec![3, 2]);
    match driver.ask(1, OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![one]))) {
        ResponseKind::OffsetFetch(answer) => {
            let found: Vec<_> = answer.topics[0].partitions.iter().map(|found| found.committed_offset).collect();
            assert_eq!(found, vec![30, -1]);
        }
        other => panic!("{other:?}"),
    }
    let named = |name: &str| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(name))).with_topics(None);
    match driver.ask(8, OffsetFetchRequest::default().with_groups(vec![named("group"), named("nowhere")])) {
        ResponseKind::OffsetFetch(answer) => {
            assert_eq!(answer.groups[0].topics[0].partitions.len(), 2);
            assert_eq!((answer.groups[1].error_code, answer.groups[1].topics.len()), (0, 0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_moves_positions_when_it_commits() {
    let mut driver = Driver::new();
    let (member, generation) = driver.working();
    driver.ask(9, commit(&member, generation, 0, 5));
    assert_eq!(codes(driver.ask(4, txn_commit(&member, generation, 0, 9))), vec![0]);
    assert_eq!(driver.position(0, false).0, 5);
    assert_eq!(driver.position(0, true), (-1, String::new(), ResponseError::UnstableOffsetCommit.code()));
    assert_eq!(driver.position(1, true).2, 0, "other partitions are stable");
    let mut restarted = driver.restarted();
    for broker in [&mut driver, &mut restarted] {
        let effects = broker.groups.end_transaction(PRODUCER, true, broker.now_ms);
        broker.apply(effects);
        assert_eq!(broker.position(0, true), (9, "in transaction".to_owned(), 0));
        assert!(
            broker.groups.end_transaction(PRODUCER, true, broker.now_ms).is_empty(),
            "ending twice changes nothing"
        );
    }
    driver.restarted();
}

#[test]
fn an_aborted_transaction_leaves_positions_as_they_were() {
    let mut driver = Driver::new();
    driver.ask(9, commit("", -1, 0, 5));
    driver.ask(4, txn_commit("", -1, 0, 9));
    let effects = driver.groups.end_transaction(PRODUCER, false, driver.now_ms);
    driver.apply(effects);
    assert_eq!(driver.position(0, true).0, 5);
    driver.restarted();
}

#[test]
fn a_fenced_producer_or_an_old_member_moves_nothing() {
    let mut driver = Driver::new();
    let (member, generation) = driver.working();
    let fenced = txn_commit(&member, generation, 0, 9).with_producer_epoch(EPOCH - 1);
    assert_eq!(codes(driver.ask(4, fenced)), vec![ResponseError::InvalidProducerEpoch.code()]);
    let old = txn_commit(&member, generation - 1, 0, 9);
    assert_eq!(codes(driver.ask(4, old)), vec![ResponseError::IllegalGeneration.code()]);
    let ghost = txn_commit("ghost", generation, 0, 9);
    assert_eq!(codes(driver.ask(4, ghost)), vec![ResponseError::UnknownMemberId.code()]);
    assert_eq!(
        codes(driver.ask(4, txn_commit("", -1, 0, 9))),
        vec![0],
        "clients before KIP-447 do not say who they are"
    );
    assert_eq!(driver.journal.len(), 1);
}

#[test]
fn positions_of_topics_that_nobody_reads_can_be_deleted() {
    let mut driver = Driver::new();
    let delete = |name: &str, partition: i32| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
        let topic = OffsetDeleteRequestTopic::default().with_name(topic(name)).with_partitions(vec![partition]);
        OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic])
    };
    let code = |answer| match answer {
        ResponseKind::OffsetDelete(answer) if answer.error_code != 0 => answer.error_code,
        ResponseKind::OffsetDelete(answer) => answer.topics[0].partitions[0].error_code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(driver.ask(0, delete("usage", 0))), ResponseError::GroupIdNotFound.code());
    driver.ask(9, commit("", -1, 0, 5));
    assert_eq!(code(driver.ask(0, delete("nowhere", 0))), ResponseError::UnknownTopicOrPartition.code());
    let subscription = Bytes::from_static(b"\x00\x01\x00\x00\x00\x01\x00\x05usage\xff\xff\xff\xff\x00\x00\x00\x00");
    let mut body = join("", &["range"]);
    body.protocols[0].metadata = subscription;
    let number = driver.send(3, body);
    let member = driver.joined(number).expect("joined").member_id;
    assert_eq!(code(driver.ask(0, delete("usage", 0))), ResponseError::GroupSubscribedToTopic.code());
    assert_eq!(code(driver.ask(0, delete("master", 0))), 0);
    driver.ask(5, leave(&[(&member, None)]));
    assert_eq!(code(driver.ask(0, delete("usage", 0))), 0);
    assert_eq!(driver.position(0, false).0, -1);
    driver.restarted();
}

#[test]
fn a_deleted_topic_takes_its_positions_along() {
    let mut driver = Driver::new();
    driver.ask(9, commit("", -1, 0, 5));
    driver.ask(4, txn_commit("", -1, 1, 9));
    let effects = driver.groups.topic_deleted("usage");
    driver.apply(effects);
    assert_eq!(driver.position(0, true).0, -1);
    assert_eq!(driver.position(1, true).2, 0);
    driver.restarted();
}

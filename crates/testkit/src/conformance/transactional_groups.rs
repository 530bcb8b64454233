//! Positions that are committed together with what was written.

use super::Target;
use super::clients::{PATIENCE, Sender, committed, fresh, put, topic};
use super::clock::until;
use super::commits::position;
use super::group_protocol::Pupil;
use super::list_offsets::settled;
use super::members::{Member, work};
use super::raw::{Raw, name, text};
use super::same;
use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopic};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{AddOffsetsToTxnRequest, InitProducerIdResponse};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};

/// Read, change, write: with an abort and a step back in between, every input has one output.
pub(super) fn every_input_has_one_output(target: &dyn Target) -> Result<()> {
    let (input, output, group) = (topic(target, 1, &[])?, topic(target, 1, &[])?, fresh("group"));
    let values: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    put(target, &input, 0, &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let member = Member::join(target, &group, &input, &[])?;
    let (mut done, mut aborted) = (0, 0);
    let mut from = 0;
    while done < values.len() {
        let wanted = from + 5;
        work("five more are read", &[&member], || Ok(member.count() >= wanted))?;
        let batch: Vec<String> = member.values().drain(from..wanted).collect();
        from = wanted;
        sender.begin()?;
        for value in &batch {
            sender.put(&output, 0, &[&format!("{value}!")])?;
        }
        let next = i64::try_from(done + 5)?;
        send_offsets(&sender, &member, &input, next)?;
        // The second and the fourth attempt fail after everything was sent.
        if aborted < 2 && done == 5 + aborted * 10 {
            aborted += 1;
            sender.abort()?;
            member.client().seek(&input, 0, Offset::Offset(i64::try_from(done)?), PATIENCE)?;
            // Whatever the client had fetched before the step back is behind it now.
            from = member.count();
            continue;
        }
        sender.commit()?;
        done += 5;
    }
    same("aborted", aborted, 2)?;
    let expected: Vec<String> = values.iter().map(|value| format!("{value}!")).collect();
    settled(target, &output, 1)?;
    same("outputs", committed(target, &output)?, expected)?;
    until("the position has moved", || Ok(position(target, &group, &input)? == Offset::Offset(30)))
}

/// The position moves with the output or not at all, and not before.
pub(super) fn positions_move_with_the_output(target: &dyn Target) -> Result<()> {
    let (input, output, group) = (topic(target, 1, &[])?, topic(target, 1, &[])?, fresh("group"));
    put(target, &input, 0, &["0", "1", "2"])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let member = Member::join(target, &group, &input, &[])?;
    work("all is read", &[&member], || Ok(member.count() == 3))?;
    for (next, keep, expected) in [(1, true, 1), (2, false, 1), (3, true, 3)] {
        sender.begin()?;
        sender.put(&output, 0, &[&next.to_string()])?;
        send_offsets(&sender, &member, &input, next)?;
        let pending = fetch_stable(target, &group, &input)?;
        same("while it is open", pending.0, 88)?;
        if keep {
            sender.commit()?
        } else {
            sender.abort()?
        }
        until("the position is stable", || Ok(fetch_stable(target, &group, &input)?.0 == 0))?;
        same("position", fetch_stable(target, &group, &input)?.1, expected)?;
    }
    settled(target, &output, 1)?;
    same("outputs", committed(target, &output)?, ["1", "3"])
}

/// A member that was replaced cannot move the position of its group.
pub(super) fn a_replaced_member_cannot_commit(target: &dyn Target) -> Result<()> {
    let (input, output, group) = (topic(target, 1, &[])?, topic(target, 1, &[])?, fresh("group"));
    put(target, &input, 0, &["0"])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let first = Member::join(target, &group, &input, &[])?;
    work("it has read", &[&first], || Ok(first.count() == 1))?;
    let old = first.client().group_metadata().context("no group metadata")?;
    drop(first);
    let second = Member::join(target, &group, &input, &[])?;
    work("the other has read", &[&second], || Ok(second.count() == 1))?;
    sender.begin()?;
    sender.put(&output, 0, &["late"])?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&input, 0, Offset::Offset(1))?;
    let answer = sender.client().send_offsets_to_transaction(&offsets, &old, PATIENCE);
    let Err(KafkaError::Transaction(error)) = answer else {
        anyhow::bail!("should be refused: {answer:?}");
    };
    ensure!(error.txn_requires_abort(), "should be abortable: {error}");
    sender.abort()?;
    same("position", position(target, &group, &input)?, Offset::Invalid)?;
    sender.begin()?;
    sender.put(&output, 0, &["in time"])?;
    send_offsets(&sender, &second, &input, 1)?;
    sender.commit()?;
    until("the position has moved", || Ok(position(target, &group, &input)? == Offset::Offset(1)))?;
    settled(target, &output, 1)?;
    same("outputs", committed(target, &output)?, ["in time"])
}

/// Member, generation and epoch of a commit in a transaction are each looked at.
pub(super) fn refuses_positions_of_others(target: &dyn Target) -> Result<()> {
    let (input, group, id) = (topic(target, 1, &[])?, fresh("group"), fresh("tx"));
    let mut pupil = Pupil::new(target, &group)?;
    same("join", pupil.join()?.error_code, 0)?;
    let producer = pupil.raw.producer_id(Some(&id))?;
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text(&id).into())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_group_id(text(&group).into());
    same("added", pupil.raw.call(1, &request)?.error_code, 0)?;
    let mut commit = |producer: &InitProducerIdResponse, member: &str, generation: i32| -> Result<i16> {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(1)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("")));
        let wanted = TxnOffsetCommitRequestTopic::default().with_name(name(&input)).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(text(&id).into())
            .with_group_id(text(&group).into())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_generation_id(generation)
            .with_member_id(text(member))
            .with_topics(vec![wanted]);
        let response = pupil.raw.call(3, &request)?;
        Ok(response.topics[0].partitions[0].error_code)
    };
    let (me, generation) = (pupil.member.clone(), pupil.generation);
    same("nobody", commit(&producer, "nobody", generation)?, 25)?;
    same("stale", commit(&producer, &me, generation - 1)?, 22)?;
    let mut zombie = producer.clone();
    zombie.producer_epoch -= 1;
    let code = commit(&zombie, &me, generation)?;
    ensure!(code == 47 || code == 90, "a zombie: {code}");
    same("the member", commit(&producer, &me, generation)?, 0)
}

/// Sends the position of partition 0 of the input in the producer's transaction.
pub(super) fn send_offsets(sender: &Sender, member: &Member, input: &str, next: i64) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(input, 0, Offset::Offset(next))?;
    let group = member.client().group_metadata().context("no group metadata")?;
    Ok(sender.client().send_offsets_to_transaction(&offsets, &group, PATIENCE)?)
}

/// Error and position of partition 0 for those who want it settled.
fn fetch_stable(target: &dyn Target, group: &str, topic: &str) -> Result<(i16, i64)> {
    let asked = OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(text(group).into())
        .with_topics(Some(vec![asked]))
        .with_require_stable(true);
    let response = Raw::connect(target)?.call(7, &request)?;
    let topic = response.topics.first().context("no topic in the answer")?;
    let partition = topic.partitions.first().context("no partition in the answer")?;
    Ok((partition.error_code, partition.committed_offset))
}

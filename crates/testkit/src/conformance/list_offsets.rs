//! Where a partition begins and ends, and where a time is.

use super::clients::{
    COMMITTED, Outgoing, PATIENCE, Sender, admin, consumer, fresh, one, options, put, read, read_from, text, topic,
    wait, watermarks,
};
use super::clock::{now_ms, until};
use super::raw::{Raw, name};
use super::{Target, same};
use anyhow::{Context, Result, anyhow};
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;

/// A partition begins at 0 and ends behind its last record.
pub(super) fn knows_both_ends(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    same("empty", watermarks(target, &topic)?, (0, 0))?;
    put(target, &topic, 0, &["a", "b", "c"])?;
    same("three records", watermarks(target, &topic)?, (0, 3))?;
    let answer = |time| ask(target, &topic, time, false);
    same("earliest", answer(EARLIEST)?.offset, 0)?;
    same("latest", answer(LATEST)?.offset, 3)?;
    same("unknown topic", ask(target, &fresh("unknown"), LATEST, false)?.error_code, 3)
}

/// A time gives the first record of that time or later.
pub(super) fn finds_records_by_time(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let base = now_ms()? - 100_000;
    let sender = Sender::new(target, &[])?;
    for number in 0..5 {
        sender.send(&topic, &Outgoing::new(0, "x").at(base + number * 1_000))?;
        // One batch each, then all in one.
        sender.offsets()?;
    }
    for time in [base - 50_000, base, base + 2_000, base + 4_000] {
        let found = by_time(target, &topic, time)?;
        same("at a time", found, Offset::Offset((time - base).max(0) / 1_000))?;
    }
    same("between", by_time(target, &topic, base + 1_500)?, Offset::Offset(2))?;
    same("after the end", by_time(target, &topic, base + 4_001)?, Offset::End)?;
    let raw = ask(target, &topic, base + 1_500, false)?;
    same("time that was found", (raw.offset, raw.timestamp), (2, base + 2_000))?;
    let none = ask(target, &topic, base + 4_001, false)?;
    same("nothing found", (none.error_code, none.offset, none.timestamp), (0, -1, -1))
}

/// The same within one batch, compressed, and with times that go back.
pub(super) fn finds_records_by_time_in_a_batch(target: &dyn Target) -> Result<()> {
    let base = now_ms()? - 100_000;
    for codec in ["none", "lz4"] {
        let topic = topic(target, 1, &[])?;
        let sender = Sender::new(target, &[("linger.ms", "300"), ("compression.codec", codec)])?;
        for step in [0, 3, 1, 2, 9, 4] {
            sender.send(&topic, &Outgoing::new(0, "x").at(base + step * 1_000))?;
        }
        sender.offsets()?;
        for (step, offset) in [(0, 0), (1, 1), (2, 1), (3, 1), (4, 4), (9, 4)] {
            same("in a batch", by_time(target, &topic, base + step * 1_000)?, Offset::Offset(offset))?;
        }
        same("after the end", by_time(target, &topic, base + 9_001)?, Offset::End)?;
    }
    Ok(())
}

/// Records are deleted up to an offset: the beginning moves, the rest stays.
pub(super) fn deletes_records(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 2, &[])?;
    put(target, &topic, 0, &["0", "1", "2", "3", "4"])?;
    let admin = admin(target)?;
    let remove = |offset| -> Result<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&topic, 0, offset)?;
        Ok(wait(admin.delete_records(&offsets, &options()))??)
    };
    let answer = remove(Offset::Offset(3))?;
    let element = answer.find_partition(&topic, 0).context("no partition in the answer")?;
    same("new beginning", element.offset(), Offset::Offset(3))?;
    same("watermarks", watermarks(target, &topic)?, (3, 5))?;
    same("rest", read(target, &topic, 0, COMMITTED)?.iter().map(text).collect::<Vec<_>>(), ["3", "4"])?;
    let reset = read_from(target, &topic, 0, Offset::Offset(1), &[("auto.offset.reset", "earliest")])?;
    same("from what is gone", reset.iter().map(Message::offset).collect::<Vec<_>>(), [3, 4])?;
    let behind = remove(Offset::Offset(9))?;
    let element = behind.find_partition(&topic, 0).context("no partition in the answer")?;
    let code = element.error().err().and_then(|error| error.rdkafka_error_code());
    same("behind the end", code, Some(RDKafkaErrorCode::OffsetOutOfRange))?;
    remove(Offset::End)?;
    same("all deleted", watermarks(target, &topic)?, (5, 5))?;
    put(target, &topic, 0, &["5"])?;
    same("watermarks", watermarks(target, &topic)?, (5, 6))?;
    same("by time", by_time(target, &topic, 0)?, Offset::Offset(5))?;
    // The topic stays usable for those who manage it.
    one(wait(admin.delete_topics(&[&topic], &options()))??).map_err(|code| anyhow!("{code}")).map(drop)
}

/// A watermark of every partition, asked together.
pub(super) fn answers_for_every_partition(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 3, &[])?;
    put(target, &topic, 1, &["a"])?;
    put(target, &topic, 2, &["a", "b"])?;
    let partitions = (0..4).map(|number| {
        ListOffsetsPartition::default()
            .with_partition_index(number)
            .with_current_leader_epoch(-1)
            .with_timestamp(LATEST)
    });
    let wanted = ListOffsetsTopic::default().with_name(name(&topic)).with_partitions(partitions.collect());
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![wanted]);
    let response = Raw::connect(target)?.call(5, &request)?;
    let mut answers: Vec<_> =
        response.topics[0].partitions.iter().map(|part| (part.partition_index, part.error_code, part.offset)).collect();
    answers.sort_unstable();
    same("answers", answers, [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 3, -1)])
}

/// Where a time is in partition 0, as a client sees it.
pub(super) fn by_time(target: &dyn Target, topic: &str, time: i64) -> Result<Offset> {
    let mut times = TopicPartitionList::new();
    times.add_partition_offset(topic, 0, Offset::Offset(time))?;
    let found = consumer(target, COMMITTED)?.offsets_for_times(times, PATIENCE)?;
    Ok(found.find_partition(topic, 0).context("no partition in the answer")?.offset())
}

/// What the broker says about a time in partition 0.
pub(super) fn ask(
    target: &dyn Target,
    topic: &str,
    time: i64,
    committed: bool,
) -> Result<ListOffsetsPartitionResponse> {
    ask_in(target, (topic, 0), time, committed)
}

/// Waits until no transaction of these partitions is open: a commit is acknowledged before readers see it.
pub(super) fn settled(target: &dyn Target, topic: &str, partitions: i32) -> Result<()> {
    until("every transaction is decided", || {
        for partition in 0..partitions {
            let end = |committed| ask_in(target, (topic, partition), LATEST, committed);
            if end(true)?.offset != end(false)?.offset {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn ask_in(
    target: &dyn Target,
    (topic, partition): (&str, i32),
    time: i64,
    committed: bool,
) -> Result<ListOffsetsPartitionResponse> {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(time);
    let wanted = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(committed))
        .with_topics(vec![wanted]);
    let response = Raw::connect(target)?.call(5, &request)?;
    let topic = response.topics.into_iter().next().context("no topic in the answer")?;
    topic.partitions.into_iter().next().context("no partition in the answer")
}

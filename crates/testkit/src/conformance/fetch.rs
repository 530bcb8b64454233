//! Reading: how long it waits, how much it gives, where it begins.

use super::clients::{COMMITTED, PATIENCE, POLL, consumer, fresh, put, read_from, text, topic};
use super::clock::{Stopwatch, pause};
use super::raw::{FETCH, Fetch, Raw, first_fetched, name, plain};
use super::{Target, same};
use anyhow::{Context, Result, bail, ensure};
use kafka_protocol::records::RecordBatchDecoder;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// A long poll of an empty partition takes its time and then says that there is nothing.
pub(super) fn waits_when_there_is_nothing(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let watch = Stopwatch::start();
    let fetched = Raw::connect(target)?.fetch(&Fetch { max_wait_ms: 500, ..Fetch::new(&topic, 0) })?;
    let waited = watch.elapsed_ms();
    same("error", fetched.error_code, 0)?;
    same("bytes", fetched.records.map_or(0, |bytes| bytes.len()), 0)?;
    ensure!((450..5_000).contains(&waited), "waited {waited} ms");
    Ok(())
}

/// A long poll ends when a record comes.
pub(super) fn answers_when_a_record_comes(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let watch = Stopwatch::start();
    raw.send(FETCH, &Fetch { max_wait_ms: 20_000, ..Fetch::new(&topic, 0) }.request())?;
    pause(Duration::from_millis(100));
    put(target, &topic, 0, &["here"])?;
    let fetched = first_fetched(raw.receive::<kafka_protocol::messages::FetchRequest>(FETCH)?.1)?;
    ensure!(watch.elapsed_ms() < 10_000, "waited {} ms", watch.elapsed_ms());
    same("records", offsets(&fetched.records.context("no records")?)?, [0])
}

/// What is there is given at once.
pub(super) fn answers_at_once_when_there_is_something(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    put(target, &topic, 0, &["here"])?;
    let watch = Stopwatch::start();
    let fetched = Raw::connect(target)?.fetch(&Fetch { max_wait_ms: 20_000, ..Fetch::new(&topic, 0) })?;
    ensure!(watch.elapsed_ms() < 10_000, "waited {} ms", watch.elapsed_ms());
    same("high watermark", fetched.high_watermark, 1)?;
    same("log start", fetched.log_start_offset, 0)?;
    same("last stable", fetched.last_stable_offset, 1)?;
    same("records", offsets(&fetched.records.context("no records")?)?, [0])
}

/// Less than the least is waited with, and given in the end.
pub(super) fn waits_for_enough(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    put(target, &topic, 0, &["small"])?;
    let watch = Stopwatch::start();
    let fetch = Fetch { max_wait_ms: 500, min_bytes: 100_000, ..Fetch::new(&topic, 0) };
    let fetched = Raw::connect(target)?.fetch(&fetch)?;
    ensure!((450..5_000).contains(&watch.elapsed_ms()), "waited {} ms", watch.elapsed_ms());
    same("records", offsets(&fetched.records.context("no records")?)?, [0])
}

/// An answer is as large as was asked, but never so small that the reader is stuck.
pub(super) fn gives_no_more_than_was_asked(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let value = "x".repeat(1_000);
    for _ in 0..50 {
        same("error", raw.produce(&topic, -1, plain(&value)?)?.error_code, 0)?;
    }
    let some = raw.fetch(&Fetch { max_bytes: 10_000, ..Fetch::new(&topic, 0) })?.records.context("no records")?;
    ensure!((5_000..=12_000).contains(&some.len()), "{} bytes", some.len());
    let first = raw.fetch(&Fetch { max_bytes: 1, ..Fetch::new(&topic, 7) })?.records.context("no records")?;
    same("first of too little", offsets(&first)?.first().copied(), Some(7))?;
    let all = raw.fetch(&Fetch::new(&topic, 0))?.records.context("no records")?;
    same("all", offsets(&all)?.len(), 50)
}

/// A reader may begin in the middle of a batch.
pub(super) fn reads_from_the_middle_of_a_batch(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = super::clients::Sender::new(target, &[("linger.ms", "200"), ("compression.codec", "gzip")])?;
    sender.put(&topic, 0, &["0", "1", "2", "3", "4"])?;
    let values: Vec<_> = read_from(target, &topic, 0, Offset::Offset(3), COMMITTED)?.iter().map(text).collect();
    same("values", values, ["3", "4"])?;
    let values: Vec<_> = read_from(target, &topic, 0, Offset::OffsetTail(2), COMMITTED)?.iter().map(text).collect();
    same("tail", values, ["3", "4"])?;
    same("end", read_from(target, &topic, 0, Offset::End, COMMITTED)?.len(), 0)
}

/// What is not there is refused with a reason.
pub(super) fn refuses_what_is_not_there(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    put(target, &topic, 0, &["a", "b"])?;
    let mut raw = Raw::connect(target)?;
    same("behind the end", raw.fetch(&Fetch::new(&topic, 3))?.error_code, 1)?;
    same("before the beginning", raw.fetch(&Fetch::new(&topic, -5))?.error_code, 1)?;
    same("at the end", raw.fetch(&Fetch::new(&topic, 2))?.error_code, 0)?;
    same("unknown topic", raw.fetch(&Fetch::new(&fresh("unknown"), 0))?.error_code, 3)?;
    let mut request = Fetch::new(&topic, 0).request();
    request.topics[0].partitions[0].partition = 9;
    same("unknown partition", first_fetched(raw.call(FETCH, &request)?)?.error_code, 3)
}

/// A reader that is out of range goes where it was told to go.
pub(super) fn resets_a_reader_that_is_out_of_range(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    put(target, &topic, 0, &["a", "b"])?;
    let far = Offset::Offset(100);
    let from = |reset| read_from(target, &topic, 0, far, &[("auto.offset.reset", reset)]);
    same("earliest", from("earliest")?.iter().map(text).collect::<Vec<_>>(), ["a", "b"])?;
    same("latest", from("latest")?.len(), 0)?;
    let reader = consumer(target, &[("auto.offset.reset", "error")])?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&topic, 0, far)?;
    reader.assign(&assignment)?;
    let watch = Stopwatch::start();
    while watch.elapsed() < PATIENCE {
        match reader.poll(POLL) {
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => return Ok(()),
            Some(Ok(message)) => bail!("read offset {}", message.offset()),
            _ => {}
        }
    }
    bail!("the reader was not told that it is out of range")
}

/// One request may ask for many partitions, and each is answered.
pub(super) fn reads_many_partitions_at_once(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 4, &[])?;
    for partition in [0, 2] {
        put(target, &topic, partition, &["x"])?;
    }
    let mut request = Fetch::new(&topic, 0).request();
    let first = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..6).map(|number| first.clone().with_partition(number)).collect();
    let response = Raw::connect(target)?.call(FETCH, &request)?;
    let mut answers: Vec<_> = response.responses[0]
        .partitions
        .iter()
        .map(|part| (part.partition_index, part.error_code, part.high_watermark))
        .collect();
    answers.sort_unstable();
    same("answers", answers, [(0, 0, 1), (1, 0, 0), (2, 0, 1), (3, 0, 0), (4, 3, -1), (5, 3, -1)])
}

/// A client that asks for a fetch session gets one, or is told that there is none, and reads on either way.
pub(super) fn a_session_is_given_or_declined(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    put(target, &topic, 0, &["a"])?;
    let mut raw = Raw::connect(target)?;
    let mut request = Fetch { max_wait_ms: 2_000, ..Fetch::new(&topic, 0) }.request().with_session_epoch(0);
    let first = raw.call(FETCH, &request)?;
    let session = first.session_id;
    same("records", offsets(&first_fetched(first)?.records.context("no records")?)?, [0])?;
    put(target, &topic, 0, &["b"])?;
    request.topics[0].partitions[0].fetch_offset = 1;
    let request = request.with_session_id(session).with_session_epoch(i32::from(session != 0));
    let next = raw.call(FETCH, &request)?;
    same("records", offsets(&first_fetched(next)?.records.context("no records")?)?, [1])?;
    let unknown = Fetch::new(&topic, 0).request().with_session_id(123_456_789).with_session_epoch(5);
    same("error of an unknown session", raw.call(FETCH, &unknown)?.error_code, 70)
}

/// A topic that is deleted while somebody waits for it ends the wait.
pub(super) fn a_deleted_topic_ends_the_wait(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    raw.send(FETCH, &Fetch { max_wait_ms: 3_000, ..Fetch::new(&topic, 0) }.request())?;
    super::clients::delete(target, &topic)?;
    let (_, response) = raw.receive::<kafka_protocol::messages::FetchRequest>(FETCH)?;
    ensure!(response.responses.iter().all(|answer| answer.topic == name(&topic)), "another topic was answered");
    let fetched = raw.fetch(&Fetch::new(&topic, 0))?;
    same("error afterwards", fetched.error_code, 3)
}

/// Offsets of the batches in an answer; the last may be cut.
fn offsets(bytes: &bytes::Bytes) -> Result<Vec<i64>> {
    let mut bytes = bytes.clone();
    Ok(RecordBatchDecoder::decode_batch_info(&mut bytes)?.iter().map(|batch| batch.min_offset).collect())
}

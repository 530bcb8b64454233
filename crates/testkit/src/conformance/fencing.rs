//! Two producers under one name, forgotten transactions, and transactions out of step.

use super::Target;
use super::clients::{PATIENCE, Sender, committed, fresh, put, topic, uncommitted};
use super::clock::{Stopwatch, now_ms, until};
use super::list_offsets::settled;
use super::raw::{Raw, Writer, batch, name, text};
use super::same;
use anyhow::{Result, ensure};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, InitProducerIdResponse,
};
use kafka_protocol::records::Compression;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use std::time::Duration;

/// Who takes over a transactional id ends what the older one left open, and the older one is out.
pub(super) fn the_newer_producer_shuts_the_older_out(target: &dyn Target) -> Result<()> {
    let (topic, id) = (topic(target, 1, &[])?, fresh("tx"));
    let older = Sender::transactional(target, &id)?;
    older.begin()?;
    older.put(&topic, 0, &["old"])?;
    let newer = Sender::transactional(target, &id)?;
    same("after the take-over", committed(target, &topic)?.len(), 0)?;
    // What was open is decided: nothing hides what follows.
    put(target, &topic, 0, &["plain"])?;
    same("after the take-over", committed(target, &topic)?, ["plain"])?;
    let Err(KafkaError::Transaction(error)) = older.client().commit_transaction(PATIENCE) else {
        anyhow::bail!("the older one committed");
    };
    ensure!(error.is_fatal(), "should be fatal: {error}");
    newer.begin()?;
    newer.put(&topic, 0, &["new"])?;
    newer.commit()?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["plain", "new"])?;
    same("all", uncommitted(target, &topic)?, ["old", "plain", "new"])
}

/// The same with the older one between two transactions.
pub(super) fn an_idle_older_producer_is_out_too(target: &dyn Target) -> Result<()> {
    let (topic, id) = (topic(target, 1, &[])?, fresh("tx"));
    let older = Sender::transactional(target, &id)?;
    older.begin()?;
    older.put(&topic, 0, &["old"])?;
    older.commit()?;
    let newer = Sender::transactional(target, &id)?;
    older.begin()?;
    older.send(&topic, &super::clients::Outgoing::new(0, "late"))?;
    let answer = older.client().commit_transaction(PATIENCE);
    ensure!(matches!(&answer, Err(KafkaError::Transaction(error)) if error.is_fatal()), "{answer:?}");
    newer.begin()?;
    newer.put(&topic, 0, &["new"])?;
    newer.commit()?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["old", "new"])
}

/// A transaction that nobody ends is ended by the broker, and readers go on.
pub(super) fn a_forgotten_one_is_ended(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let id = fresh("tx");
    let forgetful = Sender::new(target, &[("transactional.id", &id), ("transaction.timeout.ms", "1500")])?;
    forgetful.client().init_transactions(PATIENCE)?;
    forgetful.begin()?;
    forgetful.put(&topic, 0, &["forgotten"])?;
    put(target, &topic, 0, &["after"])?;
    let watch = Stopwatch::start();
    same("while it is open", committed(target, &topic)?.len(), 0)?;
    until("readers go on", || Ok(committed(target, &topic)? == ["after"]))?;
    ensure!(watch.elapsed() > Duration::from_millis(500), "ended after {} ms", watch.elapsed_ms());
    let answer = forgetful.client().commit_transaction(PATIENCE);
    ensure!(answer.is_err(), "what the broker has aborted was committed");
    same("committed", committed(target, &topic)?, ["after"])
}

/// A transactional id keeps its producer id and counts its epochs up.
pub(super) fn an_id_counts_its_epochs(target: &dyn Target) -> Result<()> {
    let id = fresh("tx");
    let mut raw = Raw::connect(target)?;
    let (first, second) = (raw.producer_id(Some(&id))?, raw.producer_id(Some(&id))?);
    same("producer id", first.producer_id, second.producer_id)?;
    ensure!(second.producer_epoch > first.producer_epoch, "{} {}", first.producer_epoch, second.producer_epoch);
    let other = raw.producer_id(Some(&fresh("tx")))?;
    ensure!(other.producer_id != first.producer_id, "the same producer id for another name");
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(text(&fresh("tx")).into()))
        .with_transaction_timeout_ms(100_000_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    same("a time-out too long", raw.call(4, &request)?.error_code, 50)?;
    let request = request.with_transactional_id(Some(text("").into())).with_transaction_timeout_ms(10_000);
    same("an empty id", raw.call(4, &request)?.error_code, 42)
}

/// Steps that are out of order or by an older epoch are refused.
pub(super) fn refuses_steps_out_of_order(target: &dyn Target) -> Result<()> {
    let (topic, id) = (topic(target, 1, &[])?, fresh("tx"));
    let mut raw = Raw::connect(target)?;
    let older = raw.producer_id(Some(&id))?;
    let newer = raw.producer_id(Some(&id))?;
    let code = end(&mut raw, &id, &newer, true)?;
    same("an end without a beginning", code, 48)?;
    same("an unknown id", end(&mut raw, &fresh("tx"), &newer, true)?, 49)?;
    let mut stranger = newer.clone();
    stranger.producer_id = (newer.producer_id.0 + 1_000_000).into();
    same("another producer id", end(&mut raw, &id, &stranger, true)?, 49)?;
    let code = add(&mut raw, &id, &older, &topic)?;
    ensure!(code == 47 || code == 90, "an older epoch adds: {code}");
    same("unknown topic", add(&mut raw, &id, &newer, &fresh("unknown"))?, 3)?;
    let write = |writer| batch(writer, Compression::None, now_ms()?, &[(None, "x")]);
    let early = raw.produce_in(&id, &topic, write(Writer::transactional(&newer, 0))?)?;
    same("a partition that was not added", early.error_code, 48)?;
    same("added", add(&mut raw, &id, &newer, &topic)?, 0)?;
    let old = raw.produce_in(&id, &topic, write(Writer::transactional(&older, 0))?)?;
    ensure!(old.error_code == 47 || old.error_code == 90, "an older epoch writes: {}", old.error_code);
    let good = raw.produce_in(&id, &topic, write(Writer::transactional(&newer, 0))?)?;
    same("written", good.error_code, 0)?;
    let code = end(&mut raw, &id, &older, true)?;
    ensure!(code == 47 || code == 90, "an older epoch ends: {code}");
    same("ended", end(&mut raw, &id, &newer, true)?, 0)?;
    same("ended again in the same way", end(&mut raw, &id, &newer, true)?, 0)?;
    same("ended again in another way", end(&mut raw, &id, &newer, false)?, 48)?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["x"])
}

/// A batch that came twice within a transaction is there once.
pub(super) fn a_double_in_a_transaction_is_known(target: &dyn Target) -> Result<()> {
    let (topic, id) = (topic(target, 1, &[])?, fresh("tx"));
    let mut raw = Raw::connect(target)?;
    let producer = raw.producer_id(Some(&id))?;
    same("added", add(&mut raw, &id, &producer, &topic)?, 0)?;
    for sequence in [0, 0, 1, 1] {
        let value = sequence.to_string();
        let bytes = batch(Writer::transactional(&producer, sequence), Compression::None, now_ms()?, &[(None, &value)])?;
        let answer = raw.produce_in(&id, &topic, bytes)?;
        same("written", (answer.error_code, answer.base_offset), (0, i64::from(sequence)))?;
    }
    same("ended", end(&mut raw, &id, &producer, true)?, 0)?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["0", "1"])
}

/// Adds partition 0 of a topic to the transaction.
fn add(raw: &mut Raw, id: &str, producer: &InitProducerIdResponse, topic: &str) -> Result<i16> {
    let wanted = AddPartitionsToTxnTopic::default().with_name(name(topic)).with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text(id).into())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(producer.producer_epoch)
        .with_v3_and_below_topics(vec![wanted]);
    when_ready(|| {
        Ok(raw.call(1, &request)?.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    })
}

fn end(raw: &mut Raw, id: &str, producer: &InitProducerIdResponse, commit: bool) -> Result<i16> {
    let request = EndTxnRequest::default()
        .with_transactional_id(text(id).into())
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_committed(commit);
    when_ready(|| Ok(raw.call(1, &request)?.error_code))
}

/// Asks again while the last transaction is still being ended.
fn when_ready(mut ask: impl FnMut() -> Result<i16>) -> Result<i16> {
    let mut code = 51;
    until("the coordinator is ready", || {
        code = ask()?;
        Ok(code != 51)
    })?;
    Ok(code)
}

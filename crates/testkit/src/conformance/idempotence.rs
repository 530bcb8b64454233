//! Producers whose resends are no doubles.

use super::clients::{Outgoing, Sender, committed, topic};
use super::clock::{now_ms, pause};
use super::proxy::Proxy;
use super::raw::{Raw, Writer, batch};
use super::{Target, same};
use anyhow::{Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::InitProducerIdResponse;
use kafka_protocol::records::Compression;
use std::time::Duration;

/// API key of Produce.
const PRODUCE: i16 = 0;

/// Answers that are lost on the way do not make records twice.
pub(super) fn a_lost_answer_makes_no_double(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let proxy = Proxy::start(target)?;
    let sender = Sender::through(&proxy.bootstrap(), &[("enable.idempotence", "true")])?;
    let values: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    for (number, value) in values.iter().enumerate() {
        if number % 10 == 5 {
            proxy.lose_answers(PRODUCE, 1);
        }
        sender.send(&topic, &Outgoing::new(0, value))?;
        sender.offsets()?;
    }
    same("lost answers", proxy.lost(), 3)?;
    same("values", committed(target, &topic)?, values)
}

/// The same with many batches on their way when the connection breaks.
pub(super) fn a_broken_connection_makes_no_double(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let proxy = Proxy::start(target)?;
    let settings = [("enable.idempotence", "true"), ("batch.num.messages", "20"), ("linger.ms", "1")];
    let sender = Sender::through(&proxy.bootstrap(), &settings)?;
    let values: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    for (number, value) in values.iter().enumerate() {
        sender.send(&topic, &Outgoing::new(0, value))?;
        if number % 1_000 == 500 {
            proxy.lose_answers(PRODUCE, 2);
            pause(Duration::from_millis(20));
        }
        if number % 1_000 == 900 {
            proxy.cut();
        }
    }
    sender.offsets()?;
    ensure!(proxy.lost() > 0, "no answer was lost");
    same("records", committed(target, &topic)? == values, true)
}

/// A batch that comes again is answered as before and not kept again; a gap is refused.
pub(super) fn knows_batches_by_their_sequence(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let producer = raw.producer_id(None)?;
    let mut put = |sequence: i32, values: &[&str]| -> Result<(i16, i64)> {
        let answer = raw.produce(&topic, -1, numbered(&producer, sequence, values)?)?;
        Ok((answer.error_code, answer.base_offset))
    };
    same("first", put(0, &["0", "1"])?, (0, 0))?;
    same("first again", put(0, &["0", "1"])?, (0, 0))?;
    same("second", put(2, &["2"])?, (0, 2))?;
    same("first again", put(0, &["0", "1"])?, (0, 0))?;
    same("a gap", put(9, &["9"])?.0, 45)?;
    same("third", put(3, &["3"])?, (0, 3))?;
    for (offset, sequence) in (4..9).enumerate() {
        same("more", put(sequence, &["x"])?, (0, 4 + i64::try_from(offset)?))?;
    }
    // Only the last five batches are remembered.
    let (code, _) = put(0, &["0", "1"])?;
    ensure!(code == 45 || code == 46, "an old double: {code}");
    same("one of five again", put(4, &["x"])?, (0, 4))?;
    same("values", committed(target, &topic)?, ["0", "1", "2", "3", "x", "x", "x", "x", "x"])
}

/// A producer that is new to a partition begins at 0.
pub(super) fn a_new_producer_begins_at_zero(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let first = raw.producer_id(None)?;
    let second = raw.producer_id(None)?;
    ensure!(first.producer_id != second.producer_id, "the same producer id twice");
    same("epoch", first.producer_epoch, 0)?;
    same("begins", raw.produce(&topic, -1, numbered(&first, 0, &["a"])?)?.error_code, 0)?;
    same("begins too", raw.produce(&topic, -1, numbered(&second, 0, &["b"])?)?.error_code, 0)?;
    same("goes on", raw.produce(&topic, -1, numbered(&first, 1, &["c"])?)?.error_code, 0)?;
    same("values", committed(target, &topic)?, ["a", "b", "c"])
}

/// A newer epoch begins at 0 again and shuts the older one out.
pub(super) fn a_newer_epoch_ends_the_older(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let old = raw.producer_id(None)?;
    let mut new = old.clone();
    new.producer_epoch += 1;
    same("old", raw.produce(&topic, -1, numbered(&old, 0, &["old"])?)?.error_code, 0)?;
    same("new, not from 0", raw.produce(&topic, -1, numbered(&new, 1, &["new"])?)?.error_code, 45)?;
    same("new", raw.produce(&topic, -1, numbered(&new, 0, &["new"])?)?.error_code, 0)?;
    same("old again", raw.produce(&topic, -1, numbered(&old, 1, &["late"])?)?.error_code, 47)?;
    same("values", committed(target, &topic)?, ["old", "new"])
}

fn numbered(producer: &InitProducerIdResponse, sequence: i32, values: &[&str]) -> Result<Bytes> {
    let pairs: Vec<_> = values.iter().map(|value| (None, *value)).collect();
    batch(Writer::idempotent(producer, sequence), Compression::None, now_ms()?, &pairs)
}

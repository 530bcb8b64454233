//! Appending records.

use super::clients::{COMMITTED, Outgoing, Sender, committed, fresh, read, topic, uncommitted};
use super::clock::now_ms;
use super::raw::{Fetch, Raw, Writer, batch, plain};
use super::{Target, same};
use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, RecordBatchDecoder};
use rdkafka::Timestamp;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

/// Key and value.
type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Every way of acknowledgement keeps the records.
pub(super) fn takes_every_acknowledgement(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    for acks in ["1", "all", "0"] {
        Sender::new(target, &[("acks", acks)])?.put(&topic, 0, &[acks])?;
    }
    // Nobody waits for the record that needs no acknowledgement but its reader.
    super::clock::until("all three are there", || Ok(committed(target, &topic)? == ["1", "all", "0"]))?;
    let mut raw = Raw::connect(target)?;
    same("error of acks 7", raw.produce(&topic, 7, plain("seven")?)?.error_code, 21)?;
    same("values", committed(target, &topic)?, ["1", "all", "0"])
}

/// A record comes back as it went, offset by offset.
pub(super) fn keeps_records_as_they_are(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::new(target, &[])?;
    let mut headers = OwnedHeaders::new();
    for (key, value) in [("a", Some("1")), ("b", None), ("a", Some("2")), ("", Some(""))] {
        headers = headers.insert(Header { key, value });
    }
    sender.send(&topic, &Outgoing { headers: Some(headers), ..Outgoing::keyed("key", "value") })?;
    sender.send(&topic, &Outgoing { value: None, ..Outgoing::keyed("tombstone", "") })?;
    sender.send(&topic, &Outgoing::new(0, "no key"))?;
    sender.send(&topic, &Outgoing { key: Some(b""), value: Some(b""), ..Outgoing::default() })?;
    sender.send(&topic, &Outgoing::default())?;
    sender.send(&topic, &Outgoing { value: Some(&[0, 255, 128, 10]), ..Outgoing::default() })?;
    same("offsets", sender.offsets()?, [0, 1, 2, 3, 4, 5])?;
    let records = read(target, &topic, 0, COMMITTED)?;
    same("offsets", records.iter().map(Message::offset).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5])?;
    let pairs: Vec<_> = records.iter().map(|record| (record.key(), record.payload())).collect();
    let expected: [Pair<'_>; 6] = [
        (Some(b"key"), Some(b"value")),
        (Some(b"tombstone"), None),
        (None, Some(b"no key")),
        (Some(b""), Some(b"")),
        (None, None),
        (None, Some(&[0, 255, 128, 10])),
    ];
    same("keys and values", pairs, expected)?;
    let headers = records[0].headers().context("no headers")?;
    let headers: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    let expected: [(&str, Option<&[u8]>); 4] = [("a", Some(b"1")), ("b", None), ("a", Some(b"2")), ("", Some(b""))];
    same("headers", headers, expected)
}

/// A batch above the topic's bound is refused, one below is taken, and both bounds are per topic.
pub(super) fn refuses_what_is_too_large(target: &dyn Target) -> Result<()> {
    let small = topic(target, 1, &[("max.message.bytes", "1000")])?;
    let sender = Sender::new(target, &[])?;
    let mut outcomes = Vec::new();
    for value in ["x".repeat(900), "y".repeat(1_001), "after".to_owned()] {
        sender.send(&small, &Outgoing::new(0, &value))?;
        // Each in a batch of its own.
        outcomes = sender.outcomes()?;
    }
    same("outcomes", outcomes, [Ok((0, 0)), Err(RDKafkaErrorCode::MessageSizeTooLarge), Ok((0, 1))])?;
    let large = topic(target, 1, &[("max.message.bytes", "5000000")])?;
    let value = "z".repeat(4_000_000);
    let sender = Sender::new(target, &[("message.max.bytes", "5000000")])?;
    sender.put(&large, 0, &[&value, "small"])?;
    same("values", committed(target, &large)? == [value, "small".to_owned()], true)
}

/// A batch is kept in the codec it came in, whatever the codec.
pub(super) fn keeps_the_codec(target: &dyn Target) -> Result<()> {
    let codecs = [
        ("none", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    let line = "the same words compress well, ".repeat(20);
    for (name, codec) in codecs {
        let topic = topic(target, 1, &[])?;
        let sender = Sender::new(target, &[("compression.codec", name), ("linger.ms", "20")])?;
        let values: Vec<String> = (0..50).map(|number| format!("{line}{number}")).collect();
        for value in &values {
            sender.send(&topic, &Outgoing::new(0, value))?;
        }
        sender.offsets()?;
        same(name, committed(target, &topic)? == values, true)?;
        let fetched = Raw::connect(target)?.fetch(&Fetch::new(&topic, 0))?;
        let bytes = fetched.records.context("no records")?;
        ensure!(codec == Compression::None || bytes.len() < 15_000, "{name}: {} bytes", bytes.len());
        for batch in RecordBatchDecoder::decode_batch_info(&mut bytes.clone())? {
            same(name, batch.compression, codec)?;
        }
    }
    Ok(())
}

/// The bytes of a batch stay as they came, but for what the broker has to say: offset and epoch.
pub(super) fn keeps_the_bytes_of_a_batch(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    raw.produce(&topic, -1, plain("before")?)?;
    let sent = batch(Writer::PLAIN, Compression::Zstd, now_ms()?, &[(Some("k"), &"v".repeat(500))])?;
    let answer = raw.produce(&topic, -1, sent.clone())?;
    same("error and base offset", (answer.error_code, answer.base_offset), (0, 1))?;
    let kept = raw.fetch(&Fetch::new(&topic, 1))?.records.context("no records")?;
    same("base offset", kept.get(..8), Some(&1_i64.to_be_bytes()[..]))?;
    // Length is 8..12, epoch 12..16; from there on nothing changes, the checksum included.
    same("batch", kept.slice(16..), sent.slice(16..))
}

/// What is not a batch is refused with a reason and not kept.
pub(super) fn refuses_broken_batches(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let good = plain("a value that is long enough")?;
    let mut flipped = BytesMut::from(&good[..]);
    let last = flipped.len() - 3;
    flipped[last] ^= 1;
    same("checksum", raw.produce(&topic, -1, flipped.freeze())?.error_code, 2)?;
    let mut older = BytesMut::from(&good[..]);
    older[16] = 9;
    let code = raw.produce(&topic, -1, older.freeze())?.error_code;
    ensure!(code == 2 || code == 87 || code == 76 || code == 43, "unknown format: {code}");
    let code = raw.produce(&topic, -1, good.slice(..good.len() - 5))?.error_code;
    ensure!(code == 2 || code == 87, "cut: {code}");
    same("high watermark", raw.fetch(&Fetch::new(&topic, 0))?.high_watermark, 0)?;
    same("good", raw.produce(&topic, -1, good)?.error_code, 0)
}

/// A topic or partition that is not there takes nothing.
pub(super) fn refuses_unknown_places(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    same("unknown topic", raw.produce(&fresh("unknown"), -1, plain("x")?)?.error_code, 3)?;
    let topic = topic(target, 1, &[])?;
    let sender = Sender::new(target, &[])?;
    sender.send(&topic, &Outgoing::new(5, "x"))?;
    same("unknown partition", sender.outcomes()?, [Err(RDKafkaErrorCode::UnknownPartition)])?;
    let mut request = super::raw::produce_request(&topic, -1, None, plain("x")?);
    request.topic_data[0].partition_data[0].index = 5;
    let answer = raw.call(super::raw::PRODUCE, &request)?;
    same("unknown partition", answer.responses[0].partition_responses[0].error_code, 3)
}

/// A compacted topic needs keys.
pub(super) fn refuses_a_compacted_record_without_key(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[("cleanup.policy", "compact")])?;
    same("no key", Raw::connect(target)?.produce(&topic, -1, plain("x")?)?.error_code, 87)?;
    let sender = Sender::new(target, &[])?;
    sender.send(&topic, &Outgoing::keyed("k", "v"))?;
    same("offsets", sender.offsets()?, [0])
}

/// The client's time is kept.
pub(super) fn keeps_the_create_time(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::new(target, &[])?;
    let now = now_ms()?;
    for time in [now - 5_000, now - 9_000, now] {
        sender.send(&topic, &Outgoing::new(0, "x").at(time))?;
    }
    sender.offsets()?;
    let times: Vec<_> = read(target, &topic, 0, COMMITTED)?.iter().map(Message::timestamp).collect();
    same("times", times, [now - 5_000, now - 9_000, now].map(Timestamp::CreateTime))
}

/// Or replaced by the broker's, where the topic says so.
pub(super) fn sets_the_append_time(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[("message.timestamp.type", "LogAppendTime")])?;
    let before = now_ms()?;
    let sender = Sender::new(target, &[("compression.codec", "lz4")])?;
    sender.send(&topic, &Outgoing::new(0, "x").at(1_000))?;
    sender.offsets()?;
    let answer = Raw::connect(target)?.produce(
        &topic,
        -1,
        batch(Writer::PLAIN, Compression::None, 2_000, &[(None, "y"), (None, "z")])?,
    )?;
    ensure!(answer.log_append_time_ms >= before, "log append time {}", answer.log_append_time_ms);
    let after = now_ms()?;
    let records = read(target, &topic, 0, COMMITTED)?;
    same("records", records.len(), 3)?;
    for record in records {
        let Timestamp::LogAppendTime(time) = record.timestamp() else {
            anyhow::bail!("not the time of the broker: {:?}", record.timestamp());
        };
        ensure!(before <= time && time <= after, "{before} {time} {after}");
    }
    Ok(())
}

/// A request without records is refused, not kept.
pub(super) fn refuses_an_empty_batch(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let answer = Raw::connect(target)?.produce(&topic, -1, Bytes::new())?;
    ensure!(answer.error_code != 0, "an empty batch was taken");
    same("values", uncommitted(target, &topic)?.len(), 0)
}

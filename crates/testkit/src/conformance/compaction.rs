//! Compacted topics: the newest record of a key stays.

use super::Target;
use super::clients::{COMMITTED, Outgoing, Sender, Settings, fresh, read, read_from, text, topic, watermarks};
use super::clock::{pause, until};
use super::same;
use anyhow::{Context, Result, ensure};
use rdkafka::Offset;
use rdkafka::message::{Message, OwnedMessage};
use std::time::Duration;

/// Compacts as soon as the broker can.
const COMPACTED: Settings<'static> = &[
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("min.compaction.lag.ms", "0"),
    ("delete.retention.ms", "100"),
    ("segment.ms", "100"),
];

/// Of each key the newest record stays, at its offset, in its order.
pub(super) fn the_newest_of_a_key_stays(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, COMPACTED)?;
    let sender = Sender::new(target, &[])?;
    for round in 0..5 {
        for key in ["a", "b", "c"] {
            sender.send(&topic, &Outgoing::keyed(key, &format!("{key}{round}")))?;
        }
    }
    sender.send(&topic, &Outgoing::keyed("once", "kept"))?;
    sender.offsets()?;
    compacted(target, &topic, |records| records.len() == 4)?;
    let records = without_ticks(read(target, &topic, 0, COMMITTED)?);
    let kept: Vec<_> = records.iter().map(|record| (record.offset(), text(record))).collect();
    let expected = [(12, "a4"), (13, "b4"), (14, "c4"), (15, "kept")];
    same("kept", kept, expected.map(|(offset, value)| (offset, value.to_owned())))?;
    same("beginning", watermarks(target, &topic)?.0, 0)?;
    // A reader that stands where something is gone goes on behind it.
    let from = without_ticks(read_from(target, &topic, 0, Offset::Offset(5), COMMITTED)?);
    same("from a gap", from.first().map(Message::offset), Some(12))
}

/// A tombstone removes its key, and goes itself in the end.
pub(super) fn a_tombstone_removes_its_key(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, COMPACTED)?;
    let sender = Sender::new(target, &[])?;
    sender.send(&topic, &Outgoing::keyed("gone", "value"))?;
    sender.send(&topic, &Outgoing::keyed("stays", "value"))?;
    sender.send(&topic, &Outgoing { value: None, ..Outgoing::keyed("gone", "") })?;
    sender.offsets()?;
    compacted(target, &topic, |records| records.iter().all(|record| record.key() != Some(b"gone")))?;
    let records = without_ticks(read(target, &topic, 0, COMMITTED)?);
    same(
        "kept",
        records.iter().map(|record| (record.offset(), text(record))).collect::<Vec<_>>(),
        [(1, "value".to_owned())],
    )
}

/// What was aborted replaces nothing.
pub(super) fn an_aborted_record_replaces_nothing(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, COMPACTED)?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    for (value, keep) in [("first", true), ("second", true), ("aborted", false)] {
        sender.begin()?;
        sender.send(&topic, &Outgoing::keyed("key", value))?;
        sender.offsets()?;
        if keep { sender.commit()? } else { sender.abort()? }
    }
    compacted(target, &topic, |records| records.len() == 1)?;
    let records = without_ticks(read(target, &topic, 0, COMMITTED)?);
    same("kept", records.iter().map(text).collect::<Vec<_>>(), ["second"])
}

/// Records of a transaction that is still open stay until it is decided.
pub(super) fn an_open_transaction_is_left_alone(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, COMPACTED)?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let plain = Sender::new(target, &[])?;
    for value in ["1", "2"] {
        plain.send(&topic, &Outgoing::keyed("key", value))?;
        plain.offsets()?;
    }
    sender.begin()?;
    sender.send(&topic, &Outgoing::keyed("key", "3"))?;
    sender.offsets()?;
    pause(Duration::from_millis(500));
    sender.abort()?;
    compacted(target, &topic, |records| records.len() == 1)?;
    let records = without_ticks(read(target, &topic, 0, COMMITTED)?);
    same("kept", records.iter().map(text).collect::<Vec<_>>(), ["2"])
}

/// Writes on, so that there is something new to compact, until it has come to this.
fn compacted(target: &dyn Target, topic: &str, condition: impl Fn(&[OwnedMessage]) -> bool) -> Result<()> {
    let sender = Sender::new(target, &[])?;
    let mut last = None;
    let done = until("the topic is compacted", || {
        sender.send(topic, &Outgoing::keyed("tick", "tock"))?;
        sender.offsets()?;
        pause(Duration::from_millis(150));
        let records = without_ticks(read(target, topic, 0, COMMITTED)?);
        let done = condition(&records);
        last = Some(records.iter().map(|record| (record.offset(), text(record))).collect::<Vec<_>>());
        Ok(done)
    });
    done.with_context(|| format!("at last {last:?}"))?;
    let ticks = read(target, topic, 0, COMMITTED)?.iter().filter(|record| is_tick(record)).count();
    ensure!(ticks > 0, "the newest record of a key is gone");
    Ok(())
}

fn without_ticks(records: Vec<OwnedMessage>) -> Vec<OwnedMessage> {
    records.into_iter().filter(|record| !is_tick(record)).collect()
}

fn is_tick(record: &OwnedMessage) -> bool {
    record.key() == Some(b"tick")
}

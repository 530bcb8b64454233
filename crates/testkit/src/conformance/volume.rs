//! Many records, many partitions.

use super::Target;
use super::clients::{COMMITTED, Outgoing, Sender, fresh, read, text, topic};
use super::members::{Member, work};
use super::same;
use anyhow::{Result, ensure};
use rdkafka::message::Message;
use std::collections::BTreeMap;

/// Ten thousand records come back in order, from each partition.
pub(super) fn ten_thousand_come_in_order(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 2, &[])?;
    let sender = Sender::new(target, &[("linger.ms", "5"), ("enable.idempotence", "true")])?;
    let values: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    for value in &values {
        sender.send(&topic, &Outgoing::new(0, value))?;
        sender.send(&topic, &Outgoing::new(1, value))?;
    }
    sender.offsets()?;
    for partition in [0, 1] {
        let records = read(target, &topic, partition, COMMITTED)?;
        ensure!(records.iter().map(text).eq(values.iter().cloned()), "partition {partition} is not in order");
        ensure!(records.iter().map(Message::offset).eq(0..10_000), "partition {partition} has gaps");
    }
    Ok(())
}

/// A hundred partitions are read by one member.
pub(super) fn a_hundred_partitions_are_read(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 100, &[])?;
    let sender = Sender::new(target, &[("linger.ms", "5")])?;
    for number in 0..20 {
        for partition in 0..100 {
            sender.send(&topic, &Outgoing::new(partition, &number.to_string()))?;
        }
    }
    sender.offsets()?;
    let member = Member::join(target, &fresh("group"), &topic, &[])?;
    work("all is read", &[&member], || Ok(member.count() >= 2_000))?;
    same("records", member.count(), 2_000)?;
    let mut next = BTreeMap::new();
    for record in member.records() {
        let expected = next.entry(record.partition()).or_insert(0);
        same("offset", record.offset(), *expected)?;
        same("value", text(&record), expected.to_string())?;
        *expected += 1;
    }
    member.commit_read()
}

/// Twenty megabytes come back whole, through fetches that are smaller than a partition.
pub(super) fn large_partitions_come_whole(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::new(target, &[("linger.ms", "5")])?;
    let filler = "0123456789".repeat(1_000);
    for number in 0..2_000 {
        sender.send(&topic, &Outgoing::new(0, &format!("{number} {filler}")))?;
    }
    sender.offsets()?;
    let records = read(target, &topic, 0, &[("fetch.message.max.bytes", "200000")])?;
    same("records", records.len(), 2_000)?;
    for (number, record) in records.iter().enumerate() {
        ensure!(text(record) == format!("{number} {filler}"), "record {number} is not as it was");
    }
    Ok(())
}

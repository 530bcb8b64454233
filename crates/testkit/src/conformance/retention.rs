//! What is old or too much goes.

use super::Target;
use super::clients::{COMMITTED, Outgoing, Sender, committed, read, text, topic, watermarks};
use super::clock::{now_ms, until};
use super::same;
use anyhow::{Result, ensure};

/// Records older than the topic keeps them are gone, newer ones stay.
pub(super) fn old_records_go(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[("retention.ms", "60000"), ("segment.ms", "1000")])?;
    let sender = Sender::new(target, &[])?;
    let now = now_ms()?;
    for number in 0..5 {
        sender.send(&topic, &Outgoing::new(0, "old").at(now - 3_600_000 + number))?;
    }
    sender.offsets()?;
    until("the old records are gone", || Ok(watermarks(target, &topic)?.0 == 5))?;
    sender.send(&topic, &Outgoing::new(0, "new"))?;
    sender.offsets()?;
    same("values", committed(target, &topic)?, ["new"])?;
    same("watermarks", watermarks(target, &topic)?, (5, 6))
}

/// A topic that is larger than it may be loses its oldest records.
pub(super) fn too_many_records_go(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[("retention.bytes", "2000000"), ("segment.bytes", "1048576")])?;
    let sender = Sender::new(target, &[("batch.size", "100000")])?;
    let filler = "x".repeat(10_000);
    for number in 0..600 {
        sender.send(&topic, &Outgoing::new(0, &format!("{number} {filler}")))?;
    }
    sender.offsets()?;
    until("the oldest records are gone", || Ok(watermarks(target, &topic)?.0 > 200))?;
    let (low, high) = watermarks(target, &topic)?;
    same("end", high, 600)?;
    // Whole segments go, and only as long as enough stays.
    ensure!(600 - low >= 190, "too much is gone: {low}");
    let records = read(target, &topic, 0, COMMITTED)?;
    ensure!(i64::try_from(records.len())? <= 600 - low, "more than there is");
    same("last", records.last().map(text), Some(format!("599 {filler}")))
}

/// Nothing goes that should stay.
pub(super) fn the_rest_stays(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[("retention.ms", "-1"), ("retention.bytes", "-1"), ("segment.ms", "100")])?;
    let sender = Sender::new(target, &[])?;
    for number in 0..5 {
        sender.send(&topic, &Outgoing::new(0, "old").at(1_000_000 + number))?;
        sender.offsets()?;
    }
    // Long enough for the broker to have looked.
    super::clock::pause(std::time::Duration::from_millis(1_500));
    same("watermarks", watermarks(target, &topic)?, (0, 5))
}

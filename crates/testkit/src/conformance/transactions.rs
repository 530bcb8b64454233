//! What readers see of transactions.

use super::Target;
use super::clients::{
    COMMITTED, Outgoing, Sender, committed, fresh, put, read, read_from, text, topic, uncommitted, watermarks,
};
use super::clock::{now_ms, until};
use super::list_offsets::{LATEST, ask, settled};
use super::raw::{Fetch, Raw};
use super::same;
use anyhow::{Context, Result, ensure};
use rdkafka::Offset;
use rdkafka::message::Message;

/// A transaction is seen when it is committed, whole.
pub(super) fn a_committed_one_is_seen(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 2, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    sender.begin()?;
    for (partition, value) in [(0, "a"), (1, "b"), (0, "c")] {
        sender.send(&topic, &Outgoing::new(partition, value))?;
    }
    sender.commit()?;
    settled(target, &topic, 2)?;
    same("values", committed(target, &topic)?, ["a", "c"])?;
    same("other partition", read(target, &topic, 1, COMMITTED)?.iter().map(text).collect::<Vec<_>>(), ["b"])?;
    // The marker takes an offset that no reader sees.
    same("watermarks", watermarks(target, &topic)?, (0, 3))
}

/// An aborted one is not, but by those who ask for everything.
pub(super) fn an_aborted_one_is_not(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    sender.begin()?;
    sender.put(&topic, 0, &["a", "b"])?;
    sender.abort()?;
    sender.begin()?;
    sender.put(&topic, 0, &["c"])?;
    sender.commit()?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["c"])?;
    same("all", uncommitted(target, &topic)?, ["a", "b", "c"])?;
    same("watermarks", watermarks(target, &topic)?, (0, 5))
}

/// An open one hides itself and what comes behind it, until it ends.
pub(super) fn an_open_one_hides_what_follows(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    put(target, &topic, 0, &["before"])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    sender.begin()?;
    sender.put(&topic, 0, &["in it"])?;
    put(target, &topic, 0, &["after"])?;
    same("committed", committed(target, &topic)?, ["before"])?;
    same("all", uncommitted(target, &topic)?, ["before", "in it", "after"])?;
    same("last stable", ask(target, &topic, LATEST, true)?.offset, 1)?;
    same("latest", ask(target, &topic, LATEST, false)?.offset, 3)?;
    let fetched = Raw::connect(target)?.fetch(&Fetch { committed: true, ..Fetch::new(&topic, 0) })?;
    same("last stable and high watermark", (fetched.last_stable_offset, fetched.high_watermark), (1, 3))?;
    sender.commit()?;
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, ["before", "in it", "after"])?;
    same("last stable", ask(target, &topic, LATEST, true)?.offset, 4)
}

/// Transactions of two producers and plain records lie between each other, and each is decided for itself.
pub(super) fn interleaved_ones_are_told_apart(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let (good, bad) = (Sender::transactional(target, &fresh("tx"))?, Sender::transactional(target, &fresh("tx"))?);
    let plain = Sender::new(target, &[])?;
    good.begin()?;
    bad.begin()?;
    for round in 0..3 {
        good.put(&topic, 0, &[&format!("good {round}")])?;
        bad.put(&topic, 0, &[&format!("bad {round}")])?;
        plain.put(&topic, 0, &[&format!("plain {round}")])?;
    }
    good.commit()?;
    // The other is still open, from its first record on.
    until("the first is seen", || Ok(committed(target, &topic)? == ["good 0"]))?;
    bad.abort()?;
    let expected = ["good 0", "plain 0", "good 1", "plain 1", "good 2", "plain 2"];
    settled(target, &topic, 1)?;
    same("committed", committed(target, &topic)?, expected)?;
    bad.begin()?;
    bad.put(&topic, 0, &["good again"])?;
    bad.commit()?;
    settled(target, &topic, 1)?;
    same(
        "from the middle",
        read_from(target, &topic, 0, Offset::Offset(8), COMMITTED)?.iter().map(text).collect::<Vec<_>>(),
        ["plain 2", "good again"],
    )
}

/// A reader is told which transactions were aborted in what it reads, and only those.
pub(super) fn tells_which_were_aborted(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    for (value, keep) in [("a", false), ("b", true), ("c", false)] {
        sender.begin()?;
        sender.put(&topic, 0, &[value])?;
        if keep { sender.commit()? } else { sender.abort()? }
    }
    settled(target, &topic, 1)?;
    let mut raw = Raw::connect(target)?;
    let mut aborted = |offset, committed| -> Result<Option<Vec<i64>>> {
        let fetched = raw.fetch(&Fetch { committed, ..Fetch::new(&topic, offset) })?;
        Ok(fetched.aborted_transactions.map(|list| list.iter().map(|one| one.first_offset).collect()))
    };
    same("from the beginning", aborted(0, true)?, Some(vec![0, 4]))?;
    same("behind the first", aborted(2, true)?, Some(vec![4]))?;
    same("for those who read all", aborted(0, false)?.unwrap_or_default().len(), 0)
}

/// Many short transactions in a row, every third aborted, over two partitions.
pub(super) fn many_follow_each_other(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 2, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let mut expected = Vec::new();
    for number in 0..60 {
        sender.begin()?;
        let value = number.to_string();
        sender.send(&topic, &Outgoing::new(0, &value))?;
        sender.send(&topic, &Outgoing::new(1, &value))?;
        if number % 3 == 0 {
            // What is not sent before the end is not part of it.
            sender.offsets()?;
            sender.abort()?;
        } else {
            sender.commit()?;
            expected.push(value);
        }
    }
    settled(target, &topic, 2)?;
    for partition in [0, 1] {
        let values: Vec<_> = read(target, &topic, partition, COMMITTED)?.iter().map(text).collect();
        same("values", values, expected.clone())?;
    }
    Ok(())
}

/// A transaction of several thousand records is as good as a short one.
pub(super) fn a_large_one_is_whole(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    let values: Vec<String> = (0..3_000).map(|number| format!("{number} {}", "x".repeat(200))).collect();
    for keep in [false, true] {
        sender.begin()?;
        for value in &values {
            sender.send(&topic, &Outgoing::new(0, value))?;
        }
        sender.offsets()?;
        same("while it is open", committed(target, &topic)?.len(), 0)?;
        if keep { sender.commit()? } else { sender.abort()? }
    }
    settled(target, &topic, 1)?;
    same("records", committed(target, &topic)? == values, true)
}

/// One that wrote nothing ends well.
pub(super) fn an_empty_one_ends_well(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    sender.begin()?;
    sender.commit()?;
    sender.begin()?;
    sender.abort()?;
    sender.begin()?;
    sender.put(&topic, 0, &["a"])?;
    sender.commit()?;
    settled(target, &topic, 1)?;
    same("values", committed(target, &topic)?, ["a"])
}

/// A time finds records of transactions; for those who read what is committed, only before the first open one.
pub(super) fn times_are_found_in_them(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    // Later than the markers, which carry the time at which they are written and can be found too.
    let base = now_ms()? + 100_000;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    for step in [0, 1] {
        sender.begin()?;
        sender.send(&topic, &Outgoing::new(0, "x").at(base + step * 1_000))?;
        sender.commit()?;
    }
    settled(target, &topic, 1)?;
    sender.begin()?;
    sender.send(&topic, &Outgoing::new(0, "open").at(base + 2_000))?;
    sender.offsets()?;
    let found = |time, committed| Ok::<_, anyhow::Error>(ask(target, &topic, time, committed)?.offset);
    same("first", found(base, true)?, 0)?;
    same("second", found(base + 1, true)?, 2)?;
    same("open, for those who read all", found(base + 2_000, false)?, 4)?;
    same("open, for the others", found(base + 2_000, true)?, -1)?;
    sender.commit()?;
    settled(target, &topic, 1)?;
    same("closed", found(base + 2_000, true)?, 4)
}

/// A long poll of committed records ends when the transaction does.
pub(super) fn a_waiting_reader_wakes_at_the_end(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    sender.begin()?;
    sender.put(&topic, 0, &["a"])?;
    let mut raw = Raw::connect(target)?;
    let watch = super::clock::Stopwatch::start();
    let fetch = Fetch { committed: true, max_wait_ms: 20_000, ..Fetch::new(&topic, 0) };
    raw.send(super::raw::FETCH, &fetch.request())?;
    super::clock::pause(std::time::Duration::from_millis(100));
    sender.commit()?;
    let (_, response) = raw.receive::<kafka_protocol::messages::FetchRequest>(super::raw::FETCH)?;
    let fetched = super::raw::first_fetched(response)?;
    ensure!(fetched.records.context("no records")?.len() > 50, "nothing was read");
    ensure!(watch.elapsed_ms() < 10_000, "waited {} ms", watch.elapsed_ms());
    Ok(())
}

/// Offsets stay where they are: markers and what was aborted leave gaps.
pub(super) fn gaps_are_where_markers_are(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let sender = Sender::transactional(target, &fresh("tx"))?;
    for keep in [true, false, true] {
        sender.begin()?;
        sender.put(&topic, 0, &["x"])?;
        if keep { sender.commit()? } else { sender.abort()? }
    }
    settled(target, &topic, 1)?;
    let offsets: Vec<_> = read(target, &topic, 0, COMMITTED)?.iter().map(Message::offset).collect();
    same("offsets", offsets, [0, 4])
}

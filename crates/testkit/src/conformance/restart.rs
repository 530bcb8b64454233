//! What survives when the broker is killed.

use super::Target;
use super::clients::{
    Outgoing, PATIENCE, Sender, admin, committed, create, delete, fresh, has_partitions, options, put, topic, wait,
    watermarks,
};
use super::clock::{now_ms, pause, until};
use super::commits::known;
use super::group_protocol::commit;
use super::members::{Member, work};
use super::raw::{Fetch, Raw, Writer, batch};
use super::same;
use anyhow::{Context, Result, ensure};
use kafka_protocol::records::Compression;
use rdkafka::admin::ResourceSpecifier;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// NOT_LEADER_OR_FOLLOWER, an error code of the protocol.
const NOT_LEADER: i16 = 6;

/// Topics with their settings and partitions, records, deleted records, positions: all as before.
pub(super) fn everything_is_as_before(target: &dyn Target) -> Result<()> {
    let name = topic(target, 3, &[("retention.ms", "123456000")])?;
    let (gone, again, group) = (topic(target, 1, &[])?, topic(target, 1, &[])?, fresh("group"));
    put(target, &name, 0, &["0", "1", "2", "3"])?;
    put(target, &name, 2, &["a"])?;
    put(target, &again, 0, &["old"])?;
    delete(target, &gone)?;
    delete(target, &again)?;
    create(target, &again, 2, &[])?;
    put(target, &again, 1, &["new"])?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&name, 0, Offset::Offset(1))?;
    wait(admin(target)?.delete_records(&offsets, &options()))??;
    let mut raw = Raw::connect(target)?;
    same("commit", commit(&mut raw, &group, ("", -1), &name, 3, "words")?, 0)?;
    // A broker may write down where a partition begins a moment after it has moved.
    pause(Duration::from_secs(1));
    restart(target, &name)?;
    let admin = admin(target)?;
    has_partitions(&admin, &name, 3)?;
    has_partitions(&admin, &again, 2)?;
    same("values", committed(target, &name)?, ["1", "2", "3"])?;
    same("watermarks", watermarks(target, &name)?, (1, 4))?;
    same("watermarks of what was made again", watermarks(target, &again)?, (0, 0))?;
    let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
    ensure!(metadata.topics().iter().all(|topic| topic.name() != gone), "a deleted topic is back");
    let specifier = ResourceSpecifier::Topic(&name);
    let described = wait(admin.describe_configs([&specifier], &options()))??;
    let described = described.into_iter().next().context("no result")?.map_err(|code| anyhow::anyhow!("{code}"))?;
    same("setting", described.get("retention.ms").and_then(|entry| entry.value.as_deref()), Some("123456000"))?;
    same("position and words", known(target, &group, &name)?, (Offset::Offset(3), "words".to_owned()))?;
    put(target, &name, 0, &["4"])?;
    same("goes on", committed(target, &name)?, ["1", "2", "3", "4"])
}

/// A producer that resends across the restart makes no doubles and no gaps.
pub(super) fn a_producer_goes_on(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let settings = [("enable.idempotence", "true"), ("batch.num.messages", "10"), ("message.timeout.ms", "120000")];
    let sender = Sender::new(target, &settings)?;
    let values: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    let (first, rest) = values.split_at(500);
    for value in first {
        sender.send(&topic, &Outgoing::new(0, value))?;
    }
    sender.offsets()?;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for value in rest {
                sender.send(&topic, &Outgoing::new(0, value))?;
                pause(Duration::from_micros(200));
            }
            Ok::<_, anyhow::Error>(())
        });
        target.kill_and_restart()?;
        sending.join().map_err(|_| anyhow::anyhow!("the producer stopped"))?
    })?;
    // How long a broker takes to come back is not what is checked here.
    sender.offsets()?;
    same("records", committed(target, &topic)? == values, true)
}

/// The broker remembers the sequences of the producers it knew, and gives new producers new ids.
pub(super) fn sequences_are_remembered(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut raw = Raw::connect(target)?;
    let producer = raw.producer_id(None)?;
    let write = |sequence: i32, value: &str| {
        batch(Writer::idempotent(&producer, sequence), Compression::None, now_ms()?, &[(None, value)])
    };
    same("first", raw.produce(&topic, -1, write(0, "a")?)?.error_code, 0)?;
    same("second", raw.produce(&topic, -1, write(1, "b")?)?.error_code, 0)?;
    restart(target, &topic)?;
    let mut raw = Raw::connect(target)?;
    let other = raw.producer_id(None)?;
    ensure!(other.producer_id != producer.producer_id, "a producer id was given twice");
    // A broker that comes back may lead, be fenced and lead again; a client asks again meanwhile, as here.
    let mut put = |sequence, value: &str| -> Result<(i16, i64)> {
        let mut answer = (NOT_LEADER, -1);
        until("the partition takes records", || {
            let given = raw.produce(&topic, -1, write(sequence, value)?)?;
            answer = (given.error_code, given.base_offset);
            Ok(answer.0 != NOT_LEADER)
        })?;
        Ok(answer)
    };
    same("second again", put(1, "b")?, (0, 1))?;
    same("a gap", put(7, "x")?.0, 45)?;
    same("third", put(2, "c")?, (0, 2))?;
    same("values", committed(target, &topic)?, ["a", "b", "c"])
}

/// A group that reads while the broker restarts reads on, and nothing twice that it had committed.
pub(super) fn a_consumer_goes_on(target: &dyn Target) -> Result<()> {
    let (topic, group) = (topic(target, 2, &[])?, fresh("group"));
    let member = Member::join(target, &group, &topic, &[])?;
    put(target, &topic, 0, &["0", "1"])?;
    work("the first is read", &[&member], || Ok(member.count() == 2))?;
    member.commit_read()?;
    target.kill_and_restart()?;
    put(target, &topic, 1, &["2"])?;
    work("the next is read", &[&member], || Ok(member.count() >= 3))?;
    same("values", member.values(), ["0", "1", "2"])?;
    work("the position is committed", &[&member], || Ok(member.commit_read().is_ok()))?;
    drop(member);
    let next = Member::join(target, &group, &topic, &[])?;
    put(target, &topic, 0, &["3"])?;
    work("the next member reads", &[&next], || Ok(next.count() == 1))?;
    same("values", next.values(), ["3"])
}

/// The broker can be killed again and again while records come in; what was acknowledged is there.
pub(super) fn what_was_acknowledged_is_there(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut kept = Vec::new();
    for round in 0..2 {
        let settings = [("enable.idempotence", "true"), ("batch.num.messages", "50")];
        let sender = Sender::new(target, &settings)?;
        let values: Vec<String> = (0..1_000).map(|number| format!("{round} {number} {}", "x".repeat(100))).collect();
        for value in &values {
            sender.send(&topic, &Outgoing::new(0, value))?;
        }
        sender.offsets()?;
        // Straight after the last acknowledgement.
        target.kill_and_restart()?;
        kept.extend(values);
    }
    same("records", committed(target, &topic)? == kept, true)
}

/// Kills the broker, and waits until it serves partition 0 of a topic again.
pub(super) fn restart(target: &dyn Target, topic: &str) -> Result<()> {
    target.kill_and_restart()?;
    until("the partition is led again", || {
        let Ok(mut raw) = Raw::connect(target) else {
            return Ok(false);
        };
        Ok(raw.fetch(&Fetch::new(topic, 0)).is_ok_and(|fetched| matches!(fetched.error_code, 0 | 1)))
    })
}

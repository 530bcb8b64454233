//! Members of consumer groups that remember what happened to them.

use super::Target;
use super::clients::{PATIENCE, Settings, config, is_passing, lock, text};
use super::clock::Stopwatch;
use super::closing::Closing;
use anyhow::{Result, bail};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// What a member polls for at a time when several take turns.
const TURN: Duration = Duration::from_millis(10);

/// A change of what a member owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Assigned(BTreeSet<i32>),
    Revoked(BTreeSet<i32>),
}

/// Remembers every change.
#[derive(Default)]
pub(super) struct Watch(Mutex<Vec<Change>>);

impl ClientContext for Watch {
    fn log(&self, _level: rdkafka::config::RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let change = match rebalance {
            Rebalance::Assign(list) => Change::Assigned(partitions(list)),
            Rebalance::Revoke(list) => Change::Revoked(partitions(list)),
            Rebalance::Error(_) => return,
        };
        lock(&self.0).push(change);
    }
}

/// A member of a group.
pub(super) struct Member {
    inner: Closing<BaseConsumer<Watch>>,
    seen: Mutex<Vec<OwnedMessage>>,
}

impl Member {
    /// Joins a group to read a topic from the beginning, or from where the group was.
    pub(super) fn join(target: &dyn Target, group: &str, topic: &str, settings: Settings<'_>) -> Result<Self> {
        Self::through(&target.bootstrap(), group, topic, settings)
    }

    /// The same, beginning at this address.
    pub(super) fn through(bootstrap: &str, group: &str, topic: &str, settings: Settings<'_>) -> Result<Self> {
        let mut config = config(bootstrap, &[("group.id", group), ("enable.auto.commit", "false")]);
        config.set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "50").set("heartbeat.interval.ms", "300");
        config.set("isolation.level", "read_committed").set("fetch.error.backoff.ms", "20");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let inner: BaseConsumer<Watch> = config.create_with_context(Watch::default())?;
        inner.subscribe(&[topic])?;
        Ok(Self { inner: Closing::new(inner), seen: Mutex::default() })
    }

    /// Lets the client work a little, and keeps what comes.
    pub(super) fn turn(&self) -> Result<()> {
        match self.inner.poll(TURN) {
            Some(Ok(message)) => lock(&self.seen).push(message.detach()),
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => bail!("poll: {error}"),
            None => {}
        }
        Ok(())
    }

    /// What it owns now.
    pub(super) fn owned(&self) -> Result<BTreeSet<i32>> {
        Ok(partitions(&self.inner.assignment()?))
    }

    /// What has changed so far.
    pub(super) fn changes(&self) -> Vec<Change> {
        lock(&self.inner.context().0).clone()
    }

    /// What it has read, in this order.
    pub(super) fn values(&self) -> Vec<String> {
        lock(&self.seen).iter().map(text).collect()
    }

    /// What it has read, with everything about it.
    pub(super) fn records(&self) -> Vec<OwnedMessage> {
        lock(&self.seen).clone()
    }

    /// How many records it has read.
    pub(super) fn count(&self) -> usize {
        lock(&self.seen).len()
    }

    /// Commits behind everything it has read of a topic.
    pub(super) fn commit_read(&self) -> Result<()> {
        Ok(self.inner.commit(&self.position()?, CommitMode::Sync)?)
    }

    /// Behind the last record of each partition that it has read.
    pub(super) fn position(&self) -> Result<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        for message in lock(&self.seen).iter() {
            let next = Offset::Offset(message.offset() + 1);
            match offsets.find_partition(message.topic(), message.partition()) {
                Some(mut known) => known.set_offset(next)?,
                None => offsets.add_partition_offset(message.topic(), message.partition(), next)?,
            }
        }
        Ok(offsets)
    }

    /// The client itself.
    pub(super) fn client(&self) -> &BaseConsumer<Watch> {
        &self.inner
    }
}

/// Lets members work in turns until the condition holds. `what` is what is waited for, in words.
pub(super) fn work(what: &str, members: &[&Member], mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < PATIENCE {
        if condition()? {
            return Ok(());
        }
        for member in members {
            member.turn()?;
        }
    }
    let owned: Vec<_> = members.iter().map(|member| (member.owned(), member.count(), member.changes())).collect();
    bail!("{what}: not within {} s; owned, read and changes: {owned:?}", PATIENCE.as_secs())
}

/// Lets members work for a while.
pub(super) fn work_for(time: Duration, members: &[&Member]) -> Result<()> {
    let watch = Stopwatch::start();
    work("time passes", members, || Ok(watch.elapsed() >= time))
}

fn partitions(list: &TopicPartitionList) -> BTreeSet<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

//! Commits what was settled: outputs, effect records, exceptions, parked events and offsets in one transaction.

use super::Event;
use crate::kafka::ClientError;
use crate::outgoing::Outgoing;
use crate::producer::{Delivery, Producer};
use rdkafka::consumer::ConsumerGroupMetadata;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What one transaction holds.
pub(super) struct Commit {
    /// Records, in the order in which their events were settled.
    pub records: Vec<Outgoing>,
    /// Positions: topic, partition, next offset.
    pub offsets: Vec<(Arc<str>, i32, i64)>,
    /// Proof of membership.
    pub group: Arc<ConsumerGroupMetadata>,
}

/// Starts the thread that commits, one transaction at a time.
///
/// # Errors
/// When the thread cannot start.
pub(super) fn start(
    room: &'static str,
    producer: Producer,
    timeout: Duration,
    events: Sender<Event>,
) -> Result<Sender<Commit>, ClientError> {
    let (sender, commits) = channel();
    std::thread::Builder::new()
        .name(format!("settle-{room}"))
        .spawn(move || run(&producer, timeout, &commits, &events))
        .map_err(|error| ClientError::Delivery(error.to_string()))?;
    Ok(sender)
}

fn run(producer: &Producer, timeout: Duration, commits: &Receiver<Commit>, events: &Sender<Event>) {
    while let Ok(commit) = commits.recv() {
        let started = crate::clock::tick();
        let outcome = transact(producer, timeout, &commit);
        let took = crate::clock::tick().since(started);
        if events.send(Event::Committed(outcome, took)).is_err() {
            return;
        }
    }
}

fn transact(
    producer: &Producer,
    timeout: Duration,
    commit: &Commit,
) -> Result<Vec<crate::producer::TicketOffset>, ClientError> {
    producer.begin()?;
    let delivery = Delivery::new();
    let sent = commit.records.iter().try_for_each(|record| producer.send(record, &delivery));
    let committed =
        sent.and_then(|()| producer.commit(&delivery, &commit.offsets, Some(commit.group.as_ref()), timeout));
    if let Err(error) = committed {
        if !error.fenced() {
            // The loop starts over in any case; an open transaction would only hold back its readers for longer.
            drop(producer.abort(timeout));
        }
        return Err(error);
    }
    Ok(delivery.take_tickets())
}

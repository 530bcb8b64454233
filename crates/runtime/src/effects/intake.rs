//! The consumer of an effect room, on a thread of its own: turns polls and callbacks into events of one loop.

use super::Event;
use crate::config::KafkaConfig;
use crate::kafka::{self, ClientError};
use crate::record::Record;
use crate::shutdown::Shutdown;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One wait for records; also how fast a stop is seen.
const POLL: Duration = Duration::from_millis(100);

/// Counts what the loop holds, so that the intake can pause.
pub(super) type InFlight = Arc<AtomicUsize>;

/// Hands rebalances to the loop and waits for it to drain before partitions go.
pub(super) struct IntakeContext {
    events: Mutex<Sender<Event>>,
    drain: Duration,
}

/// Starts the intake thread.
///
/// # Errors
/// When librdkafka refuses the settings or the thread cannot start.
pub(super) fn start(
    room: &'static str,
    topics: &[&str],
    kafka: &KafkaConfig,
    events: Sender<Event>,
    in_flight: (InFlight, usize),
    drain: Duration,
    stop: Shutdown,
) -> Result<(), ClientError> {
    let context = IntakeContext { events: Mutex::new(events.clone()), drain };
    let consumer: BaseConsumer<IntakeContext> =
        BaseConsumer::from_config_and_context(&kafka::group_consumer(kafka, room), context)?;
    consumer.subscribe(topics)?;
    let (in_flight, most) = in_flight;
    let intake = Intake { consumer, events, in_flight, most, stop, paused: false, drain };
    std::thread::Builder::new()
        .name(format!("intake-{room}"))
        .spawn(move || intake.run())
        .map_err(|error| ClientError::Delivery(error.to_string()))?;
    Ok(())
}

struct Intake {
    consumer: BaseConsumer<IntakeContext>,
    events: Sender<Event>,
    in_flight: InFlight,
    most: usize,
    stop: Shutdown,
    paused: bool,
    drain: Duration,
}

impl Intake {
    fn run(mut self) {
        while !self.stop.requested() {
            self.pause_or_resume();
            match self.consumer.poll(POLL) {
                None => {}
                Some(Err(error)) => tracing::warn!(%error, "consumer"),
                Some(Ok(message)) => {
                    self.in_flight.fetch_add(1, Ordering::Relaxed);
                    let record = Box::new(Record::from_message(&message));
                    if self.events.send(Event::Record(record)).is_err() {
                        break;
                    }
                }
            }
        }
        // Drain while still a member, so that what was done can be committed; then leave the group.
        let (drained, waiting) = channel();
        if self.events.send(Event::Revoking(drained)).is_ok()
            && waiting.recv_timeout(self.drain) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("stopping before all work in flight has ended");
        }
        self.consumer.unsubscribe();
        drop(self.events.send(Event::Stopped));
    }

    /// Fetching stops while the loop holds its maximum (BND-1); polling goes on, so the group keeps us.
    fn pause_or_resume(&mut self) {
        let held = self.in_flight.load(Ordering::Relaxed);
        let full = if self.paused { held > self.most / 2 } else { held >= self.most };
        if full == self.paused {
            return;
        }
        let changed = self.consumer.assignment().and_then(|partitions| {
            if full { self.consumer.pause(&partitions) } else { self.consumer.resume(&partitions) }
        });
        match changed {
            Ok(()) => self.paused = full,
            Err(error) => tracing::warn!(%error, "cannot pause or resume"),
        }
    }
}

impl IntakeContext {
    fn tell(&self, event: Event) -> bool {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event).is_ok()
    }
}

impl ClientContext for IntakeContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka consumer");
    }
}

impl ConsumerContext for IntakeContext {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Revoke(_)) {
            let (drained, waiting) = channel();
            // Drain first, fence second: the partitions go when the loop has committed what it can, or time is up.
            if self.tell(Event::Revoking(drained)) && waiting.recv_timeout(self.drain) == Err(RecvTimeoutError::Timeout)
            {
                tracing::warn!("partitions go before all work in flight has ended");
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let partitions =
                list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
            self.tell(Event::Assigned(partitions, consumer.group_metadata()));
        }
    }
}

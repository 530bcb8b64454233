//! The consumer of an effect room: turns records and rebalances into events of one loop.

use super::Event;
use super::in_flight::{Amount, InFlight};
use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, GroupConsumer as _, Membership, Polled, Rebalances, RecordView as _};
use crate::kafka::ClientError;
use crate::room::RoomError;
use crate::shutdown::Shutdown;
use crate::turn::{Loop, Next, PATIENCE};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So long the loop may hold its maximum before fetching is paused. Changes of the assignment wait as long.
const FULL_LASTS: Duration = Duration::from_millis(500);
/// Pause before a full loop is looked at again.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// How much the loop may hold, and for how long it may finish it when partitions go.
pub(super) struct Bounds {
    /// What it holds now.
    pub in_flight: InFlight,
    /// The most it may hold. Topics that yield may fill the half of it.
    pub most: Amount,
    /// Topics that are less urgent than the most urgent ones of the room.
    pub yielding: Vec<&'static str>,
    /// Longest drain.
    pub drain: Duration,
}

/// Takes records in until the stop is asked for; then lets the loop drain and leaves the group.
pub(super) struct Intake<K: Cluster> {
    consumer: K::Consumer,
    drain: Arc<Drain<Membership<K>>>,
    bounds: Bounds,
    /// Since when the loop holds as much as it may.
    full_since: Option<Tick>,
    stop: Shutdown,
}

/// Hands rebalances to the loop and waits for it to drain before partitions go.
struct Drain<M> {
    events: Mutex<Sender<Event<M>>>,
    longest: Duration,
    /// Fetching is paused. Partitions that are assigned are fetched from, whatever was before.
    paused: AtomicBool,
    /// Fetching of the topics that yield is paused.
    crowded: AtomicBool,
}

impl<K: Cluster> Intake<K> {
    /// Joins the group.
    ///
    /// # Errors
    /// When the client refuses its settings.
    pub fn open(
        cluster: &K,
        room: &str,
        topics: &[&str],
        events: Sender<Event<Membership<K>>>,
        bounds: Bounds,
        stop: Shutdown,
    ) -> Result<Self, ClientError> {
        let drain = Arc::new(Drain {
            events: Mutex::new(events),
            longest: bounds.drain,
            paused: AtomicBool::default(),
            crowded: AtomicBool::default(),
        });
        let consumer = cluster.consumer(room, topics, Arc::clone(&drain) as _)?;
        Ok(Self { consumer, drain, bounds, full_since: None, stop })
    }

    /// Whether the loop holds as much as it may (BND-1). For a moment it is not asked for more; a client that is told to pause
    /// throws away what it has fetched. When it lasts, fetching is paused, and polling goes on, so that the group keeps us.
    fn is_full(&mut self) -> bool {
        let paused = self.drain.paused.load(Ordering::Relaxed);
        let (held, most) = (self.bounds.in_flight.now(), self.bounds.most);
        let full = held.fills(if paused { most.half() } else { most });
        if !full {
            self.full_since = None;
        }
        let lasts = full && tick().since(*self.full_since.get_or_insert_with(tick)) >= FULL_LASTS;
        if lasts != paused {
            match self.consumer.pause(lasts) {
                Ok(()) => {
                    self.drain.paused.store(lasts, Ordering::Relaxed);
                    self.drain.crowded.store(lasts, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "cannot pause or resume"),
            }
        }
        full && !lasts
    }

    /// Holds back the topics that yield when they fill the half of the room: after an outage more of them may wait than it holds,
    /// and the urgent ones shall come in beside them.
    fn make_way(&self) {
        let Bounds { in_flight, most, yielding, .. } = &self.bounds;
        if yielding.is_empty() || self.drain.paused.load(Ordering::Relaxed) {
            return;
        }
        let crowded = self.drain.crowded.load(Ordering::Relaxed);
        let most = if crowded { most.half().half() } else { most.half() };
        let crowds = in_flight.now().crowds(most);
        if crowds != crowded {
            match self.consumer.pause_topics(yielding, crowds) {
                Ok(()) => self.drain.crowded.store(crowds, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "cannot pause or resume topics that yield"),
            }
        }
    }
}

impl<K: Cluster> Loop for Intake<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        if self.stop.requested() {
            return Ok(Next::Ended);
        }
        if self.is_full() {
            return Ok(Next::After(FULL_PAUSE));
        }
        self.make_way();
        match self.consumer.poll(patience) {
            Polled::Nothing | Polled::End(_) => return Ok(Next::Within(PATIENCE)),
            Polled::Failed(error) => tracing::warn!(%error, "consumer"),
            Polled::Record(message) => {
                let record = Box::new(message.to_record());
                let yields = self.bounds.yielding.iter().any(|topic| **topic == *record.place.topic);
                self.bounds.in_flight.add(Amount::of(&record, yields));
                if !self.drain.tell(Event::Record(record)) {
                    return Ok(Next::Ended);
                }
            }
        }
        Ok(Next::Within(Duration::ZERO))
    }

    fn leave(&mut self) {
        // Drain while still a member, so that what was done can be committed.
        self.drain.revoking();
        self.consumer.leave();
        self.drain.tell(Event::Stopped);
    }
}

impl<M> Drain<M> {
    fn tell(&self, event: Event<M>) -> bool {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event).is_ok()
    }
}

impl<M: Send + Sync> Rebalances<M> for Drain<M> {
    fn revoking(&self) {
        let (drained, waiting) = channel();
        // Drain first, fence second: the partitions go when the loop has committed what it can, or time is up.
        if self.tell(Event::Revoking(drained))
            && crate::clock::receive(&waiting, self.longest) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("partitions go before all work in flight has ended");
        }
    }

    fn assigned(&self, partitions: Vec<(String, i32)>, membership: Option<M>) {
        self.paused.store(false, Ordering::Relaxed);
        self.crowded.store(false, Ordering::Relaxed);
        self.tell(Event::Assigned(partitions, membership));
    }
}

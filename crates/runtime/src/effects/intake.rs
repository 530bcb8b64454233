//! The consumer of an effect room: turns records and rebalances into events of one loop.

use super::Event;
use super::in_flight::{Amount, InFlight};
use super::turns::CLASSES;
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
    /// The most it may hold. The classes that yield share the half of it evenly.
    pub most: Amount,
    /// Topics of each class, from the most urgent one of the room on.
    pub topics: [Vec<&'static str>; CLASSES],
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
    /// Fetching of the topics of a class, which yields, is paused.
    crowded: [AtomicBool; CLASSES],
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
            crowded: Default::default(),
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
                    self.drain.crowded.iter().for_each(|crowded| crowded.store(lasts, Ordering::Relaxed));
                }
                Err(error) => tracing::warn!(%error, "cannot pause or resume"),
            }
        }
        full && !lasts
    }

    /// Holds back the topics that yield when they fill their part of the room: after an outage more of them may wait than it
    /// holds, and the more urgent ones shall come in beside them.
    fn make_way(&self) {
        if self.drain.paused.load(Ordering::Relaxed) {
            return;
        }
        let held = self.bounds.in_flight.now();
        let yielding = || self.bounds.topics.iter().enumerate().skip(1).filter(|(_, topics)| !topics.is_empty());
        let part = self.bounds.most.half().part(yielding().count());
        for (class, topics) in yielding() {
            let Some(state) = self.drain.crowded.get(class) else { continue };
            let crowded = state.load(Ordering::Relaxed);
            // It comes in again when the half of its part is free, whatever the others have: else the one that waits for the other
            // would go without for as long as that has a backlog.
            let crowds = held.crowds(class, if crowded { part.half() } else { part });
            if crowds != crowded {
                match self.consumer.pause_topics(topics, crowds) {
                    Ok(()) => state.store(crowds, Ordering::Relaxed),
                    Err(error) => tracing::warn!(%error, "cannot pause or resume topics that yield"),
                }
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
            // No partition comes to this member any more; the room starts again with another one.
            Polled::Failed(error) if error.shut_out() => return Err(error.into()),
            Polled::Failed(error) => tracing::warn!(%error, "consumer"),
            Polled::Record(message) => {
                let record = Box::new(message.to_record());
                let is_of = |topics: &Vec<&str>| topics.iter().any(|topic| **topic == *record.place.topic);
                let below = self.bounds.topics.iter().position(is_of).unwrap_or_default();
                self.bounds.in_flight.add(Amount::of(&record, below));
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
        self.crowded.iter().for_each(|crowded| crowded.store(false, Ordering::Relaxed));
        self.tell(Event::Assigned(partitions, membership));
    }
}

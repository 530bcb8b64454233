//! Commits what was settled: outputs, effect records, exceptions, parked events and offsets in one transaction.

use super::Event;
use crate::cluster::{Cluster, Membership, RecordProducer as _};
use crate::kafka::ClientError;
use crate::outgoing::Outgoing;
use crate::producer::{Delivery, TicketOffset};
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// What one transaction holds.
pub(super) struct Commit<M> {
    /// Records, in the order in which their events were settled.
    pub records: Vec<Outgoing>,
    /// Positions: topic, partition, next offset.
    pub offsets: Vec<(Arc<str>, i32, i64)>,
    /// Proof of membership.
    pub group: Arc<M>,
}

/// Commits, one transaction at a time; ends when nobody can ask for a commit any more.
pub(super) struct Settler<K: Cluster> {
    pub producer: K::Producer,
    pub timeout: Duration,
    pub commits: Receiver<Commit<Membership<K>>>,
    pub events: Sender<Event<Membership<K>>>,
}

impl<K: Cluster> Loop for Settler<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let commit = match self.commits.recv_timeout(patience) {
            Ok(commit) => commit,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        };
        let started = crate::clock::tick();
        let outcome = self.transact(&commit);
        let took = crate::clock::tick().since(started);
        let told = self.events.send(Event::Committed(outcome, took));
        Ok(if told.is_ok() { Next::Within(Duration::ZERO) } else { Next::Ended })
    }
}

impl<K: Cluster> Settler<K> {
    fn transact(&self, commit: &Commit<Membership<K>>) -> Result<Vec<TicketOffset>, ClientError> {
        self.producer.begin()?;
        let delivery = Delivery::new();
        let sent = commit.records.iter().try_for_each(|record| self.producer.send(record, &delivery));
        let group = Some(commit.group.as_ref());
        let committed = sent.and_then(|()| self.producer.commit(&delivery, &commit.offsets, group, self.timeout));
        if let Err(error) = committed {
            if !error.fenced() {
                // The loop starts over in any case; an open transaction would only hold back its readers for longer.
                drop(self.producer.abort(self.timeout));
            }
            return Err(error);
        }
        Ok(delivery.take_tickets())
    }
}

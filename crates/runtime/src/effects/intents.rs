//! Writes down what is about to be done outside, before it is done.
//!
//! The effect records go into transactions that prove membership of the group. Somebody who was thrown out of it, and does
//! not know it yet, cannot intend anything any more, so only the owner of a partition acts for it (FX-1). What has come
//! together goes in one transaction. What is written ahead of its turn gathers for a moment: a transaction costs the broker as
//! much as some hundred of its records, and nobody waits for these yet.

use super::Event;
use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, Membership};
use crate::committer::{InTurn, transact};
use crate::kafka::ClientError;
use crate::outgoing::Outgoing;
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use tokio::sync::oneshot;

/// Most documents in one transaction: so many that what comes together while one is written goes in the next one.
const DOCUMENTS_MAX: usize = 4_000;

/// From the end of a transaction to the begin of one that holds nothing but what is written ahead of its turn. Less than a fast
/// call takes, of which several are between the plan and its turn.
const GATHER: Duration = Duration::from_millis(8);

/// While records gather it is looked so often whether one has come that cannot wait. To be woken for each costs more.
const NAP: Duration = Duration::from_micros(900);

/// The effect records of one document.
pub(super) struct Intent<M> {
    /// The records.
    pub records: Vec<Outgoing>,
    /// A position in one of our partitions: topic, partition, next offset.
    pub position: Option<(Arc<str>, i32, i64)>,
    /// Proof of membership.
    pub group: Arc<M>,
    /// Written ahead of its turn.
    pub ahead: bool,
    /// Learns whether they are durable, or why not.
    pub written: oneshot::Sender<Result<(), String>>,
}

/// Writes effect records; ends when nobody can intend anything any more.
pub(super) struct Intents<K: Cluster> {
    pub producers: InTurn<K::Producer>,
    pub timeout: Duration,
    pub asked: Receiver<Intent<Membership<K>>>,
    pub events: Sender<Event<Membership<K>>>,
    /// What gathers, and until when.
    pub gathered: Vec<Intent<Membership<K>>>,
    pub due: Tick,
}

impl<K: Cluster> Loop for Intents<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let patience = if self.gathered.is_empty() { patience } else { Duration::ZERO };
        match self.asked.recv_timeout(patience) {
            Ok(first) => self.gathered.push(first),
            Err(RecvTimeoutError::Timeout) if self.gathered.is_empty() => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        }
        while self.gathered.len() < DOCUMENTS_MAX
            && let Ok(next) = self.asked.try_recv()
        {
            self.gathered.push(next);
        }
        let may_wait = self.gathered.len() < DOCUMENTS_MAX && self.gathered.iter().all(|intent| intent.ahead);
        let left = self.due.since(tick());
        if may_wait && !left.is_zero() {
            return Ok(Next::After(left.min(NAP)));
        }
        let mut together = std::mem::take(&mut self.gathered);
        // The newest proof: after a rebalance an older one would condemn what is ours, and what was asked for under it may be
        // for partitions that are not.
        if let Some(newest) = together.last().map(|intent| Arc::clone(&intent.group)) {
            let older = together.extract_if(.., |intent| !Arc::ptr_eq(&intent.group, &newest));
            for intent in older {
                let _ = intent.written.send(Err("the partitions were assigned anew".to_owned()));
            }
        }
        let outcome = together.last().map_or(Ok(()), |newest| self.transact(&together, newest));
        self.due = tick().after(GATHER);
        let reason = outcome.as_ref().err().map(ToString::to_string);
        for intent in together {
            // A call that nobody waits for was given up with its partitions.
            let _ = intent.written.send(reason.clone().map_or(Ok(()), Err));
        }
        match outcome {
            Err(error) if error.fenced() => {
                let told = self.events.send(Event::Lost(error));
                Ok(if told.is_ok() { Next::After(PATIENCE) } else { Next::Ended })
            }
            _ => Ok(Next::Within(Duration::ZERO)),
        }
    }
}

impl<K: Cluster> Intents<K> {
    fn transact(
        &mut self,
        together: &[Intent<Membership<K>>],
        newest: &Intent<Membership<K>>,
    ) -> Result<(), ClientError> {
        let records = together.iter().flat_map(|intent| &intent.records);
        transact(self.producers.turn(), records, newest.position.as_slice(), &newest.group, self.timeout).map(drop)
    }
}

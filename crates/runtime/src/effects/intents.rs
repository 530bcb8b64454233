//! Writes down what is about to be done outside, before it is done.
//!
//! The effect records go into transactions that prove membership of the group. Somebody who was thrown out of it, and does
//! not know it yet, cannot intend anything any more, so only the owner of a partition acts for it (FX-1). What has come
//! together goes in one transaction.

use super::Event;
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

/// The effect records of one document.
pub(super) struct Intent<M> {
    /// The records.
    pub records: Vec<Outgoing>,
    /// A position in one of our partitions: topic, partition, next offset.
    pub position: Option<(Arc<str>, i32, i64)>,
    /// Proof of membership.
    pub group: Arc<M>,
    /// Learns whether they are durable, or why not.
    pub written: oneshot::Sender<Result<(), String>>,
}

/// Writes effect records; ends when nobody can intend anything any more.
pub(super) struct Intents<K: Cluster> {
    pub producers: InTurn<K::Producer>,
    pub timeout: Duration,
    pub asked: Receiver<Intent<Membership<K>>>,
    pub events: Sender<Event<Membership<K>>>,
}

impl<K: Cluster> Loop for Intents<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let first = match self.asked.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        };
        let mut together = vec![first];
        while together.len() < DOCUMENTS_MAX
            && let Ok(next) = self.asked.try_recv()
        {
            together.push(next);
        }
        // The newest proof: after a rebalance an older one would condemn what is ours, and what was asked for under it may be
        // for partitions that are not.
        if let Some(newest) = together.last().map(|intent| Arc::clone(&intent.group)) {
            let older = together.extract_if(.., |intent| !Arc::ptr_eq(&intent.group, &newest));
            for intent in older {
                let _ = intent.written.send(Err("the partitions were assigned anew".to_owned()));
            }
        }
        let outcome = together.last().map_or(Ok(()), |newest| self.transact(&together, newest));
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

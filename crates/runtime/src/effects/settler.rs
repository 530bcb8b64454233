//! Commits what was settled: outputs, effect records, exceptions, parked events and offsets in one transaction.

use super::Event;
use super::drafts::{Draft, write_all};
use crate::cluster::{Cluster, Membership};
use crate::committer::{Commit, InTurn};
use crate::desk::Desk;
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Commits, one transaction at a time; ends when nobody can ask for a commit any more.
pub(super) struct Settler<K: Cluster> {
    pub producers: InTurn<K::Producer>,
    pub timeout: Duration,
    pub desk: Desk,
    pub commits: Receiver<Commit<Membership<K>, Draft>>,
    pub events: Sender<Event<Membership<K>>>,
}

impl<K: Cluster> Loop for Settler<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let commit = match self.commits.recv_timeout(patience) {
            Ok(commit) => commit,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        };
        let Commit { records, offsets, group } = commit;
        let records = match write_all(records, &self.desk) {
            Ok(records) => records,
            // A record of the contracts that cannot be encoded is our own fault: stop rather than lose it.
            Err(error) => {
                let told = self.events.send(Event::Lost(error.into()));
                return Ok(if told.is_ok() { Next::After(PATIENCE) } else { Next::Ended });
            }
        };
        let started = crate::clock::tick();
        let outcome = Commit { records, offsets, group }.transact(self.producers.turn(), self.timeout);
        let took = crate::clock::tick().since(started);
        let told = self.events.send(Event::Committed(outcome, took));
        Ok(if told.is_ok() { Next::Within(Duration::ZERO) } else { Next::Ended })
    }
}

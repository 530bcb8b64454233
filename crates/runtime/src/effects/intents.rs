//! Writes down what is about to be done outside, before it is done.
//!
//! The effect records go into transactions that prove membership of the group. Somebody who was thrown out of it, and does
//! not know it yet, cannot intend anything any more, so only the owner of a partition acts for it (FX-1). What has come
//! together goes in one transaction. What is written ahead of its turn gathers for a moment: a transaction costs the broker as
//! much as some hundred of its records, and nobody waits for these yet.

use super::Event;
use super::drafts::EffectLine;
use crate::clock::{Tick, tick};
use crate::cluster::{Cluster, Membership};
use crate::committer::{InTurn, transact};
use crate::desk::Desk;
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
    /// What they say.
    pub lines: Vec<EffectLine>,
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
    pub desk: Desk,
    pub asked: Receiver<Intent<Membership<K>>>,
    pub events: Sender<Event<Membership<K>>>,
    pub gathered: Gathered<Intent<Membership<K>>>,
}

/// What gathers, and until when.
pub(super) struct Gathered<T> {
    waiting: Vec<T>,
    due: Tick,
}

impl<T> Gathered<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { waiting: Vec::new(), due: Tick::default() }
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= DOCUMENTS_MAX
    }

    /// Takes all that has gathered, or says how long it may still wait: where there is room for more and `may_wait` is true of all.
    fn take(&mut self, now: Tick, may_wait: impl Fn(&T) -> bool) -> Result<Vec<T>, Duration> {
        let left = self.due.since(now);
        if !left.is_zero() && !self.is_full() && self.waiting.iter().all(may_wait) {
            return Err(left);
        }
        Ok(std::mem::take(&mut self.waiting))
    }
}

impl<K: Cluster> Loop for Intents<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let patience = if self.gathered.waiting.is_empty() { patience } else { Duration::ZERO };
        match self.asked.recv_timeout(patience) {
            Ok(first) => self.gathered.waiting.push(first),
            Err(RecvTimeoutError::Timeout) if self.gathered.waiting.is_empty() => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        }
        while !self.gathered.is_full()
            && let Ok(next) = self.asked.try_recv()
        {
            self.gathered.waiting.push(next);
        }
        let mut together = match self.gathered.take(tick(), |intent| intent.ahead) {
            Ok(together) => together,
            Err(left) => return Ok(Next::After(left.min(NAP))),
        };
        // The newest proof: after a rebalance an older one would condemn what is ours, and what was asked for under it may be
        // for partitions that are not.
        if let Some(newest) = together.last().map(|intent| Arc::clone(&intent.group)) {
            let older = together.extract_if(.., |intent| !Arc::ptr_eq(&intent.group, &newest));
            for intent in older {
                let _ = intent.written.send(Err("the partitions were assigned anew".to_owned()));
            }
        }
        let records = self.write(&mut together);
        let outcome = together.last().map_or(Ok(()), |newest| self.transact(records, newest));
        self.gathered.due = tick().after(GATHER);
        let reason = outcome.as_ref().err().map(ToString::to_string);
        for intent in together {
            // A call that nobody waits for was given up with its partitions.
            let _ = intent.written.send(reason.clone().map_or(Ok(()), Err));
        }
        match outcome {
            Err(error) if error.fenced() => {
                let told = self.events.send(Event::Lost(error.into()));
                Ok(if told.is_ok() { Next::After(PATIENCE) } else { Next::Ended })
            }
            _ => Ok(Next::Within(Duration::ZERO)),
        }
    }
}

impl<K: Cluster> Intents<K> {
    /// The records of all documents. One that cannot be written is taken out and told so: nothing is called for it.
    fn write(&self, together: &mut Vec<Intent<Membership<K>>>) -> Vec<Outgoing> {
        let mut records = Vec::with_capacity(together.len());
        let mut at = 0;
        while let Some(intent) = together.get_mut(at) {
            let before = records.len();
            let mut lines = std::mem::take(&mut intent.lines).into_iter();
            let outcome = lines.try_for_each(|line| line.write(&self.desk).map(|line| records.push(line)));
            match outcome {
                Ok(()) => at += 1,
                Err(error) => {
                    tracing::error!(room = self.desk.room, code = error.code(), "effect records cannot be written");
                    records.truncate(before);
                    let _ = together.remove(at).written.send(Err(error.to_string()));
                }
            }
        }
        records
    }

    fn transact(&mut self, records: Vec<Outgoing>, newest: &Intent<Membership<K>>) -> Result<(), ClientError> {
        let position = newest.position.as_slice();
        transact(self.producers.turn(), records.into_iter(), position, &newest.group, self.timeout).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each is written ahead of its turn; the last transaction ended at the first tick.
    fn gathered(ahead: impl IntoIterator<Item = bool>) -> Gathered<bool> {
        Gathered { waiting: ahead.into_iter().collect(), due: Tick::default().after(GATHER) }
    }

    fn take(gathered: &mut Gathered<bool>, after: Duration) -> Result<usize, Duration> {
        gathered.take(Tick::default().after(after), |ahead| *ahead).map(|taken| taken.len())
    }

    #[test]
    fn what_nobody_waits_for_gathers_until_it_is_due() {
        let mut gathered = gathered([true, true]);
        let early = Duration::from_millis(3);
        assert_eq!(take(&mut gathered, early), Err(GATHER.saturating_sub(early)));
        gathered.waiting.push(true);
        assert_eq!(take(&mut gathered, GATHER), Ok(3));
        assert!(gathered.waiting.is_empty());
    }

    #[test]
    fn one_that_somebody_waits_for_takes_all_with_it_at_once() {
        assert_eq!(take(&mut gathered([true, false, true]), Duration::ZERO), Ok(3));
    }

    #[test]
    fn bnd_1_no_more_gather_than_go_into_one_transaction() {
        let full = std::iter::repeat_n(true, DOCUMENTS_MAX);
        assert_eq!(take(&mut gathered(full.clone()), Duration::ZERO), Ok(DOCUMENTS_MAX));
        assert!(take(&mut gathered(full.skip(1)), Duration::ZERO).is_err());
    }
}

//! Commits what a loop has decided: outputs, exceptions, dead letters, parked events and offsets in one transaction.
//!
//! It works beside the loop, which decides about the next records meanwhile. The next transaction begins only when the last has
//! ended, so their order is that of the loop.

use crate::clock::{receive, tick};
use crate::cluster::{Cluster, Membership, RecordProducer};
use crate::kafka::ClientError;
use crate::outgoing::Outgoing;
use crate::producer::{Delivery, TicketOffset};
use crate::room::RoomError;
use crate::turn::{Loop, Next, PATIENCE};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Topic, partition, next offset to read.
pub(crate) type Position = (Arc<str>, i32, i64);

/// What one transaction holds.
pub(crate) struct Commit<M, R = Outgoing> {
    /// Records, in the order in which their events were decided.
    pub records: Vec<R>,
    /// How far the input was read.
    pub offsets: Vec<Position>,
    /// Proof that the partitions are ours.
    pub group: Arc<M>,
}

/// How a transaction has ended.
pub(crate) struct Ended {
    /// The offsets of the records that had tickets, or why the transaction was given up.
    pub outcome: Result<Vec<TicketOffset>, ClientError>,
    /// From the first record to the commit.
    pub took: Duration,
}

/// Two transactional producers that take turns: after the end of a transaction the broker still writes markers, and a producer
/// that goes on at once is sent away for some 20 ms (`CONCURRENT_TRANSACTIONS`).
pub(crate) struct InTurn<P>([P; 2]);

/// Commits, one transaction at a time; ends when nobody can ask for a commit any more.
pub(crate) struct Committer<K: Cluster> {
    producers: InTurn<K::Producer>,
    commits: Receiver<Commit<Membership<K>>>,
    ended: Sender<Ended>,
    flight: Arc<Flight>,
    timeout: Duration,
}

/// The side of the loop that asks for commits.
pub(crate) struct Commits<M> {
    commits: Sender<Commit<M>>,
    ended: Receiver<Ended>,
    flight: Arc<Flight>,
}

/// Whether a transaction is under way, for whoever must wait for its end.
#[derive(Default)]
pub(crate) struct Flight(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    busy: bool,
    /// Dropped with the end of the transaction, which wakes who waits.
    waiting: Vec<Sender<()>>,
}

impl<P: RecordProducer> InTurn<P> {
    /// Takes over the transactional ids: `id` and another one behind it.
    ///
    /// # Errors
    /// When the coordinator does not answer in time.
    pub fn open<K: Cluster<Producer = P>>(cluster: &K, id: &str, timeout: Duration) -> Result<Self, ClientError> {
        let producer = |id: &str| {
            let producer = cluster.producer(Some(id))?;
            producer.init_transactions(timeout).map(|()| producer)
        };
        Ok(Self([producer(id)?, producer(&format!("{id}.turn"))?]))
    }

    /// The one whose turn it is.
    pub fn turn(&mut self) -> &P {
        self.0.reverse();
        let [producer, _] = &self.0;
        producer
    }
}

impl<K: Cluster> Committer<K> {
    /// Takes over the transactional ids, see [`InTurn::open`].
    ///
    /// # Errors
    /// When the coordinator does not answer in time.
    pub fn open(cluster: &K, id: &str, timeout: Duration) -> Result<(Self, Commits<Membership<K>>), ClientError> {
        let producers = InTurn::open(cluster, id, timeout)?;
        let flight = Arc::new(Flight::default());
        let (asks, commits) = channel();
        let (ended, ends) = channel();
        let asking = Commits { commits: asks, ended: ends, flight: Arc::clone(&flight) };
        Ok((Self { producers, commits, ended, flight, timeout }, asking))
    }
}

impl<M> Commit<M> {
    /// Commits it, see [`transact`]. Each record is freed as soon as the client has its copy.
    ///
    /// # Errors
    /// As [`transact`].
    pub fn transact<P: RecordProducer<Membership = M>>(
        self,
        producer: &P,
        timeout: Duration,
    ) -> Result<Vec<TicketOffset>, ClientError> {
        transact(producer, self.records.into_iter(), &self.offsets, &self.group, timeout)
    }
}

/// One transaction: everything or nothing. Returns the offsets of the records that had tickets.
///
/// # Errors
/// When it was aborted; fenced when the producer is of no use any more.
pub(crate) fn transact<P: RecordProducer>(
    producer: &P,
    mut records: impl Iterator<Item = Outgoing>,
    offsets: &[Position],
    group: &P::Membership,
    timeout: Duration,
) -> Result<Vec<TicketOffset>, ClientError> {
    producer.begin()?;
    let delivery = Delivery::new();
    let sent = records.try_for_each(|record| producer.send(&record, &delivery));
    match sent.and_then(|()| producer.commit(&delivery, offsets, Some(group), timeout)) {
        Ok(()) => Ok(delivery.take_tickets()),
        Err(error) if error.fenced() => Err(error),
        Err(error) => {
            // A producer that cannot even abort is of no use any more.
            producer.abort(timeout).map_err(|abort| ClientError::Fenced(format!("{error}; {abort}")))?;
            Err(error)
        }
    }
}

impl<K: Cluster> Loop for Committer<K> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let commit = match self.commits.recv_timeout(patience) {
            Ok(commit) => commit,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Within(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::Ended),
        };
        let started = tick();
        let outcome = commit.transact(self.producers.turn(), self.timeout);
        // Before it is told: whoever is told may ask for the next one at once.
        self.flight.land();
        let told = self.ended.send(Ended { outcome, took: tick().since(started) });
        Ok(if told.is_ok() { Next::Within(Duration::ZERO) } else { Next::Ended })
    }
}

impl<M> Commits<M> {
    /// Asks for a commit. Only one may be under way.
    ///
    /// # Errors
    /// When the committer has stopped.
    pub fn ask(&self, commit: Commit<M>) -> Result<(), RoomError> {
        self.flight.take_off();
        self.commits.send(commit).map_err(|_| stopped())
    }

    /// Waits up to `longest` for the end of the transaction under way.
    ///
    /// # Errors
    /// When the committer has stopped.
    pub fn ended(&self, longest: Duration) -> Result<Option<Ended>, RoomError> {
        match self.ended.recv_timeout(longest) {
            Ok(ended) => Ok(Some(ended)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(stopped()),
        }
    }

    /// What tells whether a transaction is under way.
    pub fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }
}

impl Flight {
    /// Waits up to `longest` until no transaction is under way; false when time is up.
    pub fn landed(&self, longest: Duration) -> bool {
        let landing = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.busy {
                return true;
            }
            let (tell, landing) = channel();
            waiting.waiting.push(tell);
            landing
        };
        receive(&landing, longest) != Err(RecvTimeoutError::Timeout)
    }

    fn take_off(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).busy = true;
    }

    fn land(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.busy = false;
        waiting.waiting.clear();
    }
}

fn stopped() -> RoomError {
    RoomError::Worker("the committer has stopped".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_wait_for_the_transaction_under_way_and_no_longer_than_the_bound() {
        let flight = Arc::new(Flight::default());
        assert!(flight.landed(Duration::ZERO), "nothing is under way");
        flight.take_off();
        assert!(!flight.landed(Duration::from_millis(10)), "it has not ended");
        let other = Arc::clone(&flight);
        let waiting = std::thread::spawn(move || other.landed(Duration::from_secs(60)));
        while flight.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.len() < 2 {
            std::thread::yield_now();
        }
        flight.land();
        assert!(waiting.join().is_ok_and(|landed| landed));
    }
}

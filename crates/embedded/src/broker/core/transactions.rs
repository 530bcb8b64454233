//! The transaction coordinator: who may write under which transactional id, and what is open.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};

use super::entry::PartitionSet;

/// An epoch from which no further one is given: the producer gets another id.
const EPOCH_LAST: i16 = i16::MAX - 1;

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Nothing was begun under this epoch.
    #[default]
    Empty,
    /// Something was added.
    Ongoing,
    /// It will commit; not every marker may be written.
    PrepareCommit,
    /// It will abort; not every marker may be written.
    PrepareAbort,
    /// It has committed.
    CompleteCommit,
    /// It has aborted.
    CompleteAbort,
}

/// What is known of a transactional id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub producer_id: i64,
    pub epoch: i16,
    /// The epoch before, when its owner asked for the next one itself: asking again gives the same answer.
    pub last_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: PartitionSet,
    pub groups: BTreeSet<String>,
    pub started_ms: i64,
    pub updated_ms: i64,
}

impl State {
    /// Every one.
    pub(super) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// What Kafka calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether markers are still to be written, and which: true to commit.
    pub(super) fn preparing(self) -> Option<bool> {
        match self {
            Self::PrepareCommit => Some(true),
            Self::PrepareAbort => Some(false),
            _ => None,
        }
    }
}

impl Transaction {
    /// When an open transaction has taken too long.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        let open = self.state == State::Ongoing;
        open.then(|| self.started_ms.saturating_add(i64::from(self.timeout_ms)))
    }

    /// Whether another epoch can be given.
    pub(super) fn is_exhausted(&self) -> bool {
        self.epoch >= EPOCH_LAST
    }

    /// Whether this producer may act; the error code if not.
    pub(super) fn admit(&self, producer_id: i64, epoch: i16) -> Result<(), ResponseError> {
        if self.producer_id != producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if self.epoch != epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }

    /// Whether this producer may add to its transaction.
    pub(super) fn admit_more(&self, producer_id: i64, epoch: i16) -> Result<(), ResponseError> {
        self.admit(producer_id, epoch)?;
        if self.state.preparing().is_some() { Err(ResponseError::ConcurrentTransactions) } else { Ok(()) }
    }

    /// Whether this producer may end its transaction so; false when it has ended so already.
    pub(super) fn admit_end(&self, producer_id: i64, epoch: i16, commit: bool) -> Result<bool, ResponseError> {
        self.admit(producer_id, epoch)?;
        match (self.state, commit) {
            (State::Ongoing, _) => Ok(true),
            (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(false),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ResponseError::ConcurrentTransactions),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Adds to the transaction; begins it where nothing is open. Whether anything is new.
    pub(super) fn add(&mut self, partitions: &PartitionSet, group: Option<&str>, now_ms: i64) -> bool {
        let mut new = self.state != State::Ongoing;
        if new {
            self.state = State::Ongoing;
            self.started_ms = now_ms;
            self.partitions.clear();
            self.groups.clear();
        }
        for (topic, indexes) in partitions {
            let known = self.partitions.entry(topic.clone()).or_default();
            let before = known.len();
            known.extend(indexes);
            new |= known.len() > before;
        }
        if let Some(group) = group {
            new |= self.groups.insert(group.to_owned());
        }
        self.updated_ms = now_ms;
        new
    }

    pub(super) fn has(&self, topic: &str, partition: i32) -> bool {
        self.state == State::Ongoing && self.partitions.get(topic).is_some_and(|known| known.contains(&partition))
    }

    /// The transaction after it was decided how it ends; `fence` shuts out whoever has the epoch.
    pub(super) fn prepared(&self, commit: bool, fence: bool, now_ms: i64) -> Self {
        let state = if commit { State::PrepareCommit } else { State::PrepareAbort };
        let (epoch, last_epoch) =
            if fence { (self.epoch.saturating_add(1), -1) } else { (self.epoch, self.last_epoch) };
        Self { state, epoch, last_epoch, updated_ms: now_ms, ..self.clone() }
    }

    /// The transaction after all its markers are written.
    pub(super) fn completed(&self, now_ms: i64) -> Self {
        let state = if self.state == State::PrepareCommit { State::CompleteCommit } else { State::CompleteAbort };
        Self { state, partitions: BTreeMap::new(), groups: BTreeSet::new(), updated_ms: now_ms, ..self.clone() }
    }
}

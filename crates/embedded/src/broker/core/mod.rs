//! The state machine of the broker: requests in, answers out, time and randomness from outside.

mod configs;
mod describe;
mod entry;
mod fetch;
mod groups;
mod maintenance;
mod metadata;
mod offsets;
mod open;
mod options;
mod produce;
mod registry;
mod settings;
mod topics;
mod transactions;
mod txn_api;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::{RequestKind, ResponseKind};

use self::entry::{Counters, Entry, TopicEntry};
use self::fetch::WaitingFetch;
pub use self::options::CoreOptions;
use self::registry::Registry;
use self::transactions::Transaction;
use super::groups::Groups;
use super::storage::{Journal, Storage, StorageError};
use super::wire::{ConnectionId, Request, RequestId, Response};

/// Epoch of the leader of every partition: there is one broker, and it never loses an election.
const LEADER_EPOCH: i32 = 0;

/// The broker, but for sockets, clock and threads.
#[derive(Debug)]
pub struct Core {
    options: CoreOptions,
    storage: Box<dyn Storage>,
    journal: Journal,
    cluster_id: String,
    counters: Counters,
    broker_configs: BTreeMap<String, String>,
    registry: Registry,
    transactions: BTreeMap<String, Transaction>,
    groups: Groups,
    waiting: BTreeMap<RequestId, WaitingFetch>,
    /// Fetches that something has happened to since they were last looked at.
    woken: BTreeSet<RequestId>,
    responses: Vec<Response>,
    /// Something is in memory that the journal refused: it is written anew before anything else is written to it.
    is_ahead: bool,
    /// When what the storage refused is tried again.
    retry_ms: Option<i64>,
    /// When retention and compaction are looked at next.
    maintenance_ms: i64,
}

impl Core {
    /// Takes a request. The answer comes out of [`Core::take_responses`], now or later.
    pub fn handle(&mut self, request: Request, now_ms: i64) {
        let (id, version) = (request.id, request.api_version);
        let answer = match request.body {
            RequestKind::Produce(body) => self.produce(version, body, now_ms),
            RequestKind::Fetch(body) => {
                self.fetch(id, version, body, now_ms);
                self.settle(now_ms);
                return;
            }
            RequestKind::ListOffsets(body) => Some(self.list_offsets(&body)),
            RequestKind::OffsetForLeaderEpoch(body) => Some(self.offset_for_leader_epoch(&body)),
            RequestKind::Metadata(body) => Some(self.metadata(version, body, now_ms)),
            RequestKind::DescribeCluster(_) => Some(self.describe_cluster()),
            RequestKind::CreateTopics(body) => Some(self.create_topics(body)),
            RequestKind::DeleteTopics(body) => Some(self.delete_topics(version, body)),
            RequestKind::CreatePartitions(body) => Some(self.create_partitions(body)),
            RequestKind::DeleteRecords(body) => Some(self.delete_records(body)),
            RequestKind::DescribeConfigs(body) => Some(self.describe_configs(&body)),
            RequestKind::IncrementalAlterConfigs(body) => Some(self.incremental_alter_configs(&body)),
            RequestKind::AlterConfigs(body) => Some(self.alter_configs(&body)),
            RequestKind::DescribeTopicPartitions(body) => Some(self.describe_topic_partitions(body)),
            RequestKind::DescribeProducers(body) => Some(self.describe_producers(&body)),
            RequestKind::DescribeTransactions(body) => Some(self.describe_transactions(body, now_ms)),
            RequestKind::ListTransactions(body) => Some(self.list_transactions(&body, now_ms)),
            RequestKind::DescribeLogDirs(body) => Some(self.describe_log_dirs(&body)),
            RequestKind::FindCoordinator(body) => Some(self.find_coordinator(version, body)),
            RequestKind::InitProducerId(body) => Some(self.init_producer_id(version, &body, now_ms)),
            RequestKind::AddPartitionsToTxn(body) => Some(self.add_partitions_to_txn(version, body, now_ms)),
            RequestKind::AddOffsetsToTxn(body) => Some(self.add_offsets_to_txn(version, &body, now_ms)),
            RequestKind::EndTxn(body) => Some(self.end_txn(version, &body, now_ms)),
            _ => {
                self.handle_group(&request, now_ms);
                self.settle(now_ms);
                return;
            }
        };
        self.respond(id, answer);
        self.settle(now_ms);
    }

    /// Lets time pass: fetches that waited long enough are answered, transactions that took too long are aborted.
    pub fn tick(&mut self, now_ms: i64) {
        let late = self.waiting.iter().filter(|(_, fetch)| fetch.deadline_ms <= now_ms).map(|(id, _)| *id);
        self.woken.extend(late.collect::<Vec<_>>());
        self.end_late_transactions(now_ms);
        self.maintain(now_ms);
        let effects = self.groups.tick(now_ms);
        self.carry_out(effects);
        self.settle(now_ms);
    }

    /// When [`Core::tick`] has something to do, milliseconds since 1970.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let fetches = self.waiting.values().map(|fetch| fetch.deadline_ms).min();
        let transactions = self.transactions.values().filter_map(Transaction::deadline_ms).min();
        [fetches, transactions, self.groups.next_deadline_ms(), self.retry_ms, Some(self.maintenance_ms)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Forgets what a connection that is gone has been waiting for.
    pub fn disconnected(&mut self, connection: ConnectionId) {
        let of_connection = RequestId { connection, number: 0 }..=RequestId { connection, number: u64::MAX };
        let gone: Vec<RequestId> = self.waiting.range(of_connection).map(|(id, _)| *id).collect();
        for id in gone {
            self.stop_waiting(id);
        }
    }

    /// The answers since the last call.
    #[must_use]
    pub fn take_responses(&mut self) -> Vec<Response> {
        std::mem::take(&mut self.responses)
    }

    fn respond(&mut self, id: RequestId, body: Option<ResponseKind>) {
        self.responses.push(Response { id, body });
    }

    /// What is left to do after anything happened.
    fn settle(&mut self, now_ms: i64) {
        self.answer_woken(now_ms);
        if self.journal.is_overgrown()
            && let Err(error) = self.rewrite()
        {
            tracing::warn!(%error, "journal not written anew");
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<(), StorageError> {
        let caught_up = if self.is_ahead { self.rewrite() } else { Ok(()) };
        let written = caught_up.and_then(|()| self.journal.append(&mut *self.storage, entry));
        if let Err(error) = &written {
            tracing::error!(%error, "not kept");
        }
        written
    }

    fn rewrite(&mut self) -> Result<(), StorageError> {
        let entries = self.snapshot();
        self.journal.rewrite(&mut *self.storage, &entries)?;
        self.is_ahead = false;
        Ok(())
    }

    /// Everything the journal has to say.
    fn snapshot(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::Cluster(self.cluster_id.clone()),
            Entry::Counters(self.counters),
            Entry::BrokerConfigs(self.broker_configs.clone()),
        ];
        for (name, topic) in self.registry.iter() {
            entries.push(Entry::Topic(self.topic_entry(name, topic)));
            let starts = (0..).zip(&topic.partitions).filter(|(_, partition)| partition.log.start() > 0);
            entries.extend(starts.map(|(index, partition)| Entry::LogStart(topic.id, index, partition.log.start())));
        }
        let transactions = self.transactions.iter();
        entries.extend(transactions.map(|(id, transaction)| Entry::Transaction(id.clone(), transaction.clone())));
        entries.push(Entry::Offsets(self.groups.snapshot()));
        entries
    }

    fn topic_entry(&self, name: &str, topic: &registry::Topic) -> TopicEntry {
        TopicEntry {
            name: name.to_owned(),
            id: topic.id,
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            configs: topic.configs.clone(),
        }
    }
}

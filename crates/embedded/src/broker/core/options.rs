//! Bounds and names of the broker.

use super::super::groups::GroupOptions;

/// Bounds and names of the broker.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// Id of the one broker.
    pub node_id: i32,
    /// Host that clients are told to connect to.
    pub host: String,
    /// Port that clients are told to connect to.
    pub port: u16,
    /// Topic ids, the cluster id and member ids follow from it.
    pub seed: u64,
    /// Whether asking for the metadata of a topic makes it.
    pub auto_create: bool,
    /// Partitions of a topic that does not say how many.
    pub default_partitions: i32,
    /// Most partitions of one topic.
    pub partitions_max: i32,
    /// Most topics.
    pub topics_max: usize,
    /// Largest batch of a topic that does not say otherwise, bytes.
    pub batch_bytes_max: i32,
    /// Most bytes of one fetch, whatever the client asks for; a single batch may be larger.
    pub fetch_bytes_max: i32,
    /// Longest wait of one fetch, milliseconds.
    pub fetch_wait_max_ms: i32,
    /// Most fetches that wait for data; one more is answered at once with what there is.
    pub waiting_fetches_max: usize,
    /// Size of a segment of a topic that does not say otherwise, bytes. The last segment is read at the start, so this
    /// bounds how long that takes.
    pub segment_bytes: i32,
    /// How long records are kept in a topic that does not say otherwise, milliseconds.
    pub retention_ms: i64,
    /// How often retention and compaction are looked at, milliseconds.
    pub retention_check_interval_ms: i64,
    /// Most keys that one pass of compaction looks at, 16 bytes and an offset each.
    pub compaction_keys_max: usize,
    /// Longest time-out of a transaction, milliseconds.
    pub transaction_timeout_max_ms: i32,
    /// Most transactional ids.
    pub transactional_ids_max: usize,
    /// When a transactional id that is not used is forgotten, milliseconds.
    pub transactional_id_expiry_ms: i64,
    /// When a partition forgets a producer that writes no more, milliseconds.
    pub producer_id_expiry_ms: i64,
    /// Most producers that a partition remembers; the one silent for longest is forgotten for another.
    pub producers_max: usize,
    /// Bounds of the group coordinator.
    pub groups: GroupOptions,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self {
            node_id: 1,
            host: "127.0.0.1".to_owned(),
            port: 9092,
            seed: 1,
            auto_create: false,
            default_partitions: 1,
            partitions_max: 1_000,
            topics_max: 2_000,
            batch_bytes_max: 1_048_588,
            fetch_bytes_max: 55 * 1024 * 1024,
            fetch_wait_max_ms: 60_000,
            waiting_fetches_max: 4_096,
            segment_bytes: 64 * 1024 * 1024,
            retention_ms: 7 * 24 * 60 * 60 * 1_000,
            retention_check_interval_ms: 5_000,
            compaction_keys_max: 500_000,
            transaction_timeout_max_ms: 15 * 60 * 1_000,
            transactional_ids_max: 10_000,
            transactional_id_expiry_ms: 7 * 24 * 60 * 60 * 1_000,
            producer_id_expiry_ms: 24 * 60 * 60 * 1_000,
            producers_max: 10_000,
            groups: GroupOptions::default(),
        }
    }
}

//! The two records of the lanes benchmark, and the topics of one run.

use super::super::contracts::event;
use schemas::catalogue::{Compatibility, Criticality, OnReject, Phi, Storage};
use schemas::codec::{CodecError, WriterSchema};
use schemas::{Event, EventMeta, TopicInfo};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Partitions of every topic of the benchmark.
pub const PARTITIONS: u16 = 8;

const ASKED: &str = concat!(
    r#"{"type":"record","name":"Asked","namespace":"org.wardline.bench","fields":["#,
    r#"{"name":"key","type":"int"},{"name":"sequence","type":"long"},{"name":"number","type":"long"},"#,
    r#"{"name":"created","type":"long"},{"name":"bad","type":"boolean"},{"name":"item","type":"string"},"#,
    r#"{"name":"quantity","type":"int"},{"name":"note","type":"string"}]}"#
);
const DONE: &str = concat!(
    r#"{"type":"record","name":"Done","namespace":"org.wardline.bench","fields":["#,
    r#"{"name":"key","type":"int"},{"name":"sequence","type":"long"},{"name":"number","type":"long"},"#,
    r#"{"name":"created","type":"long"},{"name":"document","type":"string"},{"name":"item","type":"string"},"#,
    r#"{"name":"quantity","type":"int"}]}"#
);

/// Something to do outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub key: i32,
    /// Place among the events of its key, from 0.
    pub sequence: i64,
    /// Place among all events, from 0.
    pub number: i64,
    /// When it was made, microseconds since 1970.
    pub created: i64,
    /// The outside refuses it.
    pub bad: bool,
    pub item: String,
    pub quantity: i32,
    pub note: String,
}

/// It was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub key: i32,
    pub sequence: i64,
    pub number: i64,
    pub created: i64,
    pub document: String,
    pub item: String,
    pub quantity: i32,
}

/// The topics of one run.
pub struct RunTopics {
    /// What is to be done.
    pub asked: TopicInfo,
    /// What was done.
    pub done: TopicInfo,
    /// Where the client alone writes what stands for effect records.
    pub effects: TopicInfo,
    /// Where the client alone writes what stands for outputs.
    pub outputs: TopicInfo,
}

static TOPICS: OnceLock<RunTopics> = OnceLock::new();

/// Names the topics of this process after a run. The first call decides, because a record type has one topic.
pub fn set_run(run: i64) {
    TOPICS.get_or_init(|| RunTopics::of(run));
}

/// The topics of this process.
pub fn run_topics() -> &'static RunTopics {
    TOPICS.get_or_init(|| RunTopics::of(0))
}

impl RunTopics {
    fn of(run: i64) -> Self {
        let topic = |what: &str, schema| info(format!("bench.lanes-{what}-{run}.v1"), schema);
        Self {
            asked: topic("in", ASKED),
            done: topic("out", DONE),
            effects: topic("ceiling-effects", ""),
            outputs: topic("ceiling-outputs", ""),
        }
    }
}

fn info(name: String, schema: &'static str) -> TopicInfo {
    // Once per process and topic: a record type names its topic for as long as the process lives.
    let name: &'static str = Box::leak(name.into_boxed_str());
    TopicInfo {
        name,
        subject: name,
        data_schema: name,
        event_type: name,
        description: "benchmark",
        owner: "benchmark",
        schema_file: "",
        schema,
        key: &[],
        partitions: PARTITIONS,
        compacted: false,
        storage: Storage::Forever,
        class: Criticality::Operational,
        phi: Phi::None,
        compatibility: Some(Compatibility::BackwardTransitive),
        producers: &[],
        sources: &[],
        consumers: &[],
        latency_p99_ms: 1_000,
        on_reject: OnReject::Park,
    }
}

/// Text of a key.
pub fn key_text(key: i32) -> String {
    format!("encounter-{key:06}")
}

event!(Asked, &run_topics().asked, |record| key_text(record.key));
event!(Done, &run_topics().done, |record| key_text(record.key));

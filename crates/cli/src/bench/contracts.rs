//! The three records of the enrich benchmark, as the harness of the rivals defines them.

use schemas::catalogue::{Compatibility, Criticality, OnReject, Phi, Storage};
use schemas::codec::{CodecError, WriterSchema};
use schemas::{Event, EventMeta, TopicInfo};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Schema id of [`Consumed`].
pub const CONSUMED_ID: u32 = 1;
/// Schema id of [`Item`].
pub const ITEM_ID: u32 = 2;
/// Schema id of [`Enriched`].
pub const ENRICHED_ID: u32 = 3;

/// Fields that the input and the output share.
macro_rules! consumed_fields {
    () => {
        concat!(
            r#"{"name":"event_id","type":"string"},{"name":"facility","type":"string"},"#,
            r#"{"name":"department","type":"string"},{"name":"item_id","type":"string"},{"name":"quantity","type":"int"},"#,
            r#"{"name":"uom","type":"string"},{"name":"encounter_id","type":["null","string"],"default":null},"#,
            r#"{"name":"occurred_at","type":"long"},{"name":"udi","type":"string"},{"name":"lot","type":"string"},"#,
            r#"{"name":"expiry","type":"string"},{"name":"serial","type":["null","string"],"default":null},"#,
            r#"{"name":"performer","type":"string"},{"name":"procedure_code","type":"string"},"#,
            r#"{"name":"location","type":"string"},{"name":"note","type":"string"}"#
        )
    };
}
const CONSUMED: &str = concat!(
    r#"{"type":"record","name":"SupplyConsumed","namespace":"hospital.supply","fields":["#,
    consumed_fields!(),
    "]}"
);
const ENRICHED: &str = concat!(
    r#"{"type":"record","name":"SupplyConsumedEnriched","namespace":"hospital.supply","fields":["#,
    consumed_fields!(),
    r#",{"name":"gtin","type":"string"},{"name":"description","type":"string"},{"name":"supplier_id","type":"string"},"#,
    r#"{"name":"extended_cost_micros","type":"long"}]}"#
);
const ITEM: &str = concat!(
    r#"{"type":"record","name":"ItemMaster","namespace":"hospital.supply","fields":["#,
    r#"{"name":"item_id","type":"string"},{"name":"gtin","type":"string"},{"name":"description","type":"string"},"#,
    r#"{"name":"supplier_id","type":"string"},{"name":"unit_cost_micros","type":"long"},{"name":"active","type":"boolean"}]}"#
);

/// Names of the topics of one run.
#[derive(Clone, Debug)]
pub struct Names {
    /// Input.
    pub consumed: String,
    /// Master data.
    pub items: String,
    /// Output.
    pub enriched: String,
    /// Whether later events of a key wait behind one that does.
    pub on_reject: OnReject,
    /// Partitions of each.
    pub partitions: u16,
    /// Keys of the events, in each of eight facilities.
    pub keys_per_facility: u64,
}

/// An article was used, as the sender said it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Consumed {
    pub event_id: String,
    pub facility: String,
    pub department: String,
    pub item_id: String,
    pub quantity: i32,
    pub uom: String,
    pub encounter_id: Option<String>,
    pub occurred_at: i64,
    pub udi: String,
    pub lot: String,
    pub expiry: String,
    pub serial: Option<String>,
    pub performer: String,
    pub procedure_code: String,
    pub location: String,
    pub note: String,
}

/// Master data of an article.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub item_id: String,
    pub gtin: String,
    pub description: String,
    pub supplier_id: String,
    pub unit_cost_micros: i64,
    pub active: bool,
}

/// A use with what the master data says about the article.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Enriched {
    pub event_id: String,
    pub facility: String,
    pub department: String,
    pub item_id: String,
    pub quantity: i32,
    pub uom: String,
    pub encounter_id: Option<String>,
    pub occurred_at: i64,
    pub udi: String,
    pub lot: String,
    pub expiry: String,
    pub serial: Option<String>,
    pub performer: String,
    pub procedure_code: String,
    pub location: String,
    pub note: String,
    pub gtin: String,
    pub description: String,
    pub supplier_id: String,
    pub extended_cost_micros: i64,
}

/// The topics of this process. The first call decides, because a record type has one topic.
pub fn set_topics(names: Names) {
    TOPICS.get_or_init(|| Topics::new(names));
}

struct Topics {
    consumed: TopicInfo,
    items: TopicInfo,
    enriched: TopicInfo,
    keys_per_facility: u64,
}

static TOPICS: OnceLock<Topics> = OnceLock::new();

fn topics() -> &'static Topics {
    TOPICS.get_or_init(|| Topics::new(Names::default()))
}

impl Default for Names {
    fn default() -> Self {
        Self {
            consumed: "supply.consumed.v1".to_owned(),
            items: "item.master.v1".to_owned(),
            enriched: "supply.enriched.v1".to_owned(),
            on_reject: OnReject::Continue,
            partitions: 6,
            keys_per_facility: 64,
        }
    }
}

impl Topics {
    fn new(names: Names) -> Self {
        let Names { on_reject, partitions, keys_per_facility, .. } = names;
        Self {
            consumed: TopicInfo { on_reject, partitions, ..info(names.consumed, CONSUMED, false) },
            items: info(names.items, ITEM, true),
            enriched: TopicInfo { partitions, ..info(names.enriched, ENRICHED, false) },
            keys_per_facility: keys_per_facility.max(1),
        }
    }
}

/// What a topic of the benchmarks is.
pub fn info(name: String, schema: &'static str, compacted: bool) -> TopicInfo {
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
        partitions: 6,
        compacted,
        storage: if compacted { Storage::Compacted } else { Storage::Forever },
        class: Criticality::Operational,
        phi: Phi::None,
        compatibility: Some(Compatibility::BackwardTransitive),
        producers: &[],
        sources: &[],
        consumers: &[],
        latency_p99_ms: 1_000,
        on_reject: OnReject::Continue,
    }
}

impl Consumed {
    /// The key of event number `number`.
    pub fn key_of(facility: &str, number: u64) -> String {
        [facility, &(number % topics().keys_per_facility).to_string()].concat()
    }
}

/// Implements [`Event`] for a record of a benchmark: its topic, and its key.
macro_rules! event {
    ($record:ty, $topic:expr, $key:expr) => {
        impl Event for $record {
            fn contract() -> Result<&'static WriterSchema, CodecError> {
                static CONTRACT: OnceLock<Result<WriterSchema, CodecError>> = OnceLock::new();
                let compiled = CONTRACT.get_or_init(|| WriterSchema::parse(Self::topic().schema));
                compiled.as_ref().map_err(Clone::clone)
            }

            fn topic() -> &'static TopicInfo {
                $topic
            }

            fn key(&self) -> String {
                let key: fn(&Self) -> String = $key;
                key(self)
            }

            fn meta(&self) -> Option<&EventMeta> {
                None
            }

            fn kind(&self) -> Option<&'static str> {
                None
            }
        }
    };
}

pub(super) use event;

event!(Consumed, &topics().consumed, |record| key(&record.facility, &record.event_id));
event!(Item, &topics().items, |record| record.item_id.clone());
event!(Enriched, &topics().enriched, |record| key(&record.facility, &record.event_id));

/// The output has the key of the input, which the number in the event id tells.
fn key(facility: &str, event_id: &str) -> String {
    let number = event_id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default();
    Consumed::key_of(facility, number)
}

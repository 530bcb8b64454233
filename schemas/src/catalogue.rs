//! The registry of topics: a strict model of `topics.yaml`.
//!
//! [`parse`] reads the text and checks it against the contracts. Every problem has a line, a column and a code, so that the
//! gate of a pull request can point at it.

mod check;
mod facts;
mod levels;

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

pub use facts::{FieldFacts, SchemaFacts};
pub use levels::{LevelSpec, MeasuredFrom};

/// Syntax: not YAML, an unknown field, a missing field or a value of the wrong kind.
pub const CODE_SYNTAX: &str = "WL-7021";
/// A topic name that breaks the pattern `<domain>.<entity>[-<fact>].v<major>`.
pub const CODE_NAME: &str = "WL-7022";
/// Topics that are not sorted by name, or a name that stands twice.
pub const CODE_ORDER: &str = "WL-7023";
/// A schema that does not exist or does not fit the topic.
pub const CODE_SCHEMA: &str = "WL-7024";
/// A key that is not a required text field of the schema, or that identifies a patient directly.
pub const CODE_KEY: &str = "WL-7025";
/// Partitions, retention or compaction that cannot work.
pub const CODE_STORAGE: &str = "WL-7026";
/// A PHI class lower than that of a field.
pub const CODE_PHI: &str = "WL-7027";
/// An owner, producer, consumer or purpose that is missing.
pub const CODE_PEOPLE: &str = "WL-7028";
/// A service level that names what is not there, or promises what nobody can measure.
pub const CODE_SERVICE_LEVEL: &str = "WL-7190";

/// One thing that is wrong in `topics.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("topics.yaml:{line}:{column}: {reason} ({code})")]
pub struct Problem {
    /// Line, from 1; 0 when it is about the whole file.
    pub line: u64,
    /// Column, from 1; 0 when it is about the whole file.
    pub column: u64,
    /// What is wrong and what would be right, one sentence.
    pub reason: String,
    /// Stable code; `docs/errors` has a page for each.
    pub code: &'static str,
}

/// All topics, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Catalogue {
    /// The topics.
    pub topics: Vec<TopicSpec>,
    /// What the hospital is promised about the way from one topic to another, sorted by name.
    pub service_levels: Vec<LevelSpec>,
}

impl Catalogue {
    /// The topic with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TopicSpec> {
        self.topics.iter().find(|topic| topic.name == name)
    }
}

/// One topic as `topics.yaml` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicSpec {
    /// `<domain>.<entity>[-<fact>].v<major>`.
    pub name: String,
    /// What it carries, one sentence or two.
    pub description: String,
    /// Team that answers for it.
    pub owner: String,
    /// File under `schemas/avro`; `None` for raw bytes.
    pub schema: Option<String>,
    /// Field paths that make the key; empty for raw bytes.
    pub key: Vec<String>,
    /// Number of partitions.
    pub partitions: u16,
    /// How long records stay.
    pub storage: Storage,
    /// How urgent it is.
    pub criticality: Criticality,
    /// Highest class of patient data in it.
    pub phi: Phi,
    /// Rule for new schema versions; `None` for raw bytes.
    pub compatibility: Option<Compatibility>,
    /// Rooms that write it.
    pub producers: Vec<String>,
    /// Rooms that read it, and what for.
    pub consumers: Vec<Consumer>,
    /// What it promises.
    pub sla: Sla,
    /// What a rejected record means for later records of its key.
    pub on_reject: OnReject,
    /// Line of the block in `topics.yaml`, from 1.
    #[serde(skip)]
    pub line: u64,
}

/// How long records stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// The newest record of each key stays (`cleanup.policy=compact`).
    Compacted,
    /// Records stay this long, milliseconds.
    RetentionMs(i64),
    /// Records stay forever (`retention.ms=-1`).
    Forever,
}

/// How urgent a topic is; alerts, budgets and priorities follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criticality {
    /// Care of a patient may wait for it.
    PatientAdjacent,
    /// Work of the hospital waits for it.
    Operational,
    /// Reports wait for it.
    Analytical,
}

impl Criticality {
    /// As in `topics.yaml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PatientAdjacent => "patient-adjacent",
            Self::Operational => "operational",
            Self::Analytical => "analytical",
        }
    }
}

/// Class of patient data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phi {
    /// Nothing about a patient.
    None,
    /// Pseudonyms, dates, places: a patient only with other knowledge.
    Indirect,
    /// Names, numbers, addresses.
    Direct,
}

impl Phi {
    /// As in `topics.yaml` and in the header `ce_phi`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Indirect => "indirect",
            Self::Direct => "direct",
        }
    }
}

/// Schema compatibility level, as the registry names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    /// New readers read everything written before.
    BackwardTransitive,
    /// New readers read old records and old readers read new ones.
    FullTransitive,
}

impl Compatibility {
    /// As the registry names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }
}

/// What a rejected record means for later records of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReject {
    /// They wait behind it, parked.
    Park,
    /// They go on.
    Continue,
}

/// A room that reads a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Room name.
    pub room: String,
    /// What it reads the topic for.
    pub purpose: String,
}

/// What a topic promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sla {
    /// 99 of 100 records are published within this many milliseconds after they were recorded.
    pub latency_p99_ms: u64,
}

/// Reads and checks `topics.yaml` against the contracts built into this version.
///
/// # Errors
/// Every problem found; a syntax error hides the ones behind it.
pub fn parse(text: &str) -> Result<Catalogue, Vec<Problem>> {
    parse_against(text, &SchemaFacts::built_in())
}

/// Reads and checks `topics.yaml` against other contracts, for example those of a working copy.
///
/// # Errors
/// Every problem found; a syntax error hides the ones behind it.
pub fn parse_against(text: &str, schemas: &[SchemaFacts]) -> Result<Catalogue, Vec<Problem>> {
    let raw: RawCatalogue = serde_saphyr::from_str(text).map_err(|error| {
        let location = error.location();
        vec![Problem {
            line: location.map_or(0, |location| location.line()),
            column: location.map_or(0, |location| location.column()),
            reason: reason(&error.without_snippet().to_string()),
            code: CODE_SYNTAX,
        }]
    })?;
    let mut problems = Vec::new();
    let topics = check::topics(&raw, schemas, &mut problems);
    let service_levels = levels::levels(&raw, schemas, &mut problems);
    if problems.is_empty() {
        Ok(Catalogue { topics, service_levels })
    } else {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(problems)
    }
}

/// What the parser says, without the place that stands in the problem already, in words for people.
fn reason(said: &str) -> String {
    let said = said.lines().next().unwrap_or_default();
    let said = said.rsplit_once(" at line ").map_or(said, |(before, _)| before);
    said.replace("invalid u16", "not a whole number from 1 to 65535").replace("invalid u64", "not a whole number")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    topics: Vec<RawTopic>,
    #[serde(default)]
    service_levels: Vec<levels::RawLevel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTopic {
    name: Spanned<String>,
    description: Spanned<String>,
    owner: Spanned<String>,
    schema: Spanned<String>,
    #[serde(default)]
    key: Vec<Spanned<String>>,
    partitions: Spanned<u16>,
    #[serde(default)]
    retention: Option<Spanned<String>>,
    #[serde(default)]
    compaction: Option<Spanned<bool>>,
    criticality: Criticality,
    phi: Spanned<Phi>,
    #[serde(default)]
    compatibility: Option<Spanned<Compatibility>>,
    producers: Vec<Spanned<String>>,
    consumers: Vec<Spanned<RawConsumer>>,
    sla: Sla,
    on_reject: OnReject,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsumer {
    room: String,
    #[serde(default)]
    purpose: String,
}

fn problem(at: &Location, code: &'static str, reason: impl Into<String>) -> Problem {
    Problem { line: at.line(), column: at.column(), reason: reason.into(), code }
}

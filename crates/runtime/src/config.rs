//! Configuration: typed, documented, strict. Defaults are right for a first run on one machine.

use crate::near::with_near;
use connector::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that a Wardline process is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The Kafka cluster.
    pub kafka: KafkaConfig,
    /// The schema registry.
    pub registry: RegistryConfig,
    /// Who this installation is, and the key of its pseudonyms.
    pub identity: IdentityConfig,
    /// Health, metrics.
    pub http: HttpConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Bounds and batch sizes of the loops.
    pub limits: Limits,
    /// Tables of master data, beside their bounds.
    pub tables: TablesConfig,
    /// One block per room, named like the room; its keys are documented in the room's README.
    pub rooms: BTreeMap<String, serde_json::Value>,
    /// One block per act of operators, for example `replay`.
    pub operations: BTreeMap<String, serde_json::Value>,
    /// The block of the web console, documented in its README. A dump does not repeat it: what of it is secret the console knows.
    #[serde(skip_serializing)]
    pub console: serde_json::Value,
}

/// The Kafka cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Comma-separated `host:port` list; the broker that `wardline up` embeds when left out.
    pub bootstrap: String,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: String,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; needed with `sasl_*`.
    pub sasl_mechanism: Option<String>,
    /// SASL user.
    pub username: Option<String>,
    /// SASL password.
    pub password: Option<Secret>,
    /// PEM file with the authorities that sign the brokers.
    pub ca_file: Option<PathBuf>,
    /// Name of this instance: part of its transactional ids, so two instances of a room must differ (pod name).
    pub instance: String,
    /// A member that is silent for so long loses its partitions, milliseconds.
    pub session_timeout_ms: u32,
    /// An open transaction of a dead instance is aborted by the broker after so long, milliseconds.
    pub transaction_timeout_ms: u32,
    /// How members of a room that works in transactions share its partitions: `eager`, `cooperative` or `consumer`.
    pub group_protocol: crate::group_protocol::GroupProtocol,
    /// Further librdkafka properties for consumers and producers, by name.
    pub properties: BTreeMap<String, String>,
}

/// The schema registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// Base URL of the Confluent-compatible API; the registry that `wardline up` embeds when left out.
    pub url: String,
    /// User for basic authentication.
    pub username: Option<String>,
    /// Password for basic authentication.
    pub password: Option<Secret>,
    /// Longest wait for one answer, milliseconds.
    pub timeout_ms: u64,
}

/// Who this installation is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Tenant, part of every pseudonym and of the `ce_tenant` header.
    pub tenant: String,
    /// HMAC key of the pseudonyms. Whoever has it can test guesses: keep it in a secret store. The default is for first
    /// runs with synthetic data only, and is refused where Kafka is not on this machine alone.
    pub pseudonym_key: Secret,
}

/// Health and metrics endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of `/live`, `/ready`, `/metrics`; port 0 takes a free one.
    pub listen: String,
}

/// Logs and traces.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// OTLP/HTTP endpoint for traces, for example `http://127.0.0.1:4318/v1/traces`; nothing is exported without it.
    pub otlp_endpoint: Option<String>,
    /// `json` or `text`.
    pub log_format: String,
    /// Filter in the `tracing` syntax.
    pub log_filter: String,
}

/// Local snapshots of the tables, from which a room starts sooner than from the whole topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TablesConfig {
    /// Folder of the snapshots: private to this instance, and as confidential as the master data themselves. None are kept
    /// without it. Losing it costs nothing but time at the next start.
    pub snapshot_dir: Option<PathBuf>,
    /// A table that has changed is written again after so long, seconds, and at a clean stop.
    pub snapshot_every_s: u64,
    /// An older snapshot is not used, seconds: what was deleted since could come back. Must be well below `delete.retention.ms`
    /// of the topics, which is 24 h where nobody has changed it.
    pub snapshot_age_max_s: u64,
}

/// Bounds and batch sizes of the loops (BND-1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Worker threads of a transactional room, and of `analytics`, in this instance; each is a member: 1 with a `group.instance.id`.
    pub workers: usize,
    /// Most records in one transaction.
    pub batch_records_max: usize,
    /// About the most bytes of outputs in one transaction; as much again is decided while it is committed.
    pub batch_bytes_max: usize,
    /// Longest time to gather one transaction once it has a record, milliseconds. A caught-up loop does not wait.
    pub batch_gather_ms: u64,
    /// Most records per table.
    pub table_rows_max: usize,
    /// Most lanes (keys) in flight at once in an effect room.
    pub lanes_max: usize,
    /// Most records that an effect room holds in memory; it takes no more in beyond it.
    pub records_in_flight_max: usize,
    /// Most bytes of such records, keys, values and headers together.
    pub records_in_flight_bytes_max: usize,
    /// How long an effect room waits for more lines before it sends a document, milliseconds.
    pub batch_linger_ms: u64,
    /// First back-off after a transient error, milliseconds; doubles up to `retry_delay_max_ms`.
    pub retry_delay_ms: u64,
    /// Longest back-off, milliseconds.
    pub retry_delay_max_ms: u64,
    /// How long an event of each class may wait or be retried before its key is parked behind an exception, milliseconds.
    pub wait_budget_ms: WaitBudget,
    /// How long the discard of an event waits while the other side, asked again and again, cannot say what became of a call for it,
    /// milliseconds. Then the event is left out, and reconciliation tells what the other side has. A restart begins to ask anew.
    pub discard_wait_ms: u64,
    /// Most keys with parked events that one worker holds in memory. At the bound it takes no more records in until keys leave.
    pub parked_max: usize,
    /// Most places of parked events that are held of one key; its later events are found again by reading on from there.
    pub parked_places_max: usize,
    /// Most remembered effects per instance; older ones are forgotten, and a replay of them is not suppressed.
    pub effects_max: usize,
    /// How far apart, in offsets of one partition, an event and its copy may lie on a topic that a source writes for the copy to be
    /// recognised. Of each such partition about 100 bytes are held per offset, and as many records read at an assignment.
    pub copies_reach: usize,
    /// Longest time to finish work in flight after SIGTERM, milliseconds.
    pub drain_ms: u64,
}

/// Retry budget by criticality class, milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WaitBudget {
    /// Flows next to the patient.
    pub patient_adjacent: u64,
    /// Back-office flows.
    pub operational: u64,
    /// Reports and the lake.
    pub analytical: u64,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("WL-7001: cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be; the message names line, column and key.
    #[error("WL-7001: {path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A block of a room is not what the room documents.
    #[error("WL-7001: rooms.{room}: {reason}")]
    Room {
        /// The room.
        room: String,
        /// Why.
        reason: String,
    },
    /// A block of an act of operators is not what is documented.
    #[error("WL-7001: operations.{act}: {reason}")]
    Operation {
        /// The act.
        act: String,
        /// Why.
        reason: String,
    },
    /// The block of the web console is not what it documents.
    #[error("WL-7001: console: {reason}")]
    Console {
        /// Why.
        reason: String,
    },
    /// A value is outside its range.
    #[error("WL-7002: {key} is {value}: {rule}")]
    Range {
        /// Dotted key.
        key: &'static str,
        /// What it was.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A key that everybody knows would hide patients on a Kafka that others reach.
    #[error(
        "WL-7003: {name} is the key of a first run, which stands in the source, and Kafka at {broker} is not on this machine alone: \
             name a key of your own"
    )]
    KnownKey {
        /// Dotted key.
        name: &'static str,
        /// The broker that others reach.
        broker: String,
    },
}

impl Config {
    /// Reads and checks a YAML file. A text value `${env:NAME}` or `${file:PATH}` is replaced by what it refers to.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key or a value outside its range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let refused = |reason: String| ConfigError::Parse { path: path.to_owned(), reason: with_near(reason) };
        let mut config: Self = serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if text.contains("${") {
            // The typed reading above came first because its errors name line and column.
            let mut value = serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))?;
            crate::config_refs::resolve(&mut value, "").map_err(refused)?;
            config = serde_json::from_value(value).map_err(|error| refused(error.to_string()))?;
        }
        config.validate()?;
        Ok(config)
    }

    /// What a file itself says, without defaults: for whoever must know whether a key was named at all.
    ///
    /// # Errors
    /// When the file cannot be read or is no YAML.
    pub fn said(path: &Path) -> Result<serde_json::Value, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        serde_saphyr::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), reason: error.to_string() })
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first key that is outside its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let positive = [
            ("limits.workers", limits.workers),
            ("limits.batch_records_max", limits.batch_records_max),
            ("limits.batch_bytes_max", limits.batch_bytes_max),
            ("limits.table_rows_max", limits.table_rows_max),
            ("limits.lanes_max", limits.lanes_max),
            ("limits.records_in_flight_max", limits.records_in_flight_max),
            ("limits.records_in_flight_bytes_max", limits.records_in_flight_bytes_max),
            ("limits.parked_max", limits.parked_max),
            ("limits.parked_places_max", limits.parked_places_max),
            ("limits.effects_max", limits.effects_max),
            ("limits.copies_reach", limits.copies_reach),
        ];
        let of_tables = [
            ("tables.snapshot_every_s", self.tables.snapshot_every_s),
            ("tables.snapshot_age_max_s", self.tables.snapshot_age_max_s),
        ];
        for (key, value) in positive.map(|(key, value)| (key, value as u64)).into_iter().chain(of_tables) {
            if value == 0 {
                return Err(ConfigError::Range { key, value: value.to_string(), rule: "must be at least 1" });
            }
        }
        if self.kafka.bootstrap.trim().is_empty() {
            return Err(ConfigError::Range {
                key: "kafka.bootstrap",
                value: String::new(),
                rule: "must name a broker",
            });
        }
        if !["json", "text"].contains(&self.telemetry.log_format.as_str()) {
            let value = self.telemetry.log_format.clone();
            return Err(ConfigError::Range { key: "telemetry.log_format", value, rule: "must be json or text" });
        }
        Ok(())
    }

    /// How many members of its group a room has in this instance.
    ///
    /// # Errors
    /// When they were of one name: they would shut each other out.
    pub(crate) fn members(&self) -> Result<usize, ConfigError> {
        let workers = self.limits.workers;
        if workers > 1 && self.kafka.properties.contains_key("group.instance.id") {
            let rule =
                "must be 1 with a group.instance.id in kafka.properties: two members of that name shut each other out";
            return Err(ConfigError::Range { key: "limits.workers", value: workers.to_string(), rule });
        }
        Ok(workers)
    }

    /// The block of one room; the room's defaults when there is none.
    ///
    /// # Errors
    /// When the block has an unknown key or a value of the wrong type.
    pub fn room<C: Default + serde::de::DeserializeOwned>(&self, room: &str) -> Result<C, ConfigError> {
        match self.rooms.get(room) {
            None => Ok(C::default()),
            Some(block) => serde_json::from_value(block.clone())
                .map_err(|error| ConfigError::Room { room: room.to_owned(), reason: with_near(error.to_string()) }),
        }
    }

    /// The block of one act of operators; its defaults when there is none.
    ///
    /// # Errors
    /// When the block has an unknown key or a value of the wrong type.
    pub fn operation<C: Default + serde::de::DeserializeOwned>(&self, act: &str) -> Result<C, ConfigError> {
        match self.operations.get(act) {
            None => Ok(C::default()),
            Some(block) => serde_json::from_value(block.clone())
                .map_err(|error| ConfigError::Operation { act: act.to_owned(), reason: with_near(error.to_string()) }),
        }
    }

    /// The block of the web console; its defaults when there is none.
    ///
    /// # Errors
    /// When the block has an unknown key or a value of the wrong type.
    pub fn console<C: Default + serde::de::DeserializeOwned>(&self) -> Result<C, ConfigError> {
        if self.console.is_null() {
            return Ok(C::default());
        }
        serde_json::from_value(self.console.clone())
            .map_err(|error| ConfigError::Console { reason: with_near(error.to_string()) })
    }
}

impl Limits {
    /// The budget of a class.
    pub fn wait_budget(&self, class: schemas::catalogue::Criticality) -> Duration {
        Duration::from_millis(match class {
            schemas::catalogue::Criticality::PatientAdjacent => self.wait_budget_ms.patient_adjacent,
            schemas::catalogue::Criticality::Operational => self.wait_budget_ms.operational,
            schemas::catalogue::Criticality::Analytical => self.wait_budget_ms.analytical,
        })
    }

    /// Back-off before attempt number `attempt` (1 is the first retry): doubles from `retry_delay_ms`, bounded.
    pub fn retry_delay(&self, attempt: u32) -> Duration {
        let factor = 1_u64 << attempt.saturating_sub(1).min(20);
        Duration::from_millis(self.retry_delay_ms.saturating_mul(factor).min(self.retry_delay_max_ms))
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:17092".to_owned(),
            security_protocol: "plaintext".to_owned(),
            sasl_mechanism: None,
            username: None,
            password: None,
            ca_file: None,
            instance: "0".to_owned(),
            session_timeout_ms: 10_000,
            transaction_timeout_ms: 30_000,
            group_protocol: crate::group_protocol::GroupProtocol::default(),
            properties: BTreeMap::new(),
        }
    }
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:17081".to_owned(), username: None, password: None, timeout_ms: 10_000 }
    }
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self { tenant: "hospital".to_owned(), pseudonym_key: Secret::new(crate::secrets::KNOWN) }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, log_format: "text".to_owned(), log_filter: "info".to_owned() }
    }
}

impl Default for WaitBudget {
    fn default() -> Self {
        Self { patient_adjacent: 60_000, operational: 300_000, analytical: 900_000 }
    }
}

impl Default for TablesConfig {
    fn default() -> Self {
        Self { snapshot_dir: None, snapshot_every_s: 900, snapshot_age_max_s: 43_200 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: 1,
            batch_records_max: 5_000,
            batch_bytes_max: 16 * 1024 * 1024,
            batch_gather_ms: 20,
            table_rows_max: 2_000_000,
            lanes_max: 1_000,
            records_in_flight_max: 50_000,
            records_in_flight_bytes_max: 64 * 1024 * 1024,
            batch_linger_ms: 20,
            retry_delay_ms: 200,
            retry_delay_max_ms: 30_000,
            wait_budget_ms: WaitBudget::default(),
            discard_wait_ms: 600_000,
            parked_max: 1_000_000,
            parked_places_max: 16,
            effects_max: 1_000_000,
            copies_reach: 10_000,
            drain_ms: 10_000,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_name() {
        let error = serde_saphyr::from_str::<Config>("kafka:\n  bootstap: x\n").unwrap_err().to_string();
        assert!(error.contains("bootstap"), "{error}");
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_one_that_was_meant() {
        let mut config = Config::default();
        config.rooms.insert("x".to_owned(), serde_json::json!({"listn": "y"}));
        let error = config.room::<HttpConfig>("x").unwrap_err().to_string();
        assert!(error.starts_with("WL-7001: rooms.x: unknown field `listn`"), "{error}");
        assert!(error.ends_with("; did you mean `listen`?"), "{error}");
    }

    #[test]
    fn workers_of_one_name_are_refused_before_they_shut_each_other_out() {
        let mut config = Config::default();
        config.kafka.properties.insert("group.instance.id".to_owned(), "desk-1".to_owned());
        assert!(matches!(config.members(), Ok(1)));
        config.limits.workers = 2;
        let error = config.members().unwrap_err().to_string();
        assert!(error.contains("limits.workers") && error.contains("group.instance.id"), "{error}");
    }

    #[test]
    fn back_off_doubles_up_to_its_bound() {
        let limits = Limits { retry_delay_ms: 100, retry_delay_max_ms: 1_000, ..Limits::default() };
        let delays: Vec<_> = (1..=6).map(|attempt| limits.retry_delay(attempt).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
    }
}

//! Where rows go, and how exact the time of a patient may be.

use crate::NAME;
use connector::Secret;
use runtime::{Config, ConfigError, secrets};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How exact a time that belongs to a patient may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatientTimes {
    /// The day, UTC.
    Day,
    /// The hour, UTC.
    Hour,
    /// No time of a patient is written.
    None,
}

/// The block `rooms.analytics`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyticsConfig {
    /// Directory of the files: `<directory>/<topic>/p<partition>/<first offset>-<last offset>.parquet`. Default `analytics`.
    /// All instances of the room must share it.
    pub directory: PathBuf,
    /// Most rows in one file. Default 50000.
    pub file_records_max: usize,
    /// Most encoded input in one file, bytes. Default 67108864.
    pub file_bytes_max: usize,
    /// Longest time from an event to its file, milliseconds. Default 2000; production files are better at 60000 or more.
    pub file_wait_ms: u64,
    /// How exact a time that belongs to a patient may be. Default `day`.
    pub patient_times: PatientTimes,
    /// References that become tokens, as field names of the contracts; other fields that say something about a patient
    /// stay out. Default `encounterRef`, `patientRef`, `businessKey`; rows that are there more than once are told apart by the
    /// last. The id of an event is a token whatever stands here.
    pub tokens: Vec<String>,
    /// HMAC key of the tokens, at least 16 bytes. Whoever has it can test guesses: keep it in a secret store, other than the
    /// key of the pseudonyms. The default is for first runs with synthetic data only, and is refused where Kafka is not on this machine
    /// alone.
    pub token_key: Secret,
    /// What the rows are for. Part of every token, so that rows of two purposes cannot be joined. Default `analytics`.
    pub purpose: String,
}

impl AnalyticsConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// Names the key that is outside its range.
    pub fn validate(&self) -> Result<(), String> {
        let bounds = [
            ("file_records_max", self.file_records_max as u64, 1_000_000),
            ("file_bytes_max", self.file_bytes_max as u64, 1 << 30),
            ("file_wait_ms", self.file_wait_ms, 3_600_000),
        ];
        for (key, value, most) in bounds {
            if value == 0 || value > most {
                return Err(format!("{key} is {value}: must be 1 to {most}"));
            }
        }
        if self.directory.as_os_str().is_empty() {
            return Err("directory is empty: must name a directory".to_owned());
        }
        Ok(())
    }

    /// Checks that the tokens hide patients from whoever reads the rows of this configuration's Kafka.
    ///
    /// # Errors
    /// When the key is one that everybody knows, and Kafka is not on this machine alone.
    pub fn check_key(&self, config: &Config) -> Result<(), ConfigError> {
        config.hides("rooms.analytics.token_key", &self.token_key)
    }
}

impl Default for AnalyticsConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("analytics"),
            file_records_max: 50_000,
            file_bytes_max: 64 << 20,
            file_wait_ms: 2_000,
            patient_times: PatientTimes::Day,
            tokens: ["encounterRef", "patientRef", "businessKey"].map(str::to_owned).to_vec(),
            token_key: Secret::new(secrets::KNOWN),
            purpose: NAME.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked_and_the_key_is_hidden() {
        assert!(AnalyticsConfig::default().validate().is_ok());
        assert!(AnalyticsConfig { file_records_max: 0, ..AnalyticsConfig::default() }.validate().is_err());
        assert!(!serde_json::to_string(&AnalyticsConfig::default()).unwrap().contains("synthetic"));
    }
    #[test]
    fn phi_1_the_key_that_everybody_knows_makes_tokens_on_this_machine_alone() {
        let (mut config, known) = (Config::default(), AnalyticsConfig::default());
        assert!(known.check_key(&config).is_ok());
        "kafka:9092".clone_into(&mut config.kafka.bootstrap);
        let said = known.check_key(&config).unwrap_err().to_string();
        assert!(said.starts_with("WL-7003: rooms.analytics.token_key "), "{said}");
        let own = AnalyticsConfig { token_key: Secret::new("of-this-hospital"), ..known };
        assert!(own.check_key(&config).is_ok());
    }
}

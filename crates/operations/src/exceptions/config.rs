//! What is held of exceptions in memory, when they are due, and which need a second person.

use super::index::Bounds;
use runtime::{Config, ConfigError};
use schemas::Criticality;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How operators work with exceptions: the command line and the console alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExceptionsConfig {
    /// Most exceptions a view holds, settled ones included; the oldest settled ones are forgotten first. About 300 bytes each.
    pub exceptions_max: usize,
    /// Most parked events a view counts. About 60 bytes each.
    pub parked_max: usize,
    /// After how long an exception of a flow of each class should be settled, seconds.
    pub due_s: DueTimes,
    /// Classes of flows whose events are discarded only when a second person approves it.
    pub two_people: Vec<Criticality>,
}

/// Time until an exception should be settled, by criticality class, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DueTimes {
    /// Flows next to the patient.
    pub patient_adjacent: u32,
    /// Back-office flows.
    pub operational: u32,
    /// Reports and the lake.
    pub analytical: u32,
}

impl DueTimes {
    /// The time of a class.
    pub fn of(&self, class: Criticality) -> Duration {
        Duration::from_secs(u64::from(match class {
            Criticality::PatientAdjacent => self.patient_adjacent,
            Criticality::Operational => self.operational,
            Criticality::Analytical => self.analytical,
        }))
    }
}

impl ExceptionsConfig {
    /// The block `operations.exceptions` of a configuration.
    ///
    /// # Errors
    /// When it has an unknown key, a value of the wrong type, or a bound of 0.
    pub fn of(config: &Config) -> Result<Self, ConfigError> {
        let this: Self = config.operation("exceptions")?;
        let bounds = [
            ("operations.exceptions.exceptions_max", this.exceptions_max),
            ("operations.exceptions.parked_max", this.parked_max),
        ];
        match bounds.into_iter().find(|(_, value)| *value == 0) {
            Some((key, value)) => Err(ConfigError::Range { key, value: value.to_string(), rule: "must be at least 1" }),
            None => Ok(this),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { exceptions_max: self.exceptions_max, parked_max: self.parked_max }
    }
}

impl Default for ExceptionsConfig {
    fn default() -> Self {
        Self {
            exceptions_max: 1_000_000,
            parked_max: 2_000_000,
            due_s: DueTimes::default(),
            two_people: vec![Criticality::PatientAdjacent],
        }
    }
}

impl Default for DueTimes {
    fn default() -> Self {
        Self { patient_adjacent: 3_600, operational: 8 * 3_600, analytical: 3 * 24 * 3_600 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(block: serde_json::Value) -> Result<ExceptionsConfig, ConfigError> {
        let mut config = Config::default();
        config.operations.insert("exceptions".to_owned(), block);
        ExceptionsConfig::of(&config)
    }

    #[test]
    fn times_and_classes_are_named_as_in_the_registry_of_topics() {
        let block = json!({"due_s": {"patient-adjacent": 60}, "two_people": ["patient-adjacent", "operational"]});
        let config = said(block).unwrap();
        assert_eq!(config.due_s.of(Criticality::PatientAdjacent), Duration::from_secs(60));
        assert_eq!(config.due_s.of(Criticality::Operational), Duration::from_secs(28_800));
        assert_eq!(config.two_people.len(), 2);
        for wrong in [json!({"due_s": {"urgent": 1}}), json!({"due": 1}), json!({"parked_max": 0})] {
            assert!(said(wrong.clone()).is_err(), "{wrong}");
        }
    }
}

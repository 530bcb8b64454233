//! Configuration of the room: the block `rooms.fhir`.

use crate::mapping::Profile;
use crate::seen::REMEMBERED_DEFAULT;
use ::connector::Secret;
use fhir_gate::Version;
use schemas::identity::{KeyTooShort, Pseudonymizer};
use serde::{Deserialize, Serialize};

/// The block `rooms.fhir`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FhirConfig {
    /// Base address of the FHIR server, without a slash at the end.
    pub base_url: String,
    /// `r4` or `r5`; a `fhirVersion` in the media type of an answer wins.
    pub version: Version,
    /// Name of the server, as it stands in events and cursors. Changing it starts anew: everything is read again.
    pub system: String,
    /// Facility whose resources these are; it assigns the visit and patient numbers.
    pub facility: String,
    /// Bearer token.
    pub bearer_token: Option<Secret>,
    /// Resource types to poll; all mapped types of the version when empty.
    pub resource_types: Vec<String>,
    /// Systems of identifiers that are visit numbers, besides those of type VN.
    pub visit_number_systems: Vec<String>,
    /// Systems of identifiers that are patient numbers, besides those of type MR.
    pub patient_number_systems: Vec<String>,
    /// Addresses of modifier extensions (or implicit rules) that do not change who used what and when.
    pub understood_modifiers: Vec<String>,
    /// Read deletions from the server's history of each resource type (`TYPE/_history`).
    pub deletions: bool,
    /// Pause between two rounds of polling, milliseconds.
    pub poll_interval_ms: u64,
    /// How far each poll looks back behind the newest version it has seen, milliseconds: servers store late.
    pub overlap_ms: u64,
    /// Resources per page that are asked for.
    pub page_size: u32,
    /// Most pages of one resource type in one round; the rest follows in the next.
    pub pages_max: u32,
    /// Longest answer, bytes.
    pub body_bytes_max: usize,
    /// Longest wait for one answer, milliseconds.
    pub timeout_ms: u64,
    /// First wait after a failed request, milliseconds; doubles up to `retry_delay_max_ms`.
    pub retry_delay_ms: u64,
    /// Longest wait after a failed request, milliseconds; also the most that a `Retry-After` is believed.
    pub retry_delay_max_ms: u64,
    /// Most resources (devices, encounters, patients, procedures) that are kept in memory; at least ten per resource of a
    /// page.
    pub cache_entries_max: usize,
    /// How long a resource that is not polled itself (a patient) is believed, milliseconds.
    pub cache_age_max_ms: u64,
    /// Most versions of the overlap that a session remembers per resource type.
    pub overlap_versions_max: usize,
    /// Most usages and most stays that are remembered, so that they can be recognised, corrected and retracted.
    pub remembered_max: usize,
    /// Keeps resources as they came on `ops.source.v1`, for people who look into what was made of them. Default true.
    pub keep_sources: bool,
}

impl Default for FhirConfig {
    fn default() -> Self {
        Self {
            base_url: "http://127.0.0.1:17090/fhir".to_owned(),
            version: Version::R4,
            system: "fhir".to_owned(),
            facility: "GENERAL".to_owned(),
            bearer_token: None,
            resource_types: Vec::new(),
            visit_number_systems: Vec::new(),
            patient_number_systems: Vec::new(),
            understood_modifiers: Vec::new(),
            deletions: true,
            poll_interval_ms: 1_000,
            overlap_ms: 10_000,
            page_size: 100,
            pages_max: 50,
            body_bytes_max: 32 * 1024 * 1024,
            timeout_ms: 30_000,
            retry_delay_ms: 500,
            retry_delay_max_ms: 30_000,
            cache_entries_max: 10_000,
            cache_age_max_ms: 300_000,
            overlap_versions_max: 200_000,
            remembered_max: REMEMBERED_DEFAULT,
            keep_sources: true,
        }
    }
}

impl FhirConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn validate(&self) -> Result<(), String> {
        if !self.base_url.starts_with("http://") && !self.base_url.starts_with("https://") {
            return Err("base_url must start with http:// or https://".to_owned());
        }
        let named = [("system", &self.system), ("facility", &self.facility)];
        if let Some((key, _)) = named.into_iter().find(|(_, value)| value.trim().is_empty()) {
            return Err(format!("{key} must not be empty"));
        }
        let mapped = self.version.mapped_types();
        if let Some(unknown) = self.resource_types.iter().find(|name| !mapped.contains(&name.as_str())) {
            return Err(format!("resource_types: {unknown} is not one of {}", mapped.join(", ")));
        }
        let positive = [
            ("page_size", self.page_size as usize),
            ("pages_max", self.pages_max as usize),
            ("body_bytes_max", self.body_bytes_max),
            ("cache_entries_max", self.cache_entries_max),
            ("overlap_versions_max", self.overlap_versions_max),
            ("remembered_max", self.remembered_max),
        ];
        if self.cache_entries_max < 10 * self.page_size as usize {
            return Err("cache_entries_max must be at least ten times page_size".to_owned());
        }
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("{key} must be at least 1")),
            None => Ok(()),
        }
    }

    /// Whose resources these are.
    ///
    /// # Errors
    /// When the key of the pseudonyms is too short.
    pub fn profile(&self, pseudonym_key: &Secret) -> Result<Profile, KeyTooShort> {
        Ok(Profile {
            base_url: self.base_url.clone(),
            system: self.system.clone(),
            facility: self.facility.clone(),
            pseudonyms: Pseudonymizer::new(pseudonym_key.expose().as_bytes())?,
            visit_number_systems: self.visit_number_systems.clone(),
            patient_number_systems: self.patient_number_systems.clone(),
            understood_modifiers: self.understood_modifiers.clone(),
        })
    }

    /// The resource types to poll.
    pub fn types(&self) -> Vec<String> {
        if self.resource_types.is_empty() {
            self.version.mapped_types().iter().map(|name| (*name).to_owned()).collect()
        } else {
            self.resource_types.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_secrets_do_not_show() {
        let config = FhirConfig { bearer_token: Some(Secret::new("hunter2")), ..FhirConfig::default() };
        assert_eq!(config.validate(), Ok(()));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_type_of_the_other_version_is_refused_by_name() {
        let config = FhirConfig { resource_types: vec!["DeviceUsage".to_owned()], ..FhirConfig::default() };
        assert!(config.validate().unwrap_err().contains("DeviceUsage"));
    }
}

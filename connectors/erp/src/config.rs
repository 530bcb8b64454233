//! The block `rooms.erp`.

use std::collections::{BTreeMap, BTreeSet};

use connector::erp::Stream;
use erp_systems::{SandboxConfig, System, TrytonConfig};
use serde::{Deserialize, Serialize};

/// How the ERP is followed and what its records mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErpConfig {
    /// Name of this ERP in events. Default: the name of the system.
    pub instance: Option<String>,
    /// Facility the records belong to. Default `GENERAL`.
    pub facility: String,
    /// ISO 4217 code of the company's currency; the ERP's prices are in it. Default `EUR`.
    pub currency: String,
    /// Which ERP it is, `tryton` or `sandbox`. Default `tryton`.
    pub system: System,
    /// Where Tryton is, when it is Tryton.
    pub tryton: TrytonConfig,
    /// Where the sandbox ERP is, when it is the sandbox.
    pub sandbox: SandboxConfig,
    /// Streams that are followed. Default: all.
    pub streams: BTreeSet<Stream>,
    /// Wait between two sweeps of a stream, in milliseconds. Default 5000.
    pub poll_ms: u64,
    /// Events of each stream that are remembered by content, so that an unchanged record is not published again; the newer half
    /// of so many always is. Default 200000.
    pub remembered_max: usize,
    /// Category of items whose stock belongs to the supplier until used. Default `Consignment`.
    pub consignment_category: String,
    /// Category of items that stay in the patient. Default `Implant`.
    pub implant_category: String,
    /// Further departments as clinical messages name them, and the stock location whose cost centre pays.
    pub departments: BTreeMap<String, String>,
    /// Stock locations and how clinical messages name the place (`unit^room^bed^facility`); the code itself by default.
    pub clinical_names: BTreeMap<String, String>,
}

impl Default for ErpConfig {
    fn default() -> Self {
        Self {
            instance: None,
            facility: "GENERAL".to_owned(),
            currency: "EUR".to_owned(),
            system: System::default(),
            tryton: TrytonConfig::default(),
            sandbox: SandboxConfig::default(),
            streams: Stream::ALL.into_iter().collect(),
            poll_ms: 5_000,
            remembered_max: 200_000,
            consignment_category: "Consignment".to_owned(),
            implant_category: "Implant".to_owned(),
            departments: BTreeMap::new(),
            clinical_names: BTreeMap::new(),
        }
    }
}

impl ErpConfig {
    /// Name of this ERP in events.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.instance.as_deref().unwrap_or(self.system.as_str())
    }

    /// Under which name the cursors of this ERP are kept.
    pub(crate) fn cursor_owner(&self) -> String {
        format!("erp.{}", self.instance())
    }
}

#[cfg(test)]
mod tests {
    use super::ErpConfig;

    #[test]
    fn the_key_does_not_show_and_an_unknown_name_is_refused() {
        let config: ErpConfig = serde_json::from_str(r#"{"tryton": {"key": "k3y"}, "streams": ["items"]}"#).unwrap();
        assert_eq!(config.tryton.key.expose(), "k3y");
        assert!(!format!("{config:?}{}", serde_json::to_string(&config).unwrap()).contains("k3y"));
        assert!(serde_json::from_str::<ErpConfig>(r#"{"pol_ms": 1}"#).is_err());
    }
}

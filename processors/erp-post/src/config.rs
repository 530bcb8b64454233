//! The block `rooms.erp-post`.

use connector::pacing::Pacing;
use erp_systems::{SandboxConfig, System, TrytonConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which ERP is posted to and where consumption goes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErpPostConfig {
    /// Name of this ERP in events and metrics. Default: the name of the system.
    pub instance: Option<String>,
    /// Which ERP it is, `tryton` or `sandbox`. Default `tryton`.
    pub system: System,
    /// The currency (ISO 4217) of this ERP's costs, where the ERP does not say it. Without either a posting tells no money.
    /// Default: none; Tryton and the sandbox say it.
    pub currency: Option<String>,
    /// Where Tryton is, when it is Tryton.
    pub tryton: TrytonConfig,
    /// Where the sandbox ERP is, when it is the sandbox.
    pub sandbox: SandboxConfig,
    /// The consumption location of a stock location is this prefix and its code. Default `USE-`.
    pub use_location_prefix: String,
    /// Stock locations whose consumption location is another one.
    pub use_locations: BTreeMap<String, String>,
    /// How long after a posting was sent the ERP may still carry it out, when the answer was lost, milliseconds: the time-out of
    /// a request (`request_timeout_ms`) and the ERP's own together. Until then a look-up that finds nothing is not believed,
    /// because a posting that is sent again in another document could happen twice. Default 60000.
    pub certain_after_ms: u64,
    /// How fast and when the ERP is posted to: a budget of documents per minute that all instances share, windows in which nothing
    /// is posted (the closing of a period, maintenance), and the breaker. Default: no bound, no window.
    pub pacing: Pacing,
    /// Whether lines of one department, cost centre and day may share a document. Default true.
    pub batch: bool,
}

impl Default for ErpPostConfig {
    fn default() -> Self {
        Self {
            instance: None,
            system: System::default(),
            currency: None,
            tryton: TrytonConfig::default(),
            sandbox: SandboxConfig::default(),
            use_location_prefix: "USE-".to_owned(),
            use_locations: BTreeMap::new(),
            certain_after_ms: 60_000,
            pacing: Pacing::default(),
            batch: true,
        }
    }
}

impl ErpPostConfig {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        let is_code = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if let Some(wrong) = self.currency.as_deref().filter(|currency| !is_code(currency)) {
            return Err(format!("currency is {wrong}: must be the code of a currency (ISO 4217), for example EUR"));
        }
        self.pacing.validate().map_err(|reason| format!("pacing.{reason}"))
    }

    /// Name of this ERP in events and metrics.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.instance.as_deref().unwrap_or(self.system.as_str())
    }

    /// The consumption location of a stock location.
    #[must_use]
    pub fn use_location(&self, stock_location: &str) -> String {
        match self.use_locations.get(stock_location) {
            Some(named) => named.clone(),
            None => format!("{}{stock_location}", self.use_location_prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErpPostConfig;

    #[test]
    fn the_place_of_use_is_named_or_derived() {
        let config: ErpPostConfig = serde_json::from_str(r#"{"use_locations": {"ICU": "ICU-PATIENT"}}"#).unwrap();
        assert_eq!(config.use_location("ICU"), "ICU-PATIENT");
        assert_eq!(config.use_location("OR1"), "USE-OR1");
        assert!(serde_json::from_str::<ErpPostConfig>(r#"{"use_prefix": "X"}"#).is_err());
    }

    #[test]
    fn a_currency_is_a_code() {
        let said = |currency: Option<&str>| {
            ErpPostConfig { currency: currency.map(str::to_owned), ..ErpPostConfig::default() }.validate()
        };
        assert_eq!((said(None), said(Some("CHF"))), (Ok(()), Ok(())));
        assert!(said(Some("francs")).is_err_and(|reason| reason.starts_with("currency is francs")));
    }
}

//! The block `rooms.erp-post`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tryton::TrytonConfig;

/// Which ERP is posted to and where consumption goes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErpPostConfig {
    /// Name of this ERP in events and metrics. Default `tryton`.
    pub instance: String,
    /// Where Tryton is.
    pub tryton: TrytonConfig,
    /// The consumption location of a stock location is this prefix and its code. Default `USE-`.
    pub use_location_prefix: String,
    /// Stock locations whose consumption location is another one.
    pub use_locations: BTreeMap<String, String>,
    /// Whether lines of one department, cost centre and day may share a document. Default true.
    pub batch: bool,
}

impl Default for ErpPostConfig {
    fn default() -> Self {
        Self {
            instance: "tryton".to_owned(),
            tryton: TrytonConfig::default(),
            use_location_prefix: "USE-".to_owned(),
            use_locations: BTreeMap::new(),
            batch: true,
        }
    }
}

impl ErpPostConfig {
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
}

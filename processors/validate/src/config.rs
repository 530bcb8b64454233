//! What a hospital may decide about the checks.

use schemas::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a finding does to the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The usage goes on; the finding stays in its `checks`.
    Warn,
    /// An exception is raised for a person and the usage is kept.
    Stop,
}

/// The block `rooms.validate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateConfig {
    /// Largest plausible quantity of one usage, in base units of the item, without its sign. Default 500.
    pub quantity_max: Decimal,
    /// A quantity over `quantity_max`. Default `stop`.
    pub quantity_over_max: Policy,
    /// An item whose master record is inactive or blocked. Default `stop`.
    pub item_inactive: Policy,
    /// A place whose master record is inactive or not valid on the day of use. Default `warn`.
    pub location_inactive: Policy,
    /// No lot, though the item requires one. Default `stop`.
    pub lot_missing: Policy,
    /// No serial number, though the item requires one. Default `stop`.
    pub serial_missing: Policy,
    /// Used or implanted after its expiry date. Default `stop`.
    pub expired: Policy,
    /// The device identifier of the label is none of the item's GTINs, and of no other item either. Default `warn`.
    pub udi_not_of_item: Policy,
    /// The device identifier of the label is that of another item. Default `stop`.
    pub udi_of_other_item: Policy,
    /// Unit codes that mean the same: sent or master unit (upper case) to its common name.
    pub unit_aliases: BTreeMap<String, String>,
    /// Most items named in a suggested fix. Default 3.
    pub suggestions_max: usize,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self {
            quantity_max: Decimal::from(500),
            quantity_over_max: Policy::Stop,
            item_inactive: Policy::Stop,
            location_inactive: Policy::Warn,
            lot_missing: Policy::Stop,
            serial_missing: Policy::Stop,
            expired: Policy::Stop,
            udi_not_of_item: Policy::Warn,
            udi_of_other_item: Policy::Stop,
            unit_aliases: default_unit_aliases(),
            suggestions_max: 3,
        }
    }
}

/// Units as HL7 v2, UCUM, X12 and UN/ECE Recommendation 20 write them.
fn default_unit_aliases() -> BTreeMap<String, String> {
    let groups = [
        ("EA", ["U", "UN", "UNIT", "EACH", "PC", "PCE", "PIECE", "C62", "H87", "1"].as_slice()),
        ("BX", &["BOX", "XBX"]),
        ("PK", &["PACK", "PAC", "PAK", "XPK"]),
        ("CS", &["CASE", "CA", "XCS"]),
        ("CT", &["CARTON", "XCT"]),
        ("PR", &["PAIR"]),
    ];
    let pairs = groups
        .into_iter()
        .flat_map(|(common, others)| others.iter().map(move |other| ((*other).to_owned(), common.to_owned())));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<ValidateConfig>(r#"{"quantity_maximum": 1}"#).is_err());
    }

    #[test]
    fn a_policy_is_a_word() {
        let config: ValidateConfig = serde_json::from_str(r#"{"expired": "warn", "quantity_max": "12.5"}"#).unwrap();
        assert_eq!(config.expired, Policy::Warn);
        assert_eq!(config.quantity_max, Decimal::new(125, 1));
    }
}

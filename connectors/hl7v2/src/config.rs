//! What a site configures. Every default is right for a first run.

use serde::{Deserialize, Serialize};

/// How messages become events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// What a time without an offset means when MSH-7 has none either: an IANA name (`America/New_York`), or a fixed offset
    /// (`-05:00`).
    pub time_zone: String,
    /// The facility of messages whose MSH-4 is empty.
    pub facility: String,
    /// The character set of bytes that are neither ASCII nor UTF-8 when MSH-18 declares none, by its name in table 0211.
    /// Without it such a message is an exception (WL-1006).
    pub fallback_charset: Option<String>,
    /// The values of MSH-11 that may reach the topics; others are rejected with AR and table 0357 code 202.
    pub processing_ids: Vec<String>,
    /// Whether FT1-10 empty means one. Otherwise it is an exception (WL-1013).
    pub empty_quantity_is_one: bool,
    /// Coding systems of FT1-7 that name services and diagnoses. A charge with such a code and nothing that names an article
    /// is no supply use.
    pub service_code_systems: Vec<String>,
    /// Whether a device with a serial number counts as one fact per visit, whatever messages tell of it (DFT and ORU).
    pub one_use_per_serial: bool,
    /// Z-segments that name the article of the FT1 before them.
    pub z_segments: Vec<ZSegment>,
    /// Whether events carry the clear identifiers (name, record number, visit number) in their `phi` record.
    pub direct_identifiers: bool,
}

/// Which field of a Z-segment holds what; 0 for what it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZSegment {
    /// Segment name.
    pub name: String,
    /// Item number.
    pub item: usize,
    /// Coding system of the item number, as it is to appear in events.
    pub item_system: String,
    /// Unit of measure.
    pub uom: usize,
    /// Quantity, used when FT1-10 is empty.
    pub quantity: usize,
    /// UDI device identifier (GTIN).
    pub device_identifier: usize,
    /// Lot.
    pub lot: usize,
    /// Serial number.
    pub serial: usize,
    /// Expiry, YYYYMMDD.
    pub expiry: usize,
    /// `Y` if the article was wasted.
    pub wasted: usize,
    /// Complete UDI.
    pub udi: usize,
    /// `Y` if the article belongs to the supplier, `N` if not.
    pub consignment: usize,
}

impl Default for MappingConfig {
    fn default() -> Self {
        let systems = [
            "C4", "C5", "CPT", "CPT4", "CPTM", "HCPT", "I9", "I9C", "I9CDX", "I9CP", "I10", "I10C", "I10P", "ICD10",
            "LN", "SCT", "SNM", "DRG",
        ];
        Self {
            time_zone: "UTC".to_owned(),
            facility: String::new(),
            fallback_charset: Some("8859/1".to_owned()),
            processing_ids: vec!["P".to_owned(), String::new()],
            empty_quantity_is_one: false,
            service_code_systems: systems.map(str::to_owned).to_vec(),
            one_use_per_serial: true,
            z_segments: vec![ZSegment::default()],
            direct_identifiers: false,
        }
    }
}

impl Default for ZSegment {
    fn default() -> Self {
        Self {
            name: "ZSC".to_owned(),
            item: 2,
            item_system: "ITEM".to_owned(),
            uom: 3,
            quantity: 4,
            device_identifier: 5,
            lot: 6,
            serial: 7,
            expiry: 8,
            wasted: 9,
            udi: 10,
            consignment: 0,
        }
    }
}

//! Unique device identifiers as they are printed, scanned and sent: GS1, HIBCC and ICCBBA.
//!
//! `]d2010084458800328817281130` `10LOT71A<GS>21SN710001`  ->  device identifier, expiry 2028-11-30, lot, serial
//!
//! The parser is pure and total: it never fails and never drops what it could read. What is wrong with an identifier is
//! listed in [`Udi::errors`], what it had to guess in [`Udi::warnings`]; the good fields stay beside them, because a wrong
//! check digit does not make a lot number unreadable. Years have two digits on most labels, so the caller passes the year
//! in which the label was read and the century follows from it.

mod check;
mod date;
mod gs1;
mod gs1_elements;
mod hibcc;
mod iccbba;

use std::collections::BTreeMap;

use serde::Serialize;

pub use check::{gs1_check_digit, gtin14, hibc_check_character};
pub use date::{Precision, UdiDate};

/// The agency whose rules an identifier follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Issuer {
    /// GS1: application identifiers, human-readable or scanned.
    #[serde(rename = "GS1")]
    Gs1,
    /// Health Industry Business Communications Council (HIBC supplier labelling).
    #[serde(rename = "HIBCC")]
    Hibcc,
    /// ICCBBA (ISBT 128: blood, cells, tissues, and devices that hold them).
    #[serde(rename = "ICCBBA")]
    Iccbba,
}

impl Issuer {
    /// The agency's short name, as it appears in events: `GS1`, `HIBCC` or `ICCBBA`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gs1 => "GS1",
            Self::Hibcc => "HIBCC",
            Self::Iccbba => "ICCBBA",
        }
    }
}

/// Everything that could be read from one identifier. Absent fields are not serialised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Udi {
    /// Whose rules the identifier follows; none when no agency's form was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Issuer>,
    /// What kind of label it is, where the form says so (`blood_container`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The fixed part that names the model (UDI-DI): 14-digit GTIN, HIBC primary without `+` and check, or ISBT 128 DI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_identifier: Option<String>,
    /// HIBC labeler identification code (4 characters).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labeler: Option<String>,
    /// HIBC unit of measure: 0 is the unit of use, 1 to 9 are packaging levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_of_measure: Option<String>,
    /// Batch or lot, case and leading zeros kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    /// Serial number, case and leading zeros kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Expiry: the last day of use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<UdiDate>,
    /// `month` when the label gave no day, so that [`Udi::expiry`] is the last day of that month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_precision: Option<Precision>,
    /// Date of manufacture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufactured: Option<UdiDate>,
    /// `month` when the label gave no day of manufacture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufactured_precision: Option<Precision>,
    /// Units in the labelled pack. Not the quantity used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u64>,
    /// ISBT 128 donation identification number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub donation_number: Option<String>,
    /// Every other element, by its identifier (`240`, `91`, `8012`), as written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, String>,
    /// What is wrong, as stable words: `check_digit_01`, `bad_date_17`, `bad_length_10`, `separators_ambiguous`, `unrecognised`
    /// and so on; [`code_of`] gives the page of each.
    pub errors: Vec<String>,
    /// What had to be guessed: `separators_recovered`, `separators_suspect`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Udi {
    pub(crate) fn error(&mut self, word: impl Into<String>) {
        let word = word.into();
        if !self.errors.contains(&word) {
            self.errors.push(word);
        }
    }

    pub(crate) fn warn(&mut self, word: &str) {
        self.warnings.push(word.to_owned());
    }

    pub(crate) fn set_expiry(&mut self, date: UdiDate) {
        self.expiry_precision = date.precision_to_say();
        self.expiry = Some(date);
    }

    pub(crate) fn set_manufactured(&mut self, date: UdiDate) {
        self.manufactured_precision = date.precision_to_say();
        self.manufactured = Some(date);
    }
}

/// What the message says elsewhere about the same device. It decides where a lot ends when the scanner took the separators.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// Lot as sent in a field of its own.
    pub lot: Option<&'a str>,
    /// Serial number as sent in a field of its own.
    pub serial: Option<&'a str>,
}

/// Reads one identifier. `year` is the year in which it was read (for the century of two-digit years).
pub fn parse(raw: &str, year: i16) -> Udi {
    parse_with(raw, year, Hints::default())
}

/// [`parse`] with what other fields of the message say about the same device.
pub fn parse_with(raw: &str, year: i16, hints: Hints<'_>) -> Udi {
    // Only line ends are cut off: the check character of an HIBC label may be a space.
    let text = raw.trim_matches(['\r', '\n', '\0']);
    let text = text.strip_prefix("\u{feff}").unwrap_or(text);
    let (symbology, text) = split_symbology(text);
    let bare = text.trim_start();
    if matches!(symbology, Some("E0" | "E1" | "E4")) {
        return gs1::parse_ean(bare, year);
    }
    if bare.starts_with('+') || (bare.starts_with("*+") && bare.trim_end().ends_with('*')) {
        return hibcc::parse(bare, year);
    }
    if bare.starts_with('=') || bare.starts_with('&') {
        return iccbba::parse(bare.trim_end());
    }
    gs1::parse(bare.trim_end_matches(' '), year, hints)
}

/// The page that explains an error or warning word of [`Udi::errors`] and [`Udi::warnings`].
pub fn code_of(word: &str) -> &'static str {
    if word == "unrecognised" {
        "WL-1501"
    } else if word.starts_with("check_") {
        "WL-1502"
    } else if word.starts_with("bad_date") {
        "WL-1503"
    } else if word.starts_with("bad_") {
        "WL-1504"
    } else if word.starts_with("separators_") {
        "WL-1506"
    } else {
        "WL-1505"
    }
}

/// Splits an AIM symbology identifier (`]d2`, `]C1`, `]Q3`, `]e0`, `]E0`) from what was scanned.
fn split_symbology(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix(']') {
        Some(rest) if rest.len() >= 2 && rest.is_char_boundary(2) => (Some(&rest[..2]), &rest[2..]),
        _ => (None, text),
    }
}

//! ICCBBA (ISBT 128): data structures one after another, each opened by two characters.

use crate::date::{UdiDate, number};
use crate::{Issuer, Udi};

/// How long the fixed structures are.
const DEVICE_IDENTIFIER: usize = 16;
const SERIAL: usize = 6;
const DONATION_NUMBER: usize = 15;
const LOT: usize = 18;

/// Reads `=/…`, `=)…` and what follows. The text starts with `=` or `&`.
pub(crate) fn parse(text: &str) -> Udi {
    let mut udi = Udi { issuer: Some(Issuer::Iccbba), ..Udi::default() };
    for structure in structures(text) {
        take(&mut udi, structure);
    }
    if udi.device_identifier.is_none() {
        udi.error("no_device_identifier");
    }
    udi
}

/// Cuts the text before every `=` and `&`; no value holds either.
fn structures(text: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> = text.match_indices(['=', '&']).map(|(at, _)| at).collect();
    starts.push(text.len());
    (1..starts.len()).map(move |index| &text[starts[index - 1]..starts[index]])
}

fn take(udi: &mut Udi, structure: &str) {
    if let Some(value) = structure.strip_prefix("=/") {
        udi.device_identifier = sized(udi, value, DEVICE_IDENTIFIER, "bad_length_device_identifier");
    } else if let Some(value) = structure.strip_prefix("=,") {
        udi.serial = sized(udi, value, SERIAL, "bad_length_serial");
    } else if let Some(value) = structure.strip_prefix("=>") {
        match century_date(value) {
            Some(date) => udi.set_expiry(date),
            None => udi.error("bad_date_expiry"),
        }
    } else if let Some(value) = structure.strip_prefix("=}") {
        match century_date(value) {
            Some(date) => udi.set_manufactured(date),
            None => udi.error("bad_date_manufactured"),
        }
    } else if let Some(value) = structure.strip_prefix("&,1") {
        udi.lot = sized(udi, value, LOT, "bad_length_lot");
    } else if let Some(value) = structure.strip_prefix("=)") {
        udi.kind = Some("blood_container");
        udi.device_identifier = filled(udi, value, "bad_length_device_identifier");
    } else if let Some(value) = structure.strip_prefix("&)") {
        udi.kind = Some("blood_container");
        udi.lot = filled(udi, value, "bad_length_lot");
    } else if structure.starts_with('=') && structure[1..].starts_with(|first: char| first.is_ascii_alphanumeric()) {
        udi.donation_number = sized(udi, &structure[1..], DONATION_NUMBER, "bad_length_donation_number");
    } else {
        udi.error("unknown_element");
    }
}

fn sized(udi: &mut Udi, value: &str, length: usize, word: &str) -> Option<String> {
    if value.chars().count() == length {
        return Some(value.to_owned());
    }
    udi.error(word);
    None
}

fn filled(udi: &mut Udi, value: &str, word: &str) -> Option<String> {
    if value.is_empty() {
        udi.error(word);
        return None;
    }
    Some(value.to_owned())
}

/// cYYJJJ: last digit of the century's first two (0 is 20xx, 9 is 19xx), year, day of the year.
fn century_date(text: &str) -> Option<UdiDate> {
    if text.len() != 6 || number::<u32>(text).is_none() {
        return None;
    }
    let century: i16 = number(&text[..1])?;
    let base = if century == 9 { 1900 } else { 2000 + 100 * century };
    UdiDate::from_ordinal(base + number::<i16>(&text[1..3])?, number(&text[3..])?, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_structures_of_a_tissue_label() {
        let udi = parse("=/A9999XYZ100T0944=,000025=A99971312345600=>014032=}013032&,1000000000000XYZ123");
        assert_eq!(udi.errors, Vec::<String>::new());
        assert_eq!(udi.device_identifier.as_deref(), Some("A9999XYZ100T0944"));
        assert_eq!(udi.serial.as_deref(), Some("000025"));
        assert_eq!(udi.donation_number.as_deref(), Some("A99971312345600"));
        assert_eq!(udi.expiry.map(|date| date.to_string()).as_deref(), Some("2014-02-01"));
        assert_eq!(udi.manufactured.map(|date| date.to_string()).as_deref(), Some("2013-02-01"));
        assert_eq!(udi.lot.as_deref(), Some("000000000000XYZ123"));
    }

    #[test]
    fn keeps_what_is_right_beside_what_is_wrong() {
        let udi = parse("=/SHORT=,000025=>014400=");
        assert_eq!(udi.serial.as_deref(), Some("000025"));
        assert_eq!(
            udi.errors,
            ["bad_length_device_identifier", "bad_date_expiry", "unknown_element", "no_device_identifier"]
        );
    }
}

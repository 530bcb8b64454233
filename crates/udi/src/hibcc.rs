//! HIBC supplier labelling: primary, secondary, both joined by `/`, with the modulo 43 check character at the end.

use crate::check::hibc_check_character;
use crate::date::{UdiDate, full_year, number, yymmdd};
use crate::{Issuer, Udi};

/// Reads `+…`, also with the asterisks that Code 39 prints around it.
pub(crate) fn parse(text: &str, year: i16) -> Udi {
    let mut udi = Udi { issuer: Some(Issuer::Hibcc), ..Udi::default() };
    let starred = text.strip_prefix('*').and_then(|inner| inner.trim_end().strip_suffix('*'));
    let text = starred.unwrap_or(text);
    let Some((checked, check)) = text.char_indices().next_back().map(|(at, check)| (&text[..at], check)) else {
        return udi;
    };
    if hibc_check_character(checked) != Some(check) {
        udi.error("check_character");
    }
    let body = checked.strip_prefix('+').unwrap_or(checked);
    if body.starts_with('$') || body.starts_with(|first: char| first.is_ascii_digit()) {
        // A secondary label on its own ends with the link: the check character of the primary it belongs to.
        let linked = body.char_indices().next_back().map_or(body, |(at, _)| &body[..at]);
        secondary(&mut udi, linked, year);
    } else {
        let mut parts = body.split('/');
        primary(&mut udi, parts.next().unwrap_or_default());
        for part in parts {
            secondary(&mut udi, part, year);
        }
    }
    if udi.device_identifier.is_none() {
        udi.error("no_device_identifier");
    }
    udi
}

/// Labeler (4, a letter first), product or catalogue number (1 to 18), unit of measure (1 digit).
fn primary(udi: &mut Udi, text: &str) {
    if !text.is_ascii() || !(6..=23).contains(&text.len()) {
        udi.error("bad_length_primary");
        return;
    }
    if !text.starts_with(|first: char| first.is_ascii_alphabetic())
        || !text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        udi.error("bad_character_primary");
    }
    udi.labeler = Some(text[..4].to_owned());
    udi.unit_of_measure = Some(text[text.len() - 1..].to_owned());
    udi.device_identifier = Some(text.to_owned());
}

fn secondary(udi: &mut Udi, text: &str, year: i16) {
    if !text.is_ascii() {
        udi.error("bad_character_secondary");
    } else if let Some(rest) = text.strip_prefix("$$+") {
        dated(udi, rest, year, true);
    } else if let Some(rest) = text.strip_prefix("$$") {
        dated(udi, rest, year, false);
    } else if let Some(rest) = text.strip_prefix("$+") {
        production(udi, rest, true);
    } else if let Some(rest) = text.strip_prefix('$') {
        production(udi, rest, false);
    } else {
        supplemental(udi, text, year);
    }
}

/// What follows `$$`: a quantity if any, a date in one of seven forms, then the lot or serial.
fn dated(udi: &mut Udi, text: &str, year: i16, serial: bool) {
    let quantity_digits = match text.as_bytes().first() {
        Some(b'8') => 2,
        Some(b'9') => 5,
        _ => 0,
    };
    let text = if quantity_digits == 0 {
        text
    } else {
        let Some(digits) = text.get(1..=quantity_digits) else {
            udi.error("bad_length_quantity");
            return;
        };
        match number(digits) {
            Some(quantity) => udi.quantity = Some(quantity),
            None => udi.error("bad_character_quantity"),
        }
        &text[1 + quantity_digits..]
    };
    let (start, length) = match text.as_bytes().first() {
        Some(b'0' | b'1') => (0, 4),
        Some(b'2' | b'3') => (1, 6),
        Some(b'4') => (1, 8),
        Some(b'5') => (1, 5),
        Some(b'6') => (1, 7),
        Some(b'7') => (1, 0),
        // After a quantity the date may be missing altogether.
        _ => (0, 0),
    };
    let Some(digits) = text.get(start..start + length) else {
        udi.error("bad_length_expiry");
        return;
    };
    if length > 0 {
        match expiry(text.as_bytes()[0], digits, year) {
            Some(date) => udi.set_expiry(date),
            None => udi.error("bad_date_expiry"),
        }
    }
    production(udi, &text[start + length..], serial);
}

fn expiry(form: u8, digits: &str, year: i16) -> Option<UdiDate> {
    number::<u32>(digits)?;
    match form {
        b'2' => {
            UdiDate::new(full_year(number(&digits[4..])?, year), number(&digits[..2])?, number(&digits[2..4])?, None)
        }
        b'3' => yymmdd(digits, year),
        b'4' => {
            let date = yymmdd(&digits[..6], year)?;
            UdiDate::new(date.year, date.month, date.day, number(&digits[6..]))
        }
        b'5' => UdiDate::from_ordinal(full_year(number(&digits[..2])?, year), number(&digits[2..])?, None),
        b'6' => {
            UdiDate::from_ordinal(full_year(number(&digits[..2])?, year), number(&digits[2..5])?, number(&digits[5..]))
        }
        _ => UdiDate::new(full_year(number(&digits[2..])?, year), number(&digits[..2])?, 0, None),
    }
}

fn production(udi: &mut Udi, value: &str, serial: bool) {
    if value.is_empty() {
        return;
    }
    let (field, word) = if serial { (&mut udi.serial, "bad_length_serial") } else { (&mut udi.lot, "bad_length_lot") };
    if value.len() > 18 {
        udi.error(word);
    } else if field.is_none() {
        *field = Some(value.to_owned());
    } else if field.as_deref() != Some(value) {
        udi.error(if serial { "conflicting_serial" } else { "conflicting_lot" });
    }
}

/// Elements by ANSI data identifier, and the oldest form of all: a day of the year with the lot behind it.
fn supplemental(udi: &mut Udi, text: &str, year: i16) {
    if let Some(date) = text.strip_prefix("14D") {
        match yyyymmdd(date) {
            Some(date) => udi.set_expiry(date),
            None => udi.error("bad_date_14D"),
        }
    } else if let Some(date) = text.strip_prefix("16D") {
        match yyyymmdd(date) {
            Some(date) => udi.set_manufactured(date),
            None => udi.error("bad_date_16D"),
        }
    } else if let Some(value) = text.strip_prefix('S') {
        production(udi, value, true);
    } else if let Some(value) = text.strip_prefix('Q') {
        match number(value) {
            Some(quantity) => udi.quantity = Some(quantity),
            None => udi.error("bad_character_quantity"),
        }
    } else if text.get(..5).and_then(number::<u32>).is_some() {
        match expiry(b'5', &text[..5], year) {
            Some(date) => udi.set_expiry(date),
            None => udi.error("bad_date_expiry"),
        }
        production(udi, &text[5..], false);
    } else {
        udi.error("unknown_element");
    }
}

fn yyyymmdd(text: &str) -> Option<UdiDate> {
    if text.len() != 8 {
        return None;
    }
    UdiDate::new(number(&text[..4])?, number(&text[4..6])?, number(&text[6..])?, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a label whose check character is computed here, so that the case shows its content alone.
    fn labelled(body: &str) -> Udi {
        let check = hibc_check_character(body).unwrap_or('?');
        parse(&format!("{body}{check}"), 2026)
    }

    #[track_caller]
    fn check(body: &str, expiry: &str, lot: &str, serial: &str, quantity: Option<u64>) {
        let udi = labelled(body);
        assert_eq!(udi.expiry.map(|date| date.to_string()).unwrap_or_default(), expiry, "{udi:?}");
        assert_eq!(udi.lot.as_deref().unwrap_or_default(), lot, "{udi:?}");
        assert_eq!(udi.serial.as_deref().unwrap_or_default(), serial, "{udi:?}");
        assert_eq!(udi.quantity, quantity, "{udi:?}");
        assert_eq!(udi.errors, Vec::<String>::new(), "{udi:?}");
    }

    #[test]
    fn reads_every_form_of_the_secondary() {
        check("+A123HS1/$$528335LOT", "2028-11-30", "LOT", "", None);
        check("+A123HS1/$$62833507LOT", "2028-11-30T07", "LOT", "", None);
        check("+A123HS1/$$8243281130LOT", "2028-11-30", "LOT", "", Some(24));
        check("+A123HS1/$$900500LOT", "", "LOT", "", Some(500));
        check("+A123HS1/$+SER", "", "", "SER", None);
        check("+A123HS1/28335LOT", "2028-11-30", "LOT", "", None);
        check("+A123HS1/$LOT/Q12", "", "LOT", "", Some(12));
    }

    #[test]
    fn keeps_a_check_character_that_is_a_space() {
        let body = (b'A'..=b'Z')
            .map(|last| format!("+A123B{}1", char::from(last)))
            .find(|body| hibc_check_character(body) == Some(' '));
        let body = body.unwrap_or_default();
        let udi = crate::parse(&format!("{body} "), 2026);
        assert_eq!(udi.device_identifier.as_deref(), body.strip_prefix('+'));
        assert_eq!(udi.errors, Vec::<String>::new());
    }

    #[test]
    fn reads_a_secondary_label_alone() {
        let udi = labelled("+$$3281130LOTG");
        assert_eq!(udi.lot.as_deref(), Some("LOT"));
        assert_eq!(udi.errors, ["no_device_identifier"]);
    }

    #[test]
    fn survives_short_and_foreign_input() {
        for text in ["+", "*+*", "+é", "+A/$$", "+A123B1/$$4é", "+$", "+/", "+A123B1/$$9"] {
            let _ = parse(text, 2026);
        }
        assert_eq!(labelled("+A123B1/X1").errors, ["unknown_element"]);
        assert_eq!(labelled("+A123B1/$$3281332L").errors, ["bad_date_expiry"]);
    }
}

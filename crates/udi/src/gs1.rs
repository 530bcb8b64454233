//! GS1: human-readable form, scanned form, and what can be recovered when the scanner took the separators.

use crate::check::{gtin14, has_gs1_check_digit};
use crate::date::{number, yymmdd};
use crate::gs1_elements::{Class, Element, at_start, is_character_82, lookup};
use crate::{Hints, Issuer, Udi};

/// What a transmitted FNC1 is, and how keyboards, terminals and people write it.
const SEPARATOR: char = '\u{1d}';
const WRITTEN_SEPARATORS: [&str; 4] = ["{GS}", "<GS>", "[GS]", "\u{241d}"];

/// At most this many readings are tried for a string without separators, so that no input costs more than its length.
const MAX_READINGS: usize = 64;

type Parts<'a> = Vec<(&'a str, &'a str)>;

/// Reads either form.
pub(crate) fn parse(text: &str, year: i16, hints: Hints<'_>) -> Udi {
    let mut udi = Udi::default();
    if let Some(parts) = human_readable(text) {
        udi.issuer = Some(Issuer::Gs1);
        for (identifier, value) in parts {
            take(&mut udi, identifier, value, year);
        }
    } else {
        let text = with_separators(text);
        scanned(&mut udi, text.trim_start_matches(SEPARATOR), year, hints);
    }
    finish(udi)
}

/// Reads an EAN or UPC symbol: the GTIN alone, without identifier.
pub(crate) fn parse_ean(text: &str, year: i16) -> Udi {
    let mut udi = Udi { issuer: Some(Issuer::Gs1), ..Udi::default() };
    let digits = text.trim_end();
    match gtin14(digits) {
        Some(gtin) => udi.device_identifier = Some(gtin),
        None if digits.len() <= 14 && number::<u64>(digits).is_some() => {
            take(&mut udi, "01", &format!("{digits:0>14}"), year)
        }
        None => udi.error("bad_length_01"),
    }
    finish(udi)
}

fn finish(mut udi: Udi) -> Udi {
    if udi.issuer.is_none() {
        udi.error("unrecognised");
    } else if udi.device_identifier.is_none() {
        udi.error("no_device_identifier");
    }
    udi
}

fn with_separators(text: &str) -> std::borrow::Cow<'_, str> {
    if !WRITTEN_SEPARATORS.iter().any(|written| text.contains(written)) {
        return text.into();
    }
    let mut replaced = text.to_owned();
    for written in WRITTEN_SEPARATORS {
        replaced = replaced.replace(written, "\u{1d}");
    }
    replaced.into()
}

/// The elements of `(01)…(17)…`, or none if the text does not begin with an identifier in brackets.
fn human_readable(text: &str) -> Option<Parts<'_>> {
    let mut parts = Vec::new();
    let (mut identifier, mut start) = bracketed(text, 0)?;
    for (position, character) in text.char_indices() {
        if character != '(' || position < start {
            continue;
        }
        if let Some((next, after)) = bracketed(text, position) {
            parts.push((identifier, text[start..position].trim()));
            (identifier, start) = (next, after);
        }
    }
    parts.push((identifier, text[start..].trim()));
    Some(parts)
}

/// The known identifier in brackets at `position`, and where its value starts. Other bracketed digits are data.
fn bracketed(text: &str, position: usize) -> Option<(&str, usize)> {
    let inside = text.get(position..)?.strip_prefix('(')?;
    let identifier = &inside[..inside.find(')')?];
    lookup(identifier)?;
    Some((identifier, position + identifier.len() + 2))
}

/// Reads identifiers and values that follow each other, with separators after values of variable length.
fn scanned(udi: &mut Udi, text: &str, year: i16, hints: Hints<'_>) {
    if at_start(text).is_none() {
        return;
    }
    udi.issuer = Some(Issuer::Gs1);
    let separated = text.trim_end_matches(SEPARATOR).contains(SEPARATOR);
    for chunk in text.split(SEPARATOR).filter(|chunk| !chunk.is_empty()) {
        scan_chunk(udi, chunk, year, separated, hints);
    }
}

/// Reads what stands between two separators: any number of fixed elements, then at most one of variable length.
fn scan_chunk(udi: &mut Udi, mut chunk: &str, year: i16, separated: bool, hints: Hints<'_>) {
    while !chunk.is_empty() {
        let Some((identifier, element)) = at_start(chunk) else {
            udi.error("unknown_element");
            return;
        };
        let rest = &chunk[identifier.len()..];
        if element.min != element.max {
            for (identifier, value) in variable(udi, identifier, rest, year, separated, hints) {
                take(udi, identifier, value, year);
            }
            return;
        }
        let end = rest.char_indices().nth(element.max).map_or(rest.len(), |(end, _)| end);
        take(udi, identifier, &rest[..end], year);
        chunk = &rest[end..];
    }
}

/// Decides what a value of variable length and the text behind it are: one value, or several whose separators were lost.
fn variable<'a>(
    udi: &mut Udi,
    identifier: &'a str,
    rest: &'a str,
    year: i16,
    separated: bool,
    hints: Hints<'_>,
) -> Parts<'a> {
    let strict = vec![(identifier, rest)];
    let strict_is_legal = is_legal(identifier, rest);
    let mut readings = Vec::new();
    if rest.is_ascii() && (!separated || !strict_is_legal) {
        split(identifier, rest, year, &mut Vec::new(), &mut readings);
    }
    readings.retain(|reading| reading.len() > 1);
    if (hints.lot.is_some() || hints.serial.is_some()) && !agrees(&strict, hints) {
        if let Some(reading) = readings.iter().find(|reading| agrees(reading, hints)) {
            udi.warn("separators_recovered");
            return reading.clone();
        }
    } else if strict_is_legal && agrees(&strict, hints) && hints.lot.or(hints.serial).is_some() {
        return strict;
    }
    let best =
        readings.iter().max_by_key(|reading| (evidence(identifier, rest, reading), std::cmp::Reverse(reading.len())));
    match best {
        Some(reading) if evidence(identifier, rest, reading) == reading.len() - 1 => {
            udi.warn("separators_recovered");
            reading.clone()
        }
        Some(reading) if !strict_is_legal && readings.len() == 1 => {
            udi.warn("separators_recovered");
            reading.clone()
        }
        Some(_) if !strict_is_legal => {
            // A wrong lot is worse than none: a person, or another field, has to say where it ends.
            udi.error("separators_ambiguous");
            Vec::new()
        }
        Some(_) => {
            if readings.iter().any(|reading| is_lot_and_serial(reading)) {
                udi.warn("separators_suspect");
            }
            strict
        }
        None => strict,
    }
}

fn is_legal(identifier: &str, value: &str) -> bool {
    lookup(identifier).is_some_and(|element| fault(element, value).is_none())
}

/// All ways to read `rest` as the value of `identifier` followed by other elements that carry production identifiers.
fn split<'a>(identifier: &'a str, rest: &'a str, year: i16, taken: &mut Parts<'a>, readings: &mut Vec<Parts<'a>>) {
    let Some(element) = lookup(identifier) else {
        return;
    };
    let shortest = element.min.min(rest.len());
    for end in shortest..=element.max.min(rest.len()) {
        if readings.len() >= MAX_READINGS {
            return;
        }
        let value = &rest[..end];
        if fault(element, value).is_some() || (element.class == Class::Date && !plausible_date(value, year)) {
            continue;
        }
        taken.push((identifier, value));
        let tail = &rest[end..];
        if tail.is_empty() {
            readings.push(taken.clone());
        } else if let Some((next, _)) = at_start(tail)
            && matches!(next, "10" | "11" | "17" | "21" | "30" | "240")
            && !taken.iter().any(|(used, _)| *used == next)
        {
            split(next, &tail[next.len()..], year, taken, readings);
        }
        taken.pop();
    }
}

/// A lot and a serial number, both of some length, in the order in which labels print them.
fn is_lot_and_serial(reading: &Parts<'_>) -> bool {
    matches!(reading[..], [("10", lot), ("21", serial)] if lot.len() >= 3 && serial.len() >= 3)
}

/// A date that a device in use can carry: made or expiring within fifteen years of now.
fn plausible_date(value: &str, year: i16) -> bool {
    yymmdd(value, year).is_some_and(|date| (date.year - year).abs() <= 15)
}

/// Whether a reading gives the lot and serial that the message states elsewhere.
fn agrees(reading: &Parts<'_>, hints: Hints<'_>) -> bool {
    let value_of = |wanted: &str| reading.iter().find(|(identifier, _)| *identifier == wanted).map(|(_, value)| *value);
    let lot_agrees = hints.lot.is_none_or(|lot| value_of("10").is_none_or(|value| value == lot));
    let serial_agrees = hints.serial.is_none_or(|serial| value_of("21").is_none_or(|value| value == serial));
    lot_agrees && serial_agrees
}

/// How many of the recovered boundaries stand out: a plausible date, an element behind a fixed one, or an identifier whose
/// digits stand alone between letters with a value of some length on both sides.
fn evidence(identifier: &str, rest: &str, reading: &Parts<'_>) -> usize {
    let mut position = identifier.len();
    let mut strong = 0;
    let whole = format!("{identifier}{rest}");
    for pair in reading.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        position += before.1.len();
        let fixed_before = lookup(before.0).is_some_and(|element| element.min == element.max);
        let date_after = lookup(after.0).is_some_and(|element| element.class == Class::Date);
        let bytes = whole.as_bytes();
        let alone = !bytes[position - 1].is_ascii_digit()
            && bytes.get(position + after.0.len()).is_some_and(|byte| !byte.is_ascii_digit())
            && before.1.len() >= 3
            && after.1.len() >= 3;
        if fixed_before || date_after || alone {
            strong += 1;
        }
        position += after.0.len();
    }
    strong
}

/// What is wrong with a value, as the first half of an error word.
fn fault(element: Element, value: &str) -> Option<&'static str> {
    let length = value.chars().count();
    if length < element.min || length > element.max {
        return Some("bad_length");
    }
    let legal = match element.class {
        Class::Text => value.chars().all(is_character_82),
        Class::Digits | Class::Checked | Class::Date => value.bytes().all(|byte| byte.is_ascii_digit()),
    };
    (!legal).then_some("bad_character")
}

/// Puts one element where it belongs.
fn take(udi: &mut Udi, identifier: &str, value: &str, year: i16) {
    let Some(element) = lookup(identifier) else {
        return;
    };
    if let Some(fault) = fault(element, value) {
        udi.error(format!("{fault}_{identifier}"));
        return;
    }
    if element.class == Class::Checked && !has_gs1_check_digit(value) {
        udi.error(format!("check_digit_{identifier}"));
    }
    match identifier {
        "01" => once(udi, identifier, value, |udi| &mut udi.device_identifier),
        "10" => once(udi, identifier, value, |udi| &mut udi.lot),
        "21" => once(udi, identifier, value, |udi| &mut udi.serial),
        "30" => udi.quantity = number(value),
        "11" | "17" => match yymmdd(value, year) {
            None => udi.error(format!("bad_date_{identifier}")),
            Some(date) if identifier == "11" => udi.set_manufactured(date),
            Some(date) => udi.set_expiry(date),
        },
        _ => {
            udi.other.insert(identifier.to_owned(), value.to_owned());
        }
    }
}

/// Keeps the first value of an element that may stand only once, and says so when a second one differs.
fn once(udi: &mut Udi, identifier: &str, value: &str, field: impl Fn(&mut Udi) -> &mut Option<String>) {
    match field(udi) {
        Some(first) if first != value => udi.error(format!("conflicting_{identifier}")),
        Some(_) => {}
        empty @ None => *empty = Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_HINTS: Hints<'_> = Hints { lot: None, serial: None };

    #[track_caller]
    fn check(text: &str, lot: &str, serial: &str, warnings: &[&str]) {
        let udi = parse(text, 2026, NO_HINTS);
        assert_eq!(udi.lot.as_deref().unwrap_or_default(), lot, "{udi:?}");
        assert_eq!(udi.serial.as_deref().unwrap_or_default(), serial, "{udi:?}");
        assert_eq!(udi.warnings, warnings, "{udi:?}");
        assert_eq!(udi.errors, Vec::<String>::new(), "{udi:?}");
    }

    #[test]
    fn recovers_lost_separators_where_the_boundary_stands_out() {
        check("01008445880032881728113010LOT71A21SN710001", "LOT71A", "SN710001", &["separators_recovered"]);
        check("010084458800328810LOT71A1728113021SN710001", "LOT71A", "SN710001", &["separators_recovered"]);
        check("010084458800328821SN710001172811301", "", "SN710001172811301", &[]);
    }

    #[test]
    fn keeps_an_ordinary_lot_that_happens_to_hold_the_digits() {
        check("010084458800328810L2101", "L2101", "", &[]);
        check("010084458800328810AB21CD", "AB21CD", "", &[]);
        check("010084458800328810LOT12321456", "LOT12321456", "", &["separators_suspect"]);
    }

    #[test]
    fn splits_a_value_that_is_too_long_to_be_one() {
        check("010084458800328810ABCDEFGH123421X9876543876", "ABCDEFGH1234", "X9876543876", &["separators_recovered"]);
    }

    #[test]
    fn refuses_to_choose_between_two_ways_to_split() {
        let udi = parse("010084458800328810ABCDEF123421X987654321012", 2026, NO_HINTS);
        assert_eq!(udi.errors, ["separators_ambiguous"]);
        assert_eq!((udi.lot, udi.serial), (None, None));
    }

    #[test]
    fn lets_other_fields_of_the_message_decide() {
        let raw = "010084458800328810LOT12321456";
        let udi = parse(raw, 2026, Hints { lot: Some("LOT123"), serial: Some("456") });
        assert_eq!((udi.lot.as_deref(), udi.serial.as_deref()), (Some("LOT123"), Some("456")));
        let udi = parse(raw, 2026, Hints { lot: Some("LOT12321456"), serial: None });
        assert_eq!((udi.lot.as_deref(), udi.serial.as_deref()), (Some("LOT12321456"), None));
        assert_eq!(udi.warnings, Vec::<String>::new());
    }

    #[test]
    fn reads_written_separators_and_spaced_print() {
        check("010084458800328810L1<GS>21S1", "L1", "S1", &[]);
        check("(01) 00844588003288 (10) L1 (21) S1", "L1", "S1", &[]);
    }

    #[test]
    fn pads_a_retail_code() {
        assert_eq!(crate::parse("]E0036000291452", 2026).device_identifier.as_deref(), Some("00036000291452"));
    }
}

//! Unique device identifiers.

use udi::{Hints, Udi, code_of, parse, parse_with};

/// The year in which labels are read here.
const YEAR: i16 = 2027;

/// Separates the label from the lot and the serial number that the message states elsewhere.
const NEXT_FIELD: char = '\u{1e}';

/// The input is a label, and after record separators a lot and a serial number of other fields. Whatever is read of a label
/// stands in the label; line ends around it change nothing; and every fault has a page.
pub fn udi(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let mut fields = input.split(NEXT_FIELD);
    let label = fields.next().unwrap_or_default();
    let hints = Hints { lot: fields.next(), serial: fields.next() };
    let read = parse_with(label, YEAR, hints);
    check_facts(&read, label);
    assert_eq!(parse_with(label, YEAR, hints), read, "the same label, another reading");
    if hints.lot.is_none() {
        assert_eq!(parse(&format!("{label}\r\n"), YEAR), read, "a line end changes the reading");
    }
    assert!(serde_json::to_value(&read).is_ok());
}

fn check_facts(read: &Udi, label: &str) {
    let texts = [&read.labeler, &read.unit_of_measure, &read.lot, &read.serial, &read.donation_number];
    for text in texts.into_iter().flatten().chain(read.other.values()) {
        assert!(!text.is_empty() && label.contains(text.as_str()), "{text:?} does not stand in {label:?}");
    }
    if let Some(identifier) = &read.device_identifier {
        // A retail code is padded with zeros to the fourteen digits under which it is stored.
        let written =
            if read.issuer == Some(udi::Issuer::Gs1) { identifier.trim_start_matches('0') } else { identifier };
        assert!(!identifier.is_empty() && label.contains(written), "{identifier:?} does not stand in {label:?}");
    }
    for date in [read.expiry, read.manufactured].into_iter().flatten() {
        let real = schemas::Date::from_ymd(date.year, date.month.cast_signed(), date.day.cast_signed());
        assert!(real.is_some() && date.hour.is_none_or(|hour| hour < 24), "{date}");
    }
    assert_eq!(read.expiry.is_none(), read.expiry.is_none() && read.expiry_precision.is_none());
    assert!(read.device_identifier.is_some() || !read.errors.is_empty(), "no device identifier and no error");
    for word in read.errors.iter().chain(&read.warnings) {
        assert!(!word.is_empty() && code_of(word).starts_with("WL-15"), "{word}");
    }
}

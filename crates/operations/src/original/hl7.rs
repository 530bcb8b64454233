//! HL7 v2 messages by segments and fields, with the names that the standard gives them.

use serde::Serialize;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A line per segment: its id, what it is, and the names of its fields from the first on.
const NAMES: &str = include_str!("hl7.txt");

static SEGMENTS: LazyLock<HashMap<&'static str, Names>> =
    LazyLock::new(|| NAMES.lines().filter_map(Names::of).collect());

struct Names {
    title: &'static str,
    fields: Vec<&'static str>,
}

/// A segment of an HL7 v2 message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Its id, for example `PID`.
    pub name: String,
    /// What it is, for example `patient`; empty where the standard has no such segment.
    pub title: &'static str,
    /// The fields that are not empty.
    pub fields: Vec<SegmentField>,
}

/// A field of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentField {
    /// Its number.
    pub number: usize,
    /// Its name, for example `Patient name`; empty where the standard has no such field.
    pub name: &'static str,
    /// What stands in it.
    pub text: String,
}

impl Names {
    fn of(line: &'static str) -> Option<(&'static str, Self)> {
        let mut parts = line.split('|');
        let (segment, title) = (parts.next()?, parts.next()?);
        Some((segment, Self { title, fields: parts.collect() }))
    }
}

impl Segment {
    /// Reads a line of a message.
    fn of(line: &str, separator: char) -> Self {
        let mut parts = line.split(separator);
        let name: String = parts.next().unwrap_or_default().chars().take(8).collect();
        // The first field of a header is the separator itself.
        let first = if ["MSH", "BHS", "FHS"].contains(&name.as_str()) { 2 } else { 1 };
        let filled = parts.enumerate().filter(|(_, text)| !text.is_empty());
        let field = |(index, text): (usize, &str)| {
            let number = index + first;
            SegmentField { number, name: field_name(&name, number), text: text.to_owned() }
        };
        let fields = filled.map(field).collect();
        Self { title: title(&name), fields, name }
    }
}

/// What a segment is; empty where the standard has none that is called so.
pub fn title(segment: &str) -> &'static str {
    SEGMENTS.get(segment).map_or("", |names| names.title)
}

/// The name of a field, counted from 1; empty where the standard has none there, as in the segments of a site.
#[must_use]
pub fn field_name(segment: &str, number: usize) -> &'static str {
    let names = SEGMENTS.get(segment).zip(number.checked_sub(1));
    names.and_then(|(names, index)| names.fields.get(index).copied()).unwrap_or_default()
}

/// The name of the field that a place names, `Patient identifier list` of `PID[1]-3.1`; empty where it names none of HL7 v2.
#[must_use]
pub fn name_of(path: &str) -> &'static str {
    place(path).map_or("", |(segment, number)| field_name(segment, number))
}

/// The segment and the number of the field that a place names, for example `PID`, 3 of `PID[1]-3.1`.
pub fn place(path: &str) -> Option<(&str, usize)> {
    let (segment, rest) = path.split_once('-')?;
    let segment = segment.split('[').next().unwrap_or(segment);
    let digits = rest.find(|one: char| !one.is_ascii_digit()).unwrap_or(rest.len());
    let number = rest.get(..digits)?.parse().ok()?;
    is_segment_name(segment).then_some((segment, number))
}

/// Which of the segments that are called so a place means, counted from 1: 2 of `OBX[2]-5`.
pub fn repetition(path: &str) -> usize {
    let number =
        path.split_once('-').and_then(|(segment, _)| segment.split_once('[')?.1.strip_suffix(']')?.parse().ok());
    number.filter(|number| *number > 0).unwrap_or(1)
}

/// The segments of an HL7 v2 message; none when it is not one.
pub fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_control() && *byte != b' ')?;
    let text = String::from_utf8_lossy(bytes.get(start..)?);
    let separator = text.strip_prefix("MSH").and_then(|rest| rest.chars().next())?;
    if separator.is_alphanumeric() {
        return None;
    }
    let lines = text.split(['\r', '\n']).map(|line| line.trim_matches(['\u{b}', '\u{1c}']));
    Some(lines.filter(|line| !line.is_empty()).map(|line| Segment::of(line, separator)).collect())
}

/// A name as HL7 v2 gives it: three capitals or digits (standard 2.5.2, chapter 2.5.2).
pub fn is_segment_name(name: &str) -> bool {
    name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every segment that Wardline reads, and every one that real messages hold.
    const USED: [&str; 88] = [
        "ACC", "AIG", "AIL", "AIP", "AIS", "AL1", "ARV", "AUT", "BHS", "BLG", "BTS", "CDM", "CDO", "CON", "CTD", "CTI",
        "DB1", "DG1", "DSC", "DSP", "ERQ", "ERR", "EVN", "FHS", "FT1", "FTS", "GT1", "IIM", "IN1", "IN2", "IN3", "INV",
        "ITM", "IVC", "IVT", "LCH", "LDP", "LOC", "MFA", "MFE", "MFI", "MRG", "MSA", "MSH", "NK1", "NTE", "OBR", "OBX",
        "ODS", "ORC", "ORG", "PCE", "PD1", "PDA", "PID", "PKG", "PR1", "PRA", "PRB", "PRC", "PRD", "PRT", "PV1", "PV2",
        "QAK", "QPD", "QRD", "RF1", "RGS", "ROL", "RQ1", "RQD", "RXA", "RXC", "RXD", "RXE", "RXG", "RXO", "RXR", "SAC",
        "SCH", "SFT", "SPM", "STF", "TQ1", "TQ2", "TXA", "VND",
    ];

    #[test]
    fn every_segment_in_use_has_a_title_and_a_name_for_each_field() {
        for segment in USED {
            let names = SEGMENTS.get(segment);
            assert!(names.is_some_and(|names| !names.title.is_empty() && !names.fields.is_empty()), "{segment}");
            let nameless = names.iter().flat_map(|names| &names.fields).filter(|name| name.is_empty()).count();
            assert_eq!(nameless, 0, "{segment}");
        }
    }

    #[test]
    fn fields_are_called_as_the_standard_calls_them() {
        for (segment, number, name) in [
            ("MSH", 1, "Field separator"),
            ("MSH", 9, "Message type"),
            ("MSH", 10, "Message control ID"),
            ("PID", 3, "Patient identifier list"),
            ("PID", 5, "Patient name"),
            ("PV1", 3, "Assigned patient location"),
            ("PV1", 19, "Visit number"),
            ("PV1", 45, "Discharge date/time"),
            ("FT1", 10, "Transaction quantity"),
            ("FT1", 29, "NDC code"),
            ("OBX", 3, "Observation identifier"),
            ("OBX", 18, "Equipment instance identifier"),
            ("MRG", 1, "Prior patient identifier list"),
            ("RQD", 3, "Item code - external"),
            ("RXA", 15, "Substance lot number"),
            ("PRT", 10, "Participation device"),
            ("IIM", 3, "Inventory lot number"),
            ("ZXA", 1, ""),
            ("PID", 0, ""),
            ("PID", 99, ""),
        ] {
            assert_eq!(field_name(segment, number), name, "{segment}-{number}");
        }
    }

    #[test]
    fn a_place_names_a_field_whatever_stands_around_its_number() {
        assert_eq!(place("PID-3"), Some(("PID", 3)));
        assert_eq!(place("OBX[2]-18.1"), Some(("OBX", 18)));
        assert_eq!((name_of("PID[1]-3.1"), name_of("lot")), ("Patient identifier list", ""));
        assert_eq!(place("PID"), None);
        assert_eq!(place("itemRef.code"), None);
        assert_eq!(place("use-by-1"), None);
        for (path, number) in [("OBX[2]-5", 2), ("OBX-5[3]", 1), ("OBX[0]-5", 1), ("OBX[x]-5", 1), ("OBX[3]", 1)] {
            assert_eq!(repetition(path), number, "{path}");
        }
        assert_eq!((segments(b"MSHX|"), segments(b"")), (None, None));
    }
}

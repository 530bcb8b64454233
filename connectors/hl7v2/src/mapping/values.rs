//! HL7 data types as values of the contracts.

use jiff::tz::{Offset, TimeZone};
use schemas::{AltCode, Code, Location, PatientClass, Precision};

use crate::parser::{TimestampPrecision, Value};

/// A simple value, owned.
pub(super) fn text(value: Value<'_>) -> Option<String> {
    value.first().map(std::borrow::Cow::into_owned)
}

/// A coded element (CE, CWE, CNE): code, text, system, then the same again as an alternative. An element with a text but no
/// code is named by its text.
pub(super) fn code(value: Value<'_>) -> Option<Code> {
    let part = |number| text(value.component(number));
    let shown = part(2);
    let code = part(1).or_else(|| shown.clone())?;
    let alternative = part(4).map(|code| AltCode { code, system: part(6), text: part(5) });
    Some(Code { code, system: part(3), text: shown, alt: alternative.into_iter().collect() })
}

/// A person location (PL): point of care, room, bed, facility, description.
pub(super) fn location(value: Value<'_>) -> Option<Location> {
    let part = |number| text(value.component(number));
    let location = Location { unit: part(1), room: part(2), bed: part(3), facility: part(4), code: part(9) };
    (location != Location::default()).then_some(location)
}

/// Table 0004, with the letters that sites add for day care, virtual and home.
pub(super) fn patient_class(value: Value<'_>) -> PatientClass {
    match text(value).unwrap_or_default().to_ascii_uppercase().as_str() {
        "I" => PatientClass::Inpatient,
        "O" => PatientClass::Outpatient,
        "E" => PatientClass::Emergency,
        "P" => PatientClass::Preadmit,
        "R" => PatientClass::Recurring,
        "B" => PatientClass::Obstetrics,
        "D" => PatientClass::DayCare,
        "V" => PatientClass::Virtual,
        "H" => PatientClass::Home,
        _ => PatientClass::Unknown,
    }
}

pub(super) fn precision(precision: TimestampPrecision) -> Precision {
    match precision {
        TimestampPrecision::Year => Precision::Year,
        TimestampPrecision::Month => Precision::Month,
        TimestampPrecision::Day => Precision::Day,
        TimestampPrecision::Hour => Precision::Hour,
        TimestampPrecision::Minute => Precision::Minute,
        TimestampPrecision::Second => Precision::Second,
        TimestampPrecision::Millisecond => Precision::Millis,
        TimestampPrecision::Microsecond => Precision::Micros,
    }
}

/// A time zone by name or as `+hh:mm`.
pub(super) fn time_zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    if !name.starts_with(['+', '-']) {
        return TimeZone::get(name).ok();
    }
    let (hours, minutes) = name[1..].split_once(':')?;
    let minutes = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?;
    fixed_offset(if name.starts_with('-') { -minutes } else { minutes })
}

/// A time zone that is always so many minutes east of UTC.
pub(super) fn fixed_offset(minutes: i32) -> Option<TimeZone> {
    Offset::from_seconds(minutes.checked_mul(60)?).ok().map(TimeZone::fixed)
}

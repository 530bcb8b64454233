//! ORU: devices that were used or implanted, documented as OBX with LOINC 74711-3, as PRT or as DEV.

use rust_decimal::Decimal;
use schemas::{Action, UsageKind};

use super::charge::{encounter_of, whole};
use super::context::Context;
use super::usage::{Use, date, year};
use super::values::{code, location, text};
use super::{MappedEvent, Refusal};
use crate::mllp::ErrorPlace;
use crate::parser::{Segment, Value};

/// LOINC: unique device identifier.
const UDI_LOINC: &str = "74711-3";
/// The OID of FDA UDI as a namespace of PRT-10.
const UDI_OID: &str = "2.16.840.1.113883.3.3719";

/// Maps R01. Empty if no observation is about a device.
pub(super) fn map(mut context: Context<'_>) -> Result<Vec<MappedEvent>, Box<Refusal>> {
    let mut uses: Vec<Use> = Vec::new();
    let mut order = None;
    for segment in context.message.segments() {
        if segment.is("OBR") {
            order = Some(segment);
        }
        let Some(found) = device(&context, segment, order) else { continue };
        match uses.iter_mut().find(|known| is_same_device(&context, known, &found)) {
            Some(known) => merge(known, found),
            None => uses.push(found),
        }
    }
    if uses.is_empty() {
        return Ok(Vec::new());
    }
    let (encounter_ref, guessed) = encounter_of(&context)?;
    context.warnings.extend(guessed);
    let event = |(position, mut one): (usize, Use)| {
        one.fact = Some(device_fact(&context, &one, &encounter_ref, position));
        one.into_event(&context, &encounter_ref, position)
    };
    Ok(uses.into_iter().enumerate().map(event).collect())
}

/// What one segment says about a device, if it does.
fn device(context: &Context<'_>, segment: Segment<'_>, order: Option<Segment<'_>>) -> Option<Use> {
    let mut found = if segment.is("OBX") {
        observation(context, segment)?
    } else if segment.is("PRT") {
        participation(context, segment)?
    } else if segment.is("DEV") {
        device_segment(segment)?
    } else {
        return None;
    };
    found.path = ErrorPlace::new(segment.name(), segment.sequence(), 0).path();
    // A retraction names the fact that it takes back, so it keeps the quantity of that fact.
    found.quantity = Decimal::ONE;
    let mut ignored = Vec::new();
    let ordered = order.and_then(|order| context.time(&order, 7, &mut ignored));
    found.occurred = found.occurred.or(ordered).or_else(|| context.event_time(&mut ignored));
    found.location = location(context.message.segment("PV1").field(3));
    found.procedure = order.and_then(|order| code(order.field(44)).or_else(|| code(order.field(4))));
    found.orders = order.into_iter().flat_map(|order| [order.field(2), order.field(3)]).filter_map(text).collect();
    Some(found)
}

fn observation(context: &Context<'_>, segment: Segment<'_>) -> Option<Use> {
    let is_udi = |first: usize| text(segment.field(3).component(first)).as_deref() == Some(UDI_LOINC);
    if !is_udi(1) && !is_udi(4) {
        return None;
    }
    let action = match segment.field(11).raw() {
        "D" | "W" => Action::Retract,
        "X" | "N" | "O" => return None,
        _ => Action::Create,
    };
    let udi = whole(segment.field(5))?;
    let mut warnings = Vec::new();
    let occurred = context.time(&segment, 14, &mut warnings);
    Some(Use { udi: Some(udi), occurred, usage: UsageKind::Implanted, action, warnings, ..Use::default() })
}

/// PRT (2.7): the UDI is component 1 of PRT-10; lot, serial and expiry have fields of their own.
fn participation(context: &Context<'_>, segment: Segment<'_>) -> Option<Use> {
    let device = segment.field(10);
    let raw = whole(device.component(1))?;
    let declared = [2, 3].into_iter().any(|number| device.component(number).raw() == UDI_OID);
    // PRT-10 also holds instruments and local device numbers, which are no use of stock.
    if !declared && udi::parse(&raw, year(None, context)).issuer.is_none() {
        return None;
    }
    let action = match segment.field(2).raw() {
        "DE" => Action::Retract,
        "UC" => return None,
        _ => Action::Create,
    };
    let mut warnings = Vec::new();
    let occurred = context.time(&segment, 11, &mut warnings);
    Some(Use {
        udi: Some(raw),
        occurred,
        lot: text(segment.field(19)),
        serial: text(segment.field(20)),
        expiry: text(segment.field(18)).and_then(|sent| date(&sent)),
        usage: UsageKind::Implanted,
        action,
        warnings,
        ..Use::default()
    })
}

/// DEV (2.9).
fn device_segment(segment: Segment<'_>) -> Option<Use> {
    let given = |value: Value<'_>| whole(value.component(1));
    let (udi, device_identifier) = (given(segment.field(2)), text(segment.field(9)));
    if udi.is_none() && device_identifier.is_none() {
        return None;
    }
    Some(Use {
        udi,
        device_identifier,
        lot: text(segment.field(10)),
        serial: text(segment.field(11)),
        expiry: text(segment.field(13)).and_then(|sent| date(&sent)),
        usage: UsageKind::Implanted,
        ..Use::default()
    })
}

/// Identifier, lot and serial, from fields or from the UDI.
fn parts(context: &Context<'_>, one: &Use) -> (Option<String>, Option<String>, Option<String>) {
    let parsed = one.parsed_udi(year(one.occurred, context)).unwrap_or_default();
    let identifier = parsed.device_identifier.or_else(|| one.device_identifier.clone());
    (identifier, one.lot.clone().or(parsed.lot), one.serial.clone().or(parsed.serial))
}

/// One message often documents a device twice, as an observation and as a participant.
fn is_same_device(context: &Context<'_>, known: &Use, found: &Use) -> bool {
    let (known_parts, found_parts) = (parts(context, known), parts(context, found));
    let both_observed = known.path.starts_with("OBX") && found.path.starts_with("OBX");
    known_parts.0.is_some() && known_parts == found_parts && (known_parts.2.is_some() || !both_observed)
}

fn merge(known: &mut Use, found: Use) {
    known.lot = known.lot.take().or(found.lot);
    known.serial = known.serial.take().or(found.serial);
    known.expiry = known.expiry.or(found.expiry);
    known.device_identifier = known.device_identifier.take().or(found.device_identifier);
}

fn device_fact(context: &Context<'_>, one: &Use, encounter_ref: &str, position: usize) -> String {
    let (identifier, lot, _) = parts(context, one);
    let (identifier, lot) = (identifier.unwrap_or_default(), lot.unwrap_or_default());
    format!("{encounter_ref}/{identifier}/{lot}/{}/{position}", context.identity.control_id)
}

//! DFT: charges that move stock, with the Z-segments that name the article.

use std::str::FromStr;

use rust_decimal::Decimal;
use schemas::{Code, UsageKind};

use super::context::{Context, warning};
use super::usage::{Use, date};
use super::values::{code, location, text};
use super::{MappedEvent, Refusal, amount};
use crate::config::ZSegment;
use crate::mllp::ErrorPlace;
use crate::parser::{Segment, Value};

/// Digits that a quantity may have before and behind the point (decimal(18,6)).
const MAX_SCALE: u32 = 6;
const MAX_QUANTITY: i64 = 999_999_999_999;

/// Maps P03 and P11. Empty if no charge moves stock.
pub(super) fn map(mut context: Context<'_>) -> Result<Vec<MappedEvent>, Box<Refusal>> {
    let segments: Vec<Segment<'_>> = context.message.segments().collect();
    let starts: Vec<usize> = (0..segments.len()).filter(|index| segments[*index].is("FT1")).collect();
    if starts.is_empty() {
        return Err(Refusal::at(&context.message.segment("FT1"), "FT1", 0, "WL-1011", "segment.missing").say(
            100,
            "the message has no charge (FT1)",
            "let the sender put the charges into FT1 segments",
        ));
    }
    let (encounter_ref, guessed) = encounter_of(&context)?;
    context.warnings.extend(guessed);
    let mut events = Vec::new();
    for (position, start) in starts.iter().enumerate() {
        let end = starts.get(position + 1).copied().unwrap_or(segments.len());
        if let Some(charge) = charge(&context, &segments[*start..end])? {
            events.push(charge.into_event(&context, &encounter_ref, position));
        }
    }
    Ok(events)
}

/// The visit; a charge without one is still a use of stock, so it is then kept under the patient.
pub(super) fn encounter_of(context: &Context<'_>) -> Result<(String, Option<schemas::Warning>), Box<Refusal>> {
    if let Some(encounter_ref) = context.encounter_ref() {
        return Ok((encounter_ref, None));
    }
    let patient = context.message.segment("PID");
    match context.patient_ref(patient) {
        Some(patient_ref) => {
            let note = warning("WL-1010", "PV1-19", "the message names no visit; the use is kept under the patient");
            Ok((patient_ref, Some(note)))
        }
        None => Err(Refusal::at(&patient, "PID", 3, "WL-1014", "patient.id.missing").say(
            101,
            "the message names neither visit nor patient",
            "let the sender fill PID-3 and PV1-19",
        )),
    }
}

/// One FT1 with the segments up to the next. None if it moves no stock.
fn charge(context: &Context<'_>, group: &[Segment<'_>]) -> Result<Option<Use>, Box<Refusal>> {
    let [charge, rest @ ..] = group else { return Ok(None) };
    let credit = match text(charge.field(6)).as_deref() {
        Some("CG") => false,
        Some("CD") => true,
        Some("PY" | "CO" | "AJ") => return Ok(None),
        _ => {
            return Err(Refusal::at(charge, "FT1", 6, "WL-1017", "charge.type.unknown").say(
                103,
                "the transaction type (FT1-6) is not one of table 0017: CG, CD, PY, CO, AJ",
                "let the sender fill FT1-6 with CG for a charge or CD for a credit",
            ));
        }
    };
    let articles: Vec<(Segment<'_>, &ZSegment)> = rest
        .iter()
        .filter_map(|segment| {
            Some((*segment, context.mapper.config.z_segments.iter().find(|known| segment.is(&known.name))?))
        })
        .collect();
    let mut found = Use { path: ErrorPlace::new("FT1", charge.sequence(), 7).path(), ..Use::default() };
    for (segment, mapping) in &articles {
        take_article(&mut found, segment, mapping);
    }
    name_article(context, &mut found, charge)?;
    if found.items.is_empty() && found.udi.is_none() && found.device_identifier.is_none() {
        return Ok(None);
    }
    let Some(quantity) = quantity(context, charge, &articles)? else { return Ok(None) };
    found.quantity = if credit || quantity.is_sign_negative() { -quantity.abs() } else { quantity };
    found.occurred = occurred(context, charge, &mut found.warnings)?;
    found.department = text(charge.field(13));
    found.location = location(charge.field(16)).or_else(|| location(context.message.segment("PV1").field(3)));
    found.performer = text(charge.field(20));
    found.procedure =
        code(charge.field(25)).or_else(|| rest.iter().find(|one| one.is("PR1")).and_then(|one| code(one.field(3))));
    if found.usage == UsageKind::Unknown {
        found.usage = if found.quantity.is_sign_negative() { UsageKind::Returned } else { UsageKind::Used };
    }
    found.orders = [charge.field(2), charge.field(23)].into_iter().filter_map(text).collect();
    found.stated_amount = amount::stated(context, charge, found.quantity, &mut found.warnings);
    found.fact = text(charge.field(2))
        .map(|transaction| format!("{}/{}/{transaction}", context.identity.system, context.identity.facility));
    Ok(Some(found))
}

/// Codes for the article: FT1-34, the Z-segment, FT1-29, then the charge code itself.
fn name_article(context: &Context<'_>, found: &mut Use, charge: &Segment<'_>) -> Result<(), Box<Refusal>> {
    let mut items: Vec<Code> = code(charge.field(34)).into_iter().collect();
    items.append(&mut found.items);
    if let Some(drug) = code(charge.field(29)) {
        items.push(Code { system: drug.system.or_else(|| Some("NDC".to_owned())), ..drug });
    }
    let named = !items.is_empty() || found.udi.is_some() || found.device_identifier.is_some();
    match code(charge.field(7)) {
        Some(code) if named || !is_service(context, &code) => items.push(code),
        Some(_) => {}
        None if named => {}
        None => {
            return Err(Refusal::at(charge, "FT1", 7, "WL-1015", "item.missing").say(
                101,
                "the charge names no article: FT1-7, FT1-34 and the configured Z-segments are empty",
                "let the sender fill FT1-7, or configure the Z-segment that holds the item number",
            ));
        }
    }
    found.items = items;
    Ok(())
}

fn is_service(context: &Context<'_>, code: &Code) -> bool {
    let system = code.system.as_deref().unwrap_or_default();
    context.mapper.config.service_code_systems.iter().any(|service| service.eq_ignore_ascii_case(system))
}

fn take_article(found: &mut Use, segment: &Segment<'_>, mapping: &ZSegment) {
    let value = |number: usize| if number == 0 { None } else { text(segment.field(number)) };
    if let Some(code) = value(mapping.item) {
        found.items.push(Code { code, system: Some(mapping.item_system.clone()), ..Code::default() });
    }
    found.udi = found.udi.take().or_else(|| (mapping.udi > 0).then(|| whole(segment.field(mapping.udi))).flatten());
    found.device_identifier = found.device_identifier.take().or_else(|| value(mapping.device_identifier));
    found.lot = found.lot.take().or_else(|| value(mapping.lot));
    found.serial = found.serial.take().or_else(|| value(mapping.serial));
    found.uom = found.uom.take().or_else(|| value(mapping.uom));
    if let Some(sent) = value(mapping.expiry) {
        found.expiry = date(&sent);
        if found.expiry.is_none() {
            let place = ErrorPlace::new(&mapping.name, segment.sequence(), mapping.expiry).path();
            found.warnings.push(warning("WL-1012", &place, "the expiry date is impossible and was left out"));
        }
    }
    if value(mapping.wasted).as_deref() == Some("Y") {
        found.usage = UsageKind::Wasted;
    }
    found.consignment = match value(mapping.consignment).as_deref() {
        Some("Y") => Some(true),
        Some("N") => Some(false),
        _ => found.consignment,
    };
}

/// A UDI as one text: characters that are delimiters of the message may be part of it when the sender did not escape them.
/// A trailing space is kept, because the check character of an HIBC label may be one.
pub(super) fn whole(value: Value<'_>) -> Option<String> {
    let decoded = value.decoded().text.into_owned();
    (!decoded.trim().is_empty() && !value.is_null()).then_some(decoded)
}

/// FT1-10, else the quantity of the Z-segment, else one if the source is configured so. None for 0.
fn quantity(
    context: &Context<'_>,
    charge: &Segment<'_>,
    articles: &[(Segment<'_>, &ZSegment)],
) -> Result<Option<Decimal>, Box<Refusal>> {
    let sent = text(charge.field(10)).or_else(|| {
        articles.iter().find_map(
            |(segment, mapping)| if mapping.quantity == 0 { None } else { text(segment.field(mapping.quantity)) },
        )
    });
    let refusal = || Refusal::at(charge, "FT1", 10, "WL-1013", "quantity.unusable");
    let Some(sent) = sent else {
        if context.mapper.config.empty_quantity_is_one {
            return Ok(Some(Decimal::ONE));
        }
        return Err(refusal().say(
            101,
            "the charge has no quantity (FT1-10)",
            "let the sender fill FT1-10, or set empty_quantity_is_one if it means one",
        ));
    };
    match Decimal::from_str(&sent).map(|number| number.normalize()) {
        Ok(number) if number.is_zero() => Ok(None),
        Ok(number) if number.scale() <= MAX_SCALE && number.abs() <= Decimal::from(MAX_QUANTITY) => Ok(Some(number)),
        _ => Err(refusal().say(
            102,
            "the quantity (FT1-10) is not a number with at most twelve digits before and six behind the point",
            "let the sender write the quantity as a plain number",
        )),
    }
}

/// FT1-4 (the start of a range), else the time of the event. An impossible one is not replaced: the day decides to which
/// period and cost centre a use belongs.
fn occurred(
    context: &Context<'_>,
    charge: &Segment<'_>,
    warnings: &mut Vec<schemas::Warning>,
) -> Result<Option<super::context::When>, Box<Refusal>> {
    match context.exact_time(charge.field(4)) {
        Some(Ok(time)) => {
            if time.tolerated {
                let place = ErrorPlace::new("FT1", charge.sequence(), 4).path();
                warnings.push(warning("WL-1012", &place, "the time ends with Z, read as UTC"));
            }
            Ok(Some(time))
        }
        Some(Err(_)) => Err(Refusal::at(charge, "FT1", 4, "WL-1012", "time.impossible").say(
            102,
            "the time of the charge (FT1-4) is impossible",
            "let the sender write times as YYYYMMDDHHMM with an offset, and send the message again",
        )),
        None => {
            let place = ErrorPlace::new("FT1", charge.sequence(), 4).path();
            warnings.push(warning("WL-1012", &place, "the charge has no time; the time of the event was taken"));
            Ok(context.event_time(warnings))
        }
    }
}

//! ORU: devices that were used or implanted, documented as OBX with LOINC 74711-3, as PRT or as DEV.

use std::collections::BTreeMap;

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
    let mut devices: Vec<Device> = Vec::new();
    let mut order = Order::default();
    for segment in context.message.segments() {
        order.follow(segment);
        let Some(found) = device(&context, segment, order) else { continue };
        match devices.iter_mut().find(|known| known.is_same(&found)) {
            Some(known) => known.merge(found),
            None => devices.push(found),
        }
    }
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let (encounter_ref, guessed) = encounter_of(&context)?;
    context.warnings.extend(guessed);
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut events = Vec::with_capacity(devices.len());
    for (position, device) in devices.into_iter().enumerate() {
        let fact = device.fact(&context);
        // Nothing but their number tells two of one lot in one order apart.
        let alike = told.entry(fact.clone()).or_default();
        let one = Use { fact: Some(format!("{fact}/{alike}")), ..device.one };
        *alike += 1;
        events.push(one.into_event(&context, &encounter_ref, position));
    }
    Ok(events)
}

/// The order that a segment belongs to.
#[derive(Default, Clone, Copy)]
struct Order<'m> {
    /// ORC.
    control: Option<Segment<'m>>,
    /// OBR.
    request: Option<Segment<'m>>,
}

impl<'m> Order<'m> {
    fn follow(&mut self, segment: Segment<'m>) {
        if segment.is("ORC") {
            *self = Self { control: Some(segment), request: None };
        } else if segment.is("OBR") {
            // The ORC before an earlier OBR is that one's.
            let control = self.control.filter(|_| self.request.is_none());
            *self = Self { control, request: Some(segment) };
        }
    }

    /// The number by which the filler knows it, else the placer. ORC-2 and ORC-3 say what OBR-2 and OBR-3 leave out.
    fn number(&self) -> Option<String> {
        let places = [(self.request, 3), (self.control, 3), (self.request, 2), (self.control, 2)];
        places.into_iter().find_map(|(segment, field)| text(segment?.field(field)))
    }
}

/// Identifier, lot and serial, from fields or from the UDI.
#[derive(PartialEq)]
struct Label {
    identifier: Option<String>,
    lot: Option<String>,
    serial: Option<String>,
}

/// A device of the message, with what tells it from others.
struct Device {
    one: Use,
    label: Label,
    /// The segments that told of it, each kind at most once unless it has a serial number.
    told_by: Vec<&'static str>,
    order: Option<String>,
    /// OBX-4: which of several observations of one kind in one order.
    sub_id: Option<String>,
}

impl Device {
    /// One message often documents a device twice, as an observation and as a participant. Without a serial number two of the
    /// same kind of segment are two devices.
    fn is_same(&self, found: &Self) -> bool {
        let again = || self.told_by.iter().any(|kind| found.told_by.contains(kind));
        self.label.identifier.is_some() && self.label == found.label && (self.label.serial.is_some() || !again())
    }

    fn merge(&mut self, found: Self) {
        let one = &mut self.one;
        one.lot = one.lot.take().or(found.one.lot);
        one.serial = one.serial.take().or(found.one.serial);
        one.expiry = one.expiry.or(found.one.expiry);
        one.device_identifier = one.device_identifier.take().or(found.one.device_identifier);
        self.told_by.extend(found.told_by);
        self.order = self.order.take().or(found.order);
        self.sub_id = self.sub_id.take().or(found.sub_id);
    }

    /// What a preliminary result, the final one and a deletion have in common, whatever messages they come in. Only without an order
    /// number the message has to do.
    fn fact(&self, context: &Context<'_>) -> String {
        let Label { identifier, lot, serial } = &self.label;
        let order = self.order.as_ref().unwrap_or(&context.identity.control_id);
        let [identifier, lot, serial, sub_id] =
            [identifier, lot, serial, &self.sub_id].map(|part| part.as_deref().unwrap_or_default());
        format!("{identifier}/{lot}/{serial}/{order}/{sub_id}")
    }
}

/// What one segment says about a device, if it does.
fn device(context: &Context<'_>, segment: Segment<'_>, order: Order<'_>) -> Option<Device> {
    let (kind, mut one) = if segment.is("OBX") {
        ("OBX", observation(context, segment)?)
    } else if segment.is("PRT") {
        ("PRT", participation(context, segment)?)
    } else if segment.is("DEV") {
        ("DEV", device_segment(segment)?)
    } else {
        return None;
    };
    one.path = ErrorPlace::new(segment.name(), segment.sequence(), 0).path();
    // A retraction names the fact that it takes back, so it keeps the quantity of that fact.
    one.quantity = Decimal::ONE;
    let (mut ignored, request) = (Vec::new(), order.request);
    let ordered = request.and_then(|request| context.time(&request, 7, &mut ignored));
    one.occurred = one.occurred.or(ordered).or_else(|| context.event_time(&mut ignored));
    one.location = location(context.message.segment("PV1").field(3));
    one.procedure = request.and_then(|request| code(request.field(44)).or_else(|| code(request.field(4))));
    one.orders =
        request.into_iter().flat_map(|request| [request.field(2), request.field(3)]).filter_map(text).collect();
    let sub_id = if kind == "OBX" { whole(segment.field(4)) } else { None };
    Some(Device { label: label(context, &one), told_by: vec![kind], order: order.number(), sub_id, one })
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

fn label(context: &Context<'_>, one: &Use) -> Label {
    let parsed = one.parsed_udi(year(one.occurred, context)).unwrap_or_default();
    Label {
        identifier: parsed.device_identifier.or_else(|| one.device_identifier.clone()),
        lot: one.lot.clone().or(parsed.lot),
        serial: one.serial.clone().or(parsed.serial),
    }
}

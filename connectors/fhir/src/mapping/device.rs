//! Devices: which article, lot, serial number and expiry a Device resource names.

use super::{Found, Reading, Statement, conform};
use crate::node::{Node, Reference};
use crate::outcome::{Refusal, code, warning};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhir_gate::json::Json;
use schemas::{Code, Date, Precision, Udi, UdiIssuer, Warning};
use std::sync::Arc;

/// What a Device says about the article.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceFacts {
    /// Unique device identifier.
    pub udi: Option<Udi>,
    /// Lot.
    pub lot: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Last day of use.
    pub expiry: Option<(Date, Precision)>,
    /// Codes that may name the article, the surest first.
    pub codes: Vec<Code>,
    /// Oddities.
    pub warnings: Vec<Warning>,
}

impl DeviceFacts {
    /// Whether it tells one article or lot from another.
    pub(super) fn is_traceable(&self) -> bool {
        self.udi.is_some() || self.lot.is_some() || self.serial.is_some()
    }
}

/// What stands behind a reference to a device.
pub(super) enum Referred {
    /// Facts of the device, and the name under which other resources refer to it too.
    Device { facts: Box<DeviceFacts>, name: Option<String> },
    /// Something that is no article of supply here (Medication, Substance, DeviceMetric).
    OtherType,
}

impl Reading<'_> {
    /// A Device by itself: it only adds to usages that are told already.
    pub(super) fn device_itself(&self) -> Result<Statement, Refusal> {
        Ok(Statement::Device(Box::new(facts(&self.root, self.year)?)))
    }

    /// The device behind a reference.
    pub(super) fn device(&self, reference: &Reference, path: &str) -> Result<Referred, Refusal> {
        let Some(target) = reference.target.as_deref() else {
            return Ok(Referred::Device { facts: Box::new(named_only(reference)), name: None });
        };
        if let Some(id) = target.strip_prefix('#') {
            let contained = self.root.items("contained").into_iter().find(|node| node.text("id") == Some(id));
            let Some(node) = contained else {
                return Err(not_found(path, "there is no contained resource with this id"));
            };
            return self.referred(&node, Some(format!("{}#{id}", self.resource)));
        }
        let Some(target) = self.target(reference).filter(|_| reference.may_be("Device")) else {
            return Ok(Referred::OtherType);
        };
        match self.shelf.find(&target) {
            Found::Here(device) => self.referred(&Node::root(&device), Some(target)),
            Found::Gone => Err(not_found(path, "the server has no Device with this id")),
            Found::NotAtHand => {
                let warnings = vec![warning(
                    code::INCOMPLETE,
                    path,
                    "the Device was not at hand: article, lot and serial number are not known",
                )];
                Ok(Referred::Device {
                    facts: Box::new(DeviceFacts { warnings, ..DeviceFacts::default() }),
                    name: Some(target),
                })
            }
        }
    }

    fn referred(&self, device: &Node<'_>, name: Option<String>) -> Result<Referred, Refusal> {
        if device.json.text("resourceType") != Some("Device") {
            return Ok(Referred::OtherType);
        }
        conform(self.version, "Device", device)?;
        Ok(Referred::Device { facts: Box::new(facts(device, self.year)?), name })
    }

    /// The Device that a target names, when it is at hand.
    pub(super) fn shelved(&self, target: &str) -> Option<Arc<Json>> {
        if let Found::Here(resource) = self.shelf.find(target) { Some(resource) } else { None }
    }
}

fn not_found(path: &str, detail: &str) -> Refusal {
    Refusal::new(code::NOT_FOUND, path, detail, "store the Device, then store this resource again")
}

/// A device that is only named: by a business identifier (UDI-DI, item number) or by a text.
fn named_only(reference: &Reference) -> DeviceFacts {
    let codes = reference.name().map(|name| Code { code: name, text: reference.display.clone(), ..Code::default() });
    DeviceFacts { codes: codes.into_iter().collect(), ..DeviceFacts::default() }
}

/// The facts of a Device; `year` gives two-digit years their century.
fn facts(device: &Node<'_>, year: i16) -> Result<DeviceFacts, Refusal> {
    let mut found = DeviceFacts {
        lot: device.text("lotNumber").map(str::to_owned),
        serial: device.text("serialNumber").map(str::to_owned),
        expiry: device.last_day("expirationDate")?,
        ..DeviceFacts::default()
    };
    if device.text("status") == Some("entered-in-error") {
        let path = format!("{}.status", device.path);
        found.warnings.push(warning(code::DISAGREEMENT, path, "the Device is marked as entered in error but is used"));
    }
    let carriers = device.items("udiCarrier");
    let readings = carriers.iter().map(|carrier| read_carrier(carrier, &found, year)).collect::<Result<Vec<_>, _>>()?;
    let best = readings.into_iter().flatten().max_by_key(|reading| {
        // The first of the best: a carrier with a device identifier beats one without.
        (reading.udi.di.is_some(), std::cmp::Reverse(reading.index))
    });
    if let Some(reading) = best {
        found.take(reading, device);
    }
    found.codes.extend(article_codes(device));
    Ok(found)
}

/// A carrier that could be read.
struct CarrierReading {
    index: usize,
    udi: Udi,
    parsed: udi::Udi,
    warnings: Vec<Warning>,
}

impl DeviceFacts {
    /// Takes what the label says; the Device's own fields win, and a disagreement is a warning.
    fn take(&mut self, reading: CarrierReading, device: &Node<'_>) {
        self.warnings.extend(reading.warnings);
        let own = [
            ("lotNumber", &mut self.lot, reading.parsed.lot),
            ("serialNumber", &mut self.serial, reading.parsed.serial),
        ];
        for (element, own, label) in own {
            match (own.as_deref(), label) {
                (None, label) => *own = label,
                (Some(said), Some(label)) if said != label => {
                    let path = format!("{}.{element}", device.path);
                    self.warnings.push(warning(
                        code::DISAGREEMENT,
                        path,
                        "the label of the device says something else",
                    ));
                }
                _ => {}
            }
        }
        let label = reading.parsed.expiry.and_then(|expiry| {
            let precision = if expiry.day_given { Precision::Day } else { Precision::Month };
            Some((
                Date::from_ymd(expiry.year, i8::try_from(expiry.month).ok()?, i8::try_from(expiry.day).ok()?)?,
                precision,
            ))
        });
        self.expiry = self.expiry.or(label);
        self.udi = Some(reading.udi);
    }
}

fn read_carrier(carrier: &Node<'_>, device: &DeviceFacts, year: i16) -> Result<Option<CarrierReading>, Refusal> {
    let mut warnings = Vec::new();
    let human = carrier.text("carrierHRF").map(str::to_owned);
    let scanned = match carrier.text("carrierAIDC") {
        Some(encoded) => Some(decode(encoded, carrier)?),
        None => None,
    };
    let given = carrier.text("deviceIdentifier");
    let hints = udi::Hints { lot: device.lot.as_deref(), serial: device.serial.as_deref() };
    let read = |text: &str| udi::parse_with(text, year, hints);
    let Some(raw) = human.clone().or_else(|| scanned.clone()).or_else(|| given.map(str::to_owned)) else {
        return Ok(None);
    };
    // A lone device identifier has no form of its own: it is read only as far as its check digit.
    let labelled = human.is_some() || scanned.is_some();
    let parsed = if labelled { read(&raw) } else { udi::Udi::default() };
    if let (Some(_), Some(scanned)) = (&human, &scanned)
        && disagree(&parsed, &read(scanned))
    {
        warnings.push(warning(code::DISAGREEMENT, &carrier.path, "the printed and the scanned form differ"));
    }
    let stated = given.map(|given| udi::gtin14(given).unwrap_or_else(|| given.to_owned()));
    if let (Some(label), Some(stated)) = (&parsed.device_identifier, &stated)
        && label != stated
        && !stated.contains(label.as_str())
    {
        let path = format!("{}.deviceIdentifier", carrier.path);
        warnings.push(warning(code::DISAGREEMENT, path, "the label has another device identifier"));
    }
    for word in parsed.errors.iter().chain(&parsed.warnings) {
        warnings.push(warning(udi::code_of(word), &carrier.path, format!("UDI: {word}")));
    }
    let udi = Udi {
        raw,
        issuer: issuer(&parsed, carrier.text("issuer")),
        di: parsed.device_identifier.clone().or(stated),
        errors: parsed.errors.clone(),
    };
    let index = carrier.path.rsplit('[').next().and_then(|tail| tail.trim_end_matches(']').parse().ok()).unwrap_or(0);
    Ok(Some(CarrierReading { index, udi, parsed, warnings }))
}

fn decode(encoded: &str, carrier: &Node<'_>) -> Result<String, Refusal> {
    let compact: String = encoded.split_ascii_whitespace().collect();
    STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        let path = format!("{}.carrierAIDC", carrier.path);
        Refusal::new(code::VALUE, path, "this is no base64 of a scanned text", "send what the scanner gave, as base64")
    })
}

fn disagree(one: &udi::Udi, other: &udi::Udi) -> bool {
    let differ = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
    differ(&one.device_identifier, &other.device_identifier)
        || differ(&one.lot, &other.lot)
        || differ(&one.serial, &other.serial)
}

fn issuer(parsed: &udi::Udi, stated: Option<&str>) -> UdiIssuer {
    match parsed.issuer {
        Some(udi::Issuer::Gs1) => UdiIssuer::Gs1,
        Some(udi::Issuer::Hibcc) => UdiIssuer::Hibcc,
        Some(udi::Issuer::Iccbba) => UdiIssuer::Iccbba,
        None => {
            let stated = stated.unwrap_or_default().to_ascii_lowercase();
            let known = [
                ("gs1", UdiIssuer::Gs1),
                ("hibc", UdiIssuer::Hibcc),
                ("iccbba", UdiIssuer::Iccbba),
                ("ifa", UdiIssuer::Ifa),
            ];
            known.into_iter().find(|(word, _)| stated.contains(word)).map_or(UdiIssuer::Unknown, |(_, issuer)| issuer)
        }
    }
}

/// Business identifiers (not serial numbers), part number and model number.
fn article_codes(device: &Node<'_>) -> Vec<Code> {
    let is_serial = |identifier: &Node<'_>| {
        let kind = identifier.child_code("type").map(|kind| kind.code);
        matches!(kind.as_deref(), Some("SNO" | "SN" | "SER"))
    };
    let identifiers = device.items("identifier").into_iter().filter(|identifier| !is_serial(identifier));
    let identified = identifiers.filter_map(|identifier| {
        let system = identifier.text("system").map(str::to_owned);
        Some(Code { code: identifier.text("value")?.to_owned(), system, ..Code::default() })
    });
    let numbers = ["partNumber", "modelNumber"].into_iter().filter_map(|name| device.text(name));
    identified.chain(numbers.map(|number| Code { code: number.to_owned(), ..Code::default() })).collect()
}

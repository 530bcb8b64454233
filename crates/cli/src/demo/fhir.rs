//! The part of the day that a FHIR server holds: stays of the catheter laboratory, with implants that several resources
//! speak about.

use super::hl7;
use super::random::Random;
use super::story::{self, Use};
use components::Hospital;
use jiff::civil::Date;
use serde_json::{Value, json};

/// Writes the resources of the day in the order in which the server takes them: what is referred to comes first.
pub fn resources(hospital: &Hospital, date: Date, stays: usize) -> Vec<Value> {
    let mut all = vec![location("CATH", "Catheter laboratory")];
    for number in 0..stays {
        all.extend(stay(hospital, date, number));
    }
    all
}

/// `Type/id` of a resource.
pub fn name(resource: &Value) -> String {
    let text = |field: &str| resource.get(field).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", text("resourceType"), text("id"))
}

fn location(code: &str, name: &str) -> Value {
    json!({
        "resourceType": "Location",
        "id": code,
        "identifier": [{"system": "urn:general:location", "value": code}],
        "status": "active",
        "name": name,
    })
}

fn stay(hospital: &Hospital, date: Date, number: usize) -> Vec<Value> {
    let mut random = Random::new(&format!("{date} fhir stay {number}"));
    let prefix = format!("f{}-{number}", date.strftime("%y%m%d"));
    let patient = story::patient(&mut random, date, 5_000 + number);
    let stents: Vec<_> = hospital
        .items
        .iter()
        .filter(|item| {
            item.active && !item.lots.is_empty() && item.categories.iter().any(|category| category == "Implant")
        })
        .filter(|item| item.categories.iter().any(|category| category == "Cardiology"))
        .collect();
    let Some(stent) = random.pick(&stents) else { return Vec::new() };
    let implant = story::labelled(stent, 1);
    let consumable = hospital.items.iter().find(|item| item.active && item.code == "71-300403");
    let hour = 8 + number % 8;
    let at = |minute: u32| format!("{date}T{hour:02}:{minute:02}:00+00:00");
    let ids = Ids { prefix };
    let mut all = vec![
        json!({
            "resourceType": "Patient",
            "id": ids.patient(),
            "identifier": [{"type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"),
                            "system": "urn:general:mrn", "value": patient.record_number}],
            "name": [{"family": patient.family, "given": [patient.given]}],
            "birthDate": format!("{}-{}-{}", &patient.birth[..4], &patient.birth[4..6], &patient.birth[6..]),
        }),
        encounter(&ids, &at(0), None),
        device(&ids, &implant),
        procedure(&ids, &at(10), &at(40)),
        // The same implant again, as others tell it: still one usage.
        device_use(&ids, &at(30)),
        charge(&ids, &implant, &at(35)),
    ];
    if let Some(item) = consumable {
        all.push(supply_delivery(&ids, &item.code, random.between(1, 3), &at(20)));
    }
    all.push(encounter(&ids, &at(0), Some(&at(55))));
    all
}

struct Ids {
    prefix: String,
}

impl Ids {
    fn patient(&self) -> String {
        format!("{}-patient", self.prefix)
    }

    fn encounter(&self) -> String {
        format!("{}-encounter", self.prefix)
    }

    fn procedure(&self) -> String {
        format!("{}-procedure", self.prefix)
    }

    fn device(&self) -> String {
        format!("{}-device", self.prefix)
    }
}

fn coded(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

fn refer(kind: &str, id: &str) -> Value {
    json!({"reference": format!("{kind}/{id}")})
}

/// In progress first, finished later: two versions of one resource.
fn encounter(ids: &Ids, start: &str, end: Option<&str>) -> Value {
    let mut period = json!({"start": start});
    if let (Some(end), Value::Object(fields)) = (end, &mut period) {
        fields.insert("end".to_owned(), json!(end));
    }
    json!({
        "resourceType": "Encounter",
        "id": ids.encounter(),
        "identifier": [{"type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "VN"),
                        "system": "urn:general:visit", "value": ids.encounter()}],
        "status": if end.is_some() { "finished" } else { "in-progress" },
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": refer("Patient", &ids.patient()),
        "period": period,
        "location": [{"location": refer("Location", "CATH")}],
    })
}

fn device(ids: &Ids, implant: &Use) -> Value {
    json!({
        "resourceType": "Device",
        "id": ids.device(),
        "udiCarrier": [{
            "deviceIdentifier": implant.gtin,
            "issuer": "http://hl7.org/fhir/NamingSystem/gs1",
            "jurisdiction": "http://hl7.org/fhir/NamingSystem/fda-udi",
            "carrierHRF": hl7::label(implant),
        }],
        "status": "active",
        "lotNumber": implant.lot,
        "expirationDate": implant.expires.as_deref().map(|day| format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..])),
        "deviceName": [{"name": implant.name, "type": "user-friendly-name"}],
        "patient": refer("Patient", &ids.patient()),
    })
}

fn procedure(ids: &Ids, start: &str, end: &str) -> Value {
    json!({
        "resourceType": "Procedure",
        "id": ids.procedure(),
        "status": "completed",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "36969009",
                             "display": "Placement of stent in coronary artery"}]},
        "subject": refer("Patient", &ids.patient()),
        "encounter": refer("Encounter", &ids.encounter()),
        "performedPeriod": {"start": start, "end": end},
        "location": refer("Location", "CATH"),
        "focalDevice": [{
            "action": coded("http://hl7.org/fhir/device-action", "implanted"),
            "manipulated": refer("Device", &ids.device()),
        }],
    })
}

fn device_use(ids: &Ids, at: &str) -> Value {
    json!({
        "resourceType": "DeviceUseStatement",
        "id": format!("{}-use", ids.prefix),
        "status": "active",
        "subject": refer("Patient", &ids.patient()),
        "derivedFrom": [refer("Procedure", &ids.procedure())],
        "timingDateTime": at,
        "device": refer("Device", &ids.device()),
    })
}

fn charge(ids: &Ids, implant: &Use, at: &str) -> Value {
    json!({
        "resourceType": "ChargeItem",
        "id": format!("{}-charge", ids.prefix),
        "status": "billable",
        "code": {"coding": [{"system": "urn:general:items", "code": implant.item, "display": implant.name}]},
        "subject": refer("Patient", &ids.patient()),
        "context": refer("Encounter", &ids.encounter()),
        "occurrenceDateTime": at,
        "quantity": {"value": 1, "unit": "EA"},
        "productReference": refer("Device", &ids.device()),
    })
}

fn supply_delivery(ids: &Ids, item: &str, quantity: u32, at: &str) -> Value {
    json!({
        "resourceType": "SupplyDelivery",
        "id": format!("{}-supply", ids.prefix),
        "status": "completed",
        "patient": refer("Patient", &ids.patient()),
        "type": coded("http://terminology.hl7.org/CodeSystem/supply-item-type", "device"),
        "suppliedItem": {
            "quantity": {"value": quantity, "unit": "EA"},
            "itemCodeableConcept": {"coding": [{"system": "urn:general:items", "code": item}]},
        },
        "occurrenceDateTime": at,
        "destination": refer("Location", "CATH"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_is_referred_to_comes_first() {
        let hospital = Hospital::load().unwrap();
        let mut known = HashSet::new();
        for resource in resources(&hospital, Date::constant(2026, 3, 2), 3) {
            let text = resource.to_string();
            for reference in text.split("\"reference\":\"").skip(1) {
                let target = reference.split('"').next().unwrap();
                assert!(known.contains(target), "{target}");
            }
            known.insert(name(&resource));
        }
    }

    #[test]
    fn an_implant_is_in_three_resources() {
        let hospital = Hospital::load().unwrap();
        let resources = resources(&hospital, Date::constant(2026, 3, 2), 1);
        let speaking = resources.iter().filter(|resource| resource.to_string().contains("Device/f260302-0-device"));
        assert_eq!(speaking.count(), 3);
    }
}

//! Procedure, DeviceUseStatement/DeviceUsage, SupplyDelivery and ChargeItem -> usages of articles.

use super::amount::charged;
use super::device::{DeviceFacts, Referred};
use super::people::Visit;
use super::{Reading, Sighting, Statement};
use crate::node::{Node, Reference};
use crate::outcome::{Dropped, Refusal, code, warning};
use crate::time::Moment;
use rust_decimal::Decimal;
use schemas::{Code, EventMeta, Location, Precision, SupplyUsage, Udi, UdiIssuer, UsageKind, Warning};

/// What all usages of one resource share.
struct Common {
    facts: SupplyUsage,
    encounter: Option<String>,
    in_encounter: bool,
    placed: bool,
    procedure: Option<String>,
}

impl Reading<'_> {
    /// `focalDevice` with action implanted (or none, when completed), every `usedReference` and `usedCode` (R5: `used`).
    pub(super) fn procedure(&self) -> Result<Statement, Refusal> {
        let completed = match self.root.text("status") {
            Some("completed") => true,
            // What was implanted or used before the stop is gone from the shelf.
            Some("stopped") => false,
            Some("entered-in-error") => return Ok(withdrawn("procedure.entered-in-error", "it did not happen")),
            Some("not-done") => return Ok(withdrawn("procedure.not-done", "it was not done")),
            _ => return Ok(nothing("procedure.not-ended", "the procedure has not ended")),
        };
        if !self.has_any(&["focalDevice", "usedReference", "usedCode", "used"]) {
            return Ok(usages(Vec::new(), "procedure.no-article", "the procedure names no article"));
        }
        let mut warnings = Vec::new();
        let visit = self.visit("encounter", &mut warnings);
        let happened = self.root.happened(self.by_version("performed", "occurrence"))?;
        let mut common = self.common(visit, happened, "subject", warnings)?;
        common.procedure = Some(self.resource.clone());
        common.facts.procedure = self.root.child_code("code");
        common.put(self.place("location"));
        let mut sightings = Vec::new();
        for focal in self.root.items("focalDevice") {
            let implanted = match focal.child_code("action") {
                Some(action) => matches!(action.code.as_str(), "implanted" | "129338007" | "257867005"),
                None => completed,
            };
            if let (true, Some(device)) = (implanted, focal.child("manipulated")) {
                sightings.extend(self.of_device(&common, &device, UsageKind::Implanted)?);
            }
        }
        for used in self.root.items("usedReference") {
            sightings.extend(self.of_device(&common, &used, UsageKind::Used)?);
        }
        for used in self.root.items("usedCode") {
            sightings.extend(used.code().map(|code| common.of_code(code, UsageKind::Used)));
        }
        for used in self.root.items("used") {
            sightings.extend(self.of_codeable_reference(&common, &used, UsageKind::Used)?);
        }
        Ok(usages(sightings, "procedure.no-article", "the procedure names no article"))
    }

    /// An implant that is in use; other devices (a wheelchair) are not consumed by use.
    pub(super) fn device_use(&self) -> Result<Statement, Refusal> {
        match self.root.text("status") {
            Some("active" | "completed") => {}
            Some("entered-in-error") => return Ok(withdrawn("device-use.entered-in-error", "it did not happen")),
            Some("not-done") => return Ok(withdrawn("device-use.not-done", "it was not done")),
            _ => return Ok(nothing("device-use.not-in-use", "the device is not in use")),
        }
        let mut warnings = Vec::new();
        let (visit, procedure) = self.visit_of_use(&mut warnings);
        let happened = match self.root.happened("timing")? {
            Some(happened) => Some(happened),
            None => self.root.moment(self.by_version("recordedOn", "dateAsserted"))?,
        };
        let mut common = self.common(visit, happened, self.by_version("subject", "patient"), warnings)?;
        common.procedure = procedure;
        let Some(device) = self.root.child("device") else {
            return Err(self.root.missing("device", "say which device is used"));
        };
        let device = device.child("reference").filter(|inner| inner.json.as_text().is_none()).unwrap_or(device);
        let Some(reference) = device.reference() else {
            return Ok(nothing("device-use.no-device", "it names a kind of device, not a device"));
        };
        let Referred::Device { facts, name } = self.device(&reference, &device.path)? else {
            return Ok(nothing("device-use.no-device", "it names something else than a device"));
        };
        let unknown = facts.warnings.iter().any(|warning| warning.code == code::INCOMPLETE);
        if !facts.is_traceable() && !unknown {
            return Ok(nothing("device-use.no-implant", "a device without UDI, lot and serial number is no implant"));
        }
        Ok(Statement::Usages(vec![common.of_facts(*facts, name, UsageKind::Implanted)]))
    }

    /// Supplies for a patient; without patient it moves stock and uses nothing.
    pub(super) fn supply_delivery(&self) -> Result<Statement, Refusal> {
        match self.root.text("status") {
            Some("completed") => {}
            Some("entered-in-error") => return Ok(withdrawn("supply-delivery.entered-in-error", "it did not happen")),
            Some("abandoned") => return Ok(withdrawn("supply-delivery.abandoned", "it was given up")),
            _ => return Ok(nothing("supply-delivery.not-ended", "the delivery has not ended")),
        }
        if self.root.child("patient").is_none() {
            return Ok(nothing("supply-delivery.no-patient", "without patient it moves stock and uses nothing"));
        }
        let happened = self.root.happened("occurrence")?;
        let mut common = self.common(None, happened, "patient", Vec::new())?;
        common.put(self.place("destination"));
        let mut sightings = Vec::new();
        for item in self.root.items("suppliedItem") {
            let quantity = item.child("quantity").as_ref().map(quantity).transpose()?.flatten();
            let found = if let Some(device) = item.child("itemReference") {
                self.of_device(&common, &device, UsageKind::Used)?
            } else {
                item.child_code("itemCodeableConcept").map(|code| common.of_code(code, UsageKind::Used))
            };
            sightings.extend(found.and_then(|sighting| sighting.counted(quantity)));
        }
        Ok(usages(sightings, "supply-delivery.no-article", "the delivery names no article"))
    }

    /// A charge for a product; a charge for a service uses nothing.
    pub(super) fn charge_item(&self) -> Result<Statement, Refusal> {
        match self.root.text("status") {
            Some("billable" | "not-billable" | "billed") => {}
            Some("entered-in-error") => return Ok(withdrawn("charge-item.entered-in-error", "it did not happen")),
            Some("aborted") => return Ok(withdrawn("charge-item.aborted", "the charge was given up")),
            _ => return Ok(nothing("charge-item.not-ended", "what is charged has not happened yet")),
        }
        if !self.has_any(&["productReference", "productCodeableConcept", "product"]) {
            return Ok(usages(Vec::new(), "charge-item.no-product", "a charge without product uses no article"));
        }
        let mut warnings = Vec::new();
        let visit = self.visit(self.by_version("context", "encounter"), &mut warnings);
        let happened = self.root.happened("occurrence")?;
        let mut common = self.common(visit, happened, "subject", warnings)?;
        common.procedure = self.charged_for("Procedure");
        let cost_centre = self.root.child_reference("costCenter");
        common.facts.department = cost_centre.as_ref().and_then(Reference::name);
        let quantity = self.root.child("quantity").as_ref().map(quantity).transpose()?.flatten();
        let counted = quantity.as_ref().map_or(Decimal::ONE, |(value, _)| *value);
        let amount = charged(&self.root, counted, &mut common.facts.meta.warnings);
        let mut sightings = Vec::new();
        if let Some(device) = self.root.child("productReference") {
            sightings.extend(self.of_device(&common, &device, UsageKind::Used)?);
        }
        sightings
            .extend(self.root.child_code("productCodeableConcept").map(|code| common.of_code(code, UsageKind::Used)));
        for product in self.root.items("product") {
            sightings.extend(self.of_codeable_reference(&common, &product, UsageKind::Used)?);
        }
        // A charge for several articles does not say what one of them comes to.
        let amount = amount.filter(|_| sightings.len() == 1);
        // A charge code may be in the crosswalk of the item master, so it is tried last.
        let charge = self.root.child_code("code");
        let sightings = sightings.into_iter().filter_map(|mut sighting| {
            sighting.facts.stated_amount.clone_from(&amount);
            sighting.facts.item_refs.extend(charge.clone());
            sighting.counted(quantity.clone())
        });
        Ok(usages(sightings.collect(), "charge-item.no-article", "the charge names no article or none of it"))
    }

    fn has_any(&self, elements: &[&str]) -> bool {
        elements.iter().any(|element| self.root.child(element).is_some())
    }

    /// The encounter of a device use. R4 has no such element: that of the procedure it was derived from is meant.
    fn visit_of_use(&self, warnings: &mut Vec<Warning>) -> (Option<Visit>, Option<String>) {
        let sources = ["derivedFrom", self.by_version("reasonReference", "reason")];
        let procedures = sources.iter().flat_map(|element| self.root.items(element)).filter_map(|node| {
            let node = node.child("reference").filter(|inner| inner.json.as_text().is_none()).unwrap_or(node);
            let reference = node.reference().filter(|reference| reference.is_of_type("Procedure"))?;
            self.target(&reference)
        });
        let procedure = procedures.into_iter().next();
        if let Some(visit) = self.visit("context", warnings) {
            return (Some(visit), procedure);
        }
        let visit = procedure.as_deref().and_then(|target| {
            let resource = self.shelved(target)?;
            self.visit_of(&Node::root(&resource), target, "encounter", warnings)
        });
        (visit, procedure)
    }

    /// The first resource of a type that a charge is for.
    fn charged_for(&self, resource_type: &str) -> Option<String> {
        self.root.items("service").into_iter().find_map(|node| {
            let node = node.child("reference").filter(|inner| inner.json.as_text().is_none()).unwrap_or(node);
            let reference = node.reference().filter(|reference| reference.is_of_type(resource_type))?;
            self.target(&reference)
        })
    }

    fn common(
        &self,
        visit: Option<Visit>,
        happened: Option<Moment>,
        patient: &str,
        mut warnings: Vec<Warning>,
    ) -> Result<Common, Refusal> {
        let patient_ref = self.patient(patient);
        let in_encounter = visit.is_some();
        let (encounter_ref, encounter, location) = match visit {
            Some(visit) => (visit.encounter_ref, visit.resource, visit.location),
            None => {
                // The key keeps the events of one patient in order when the source does not say which stay it was.
                let detail = "no encounter was sent, so the patient stands for it";
                warnings.push(warning(code::INCOMPLETE, format!("{}.encounter", self.root.path), detail));
                let fix = "send the encounter or the patient that the article was used for";
                (patient_ref.clone().ok_or_else(|| self.root.missing(patient, fix))?, None, None)
            }
        };
        let identifiers = self.root.items("identifier");
        let facts = SupplyUsage {
            meta: EventMeta {
                occurred_at: happened.map(|moment| moment.at),
                occurred_precision: happened.map_or(Precision::Unknown, |moment| moment.precision),
                occurred_offset_minutes: happened.and_then(|moment| moment.offset_minutes),
                warnings,
                ..EventMeta::default()
            },
            encounter_ref,
            patient_ref,
            quantity: Decimal::ONE,
            location: location.filter(|place| *place != Location::default()),
            performer_ref: self.performer(),
            order_refs: identifiers.iter().filter_map(|node| node.text("value")).map(str::to_owned).collect(),
            ..SupplyUsage::default()
        };
        Ok(Common { facts, encounter, in_encounter, placed: false, procedure: None })
    }

    fn of_device(&self, common: &Common, node: &Node<'_>, usage: UsageKind) -> Result<Option<Sighting>, Refusal> {
        let Some(reference) = node.reference() else { return Ok(None) };
        Ok(match self.device(&reference, &node.path)? {
            Referred::Device { facts, name } => Some(common.of_facts(*facts, name, usage)),
            Referred::OtherType => None,
        })
    }

    fn of_codeable_reference(
        &self,
        common: &Common,
        node: &Node<'_>,
        usage: UsageKind,
    ) -> Result<Option<Sighting>, Refusal> {
        match node.child("reference") {
            Some(reference) => self.of_device(common, &reference, usage),
            None => Ok(node.child_code("concept").map(|code| common.of_code(code, usage))),
        }
    }
}

impl Common {
    /// The resource itself names the place.
    fn put(&mut self, place: Option<Location>) {
        self.placed = place.is_some();
        self.facts.location = place.or_else(|| self.facts.location.take());
    }

    fn sighting(&self, usage: UsageKind) -> Sighting {
        Sighting {
            facts: SupplyUsage { usage, ..self.facts.clone() },
            device: None,
            procedure: self.procedure.clone(),
            names: Vec::new(),
            encounter: self.encounter.clone(),
            in_encounter: self.in_encounter,
            placed: self.placed,
            counted: false,
        }
    }

    fn of_code(&self, code: Code, usage: UsageKind) -> Sighting {
        let mut sighting = self.sighting(usage);
        sighting.facts.udi = trade_item(&code);
        sighting.name(code);
        sighting
    }

    fn of_facts(&self, device: DeviceFacts, name: Option<String>, usage: UsageKind) -> Sighting {
        let mut sighting = self.sighting(usage);
        sighting.device = name;
        sighting.facts.udi = device.udi;
        sighting.facts.lot = device.lot;
        sighting.facts.serial = device.serial;
        sighting.facts.expiry = device.expiry.map(|(date, _)| date);
        sighting.facts.expiry_precision = device.expiry.map_or(Precision::Unknown, |(_, precision)| precision);
        sighting.facts.meta.warnings.extend(device.warnings);
        device.codes.into_iter().for_each(|code| sighting.name(code));
        sighting
    }
}

impl Sighting {
    /// Adds a code that names the article; the first is the sender's own name for it.
    fn name(&mut self, code: Code) {
        self.names.push(code.code.clone());
        self.names.extend(code.alt.iter().map(|alt| alt.code.clone()));
        if self.facts.item_ref.is_none() {
            self.facts.item_ref = Some(code);
        } else {
            self.facts.item_refs.push(code);
        }
    }

    /// With the quantity that was sent; `None` when that is zero, because then nothing was used.
    fn counted(mut self, quantity: Option<(Decimal, Option<String>)>) -> Option<Self> {
        let Some((quantity, uom)) = quantity else { return Some(self) };
        self.counted = true;
        self.facts.quantity = quantity;
        self.facts.uom = uom;
        (!quantity.is_zero()).then_some(self)
    }
}

/// A GTIN sent as a code is the device identifier of the label.
fn trade_item(code: &Code) -> Option<Udi> {
    let codings =
        std::iter::once((&code.code, &code.system)).chain(code.alt.iter().map(|alt| (&alt.code, &alt.system)));
    let gtin =
        codings.into_iter().find(|(_, system)| system.as_deref().is_some_and(|system| system.contains("gs1.org/gtin")));
    let (raw, _) = gtin?;
    Some(Udi { raw: raw.clone(), issuer: UdiIssuer::Gs1, di: Some(udi::gtin14(raw)?), errors: Vec::new() })
}

/// Value and unit: the UCUM code without its annotation braces says less to an ERP than the unit, so the unit comes first.
fn quantity(node: &Node<'_>) -> Result<Option<(Decimal, Option<String>)>, Refusal> {
    let Some(value) = node.decimal("value")? else { return Ok(None) };
    if node.text("comparator").is_some() {
        let path = format!("{}.comparator", node.path);
        return Err(Refusal::new(
            code::VALUE,
            path,
            "a quantity of use is exact",
            "send the quantity without comparator",
        ));
    }
    if value.is_sign_negative() && !value.is_zero() {
        let path = format!("{}.value", node.path);
        let fix = "take the resource that stated the use back (entered-in-error), or correct its quantity";
        return Err(Refusal::new(code::VALUE, path, "a negative quantity has no meaning in FHIR", fix));
    }
    let unit = node.text("unit").or_else(|| node.text("code"));
    Ok(Some((value, unit.map(str::to_owned))))
}

fn usages(sightings: Vec<Sighting>, rule: &'static str, detail: &'static str) -> Statement {
    if sightings.is_empty() { withdrawn(rule, detail) } else { Statement::Usages(sightings) }
}

fn nothing(rule: &'static str, detail: &'static str) -> Statement {
    Statement::Nothing(Dropped::by(rule, detail))
}

fn withdrawn(rule: &'static str, detail: &'static str) -> Statement {
    Statement::Withdrawn(Dropped::by(rule, detail))
}

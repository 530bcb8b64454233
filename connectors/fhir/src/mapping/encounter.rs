//! Encounter -> where a stay stands.
//!
//! | R4 status | R5 status | becomes |
//! | --- | --- | --- |
//! | arrived, triaged, in-progress, onleave | in-progress, on-hold | admitted, transferred or updated |
//! | finished | discharged, completed, discontinued | discharged |
//! | cancelled, entered-in-error | cancelled, entered-in-error | cancelled |
//! | planned, unknown | planned, unknown | dropped |

use super::people::{locations, staff};
use super::{Phase, Reading, Statement, Stay};
use crate::node::Node;
use crate::outcome::{Dropped, Refusal, code, warning};
use schemas::{Code, Diagnosis, DiagnosisType, Encounter, EventMeta, PatientClass, Precision};

impl Reading<'_> {
    /// What an Encounter states.
    pub(super) fn encounter(&self) -> Result<Statement, Refusal> {
        let phase = match self.root.text("status") {
            Some("arrived" | "triaged" | "in-progress" | "onleave" | "on-hold") => Phase::Active,
            Some("finished" | "completed" | "discharged" | "discontinued") => Phase::Ended,
            Some("cancelled" | "entered-in-error") => Phase::Cancelled,
            Some("planned") => return Ok(nothing("encounter.planned", "a planned stay has not begun")),
            _ => return Ok(nothing("encounter.status-unknown", "the source does not know where the stay stands")),
        };
        let mut meta = EventMeta::default();
        let period = self.root.child(self.by_version("period", "actualPeriod"));
        let end_of = |name: &str| period.as_ref().map_or(Ok(None), |period| period.moment(name));
        let (start, end) = (end_of("start")?, end_of("end")?);
        let happened = match phase {
            Phase::Active => start,
            Phase::Ended => Some(self.left(end, &mut meta)?),
            Phase::Cancelled => None,
        };
        meta.occurred_at = happened.map(|moment| moment.at);
        meta.occurred_precision = happened.map_or(Precision::Unknown, |moment| moment.precision);
        meta.occurred_offset_minutes = happened.and_then(|moment| moment.offset_minutes);
        let stay = self.root.child(self.by_version("hospitalization", "admission"));
        let mut places = locations(&self.root);
        let facts = Encounter {
            encounter_ref: self.encounter_ref(&self.root, &self.resource),
            patient_ref: self.patient("subject"),
            patient_class: self.patient_class(),
            location: places.pop(),
            prior_location: places.pop(),
            service: self.service(),
            admitted_at: start.map(|moment| moment.at),
            discharged_at: happened.filter(|_| phase == Phase::Ended).map(|moment| moment.at),
            disposition: stay.as_ref().and_then(|stay| stay.child_code("dischargeDisposition")),
            discharged_to: stay.as_ref().and_then(|stay| stay.child_reference("destination")?.name()),
            attending_ref: self.attending(),
            diagnoses: self.diagnoses(),
            meta,
            ..Encounter::default()
        };
        Ok(Statement::Stay(Box::new(Stay { phase, facts })))
    }

    /// When the patient left: the end of the period, else when the server learnt of it.
    fn left(&self, end: Option<crate::time::Moment>, meta: &mut EventMeta) -> Result<crate::time::Moment, Refusal> {
        if let Some(end) = end {
            return Ok(end);
        }
        let element = self.by_version("period.end", "actualPeriod.end");
        let learnt = self.root.child("meta").map_or(Ok(None), |meta| meta.moment("lastUpdated"))?;
        let path = format!("{}.{element}", self.root.path);
        let learnt = learnt.ok_or_else(|| self.root.missing(element, "send when the stay ended"))?;
        meta.warnings.push(warning(code::INCOMPLETE, path, "no end was sent, so the time of storage stands for it"));
        Ok(learnt)
    }

    /// HL7 v3 ActEncounterCode; R5 sends a list of concepts, of which the first that is known counts.
    fn patient_class(&self) -> PatientClass {
        let codes = self.root.items("class").into_iter().filter_map(|class| class.code());
        let known = codes.flat_map(|code| std::iter::once(code.code).chain(code.alt.into_iter().map(|alt| alt.code)));
        known.map(|code| class_of(&code)).find(|class| *class != PatientClass::Unknown).unwrap_or_default()
    }

    fn service(&self) -> Option<Code> {
        let service = self.root.items("serviceType").into_iter().next()?;
        match service.child("concept") {
            Some(concept) => concept.code(),
            None => service.code(),
        }
    }

    /// The practitioner who takes part as attender.
    fn attending(&self) -> Option<String> {
        let actor = self.by_version("individual", "actor");
        self.root.items("participant").iter().find_map(|participant| {
            let attends = participant.items("type").iter().filter_map(Node::code).any(|role| role.code == "ATND");
            if attends { staff(&participant.child_reference(actor)?) } else { None }
        })
    }

    /// Diagnoses that are coded here; those behind a reference to a Condition are not read.
    fn diagnoses(&self) -> Vec<Diagnosis> {
        let diagnoses = self.root.items("diagnosis");
        let coded = diagnoses.iter().flat_map(|diagnosis| {
            let role = diagnosis
                .items("use")
                .iter()
                .find_map(Node::code)
                .map_or(DiagnosisType::Unknown, |role| role_of(&role.code));
            let concepts =
                diagnosis.items("condition").into_iter().filter_map(|condition| condition.child_code("concept"));
            concepts.map(move |code| Diagnosis { code, role }).collect::<Vec<_>>()
        });
        coded.collect()
    }
}

fn nothing(rule: &'static str, detail: &'static str) -> Statement {
    Statement::Nothing(Dropped::by(rule, detail))
}

fn class_of(code: &str) -> PatientClass {
    match code {
        "IMP" | "ACUTE" | "NONAC" => PatientClass::Inpatient,
        "AMB" => PatientClass::Outpatient,
        "EMER" => PatientClass::Emergency,
        "PRENC" => PatientClass::Preadmit,
        "SS" | "OBSENC" => PatientClass::DayCare,
        "VR" => PatientClass::Virtual,
        "HH" | "FLD" => PatientClass::Home,
        _ => PatientClass::Unknown,
    }
}

fn role_of(code: &str) -> DiagnosisType {
    match code {
        "AD" | "admission" => DiagnosisType::Admitting,
        "DD" | "discharge" => DiagnosisType::Final,
        "working" => DiagnosisType::Working,
        _ => DiagnosisType::Unknown,
    }
}

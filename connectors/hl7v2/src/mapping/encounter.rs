//! ADT: facts about a stay.

use schemas::{
    Action, Cancels, Code, Diagnosis, DiagnosisType, Encounter, EncounterKind, Merge, MergeKind, Timestamp, event_type,
    topics,
};

use super::context::{Context, Fact, warning};
use super::values::{code, location, patient_class, text};
use super::{MappedEvent, Refusal};
use crate::parser::Segment;

/// The fields of the event that `""` can delete, by segment and number.
const NULLABLE: [(&str, usize, &str); 12] = [
    ("PV1", 2, "patientClass"),
    ("PV1", 3, "location"),
    ("PV1", 6, "priorLocation"),
    ("PV1", 7, "attendingRef"),
    ("PV1", 10, "service"),
    ("PV1", 36, "disposition"),
    ("PV1", 37, "dischargedTo"),
    ("PV1", 44, "admittedAt"),
    ("PV1", 45, "dischargedAt"),
    ("DG1", 3, "diagnoses"),
    ("PR1", 3, "procedures"),
    ("PID", 7, "phi.birthDate"),
];

/// Maps A01 to A04, A08 and A11 to A13.
pub(super) fn map(context: Context<'_>, event: &str) -> Result<Vec<MappedEvent>, Box<Refusal>> {
    let Some(encounter_ref) = context.encounter_ref() else {
        return Err(Refusal::at(&context.message.segment("PV1"), "PV1", 19, "WL-1010", "encounter.id.missing").say(
            101,
            "the message names no visit: PV1-19, PID-18 and PV1-50 are empty",
            "let the sender fill PV1-19 (visit number) or PID-18 (account number)",
        ));
    };
    let (kind, action, cancels) = match event {
        "A01" | "A04" => (EncounterKind::Admitted, Action::Create, Cancels::None),
        "A02" => (EncounterKind::Transferred, Action::Create, Cancels::None),
        "A03" => (EncounterKind::Discharged, Action::Create, Cancels::None),
        "A11" => (EncounterKind::Cancelled, Action::Cancel, Cancels::Admit),
        "A12" => (EncounterKind::Cancelled, Action::Cancel, Cancels::Transfer),
        "A13" => (EncounterKind::Cancelled, Action::Cancel, Cancels::Discharge),
        _ => (EncounterKind::Updated, Action::Update, Cancels::None),
    };
    let mut events = vec![stay(&context, &encounter_ref, kind, action, cancels, 0)];
    // An update behind a discharge carries the discharge time: it corrects the discharge as well.
    if kind == EncounterKind::Updated && context.message.segment("PV1").field(45).first().is_some() {
        events.push(stay(&context, &encounter_ref, EncounterKind::Discharged, Action::Update, Cancels::None, 1));
    }
    Ok(events)
}

/// Maps A40: every prior identifier of every PID and MRG pair becomes one merge.
pub(super) fn map_merge(context: Context<'_>) -> Result<Vec<MappedEvent>, Box<Refusal>> {
    let mut survivor: Option<String> = None;
    let mut events = Vec::new();
    for segment in context.message.segments() {
        if segment.is("PID") {
            survivor = context.patient_ref(segment);
            if survivor.is_none() {
                return Err(Refusal::at(&segment, "PID", 3, "WL-1014", "patient.id.missing").say(
                    101,
                    "the surviving patient has no identifier (PID-3)",
                    "let the sender fill PID-3 of the survivor",
                ));
            }
        } else if segment.is("MRG") {
            let priors = context.prior_patient_refs(segment.field(1));
            let (Some(survivor), false) = (&survivor, priors.is_empty()) else {
                return Err(merge_refusal(&segment));
            };
            for prior in priors {
                events.push(merged(&context, &prior, survivor, events.len()));
            }
        }
    }
    if events.is_empty() {
        return Err(merge_refusal(&context.message.segment("MRG")));
    }
    Ok(events)
}

fn merge_refusal(segment: &Segment<'_>) -> Box<Refusal> {
    Refusal::at(segment, "MRG", 1, "WL-1016", "merge.id.missing").say(
        101,
        "the merge does not name both patients (PID-3 and MRG-1)",
        "let the sender fill PID-3 with the survivor and MRG-1 with the prior identifier",
    )
}

fn merged(context: &Context<'_>, from: &str, to: &str, position: usize) -> MappedEvent {
    let mut warnings = Vec::new();
    let occurred = context.event_time(&mut warnings);
    let meta = context.meta(Fact {
        event_type: event_type(topics::CLINICAL_ENCOUNTER_V1.name(), Some(EncounterKind::Merged.as_str())),
        position,
        business_key: format!("merge/{from}/{to}"),
        revision: 0,
        action: Action::Create,
        occurred,
        nulled: Vec::new(),
        warnings,
    });
    MappedEvent::Encounter(Box::new(Encounter {
        meta,
        // A merge of patients is about no single visit; it is keyed by the survivor.
        encounter_ref: to.to_owned(),
        kind: EncounterKind::Merged,
        patient_ref: Some(to.to_owned()),
        merge: Some(Merge { from_ref: from.to_owned(), to_ref: to.to_owned(), kind: MergeKind::Patient }),
        ..Encounter::default()
    }))
}

fn stay(
    context: &Context<'_>,
    encounter_ref: &str,
    kind: EncounterKind,
    action: Action,
    cancels: Cancels,
    revision: i32,
) -> MappedEvent {
    let visit = context.message.segment("PV1");
    let mut warnings = Vec::new();
    let happened = context.event_time(&mut warnings);
    let admitted = context.time(&visit, 44, &mut warnings);
    let mut discharged = context.time(&visit, 45, &mut warnings);
    if kind == EncounterKind::Discharged && discharged.is_none() {
        discharged = happened;
        warnings.push(warning("WL-1011", "PV1-45", "the discharge time is missing; the time of the event was taken"));
    }
    let occurred = match kind {
        EncounterKind::Discharged => discharged,
        _ => happened,
    };
    // What the key says is one fact: a cancellation is about the fact that it takes back.
    let fact = match (kind, cancels) {
        (EncounterKind::Admitted, _) | (_, Cancels::Admit) => "admission".to_owned(),
        (EncounterKind::Discharged, _) | (_, Cancels::Discharge) => "discharge".to_owned(),
        (EncounterKind::Transferred, _) | (_, Cancels::Transfer) => {
            format!("transfer/{}", occurred.map_or(0, |time| time.micros))
        }
        _ => format!("update/{}", context.identity.control_id),
    };
    let meta = context.meta(Fact {
        event_type: event_type(topics::CLINICAL_ENCOUNTER_V1.name(), Some(kind.as_str())),
        position: usize::from(revision > 0),
        business_key: format!("{encounter_ref}/{fact}"),
        revision,
        action,
        occurred,
        nulled: nulled(context),
        warnings,
    });
    let moment = |time: super::context::When| Timestamp::from_micros(time.micros);
    MappedEvent::Encounter(Box::new(Encounter {
        meta,
        encounter_ref: encounter_ref.to_owned(),
        kind,
        cancels,
        patient_ref: context.patient_ref(context.message.segment("PID")),
        patient_class: patient_class(visit.field(2)),
        location: location(visit.field(3)),
        prior_location: location(visit.field(6)),
        service: code(visit.field(10)),
        admitted_at: admitted.map(moment),
        discharged_at: discharged.map(moment),
        disposition: code(visit.field(36)),
        discharged_to: text(visit.field(37)),
        attending_ref: text(visit.field(7)),
        diagnoses: diagnoses(context),
        procedures: named(context, "PR1").filter_map(|segment| code(segment.field(3))).collect(),
        merge: None,
        phi: context.direct_identifiers(),
    }))
}

fn named<'c>(context: &'c Context<'_>, name: &'static str) -> impl Iterator<Item = Segment<'c>> {
    context.message.segments().filter(move |segment| segment.is(name))
}

fn diagnoses(context: &Context<'_>) -> Vec<Diagnosis> {
    let diagnosis = |segment: Segment<'_>| {
        // Before version 2.3 the text of DG1-4 was all that some senders filled.
        let code = code(segment.field(3)).or_else(|| {
            let text = text(segment.field(4))?;
            Some(Code { code: text.clone(), text: Some(text), ..Code::default() })
        })?;
        let role = match segment.field(6).raw() {
            "A" => DiagnosisType::Admitting,
            "W" => DiagnosisType::Working,
            "F" => DiagnosisType::Final,
            _ => DiagnosisType::Unknown,
        };
        Some(Diagnosis { code, role })
    };
    named(context, "DG1").filter_map(diagnosis).collect()
}

fn nulled(context: &Context<'_>) -> Vec<&'static str> {
    let is_null = |entry: &&(&str, usize, &'static str)| context.message.segment(entry.0).field(entry.1).is_null();
    NULLABLE.iter().filter(is_null).map(|entry| entry.2).collect()
}

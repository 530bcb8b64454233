//! A correction that waits for a second person, as it is shown before anybody agrees to it.

use crate::original::MASK;
use schemas::approval::{Stands, stands};
use schemas::catalogue::SchemaFacts;
use schemas::{Correction, Exception, Phi, TopicInfo, topics};
use serde::Serialize;

/// Longest line of what a correction sets, characters.
const SETS_MAX: usize = 500;

/// What waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The exception.
    pub exception_id: String,
    /// The mark of all of this; an approval says it. None where not all of it is shown.
    pub mark: Option<String>,
    /// Who proposed it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, microseconds since 1970.
    pub at: i64,
    /// What is to be set, in this order.
    pub fields: Vec<ProposedField>,
}

/// One field of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposedField {
    /// Names of fields, parted by dots; a number is a place in a list.
    pub path: String,
    /// As it is, as JSON; none when it is not there.
    pub before: Option<String>,
    /// As it is to be, as JSON.
    pub after: String,
    /// Whether its values may identify a patient.
    pub is_direct: bool,
}

impl Proposal {
    /// What waits for a second person in an exception; none when nothing does.
    pub fn of(exception: &Exception) -> Option<Self> {
        let correction = exception.correction.as_ref()?;
        let Stands::Waits { mark } = stands(&exception.exception_id, correction) else { return None };
        let topic = exception.origin_topic.as_deref().and_then(topics::find);
        let facts = topic.map(facts_of);
        let fields = correction.fields.iter().map(|field| ProposedField {
            path: field.path.clone(),
            before: field.before.clone(),
            after: field.after.clone(),
            is_direct: facts.as_ref().is_none_or(|facts| is_direct(facts, &field.path)),
        });
        Some(Self {
            exception_id: exception.exception_id.clone(),
            mark: Some(mark),
            actor: correction.actor.clone(),
            reason: correction.reason.clone(),
            at: correction.at.0,
            fields: fields.collect(),
        })
    }

    /// What it sets, in one line of a bounded length, without what may identify a patient.
    pub fn sets(&self) -> String {
        let all = self.line();
        match all.char_indices().nth(SETS_MAX) {
            Some((end, _)) => format!("{}...", &all[..end]),
            None => all,
        }
    }

    /// Whether that line tells all of it: nobody agrees to what they have not seen.
    pub fn is_told_by_sets(&self) -> bool {
        !self.has_direct() && self.line().chars().nth(SETS_MAX).is_none()
    }

    fn line(&self) -> String {
        let fields = self.fields.iter().map(|field| match (&field.before, field.is_direct) {
            (_, true) => format!("{} (not shown here)", field.path),
            (None, false) => format!("{}: nothing -> {}", field.path, field.after),
            (Some(before), false) => format!("{}: {before} -> {}", field.path, field.after),
        });
        fields.collect::<Vec<_>>().join(", ")
    }

    /// The same without what may identify a patient, and then without the mark that an approval says: nobody agrees to what they
    /// have not seen.
    #[must_use]
    pub fn masked(mut self) -> Self {
        if self.has_direct() {
            self.mark = None;
        }
        for field in self.fields.iter_mut().filter(|field| field.is_direct) {
            field.before = field.before.as_ref().map(|_| MASK.to_owned());
            MASK.clone_into(&mut field.after);
        }
        self
    }

    /// Whether some of it may identify a patient.
    pub fn has_direct(&self) -> bool {
        self.fields.iter().any(|field| field.is_direct)
    }
}

/// What is corrected in an exception, waiting or in force, without what may identify a patient.
pub fn masked_correction(exception: &Exception) -> Option<Correction> {
    let facts = exception.origin_topic.as_deref().and_then(topics::find).map(facts_of);
    let mut correction = exception.correction.clone()?;
    for field in &mut correction.fields {
        if facts.as_ref().is_none_or(|facts| is_direct(facts, &field.path)) {
            field.before = field.before.as_ref().map(|_| MASK.to_owned());
            MASK.clone_into(&mut field.after);
        }
    }
    Some(correction)
}

fn facts_of(topic: &TopicInfo) -> SchemaFacts {
    SchemaFacts::of(topic.schema_file, &serde_json::from_str(topic.schema).unwrap_or_default())
}

/// Whether the field, one that it lies in, or one that lies in it, may identify a patient.
fn is_direct(facts: &SchemaFacts, path: &str) -> bool {
    let names: Vec<&str> = path.split('.').filter(|name| name.parse::<usize>().is_err()).collect();
    let place = names.join(".");
    let lies_in = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let touched = facts.fields.iter().filter(|field| lies_in(&field.path, &place) || lies_in(&place, &field.path));
    touched.map(|field| field.phi).any(|phi| phi == Phi::Direct)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use schemas::CorrectedField;

    #[test]
    fn what_may_identify_a_patient_is_known_by_its_field() {
        let facts = facts_of(topics::CLINICAL_SUPPLY_USAGE_V1.info());
        for path in ["phi", "phi.mrn", "phi.names.0.family"] {
            assert!(is_direct(&facts, path), "{path}");
        }
        for path in ["lot", "itemRef.code", "itemRefs.0.code", "quantity", "ph"] {
            assert!(!is_direct(&facts, path), "{path}");
        }
    }

    #[test]
    fn what_waits_is_told_and_what_was_agreed_to_is_not() {
        let field = CorrectedField { path: "lot".to_owned(), before: None, after: "\"17\"".to_owned() };
        let correction = Correction { fields: vec![field], actor: "ada".to_owned(), ..Correction::default() };
        let of = |correction: &Correction, topic: &str| {
            Proposal::of(&Exception {
                exception_id: "e1".to_owned(),
                origin_topic: Some(topic.to_owned()),
                correction: Some(correction.clone()),
                ..Exception::default()
            })
        };
        let waits = of(&correction, "clinical.supply-usage.v1").unwrap();
        assert_eq!(
            (waits.actor.as_str(), waits.fields[0].after.as_str(), waits.has_direct()),
            ("ada", "\"17\"", false)
        );
        assert!(of(&correction, "unknown.v1").unwrap().has_direct(), "of what has no contract nothing is known");
        assert_eq!(waits.sets(), "lot: nothing -> \"17\"");
        assert_eq!(of(&correction, "unknown.v1").unwrap().sets(), "lot (not shown here)");
        let long = CorrectedField { after: "ä".repeat(2_000), ..correction.fields[0].clone() };
        let long = Correction { fields: vec![long; 3], ..correction.clone() };
        assert_eq!(of(&long, "clinical.supply-usage.v1").unwrap().sets().chars().count(), SETS_MAX + 3);
        let agreed = schemas::approval::agreed_by("bert", waits.mark.as_deref().unwrap());
        let agreed = Correction { approved_by: Some(agreed), ..correction.clone() };
        assert_eq!(of(&agreed, "clinical.supply-usage.v1"), None);
        assert_eq!(of(&Correction { needs_approval: false, ..correction }, "clinical.supply-usage.v1"), None);
    }
}

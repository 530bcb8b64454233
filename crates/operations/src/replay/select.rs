//! Which records are meant. Pure.

use super::{ReplayError, ReplayField, ReplaySelection};
use runtime::reader::{From, Until};
use runtime::record::Record;
use schemas::TopicInfo;
use schemas::catalogue::{Phi, SchemaFacts};
use serde_json::Value;
use std::collections::HashSet;

/// Most event ids of one selection.
const EVENT_IDS_MAX: usize = 10_000;

/// A selection, ready to be asked about records.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    event_ids: HashSet<String>,
    key: Option<String>,
    event_type: Option<String>,
    fields: Vec<(Vec<String>, String)>,
}

/// Reads a condition as it is typed: `path=value`.
///
/// # Errors
/// When there is no `=`, or nothing before it.
pub fn field_condition(text: &str) -> Result<ReplayField, ReplayError> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => Ok(ReplayField { path: path.to_owned(), value: value.to_owned() }),
        _ => Err(ReplayError::Selection(format!("{text} is no condition on a field: write it like supplierId=SUP-7"))),
    }
}

impl Wanted {
    /// Checks a selection of records of a topic.
    ///
    /// # Errors
    /// When it has no beginning, contradicts itself, or names a field that is not there or that identifies people.
    pub fn of(selection: &ReplaySelection, topic: &TopicInfo) -> Result<Self, ReplayError> {
        let refused = |why: &str| Err(ReplayError::Selection(why.to_owned()));
        let has_start = selection.from_offset.is_some() || selection.from_time_ms.is_some();
        if !has_start && selection.event_ids.is_empty() && selection.key.is_none() {
            return refused("the start is missing: give a time, an offset with its partition, event ids or a key");
        }
        if selection.from_offset.is_some() && selection.from_time_ms.is_some() {
            return refused("a range begins at an offset or at a time, not at both");
        }
        if selection.to_offset.is_some() && selection.until_time_ms.is_some() {
            return refused("a range ends at an offset or at a time, not at both");
        }
        if (selection.from_offset.is_some() || selection.to_offset.is_some()) && selection.partitions.len() != 1 {
            return refused("an offset says something only with its one partition");
        }
        if let Some(unknown) = selection.partitions.iter().find(|id| !(0..i32::from(topic.partitions)).contains(id)) {
            return refused(&format!("{} has {} partitions and none is {unknown}", topic.name, topic.partitions));
        }
        if selection.event_ids.len() > EVENT_IDS_MAX {
            return refused(&format!("more than {EVENT_IDS_MAX} event ids"));
        }
        check_fields(&selection.fields, topic)?;
        let path = |field: &ReplayField| field.path.split('.').map(str::to_owned).collect();
        Ok(Self {
            event_ids: selection.event_ids.iter().cloned().collect(),
            key: selection.key.clone(),
            event_type: selection.event_type.clone(),
            fields: selection.fields.iter().map(|field| (path(field), field.value.clone())).collect(),
        })
    }

    /// Whether key and headers are as wished.
    pub fn takes(&self, record: &Record) -> bool {
        let id = || record.header(schemas::headers::ID);
        let kind = || record.header(schemas::headers::TYPE);
        self.key.as_ref().is_none_or(|key| record.key_text() == key.as_str())
            && (self.event_ids.is_empty() || id().is_some_and(|id| self.event_ids.contains(id)))
            && self.event_type.as_ref().is_none_or(|wanted| kind().is_some_and(|kind| is_type(kind, wanted)))
    }

    /// Whether the body has to be looked at.
    pub fn needs_body(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether the fields are as wished.
    pub fn takes_body(&self, body: &Value) -> bool {
        self.fields.iter().all(|(path, wanted)| has(body, path, wanted))
    }
}

/// Where a selection begins.
pub(super) fn start_of(selection: &ReplaySelection) -> From {
    match (selection.from_offset, selection.from_time_ms) {
        (Some(offset), _) => From::Offset(offset),
        (None, Some(time)) => From::TimeMs(time),
        (None, None) => From::Earliest,
    }
}

/// Where it ends. What the room has not passed is cut off elsewhere.
pub(super) fn end_of(selection: &ReplaySelection) -> Until {
    match (selection.to_offset, selection.until_time_ms) {
        (Some(last), _) => Until::Offset(last.saturating_add(1)),
        (None, Some(time)) => Until::TimeMs(time),
        (None, None) => Until::EndNow,
    }
}

/// A plan is kept for long and shown to many: what identifies people does not belong into it (PHI-1).
fn check_fields(fields: &[ReplayField], topic: &TopicInfo) -> Result<(), ReplayError> {
    if fields.is_empty() {
        return Ok(());
    }
    let schema = serde_json::from_str(topic.schema)
        .map_err(|_| ReplayError::Selection(format!("the records of {} have no fields", topic.name)))?;
    let facts = SchemaFacts::of(topic.schema_file, &schema);
    for field in fields {
        match facts.field(&field.path) {
            Some(known) if known.phi == Phi::Direct => {
                return Err(ReplayError::Identifies { path: field.path.clone(), topic: topic.name.to_owned() });
            }
            Some(_) => {}
            None => {
                let names = facts.fields.iter().map(|known| known.path.as_str());
                let meant = runtime::near(&field.path, names).map(|meant| format!("; did you mean {meant}?"));
                let meant = meant.unwrap_or_default();
                return Err(ReplayError::Selection(format!("{} has no field {}{meant}", topic.name, field.path)));
            }
        }
    }
    Ok(())
}

/// A type in full, or how it ends: after a dot, and the version may be left out.
fn is_type(kind: &str, wanted: &str) -> bool {
    let ends = |kind: &str| kind == wanted || kind.strip_suffix(wanted).is_some_and(|before| before.ends_with('.'));
    let versionless = kind.rsplit_once('.').map(|(name, _)| name);
    ends(kind) || versionless.is_some_and(ends)
}

/// Of a list, one entry is enough.
fn has(value: &Value, path: &[String], wanted: &str) -> bool {
    match (value, path.split_first()) {
        (Value::Array(entries), _) => entries.iter().any(|entry| has(entry, path, wanted)),
        (Value::Object(fields), Some((name, rest))) => fields.get(name).is_some_and(|field| has(field, rest, wanted)),
        (Value::String(text), None) => text == wanted,
        (Value::Number(number), None) => number.to_string() == wanted,
        (Value::Bool(truth), None) => truth.to_string() == wanted,
        (Value::Null, None) => wanted == "null",
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use bytes::Bytes;
    use runtime::record::Place;
    use schemas::topics;
    use serde_json::json;
    use std::borrow::Cow;
    use std::sync::Arc;

    fn from_start() -> ReplaySelection {
        ReplaySelection { from_time_ms: Some(0), ..ReplaySelection::default() }
    }

    fn wanted(selection: &ReplaySelection) -> Result<Wanted, String> {
        Wanted::of(selection, topics::SUPPLY_USAGE_ENRICHED_V1.info()).map_err(|error| error.to_string())
    }

    fn record(key: &str, id: &str, kind: &str) -> Record {
        let header = |name, text: &str| (Cow::Borrowed(name), Some(Bytes::copy_from_slice(text.as_bytes())));
        Record {
            place: Place { topic: Arc::from("t"), partition: 0, offset: 0 },
            timestamp_ms: None,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: None,
            headers: vec![header(schemas::headers::ID, id), header(schemas::headers::TYPE, kind)],
        }
    }

    #[test]
    fn a_selection_that_makes_no_sense_is_refused() {
        let offset = ReplaySelection { from_offset: Some(3), ..ReplaySelection::default() };
        let table = [
            (ReplaySelection::default(), "the start is missing"),
            (offset.clone(), "one partition"),
            (ReplaySelection { partitions: vec![0, 1], ..offset.clone() }, "one partition"),
            (ReplaySelection { partitions: vec![0], from_time_ms: Some(1), ..offset.clone() }, "not at both"),
            (ReplaySelection { partitions: vec![99], ..from_start() }, "none is 99"),
            (
                ReplaySelection { fields: vec![field_condition("suplierId=S").unwrap()], ..from_start() },
                "did you mean supplierId?",
            ),
        ];
        for (selection, expected) in table {
            let said = wanted(&selection).unwrap_err();
            assert!(said.starts_with("WL-7151: ") && said.contains(expected), "{said}");
        }
        assert!(wanted(&ReplaySelection { partitions: vec![0], ..offset }).is_ok());
        assert!(wanted(&ReplaySelection { key: Some("k".to_owned()), ..ReplaySelection::default() }).is_ok());
        assert!(field_condition("supplierId").is_err() && field_condition("=x").is_err());
    }

    #[test]
    fn phi_1_no_plan_holds_what_identifies_somebody() {
        let selection = |path: &str| {
            let fields = vec![ReplayField { path: path.to_owned(), value: "x".to_owned() }];
            Wanted::of(&ReplaySelection { fields, ..from_start() }, topics::CLINICAL_ENCOUNTER_V1.info())
        };
        let facts = SchemaFacts::built_in();
        let encounter = facts.iter().find(|facts| facts.file == "clinical/encounter.avsc").unwrap();
        let direct = encounter.fields.iter().filter(|field| field.phi == Phi::Direct);
        let mut seen = 0;
        for field in direct {
            let said = selection(&field.path).unwrap_err().to_string();
            assert!(said.starts_with("WL-7152: "), "{said}");
            seen += 1;
        }
        assert!(seen > 0);
        assert!(selection("meta.facilityId").is_ok());
    }

    #[test]
    fn key_id_and_type_are_asked_for_together() {
        let kind = "org.wardline.clinical.encounter.discharged.v1";
        let mut selection = from_start();
        let takes = |selection: &ReplaySelection| wanted(selection).unwrap().takes(&record("k1", "e1", kind));
        assert!(takes(&selection));
        selection.key = Some("k1".to_owned());
        selection.event_ids = vec!["e0".to_owned(), "e1".to_owned()];
        for wanted in [kind, "encounter.discharged.v1", "encounter.discharged", "discharged"] {
            selection.event_type = Some(wanted.to_owned());
            assert!(takes(&selection), "{wanted}");
        }
        for wanted in ["charged", "org.wardline", "admitted", "v2"] {
            selection.event_type = Some(wanted.to_owned());
            assert!(!takes(&selection), "{wanted}");
        }
        selection.event_type = None;
        assert!(!takes(&ReplaySelection { key: Some("k2".to_owned()), ..selection.clone() }));
        assert!(!takes(&ReplaySelection { event_ids: vec!["e2".to_owned()], ..selection }));
    }

    #[test]
    fn fields_are_compared_as_text_and_one_of_a_list_is_enough() {
        let body = json!({"supplierId": "S7", "consigned": true, "amount": "1.0", "udi": null,
            "meta": {"revision": 2}, "itemRefs": [{"code": "a"}, {"code": "b"}]});
        let takes = |conditions: &[&str]| {
            let fields = conditions.iter().map(|text| field_condition(text).unwrap()).collect();
            wanted(&ReplaySelection { fields, ..from_start() }).unwrap().takes_body(&body)
        };
        for yes in ["supplierId=S7", "consigned=true", "meta.revision=2", "amount=1.0", "udi=null"] {
            assert!(takes(&[yes]), "{yes}");
        }
        for no in ["supplierId=S", "consigned=false", "meta.revision=20", "lot=null"] {
            assert!(!takes(&[no]), "{no}");
        }
        assert!(takes(&["supplierId=S7", "consigned=true"]) && !takes(&["supplierId=S7", "consigned=false"]));
        let path = ["itemRefs".to_owned(), "code".to_owned()];
        assert!(has(&body, &path, "b") && !has(&body, &path, "c"));
    }
}

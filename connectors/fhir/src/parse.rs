//! Any FHIR input -> what Wardline makes of it: `wardline parse fhir`, and the heart of the connector.
//!
//! Nothing here needs a server or a broker. A Bundle gives one result per entry; its entries are each other's shelf, so a
//! Procedure finds the Device beside it.

use crate::mapping::{self, Found, Identity, Profile, Shelf, Statement};
use crate::outcome::{ClinicalEvent, Dropped, Outcome, Refusal, code};
use crate::seen::{Arrival, Seen};
use fhir_gate::Version;
use fhir_gate::json::{Json, JsonError, JsonErrorKind};
use schemas::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// What is needed besides the bytes.
#[derive(Clone)]
pub struct Context<'a> {
    /// Whose resources these are.
    pub profile: &'a Profile,
    /// FHIR version; what the content says when none, else R4.
    pub version: Option<Version>,
    /// Other resources.
    pub shelf: &'a dyn Shelf,
    /// When the bytes arrived, UTC.
    pub received_at: Timestamp,
}

/// One resource and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// `Type/id`, or what is known of it.
    pub resource: String,
    /// FHIR version it was read as.
    pub version: Version,
    /// Where its bytes stand in the input; of a refused one, the innermost object that is at fault.
    pub bytes: std::ops::Range<usize>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Maps one resource (not a Bundle).
pub fn map(bytes: &[u8], context: &Context<'_>, seen: &mut Seen) -> Outcome {
    match Json::read(bytes) {
        Ok(resource) => map_json(&resource, bytes, context, seen),
        Err(error) => Outcome::DeadLetter(unreadable(&error)),
    }
}

/// Maps one resource that was read already; `bytes` are those it was read from.
pub fn map_json(resource: &Json, bytes: &[u8], context: &Context<'_>, seen: &mut Seen) -> Outcome {
    let identity = match Identity::of(resource) {
        Ok(identity) => identity,
        Err(refusal) if refusal.code == code::NOT_A_RESOURCE => return Outcome::DeadLetter(refusal),
        Err(refusal) => return Outcome::Exception(refusal),
    };
    let version = version_of(resource, context);
    match mapping::read(resource, version, context.profile, context.shelf, year_of(context.received_at)) {
        Ok(statement) => {
            let arrival =
                Arrival { identity, version, content_hash: content_hash(bytes), received_at: context.received_at };
            seen.settle(statement, &arrival, context.profile)
        }
        Err(refusal) => Outcome::Exception(refusal),
    }
}

/// Takes back what a deleted resource stated. `version_id` is the version that the deletion made.
pub fn withdraw(name: &str, version_id: Option<&str>, context: &Context<'_>, seen: &mut Seen) -> Outcome {
    let (resource_type, id) = name.split_once('/').unwrap_or((name, ""));
    let arrival = Arrival {
        identity: Identity {
            resource_type: resource_type.to_owned(),
            id: Some(id.to_owned()),
            version_id: version_id.map(str::to_owned),
            last_updated: None,
        },
        version: context.version.unwrap_or_default(),
        content_hash: content_hash(name.as_bytes()),
        received_at: context.received_at,
    };
    let rule = Dropped::by("resource.deleted", "what was deleted had told nothing");
    seen.settle(Statement::Withdrawn(rule), &arrival, context.profile)
}

/// Maps a resource, or each entry of a Bundle.
pub fn parse(bytes: &[u8], context: &Context<'_>, seen: &mut Seen) -> Vec<Parsed> {
    let input = match Json::read(bytes) {
        Ok(input) => input,
        Err(error) => {
            let outcome = Outcome::DeadLetter(unreadable(&error));
            let version = context.version.unwrap_or_default();
            return vec![Parsed { resource: "unknown".to_owned(), version, bytes: 0..bytes.len(), outcome }];
        }
    };
    if input.text("resourceType") == Some("Bundle") {
        return parse_bundle(&input, bytes, context, seen);
    }
    let outcome = map_json(&input, bytes, context, seen);
    vec![Parsed {
        resource: name_of(&input),
        version: version_of(&input, context),
        bytes: span(&input, &outcome).unwrap_or(0..bytes.len()),
        outcome,
    }]
}

/// [`parse`] as one JSON object per resource.
pub fn parse_to_json(bytes: &[u8], context: &Context<'_>, seen: &mut Seen) -> Vec<Value> {
    parse(bytes, context, seen).iter().map(Parsed::to_json).collect()
}

/// SHA-256, lower-case hex.
pub fn content_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why bytes are no JSON, as a refusal that names line and column.
pub fn unreadable(error: &JsonError) -> Refusal {
    let place = format!("line {}, column {} (byte {})", error.line, error.column, error.offset);
    let (code, fix) = match error.kind {
        JsonErrorKind::DuplicateKey => (code::DUPLICATE_KEY, "send each element once; a repeating element is an array"),
        _ => (code::NOT_JSON, "send FHIR JSON in UTF-8"),
    };
    Refusal::new(code, place, error.kind.to_string(), fix)
}

impl Parsed {
    /// As one JSON object: which resource, where it stands in the input, `outcome`, and what belongs to the outcome.
    pub fn to_json(&self) -> Value {
        let (message_type, id) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let mut value = json!({
            "message_type": message_type,
            "control_id": id,
            "resource": self.resource,
            "fhir_version": self.version,
            "byte_start": self.bytes.start,
            "byte_end": self.bytes.end,
            "outcome": self.outcome.name(),
        });
        let more = match &self.outcome {
            Outcome::Events(events) => json!({"events": events.iter().map(event_json).collect::<Vec<_>>()}),
            Outcome::Dropped(rule) => json!({"rule": rule.rule, "detail": rule.detail, "told_by": rule.told_by}),
            Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => json!({
                "code": refusal.code,
                "place": refusal.path,
                "detail": refusal.detail,
                "suggested_fix": refusal.suggested_fix,
            }),
        };
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        value
    }
}

fn span(resource: &Json, outcome: &Outcome) -> Option<std::ops::Range<usize>> {
    match outcome {
        Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) => place(resource, &refusal.path),
        Outcome::Events(_) | Outcome::Dropped(_) => place(resource, ""),
    }
}

/// The bytes of the innermost object on a FHIR path; of the resource when the path leads elsewhere.
fn place(resource: &Json, path: &str) -> Option<std::ops::Range<usize>> {
    let Json::Object(object) = resource else { return None };
    let mut bytes = object.bytes.clone();
    let mut steps = path.split('.');
    if steps.next() != resource.text("resourceType") {
        return Some(bytes);
    }
    let mut at = resource;
    for step in steps {
        let (name, index) = step.split_once('[').unwrap_or((step, "0]"));
        let index = index.trim_end_matches(']').parse().unwrap_or(0);
        let Some(inner) = at.get(name).and_then(|inner| inner.items().get(index)) else { break };
        if let Json::Object(object) = inner {
            bytes = object.bytes.clone();
        }
        at = inner;
    }
    Some(bytes)
}

fn event_json(event: &ClinicalEvent) -> Value {
    let body = match event {
        ClinicalEvent::Encounter(event) => serde_json::to_value(event),
        ClinicalEvent::Usage(event) => serde_json::to_value(event),
    };
    json!({
        "topic": event.topic().name,
        "key": event.key(),
        "type": event.event_type(),
        "event": body.unwrap_or_default(),
    })
}

fn parse_bundle(bundle: &Json, bytes: &[u8], context: &Context<'_>, seen: &mut Seen) -> Vec<Parsed> {
    let entries = bundle.get("entry").map(Json::items).unwrap_or_default();
    let version = version_of(bundle, context);
    if entries.is_empty() {
        let rule = Dropped::by("bundle.empty", "the Bundle has no entries");
        let outcome = Outcome::Dropped(rule);
        return vec![Parsed { resource: name_of(bundle), version, bytes: 0..bytes.len(), outcome }];
    }
    let shelf = BundleShelf::of(entries, context.shelf);
    let context = Context { shelf: &shelf, ..context.clone() };
    let parse_entry = |entry: &Json| {
        let whole = |json: &Json| if let Json::Object(object) = json { object.bytes.clone() } else { 0..bytes.len() };
        let (resource, bytes, outcome) = match entry.get("resource") {
            Some(resource) => {
                let own = bytes.get(whole(resource)).unwrap_or_default();
                let outcome = map_json(resource, own, &context, seen);
                (name_of(resource), span(resource, &outcome).unwrap_or_else(|| whole(resource)), outcome)
            }
            None => match deletion(entry) {
                Some(deleted) => {
                    let outcome = withdraw(&deleted.name, deleted.version_id.as_deref(), &context, seen);
                    (deleted.name, whole(entry), outcome)
                }
                None => {
                    let rule = Dropped::by("bundle.no-resource", "the entry holds no resource and deletes none");
                    ("unknown".to_owned(), whole(entry), Outcome::Dropped(rule))
                }
            },
        };
        let version = entry.get("resource").map_or(version, |resource| version_of(resource, &context));
        Parsed { resource, version, bytes, outcome }
    };
    entries.iter().map(parse_entry).collect()
}

/// A deletion in a history or transaction Bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// `Type/id`.
    pub(crate) name: String,
    /// The version that the deletion made.
    pub(crate) version_id: Option<String>,
}

/// The deletion that an entry states.
pub(crate) fn deletion(entry: &Json) -> Option<Deletion> {
    let request = entry.get("request").filter(|request| request.text("method") == Some("DELETE"))?;
    let path = request.text("url")?.split('?').next()?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let history = parts.iter().position(|part| *part == "_history");
    let [.., resource_type, id] = &parts[..history.unwrap_or(parts.len())] else { return None };
    let of_url = history.and_then(|at| parts.get(at + 1)).map(|version| (*version).to_owned());
    // A weak entity tag, W/"3", when the address has no version.
    let etag =
        || entry.get("response")?.text("etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
    Some(Deletion { name: format!("{resource_type}/{id}"), version_id: of_url.or_else(etag) })
}

/// The entries of a Bundle, then what lies behind.
struct BundleShelf<'a> {
    entries: HashMap<String, Arc<Json>>,
    behind: &'a dyn Shelf,
}

impl<'a> BundleShelf<'a> {
    fn of(entries: &[Json], behind: &'a dyn Shelf) -> Self {
        let mut shelf = HashMap::new();
        for entry in entries {
            let Some(resource) = entry.get("resource") else { continue };
            let resource_type = resource.text("resourceType");
            // Only what others refer to is kept.
            if !matches!(resource_type, Some("Device" | "Encounter" | "Patient" | "Procedure")) {
                continue;
            }
            let shared = Arc::new(resource.clone());
            if let (Some(resource_type), Some(id)) = (resource_type, resource.text("id")) {
                shelf.insert(format!("{resource_type}/{id}"), Arc::clone(&shared));
            }
            if let Some(address) = entry.text("fullUrl") {
                shelf.insert(address.to_owned(), shared);
            }
        }
        Self { entries: shelf, behind }
    }
}

impl Shelf for BundleShelf<'_> {
    fn find(&self, target: &str) -> Found {
        match self.entries.get(target) {
            Some(resource) => Found::Here(Arc::clone(resource)),
            None => self.behind.find(target),
        }
    }
}

fn version_of(resource: &Json, context: &Context<'_>) -> Version {
    context.version.or_else(|| Version::of_content(resource)).unwrap_or_default()
}

fn name_of(resource: &Json) -> String {
    Identity::of(resource).map_or_else(|_| "unknown".to_owned(), |identity| identity.name())
}

/// The year in UTC, for two-digit years.
pub(crate) fn year_of(at: Timestamp) -> i16 {
    let instant = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::Offset::UTC.to_datetime(instant).year()
}

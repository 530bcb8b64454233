//! Bundles of requests: a transaction is stored as a whole or not at all, a batch entry by entry.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::desk::{Desk, Planned, check_name};
use super::outcome::Refusal;
use super::time::instant;

/// Most entries of a Bundle.
const ENTRIES_MAX: usize = 5_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    resource_type: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    entry: Vec<SentEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SentEntry {
    full_url: Option<String>,
    resource: Option<Box<RawValue>>,
    request: Option<SentRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SentRequest {
    method: String,
    url: String,
    if_match: Option<String>,
    if_none_exist: Option<String>,
}

/// An entry that was understood.
struct Step {
    method: String,
    kind: String,
    id: String,
    text: String,
    if_match: Option<String>,
    full_url: Option<String>,
}

/// Does what a Bundle asks for, and tells what became of each entry.
pub(super) fn perform(desk: &mut Desk, body: &str) -> Result<Value, Refusal> {
    let sent: Sent = serde_json::from_str(body).map_err(|error| Refusal::invalid(format!("the body: {error}")))?;
    if sent.resource_type != "Bundle" {
        return Err(Refusal::invalid("only a Bundle is posted to the base"));
    }
    if sent.entry.len() > ENTRIES_MAX {
        return Err(Refusal::new(413, "too-costly", format!("a Bundle has at most {ENTRIES_MAX} entries here")));
    }
    match sent.kind.as_deref() {
        Some("transaction") => transaction(desk, sent.entry),
        Some("batch") => Ok(batch(desk, sent.entry)),
        _ => Err(Refusal::invalid("a Bundle that is posted is a transaction or a batch")),
    }
}

fn transaction(desk: &mut Desk, entries: Vec<SentEntry>) -> Result<Value, Refusal> {
    let steps = entries.into_iter().map(Step::read).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    if let Some(twice) = steps.iter().find(|step| !seen.insert((step.kind.as_str(), step.id.as_str()))) {
        return Err(Refusal::invalid(format!("{}/{} stands in two entries", twice.kind, twice.id)));
    }
    let names: HashMap<&str, String> = steps
        .iter()
        .filter_map(|step| Some((step.full_url.as_deref()?, format!("{}/{}", step.kind, step.id))))
        .filter(|(address, _)| address.starts_with("urn:"))
        .collect();
    let now = desk.now_ms();
    let plans = steps.iter().map(|step| step.plan(desk, &linked(&step.text, &names), now));
    let plans = plans.collect::<Result<Vec<_>, _>>()?;
    desk.commit(&plans)?;
    let told: Vec<Value> = plans.iter().map(told).collect();
    Ok(json!({"resourceType": "Bundle", "type": "transaction-response", "entry": told}))
}

fn batch(desk: &mut Desk, entries: Vec<SentEntry>) -> Value {
    let mut one = |entry: SentEntry| {
        let step = Step::read(entry)?;
        let planned = step.plan(desk, &step.text, desk.now_ms())?;
        desk.commit(std::slice::from_ref(&planned))?;
        Ok(told(&planned))
    };
    let done: Vec<Value> = entries
        .into_iter()
        .map(|entry| {
            one(entry).unwrap_or_else(|refusal: Refusal| {
                json!({"response": {"status": refusal.status.to_string(), "outcome": refusal.outcome()}})
            })
        })
        .collect();
    json!({"resourceType": "Bundle", "type": "batch-response", "entry": done})
}

impl Step {
    fn read(entry: SentEntry) -> Result<Self, Refusal> {
        let SentEntry { full_url, resource, request } = entry;
        let request = request.ok_or_else(|| Refusal::invalid("an entry has no request"))?;
        if request.if_none_exist.is_some() || request.url.contains('?') {
            return Err(Refusal::unsupported("conditional requests are not served here"));
        }
        let parts: Vec<&str> = request.url.trim_matches('/').split('/').collect();
        let text = resource.map(|resource| resource.get().to_owned()).unwrap_or_default();
        let (kind, id) = match (request.method.as_str(), parts.as_slice()) {
            ("POST", [kind]) => (*kind, uuid::Uuid::new_v4().to_string()),
            ("PUT" | "DELETE", [kind, id]) => (*kind, (*id).to_owned()),
            (method, _) => {
                return Err(Refusal::unsupported(format!("{method} {} is not served in a Bundle", request.url)));
            }
        };
        check_name(kind)?;
        let kind = kind.to_owned();
        Ok(Self { method: request.method, kind, id, text, if_match: request.if_match, full_url })
    }

    fn plan(&self, desk: &Desk, text: &str, now_ms: i64) -> Result<Planned, Refusal> {
        match self.method.as_str() {
            "POST" => desk.create(&self.kind, &self.id, text, now_ms),
            "PUT" => desk.update(&self.kind, &self.id, text, self.if_match.as_deref(), now_ms),
            _ => desk.delete(&self.kind, &self.id, self.if_match.as_deref(), now_ms),
        }
    }
}

fn told(planned: &Planned) -> Value {
    let status = match planned.status {
        201 => "201 Created",
        204 => "204 No Content",
        _ => "200 OK",
    };
    let Some(version) = &planned.version else { return json!({"response": {"status": status}}) };
    json!({"response": {
        "status": status,
        "location": format!("{}/_history/{}", version.name(), version.number),
        "etag": format!("W/\"{}\"", version.number),
        "lastModified": instant(version.at_ms),
    }})
}

/// The text with the places of the Bundle's own entries instead of their temporary names.
fn linked(text: &str, names: &HashMap<&str, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\"urn:") {
        let (before, from) = rest.split_at(start + 1);
        out.push_str(before);
        let end = from.find('"').unwrap_or(from.len());
        let (address, behind) = from.split_at(end);
        out.push_str(names.get(address).map_or(address, String::as_str));
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_become_places() {
        let names = HashMap::from([("urn:uuid:1", "Patient/p".to_owned())]);
        let text = r#"{"subject":{"reference":"urn:uuid:1"},"system":"urn:oid:2","note":"see urn:uuid:1"}"#;
        let expected = r#"{"subject":{"reference":"Patient/p"},"system":"urn:oid:2","note":"see urn:uuid:1"}"#;
        assert_eq!(linked(text, &names), expected);
        assert_eq!(linked("\"urn:", &names), "\"urn:");
    }
}

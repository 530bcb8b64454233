//! Plans what a request wants stored, and stores it: all of a request or nothing.

use std::sync::Arc;

use super::journal::Journal;
use super::outcome::Refusal;
use super::store::{Bounds, Method, Store, Version};
use super::text::{Members, stamped};
use super::time::instant;

/// The store with its journal.
pub(super) struct Desk {
    pub(super) store: Store,
    journal: Option<Journal>,
    bounds: Bounds,
}

/// What a change comes to.
pub(super) struct Planned {
    /// HTTP status when it is stored.
    pub(super) status: u16,
    /// The version that counts afterwards; none when there is nothing and never was.
    pub(super) version: Option<Arc<Version>>,
    /// Whether the version is new.
    pub(super) is_new: bool,
}

impl Desk {
    pub(super) fn new(store: Store, journal: Option<Journal>, bounds: Bounds) -> Self {
        Self { store, journal, bounds }
    }

    /// The time now: never before the newest version.
    pub(super) fn now_ms(&self) -> i64 {
        crate::clock::now_ms().max(self.store.newest_ms())
    }

    /// A new resource under an id of the store.
    pub(super) fn create(&self, kind: &str, id: &str, text: &str, now_ms: i64) -> Result<Planned, Refusal> {
        check_kind(kind, text)?;
        self.next(kind, id, text, Method::Post, now_ms)
    }

    /// A resource under an id of the client.
    pub(super) fn update(
        &self,
        kind: &str,
        id: &str,
        text: &str,
        if_match: Option<&str>,
        now_ms: i64,
    ) -> Result<Planned, Refusal> {
        check_id(id)?;
        let members = check_kind(kind, text)?;
        if members.text("id").as_deref() != Some(id) {
            return Err(Refusal::invalid(format!("the id in the resource is not {id}")));
        }
        self.check_match(kind, id, if_match)?;
        self.next(kind, id, text, Method::Put, now_ms)
    }

    /// Deletes a resource, if there is one.
    pub(super) fn delete(&self, kind: &str, id: &str, if_match: Option<&str>, now_ms: i64) -> Result<Planned, Refusal> {
        check_id(id)?;
        self.check_match(kind, id, if_match)?;
        let before = self.store.newest(kind, id);
        let Some(living) = before.filter(|version| !version.is_deletion()) else {
            return Ok(Planned { status: 204, version: before.cloned(), is_new: false });
        };
        let version = Version {
            kind: kind.to_owned(),
            id: id.to_owned(),
            number: living.number.saturating_add(1),
            at_ms: now_ms,
            method: Method::Delete,
            text: String::new(),
        };
        Ok(Planned { status: 204, version: Some(Arc::new(version)), is_new: true })
    }

    /// Stores what was planned.
    pub(super) fn commit(&mut self, planned: &[Planned]) -> Result<(), Refusal> {
        let new = planned.iter().filter(|planned| planned.is_new).filter_map(|planned| planned.version.as_deref());
        let new: Vec<&Version> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        let bytes = new.iter().map(|version| version.text.len()).sum();
        if !self.store.has_room(self.bounds, new.len(), bytes) {
            let Bounds { versions_max, bytes_max } = self.bounds;
            let what = format!("the store holds its most of {versions_max} versions or {bytes_max} bytes");
            return Err(Refusal::new(507, "no-store", what));
        }
        if let Some(journal) = &mut self.journal {
            let failed = |reason: String| Refusal::new(500, "no-store", format!("nothing was stored: {reason}"));
            let line = serde_json::to_string(&new).map_err(|error| failed(error.to_string()))?;
            journal.append(&line).map_err(|reason| {
                tracing::error!(reason, "the journal of the FHIR store took no line");
                failed(reason)
            })?;
        }
        for version in new {
            self.store.apply(version.clone());
        }
        Ok(())
    }

    fn next(&self, kind: &str, id: &str, text: &str, method: Method, now_ms: i64) -> Result<Planned, Refusal> {
        let before = self.store.newest(kind, id);
        let content = |text: &str| stamped(text, id, None).map_err(Refusal::invalid);
        let living = before.filter(|version| !version.is_deletion());
        if let Some(living) = living
            && content(&living.text)? == content(text)?
        {
            // The same content makes no new version.
            return Ok(Planned { status: 200, version: Some(Arc::clone(living)), is_new: false });
        }
        let number = before.map_or(1, |version| version.number.saturating_add(1));
        let stamp = (number.to_string(), instant(now_ms));
        let text = stamped(text, id, Some((&stamp.0, &stamp.1))).map_err(Refusal::invalid)?;
        let status = if living.is_some() { 200 } else { 201 };
        let version = Version { kind: kind.to_owned(), id: id.to_owned(), number, at_ms: now_ms, method, text };
        Ok(Planned { status, version: Some(Arc::new(version)), is_new: true })
    }

    fn check_match(&self, kind: &str, id: &str, if_match: Option<&str>) -> Result<(), Refusal> {
        let Some(tag) = if_match else { return Ok(()) };
        let wanted = tag.trim_start_matches("W/").trim_matches('"');
        let newest = self.store.newest(kind, id).map(|version| version.number.to_string());
        if newest.as_deref() == Some(wanted) {
            return Ok(());
        }
        let what = format!("{kind}/{id} has the version {}, not {wanted}", newest.as_deref().unwrap_or("none"));
        Err(Refusal::new(412, "conflict", what))
    }
}

/// Checks the name of a type.
pub(super) fn check_name(kind: &str) -> Result<(), Refusal> {
    let is_name = kind.len() <= 64
        && kind.starts_with(|first: char| first.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_name { Ok(()) } else { Err(Refusal::new(404, "not-supported", format!("{kind} is no type of resource"))) }
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let is_id = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if is_id { Ok(()) } else { Err(Refusal::invalid("an id has 1 to 64 letters, digits, `-` and `.`")) }
}

fn check_kind(kind: &str, text: &str) -> Result<Members, Refusal> {
    let members = Members::read(text).map_err(|error| Refusal::invalid(format!("the body is no resource: {error}")))?;
    match members.text("resourceType") {
        Some(said) if said == kind => Ok(members),
        _ => Err(Refusal::invalid(format!("the resourceType of the body is not {kind}"))),
    }
}

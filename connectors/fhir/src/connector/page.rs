//! A page of a search or of a history, read from the Bundle that the server answered.

use super::salvage::Flaw;
use crate::mapping::Identity;
use crate::node::Node;
use crate::outcome::Refusal;
use crate::parse::{Deletion, deletion};
use fhir_gate::json::Json;
use schemas::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    /// Resources, in the order as sent.
    pub(super) entries: Vec<Entry>,
    /// Deletions of resources of which the page holds no newer version, in the order as sent.
    pub(super) deletions: Vec<Deletion>,
    /// Names of the resources whose newest version on this page is no deletion.
    pub(super) alive: BTreeSet<String>,
    /// Address of the next page.
    pub(super) next: Option<String>,
    /// When the server made the page.
    pub(super) made_at: Option<Timestamp>,
    /// Whether every entry says at least if it states a deletion.
    pub(super) is_whole: bool,
}

/// A resource on a page.
#[derive(Debug)]
pub(super) struct Entry {
    /// Which resource, or why nobody knows.
    pub(super) identity: Result<Identity, Refusal>,
    /// Position in the Bundle.
    pub(super) index: usize,
    /// Its bytes on the page.
    pub(super) bytes: Range<usize>,
    /// Why it cannot be read.
    pub(super) refusal: Option<Refusal>,
}

/// The answer is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPage;

impl Page {
    /// Reads the Bundle, out of which `flaws` were cut.
    pub(super) fn of(bundle: &Json, flaws: Vec<Flaw>) -> Result<Self, NoPage> {
        if bundle.text("resourceType") != Some("Bundle") {
            return Err(NoPage);
        }
        let mut page = Self {
            entries: Vec::new(),
            deletions: Vec::new(),
            alive: BTreeSet::new(),
            next: next(bundle),
            made_at: made_at(bundle),
            is_whole: !flaws.iter().any(|flaw| flaw.is_whole),
        };
        let mut flaws: HashMap<usize, Flaw> = flaws.into_iter().map(|flaw| (flaw.index, flaw)).collect();
        let entries = bundle.get("entry").map(Json::items).unwrap_or_default();
        let mut deleted = BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(deletion) = deletion(entry) {
                // A history comes newest first: what lives again is not deleted.
                if !page.alive.contains(&deletion.name) && deleted.insert(deletion.name.clone()) {
                    page.deletions.push(deletion);
                }
                continue;
            }
            let entry = match flaws.remove(&index) {
                Some(Flaw { identity, bytes, refusal, .. }) => Entry { identity, index, bytes, refusal: Some(refusal) },
                None => match readable(entry, index) {
                    Some(entry) => entry,
                    None => continue,
                },
            };
            if let Ok(identity) = &entry.identity
                && !deleted.contains(&identity.name())
            {
                page.alive.insert(identity.name());
            }
            page.entries.push(entry);
        }
        Ok(page)
    }
}

impl Entry {
    /// When the server stored it.
    pub(super) fn stored_at(&self) -> Option<Timestamp> {
        self.identity.as_ref().ok()?.last_updated.map(|moment| moment.at)
    }
}

/// An entry with a resource that is no remark of the server on the search itself.
fn readable(entry: &Json, index: usize) -> Option<Entry> {
    let resource = entry.get("resource")?;
    let Json::Object(object) = resource else { return None };
    let is_outcome = entry.get("search").and_then(|search| search.text("mode")) == Some("outcome");
    let entry = Entry { identity: Identity::of(resource), index, bytes: object.bytes.clone(), refusal: None };
    (!is_outcome).then_some(entry)
}

/// The resource at a position of the Bundle.
pub(super) fn resource(bundle: &Json, index: usize) -> Option<&Json> {
    bundle.get("entry")?.items().get(index)?.get("resource")
}

fn next(bundle: &Json) -> Option<String> {
    let links = bundle.get("link")?.items();
    links.iter().find(|link| link.text("relation") == Some("next"))?.text("url").map(str::to_owned)
}

fn made_at(bundle: &Json) -> Option<Timestamp> {
    Node::root(bundle).child("meta")?.moment("lastUpdated").ok().flatten().map(|moment| moment.at)
}

#[cfg(test)]
mod tests {
    use super::super::salvage;
    use super::*;

    #[test]
    fn a_search_page_gives_resources_and_the_next_address() {
        let text = r#"{"resourceType":"Bundle","type":"searchset","meta":{"lastUpdated":"2026-09-14T10:00:00Z"},
            "link":[{"relation":"self","url":"http://f/1"},{"relation":"next","url":"http://f/2"}],
            "entry":[{"resource":{"resourceType":"Device","id":"d1","meta":{"versionId":"3"}},"search":{"mode":"match"}},
                     {"resource":{"resourceType":"OperationOutcome"},"search":{"mode":"outcome"}},
                     {"resource":{"id":"x"}}]}"#;
        let bundle = Json::read(text.as_bytes()).unwrap();
        let page = Page::of(&bundle, Vec::new()).unwrap();
        assert_eq!(page.next.as_deref(), Some("http://f/2"));
        assert_eq!(page.entries.len(), 2);
        assert_eq!(page.entries[0].identity.as_ref().unwrap().name(), "Device/d1");
        assert!(page.entries[1].identity.is_err());
        assert_eq!(resource(&bundle, page.entries[0].index).unwrap().text("id"), Some("d1"));
        assert!(text[page.entries[0].bytes.clone()].starts_with("{\"resourceType\":\"Device\""));
    }

    #[test]
    fn a_history_page_gives_the_deletions_that_still_stand() {
        let text = r#"{"resourceType":"Bundle","type":"history","entry":[
            {"request":{"method":"DELETE","url":"Procedure/p1/_history/3"}},
            {"resource":{"resourceType":"Procedure","id":"p2","meta":{"versionId":"3"}},"request":{"method":"PUT","url":"Procedure/p2"}},
            {"request":{"method":"DELETE","url":"Procedure/p2/_history/2"}},
            {"resource":{"resourceType":"Procedure","id":"p1","meta":{"versionId":"2"}},"request":{"method":"PUT","url":"Procedure/p1"}}]}"#;
        let page = Page::of(&Json::read(text.as_bytes()).unwrap(), Vec::new()).unwrap();
        let deletions: Vec<_> = page.deletions.iter().map(|deletion| deletion.name.as_str()).collect();
        assert_eq!(deletions, ["Procedure/p1"]);
        assert!(page.alive.contains("Procedure/p2") && !page.alive.contains("Procedure/p1"));
    }

    #[test]
    fn loss_1_what_cannot_be_read_is_an_entry_in_its_place_and_lives() {
        let text = r#"{"resourceType":"Bundle","type":"history","entry":[
            {"resource":{"resourceType":"Procedure","id":"p1","a":1,"a":2},"request":{"method":"PUT","url":"Procedure/p1"}},
            {"request":{"method":"DELETE","url":"Procedure/p1/_history/2"}},
            {"resource":{"resourceType":"Procedure","id":"p2"}}]}"#;
        let (bundle, flaws) = salvage::read(text.as_bytes()).unwrap();
        let page = Page::of(&bundle, flaws).unwrap();
        assert!(page.is_whole && page.deletions.is_empty() && page.alive.contains("Procedure/p1"));
        let codes: Vec<_> =
            page.entries.iter().map(|entry| entry.refusal.as_ref().map(|refusal| refusal.code)).collect();
        assert_eq!(codes, [Some("WL-2002"), None]);
    }

    #[test]
    fn anything_else_is_no_page() {
        let other = Json::read(br#"{"resourceType":"OperationOutcome"}"#).unwrap();
        assert_eq!(Page::of(&other, Vec::new()).unwrap_err(), NoPage);
    }
}

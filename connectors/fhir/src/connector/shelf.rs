//! Resources that others refer to, kept in bounded memory and read from the server when they are missing.

use crate::mapping::{Found, Shelf};
use schemas::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known about referenced resources; the ones that were read longest ago leave first.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    clock: u64,
    entries: HashMap<String, (u64, Found)>,
    by_age: BTreeMap<u64, (Timestamp, String)>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), clock: 0, entries: HashMap::new(), by_age: BTreeMap::new() }
    }

    /// Keeps what the server said of a resource at `at`; not at hand is one that it does not show.
    pub(super) fn put(&mut self, name: String, found: Found, at: Timestamp) {
        self.clock += 1;
        if let Some((age, _)) = self.entries.insert(name.clone(), (self.clock, found)) {
            self.by_age.remove(&age);
        }
        self.by_age.insert(self.clock, (at, name));
        while self.entries.len() > self.most
            && let Some((_, (_, oldest))) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Forgets a resource, so that it is read again.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some((age, _)) = self.entries.remove(name) {
            self.by_age.remove(&age);
        }
    }

    /// Forgets what was read before `oldest`, and that resources were missing or not shown: they may have come since.
    pub(super) fn forget(&mut self, oldest: Timestamp) {
        let old = self.by_age.values().take_while(|(at, _)| *at < oldest).map(|(_, name)| name.clone());
        let is_missing = |found: &Found| !matches!(found, Found::Here(_));
        let missing = self.entries.iter().filter(|(_, (_, found))| is_missing(found)).map(|(name, _)| name.clone());
        for name in old.chain(missing).collect::<Vec<_>>() {
            self.remove(&name);
        }
    }
}

/// The cache while one resource is mapped; notes what it could not answer.
pub(super) struct Asking<'a> {
    cache: &'a Cache,
    wanted: RefCell<BTreeSet<String>>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(cache: &'a Cache) -> Self {
        Self { cache, wanted: RefCell::default() }
    }

    /// What has to be read from the server.
    pub(super) fn wanted(self) -> BTreeSet<String> {
        self.wanted.into_inner()
    }
}

impl Shelf for Asking<'_> {
    fn find(&self, target: &str) -> Found {
        match self.cache.entries.get(target) {
            Some((_, found)) => found.clone(),
            None => {
                // Only this server is asked.
                if is_name(target) {
                    self.wanted.borrow_mut().insert(target.to_owned());
                }
                Found::NotAtHand
            }
        }
    }
}

/// Whether it is `Type/id` with an id as FHIR allows (R4 2.24.0.1), so that it can be part of an address.
pub(super) fn is_name(target: &str) -> bool {
    let Some((resource_type, id)) = target.split_once('/') else { return false };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    !resource_type.is_empty()
        && (1..=64).contains(&id.len())
        && plain(resource_type)
        && plain(id)
        && !id.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_gate::json::Json;
    use std::sync::Arc;

    fn here() -> Found {
        Found::Here(Arc::new(Json::Null))
    }

    #[test]
    fn what_is_missing_is_noted_once_and_only_for_this_server() {
        let mut cache = Cache::new(3);
        cache.put("Device/d1".to_owned(), here(), Timestamp(0));
        cache.put("Device/d2".to_owned(), Found::Gone, Timestamp(0));
        cache.put("Device/sealed".to_owned(), Found::NotAtHand, Timestamp(0));
        let asking = Asking::new(&cache);
        assert!(matches!(asking.find("Device/d1"), Found::Here(_)));
        assert!(matches!(asking.find("Device/d2"), Found::Gone));
        for target in
            ["Device/d3", "Device/d3", "http://other/Device/d4", "urn:uuid:7f1a", "Device/../x", "Device/sealed"]
        {
            assert!(matches!(asking.find(target), Found::NotAtHand));
        }
        assert_eq!(asking.wanted().into_iter().collect::<Vec<_>>(), ["Device/d3"]);
    }

    #[test]
    fn the_cache_is_bounded_and_forgets_what_is_old_or_was_missing() {
        let mut cache = Cache::new(3);
        for number in 0..10 {
            cache.put(format!("Device/d{number}"), here(), Timestamp(number));
        }
        assert_eq!((cache.entries.len(), cache.by_age.len()), (3, 3));
        cache.put("Device/missing".to_owned(), Found::Gone, Timestamp(20));
        cache.put("Device/sealed".to_owned(), Found::NotAtHand, Timestamp(20));
        cache.forget(Timestamp(9));
        assert_eq!(cache.entries.keys().collect::<Vec<_>>(), ["Device/d9"]);
        assert_eq!(cache.by_age.len(), 1);
    }
}

//! Resources with all their versions, in the order in which they were stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    /// Created under an id that the store gave.
    Post,
    /// Created or replaced under an id that the client gave.
    Put,
    /// Deleted.
    Delete,
}

impl Method {
    /// As a request says it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A version of a resource, as it is kept and as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    /// Type of the resource.
    pub(super) kind: String,
    /// Its id.
    pub(super) id: String,
    /// Number of the version, from 1.
    pub(super) number: u64,
    /// When it was stored, milliseconds since 1970.
    pub(super) at_ms: i64,
    /// What made it.
    pub(super) method: Method,
    /// The resource, JSON; empty when it was deleted.
    pub(super) text: String,
}

impl Version {
    /// `Type/id`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// Whether this version says that the resource is gone.
    pub(super) fn is_deletion(&self) -> bool {
        self.method == Method::Delete
    }
}

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) versions_max: usize,
    pub(super) bytes_max: usize,
}

/// All resources.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// In the order of storing; the key is the place in it. Times never fall.
    log: BTreeMap<u64, Arc<Version>>,
    /// Places of the versions of a resource, oldest first, by type and id.
    places: HashMap<(String, String), Vec<u64>>,
    /// Places of the newest versions that are no deletions, by type.
    living: HashMap<String, BTreeSet<u64>>,
    bytes: usize,
}

impl Store {
    /// Takes a version in.
    pub(super) fn apply(&mut self, version: Version) {
        let place = self.log.last_key_value().map_or(0, |(last, _)| last + 1);
        self.bytes += version.text.len();
        let places = self.places.entry((version.kind.clone(), version.id.clone())).or_default();
        let living = self.living.entry(version.kind.clone()).or_default();
        if let Some(before) = places.last() {
            living.remove(before);
        }
        if !version.is_deletion() {
            living.insert(place);
        }
        places.push(place);
        self.log.insert(place, Arc::new(version));
    }

    /// Whether so many more versions with so many bytes have room.
    pub(super) fn has_room(&self, bounds: Bounds, versions: usize, bytes: usize) -> bool {
        self.log.len() + versions <= bounds.versions_max && self.bytes + bytes <= bounds.bytes_max
    }

    /// When the newest version was stored, milliseconds since 1970.
    pub(super) fn newest_ms(&self) -> i64 {
        self.log.last_key_value().map_or(0, |(_, version)| version.at_ms)
    }

    /// The newest version of a resource.
    pub(super) fn newest(&self, kind: &str, id: &str) -> Option<&Arc<Version>> {
        self.versions(kind, id).next_back().map(|(_, version)| version)
    }

    /// A version of a resource.
    pub(super) fn version(&self, kind: &str, id: &str, number: u64) -> Option<&Arc<Version>> {
        self.versions(kind, id).map(|(_, version)| version).find(|version| version.number == number)
    }

    /// Versions of a resource with their places, oldest first.
    pub(super) fn versions(&self, kind: &str, id: &str) -> impl DoubleEndedIterator<Item = (u64, &Arc<Version>)> {
        let places = self.places.get(&(kind.to_owned(), id.to_owned())).into_iter().flatten();
        places.filter_map(|place| Some((*place, self.log.get(place)?)))
    }

    /// Living resources of a type with their places, in the order of storing.
    pub(super) fn living(&self, kind: &str) -> impl DoubleEndedIterator<Item = (u64, &Arc<Version>)> {
        let places = self.living.get(kind).into_iter().flatten();
        places.filter_map(|place| Some((*place, self.log.get(place)?)))
    }

    /// Every version with its place, in the order of storing.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = (u64, &Arc<Version>)> {
        self.log.iter().map(|(place, version)| (*place, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, number: u64, method: Method) -> Version {
        let text = if method == Method::Delete { String::new() } else { "{}".to_owned() };
        Version { kind: "Device".to_owned(), id: id.to_owned(), number, at_ms: 0, method, text }
    }

    #[test]
    fn the_newest_version_counts() {
        let mut store = Store::default();
        store.apply(version("a", 1, Method::Put));
        store.apply(version("b", 1, Method::Put));
        store.apply(version("a", 2, Method::Put));
        let living: Vec<_> = store.living("Device").map(|(_, version)| version.name()).collect();
        assert_eq!(living, ["Device/b", "Device/a"]);
        store.apply(version("b", 2, Method::Delete));
        assert_eq!(store.living("Device").count(), 1);
        assert!(store.newest("Device", "b").unwrap().is_deletion());
        assert_eq!((store.version("Device", "b", 1).unwrap().number, store.all().count()), (1, 4));
    }

    #[test]
    fn the_store_has_bounds() {
        let mut store = Store::default();
        let bounds = Bounds { versions_max: 2, bytes_max: 3 };
        assert!(store.has_room(bounds, 2, 3) && !store.has_room(bounds, 3, 0));
        store.apply(version("a", 1, Method::Put));
        assert!(store.has_room(bounds, 1, 1) && !store.has_room(bounds, 1, 2));
    }
}

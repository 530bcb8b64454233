//! What was published last, by content, so that a record which the ERP shows again is not published again.

use std::collections::HashMap;

use connector::erp::Stream;
use schemas::EventMeta;
use sha2::{Digest, Sha256};

use crate::mapping::Mapped;

/// The content of an event without its envelope.
pub(crate) type Content = [u8; 32];
/// What an event is about.
pub(crate) type Name = (Stream, String);

/// A bounded memory, for each stream of its own: a price list that changes every item does not push the orders out. What is
/// forgotten costs repeated events but never a missing one.
pub(crate) struct Seen {
    streams: HashMap<Stream, Memory>,
    most: usize,
}

/// Two halves: when the younger one is full, the older one is forgotten.
#[derive(Default)]
struct Memory {
    younger: HashMap<String, Content>,
    older: HashMap<String, Content>,
}

impl Seen {
    /// Remembers at most `most` contents of each stream, and always the newer half of them.
    pub(crate) fn new(most: usize) -> Self {
        Self { streams: HashMap::new(), most }
    }

    pub(crate) fn knows(&self, (stream, key): &Name, content: &Content) -> bool {
        self.streams.get(stream).and_then(|memory| memory.last(key)) == Some(content)
    }

    pub(crate) fn remember(&mut self, (stream, key): Name, content: Content) {
        let half = (self.most / 2).max(1);
        let memory = self.streams.entry(stream).or_default();
        if memory.younger.len() >= half && !memory.younger.contains_key(&key) {
            memory.older = std::mem::take(&mut memory.younger);
        }
        memory.younger.insert(key, content);
    }
}

impl Memory {
    fn last(&self, key: &str) -> Option<&Content> {
        self.younger.get(key).or_else(|| self.older.get(key))
    }
}

/// The name and content of an event. Two events with equal content say the same, whenever the ERP wrote the record.
pub(crate) fn identify(stream: Stream, event: &Mapped) -> (Name, Content) {
    let mut bare = event.clone();
    let meta = std::mem::take(bare.meta_mut());
    let EventMeta { business_key, action, .. } = meta;
    // Names of staff are hidden in the debug form, so the comparison needs the serialised one.
    let fields = serde_json::to_string(&bare).unwrap_or_default();
    let content = Sha256::digest(format!("{action:?} {fields}").as_bytes());
    ((stream, business_key), content.into())
}

#[cfg(test)]
mod tests {
    use super::{Seen, identify};
    use crate::mapping::Mapped;
    use connector::erp::Stream;
    use schemas::{EventMeta, MasterEmployee};

    fn employee(name: &str, revision: i32) -> Mapped {
        let meta = EventMeta { business_key: "master.employee.v1/E001".to_owned(), revision, ..EventMeta::default() };
        Mapped::Employee(MasterEmployee { meta, display_name: Some(name.to_owned()), ..MasterEmployee::default() })
    }

    #[test]
    fn only_content_counts() {
        let mut seen = Seen::new(10);
        let (name, content) = identify(Stream::Employees, &employee("Ada", 1));
        seen.remember(name, content);
        let (name, content) = identify(Stream::Employees, &employee("Ada", 2));
        assert!(seen.knows(&name, &content));
        let (name, content) = identify(Stream::Employees, &employee("Ada Nurse", 2));
        assert!(!seen.knows(&name, &content));
    }

    #[test]
    fn bnd_1_the_memory_is_bounded_and_keeps_what_is_new() {
        let mut seen = Seen::new(10);
        let name = |stream, key: i32| (stream, key.to_string());
        seen.remember(name(Stream::PurchaseOrders, 0), [7; 32]);
        for key in 0..100 {
            seen.remember(name(Stream::Items, key), [0; 32]);
            let memory = &seen.streams[&Stream::Items];
            assert!(memory.younger.len() + memory.older.len() <= 10);
            let newest = key.saturating_sub(4).max(0)..=key;
            assert!(newest.into_iter().all(|key| seen.knows(&name(Stream::Items, key), &[0; 32])), "{key}");
        }
        assert!(!seen.knows(&name(Stream::Items, 0), &[0; 32]));
        assert!(seen.knows(&name(Stream::PurchaseOrders, 0), &[7; 32]), "another stream has pushed it out");
    }

    #[test]
    fn the_last_content_counts_wherever_an_earlier_one_is_kept() {
        let mut seen = Seen::new(4);
        let name = |key: &str| (Stream::Items, key.to_owned());
        seen.remember(name("a"), [1; 32]);
        for key in ["b", "c"] {
            seen.remember(name(key), [0; 32]);
        }
        seen.remember(name("a"), [2; 32]);
        assert!(seen.knows(&name("a"), &[2; 32]) && !seen.knows(&name("a"), &[1; 32]));
    }
}

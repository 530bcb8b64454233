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

/// A bounded memory: when it is full it starts anew, which costs repeated events but never a missing one.
pub(crate) struct Seen {
    known: HashMap<Name, Content>,
    most: usize,
}

impl Seen {
    pub(crate) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), most: most.max(1) }
    }

    pub(crate) fn knows(&self, name: &Name, content: &Content) -> bool {
        self.known.get(name) == Some(content)
    }

    pub(crate) fn remember(&mut self, name: Name, content: Content) {
        if self.known.len() >= self.most {
            self.known.clear();
        }
        self.known.insert(name, content);
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
    fn the_memory_is_bounded() {
        let mut seen = Seen::new(2);
        for key in 0..100 {
            seen.remember((Stream::Items, key.to_string()), [0; 32]);
            assert!(seen.known.len() <= 2);
        }
    }
}

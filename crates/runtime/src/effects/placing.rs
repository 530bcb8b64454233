//! Effect records on their way to the topic: their place is not known yet, so nothing may build on them.

use crate::Map;

/// Business keys by the ticket of their effect record.
#[derive(Debug, Default)]
pub(super) struct Placing {
    by_ticket: Map<u64, String>,
    /// How many records of a key are on their way.
    keys: Map<String, usize>,
}

impl Placing {
    /// A record of a key is on its way.
    pub fn insert(&mut self, ticket: u64, key: String) {
        *self.keys.entry(key.clone()).or_default() += 1;
        self.by_ticket.insert(ticket, key);
    }

    /// A record has its place; gives its key, when it is one of ours.
    pub fn remove(&mut self, ticket: u64) -> Option<String> {
        let key = self.by_ticket.remove(&ticket)?;
        if let Some(count) = self.keys.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.keys.remove(&key);
            }
        }
        Some(key)
    }

    /// Whether a record of a key is on its way.
    pub fn holds(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Forgets everything: the partitions have gone.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_until_its_last_record_has_its_place() {
        let mut placing = Placing::default();
        placing.insert(1, "a".to_owned());
        placing.insert(2, "a".to_owned());
        assert_eq!((placing.remove(1).as_deref(), placing.holds("a")), (Some("a"), true));
        assert_eq!((placing.remove(2).as_deref(), placing.holds("a")), (Some("a"), false));
        assert_eq!(placing.remove(2), None);
    }
}

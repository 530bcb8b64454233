//! Effect records on their way to the topic: their place is not known yet, so nothing may build on them.

use super::key_id::KeyId;
use crate::Map;

/// Business keys by the ticket of their effect record.
#[derive(Debug, Default)]
pub(super) struct Placing {
    by_ticket: Map<u64, KeyId>,
    /// How many records of a key are on their way.
    keys: Map<KeyId, usize>,
}

impl Placing {
    /// A record of a key is on its way.
    pub fn insert(&mut self, ticket: u64, key: KeyId) {
        *self.keys.entry(key).or_default() += 1;
        self.by_ticket.insert(ticket, key);
    }

    /// A record has its place; gives its key, when it is one of ours.
    pub fn remove(&mut self, ticket: u64) -> Option<KeyId> {
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
    pub fn holds(&self, key: KeyId) -> bool {
        self.keys.contains_key(&key)
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
        let (mut placing, key) = (Placing::default(), KeyId::of("a"));
        placing.insert(1, key);
        placing.insert(2, key);
        assert_eq!((placing.remove(1), placing.holds(key)), (Some(key), true));
        assert_eq!((placing.remove(2), placing.holds(key)), (Some(key), false));
        assert_eq!(placing.remove(2), None);
    }
}

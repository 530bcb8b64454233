//! Names of the ERP that were resolved before, bounded in number.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

/// A map that forgets what has not been asked for lately: when the young half is full it becomes the old half, and what
/// was in the old half is dropped (law BND-1).
pub(crate) struct Cache<K, V> {
    halves: Mutex<Halves<K, V>>,
    half_max: usize,
}

struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        let halves = Halves { young: HashMap::new(), old: HashMap::new() };
        Self { halves: Mutex::new(halves), half_max: (entries_max / 2).max(1) }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut halves = self.lock();
        if let Some(value) = halves.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = halves.old.remove_entry(key)?;
        self.put(&mut halves, key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut halves = self.lock();
        self.put(&mut halves, key, value);
    }

    pub(crate) fn clear(&self) {
        let mut halves = self.lock();
        halves.young.clear();
        halves.old.clear();
    }

    fn put(&self, halves: &mut Halves<K, V>, key: K, value: V) {
        if halves.young.len() >= self.half_max {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(key, value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Halves<K, V>> {
        // A panic while the lock was held leaves at worst a name missing, so the poison is of no interest.
        self.halves.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        let cache = Cache::new(4);
        cache.insert(0, "kept");
        for key in 1..100 {
            assert_eq!(cache.get(&0), Some("kept"));
            cache.insert(key, "other");
        }
        let halves = cache.lock();
        assert!(halves.young.len() + halves.old.len() <= 4);
    }
}

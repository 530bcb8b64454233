//! One caller at a time for each document key.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// More than the requests that are ever under way, so that two keys seldom share a lock.
const STRIPES: usize = 256;

/// Locks by key, bounded in number: keys that fall on the same stripe wait for each other, which does no harm.
pub(crate) struct KeyLocks {
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for KeyLocks {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl KeyLocks {
    /// Waits until nobody else works on `key`.
    pub(crate) async fn lock(&self, key: &str) -> MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one(key) % self.stripes.len() as u64;
        self.stripes[usize::try_from(stripe).unwrap_or_default()].lock().await
    }
}

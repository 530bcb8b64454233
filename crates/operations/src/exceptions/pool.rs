//! Values that many entries share, held once and as long as somebody uses them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The number of no value.
pub const NONE: u32 = u32::MAX;

/// Counts the users of each value and gives it a small number.
#[derive(Debug)]
pub struct Pool<T> {
    numbers: HashMap<Arc<T>, u32>,
    slots: Vec<Option<(Arc<T>, u32)>>,
    free: Vec<u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<T: Hash + Eq> Pool<T> {
    /// Adds one user of a value.
    pub fn take(&mut self, value: T) -> u32 {
        if let Some(number) = self.numbers.get(&value).copied() {
            if let Some((_, users)) = self.slot(number) {
                *users += 1;
            }
            return number;
        }
        let value = Arc::new(value);
        let entry = Some((Arc::clone(&value), 1));
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(slot) = self.slots.get_mut(number as usize) {
                    *slot = entry;
                }
                number
            }
            None => {
                self.slots.push(entry);
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        self.numbers.insert(value, number);
        number
    }

    /// Takes one user away; the last one takes the value along.
    pub fn release(&mut self, number: u32) {
        let Some((value, users)) = self.slot(number) else { return };
        *users -= 1;
        if *users == 0 {
            let value = Arc::clone(value);
            self.numbers.remove(&value);
            if let Some(slot) = self.slots.get_mut(number as usize) {
                *slot = None;
            }
            self.free.push(number);
        }
    }

    /// The value of a number; none for [`NONE`].
    pub fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref().map(|(value, _)| &**value)
    }

    /// Bytes held; `beyond` says how many a value points to.
    pub fn bytes(&self, beyond: impl Fn(&T) -> usize) -> usize {
        let map = map_bytes(self.numbers.capacity(), size_of::<(Arc<T>, u32)>());
        let slots = self.slots.capacity() * size_of::<Option<(Arc<T>, u32)>>();
        let one = |value: &T| size_of::<T>() + 2 * size_of::<usize>() + beyond(value);
        let values: usize = self.slots.iter().flatten().map(|(value, _)| one(value)).sum();
        map + slots + self.free.capacity() * size_of::<u32>() + values
    }

    fn slot(&mut self, number: u32) -> Option<&mut (Arc<T>, u32)> {
        self.slots.get_mut(number as usize)?.as_mut()
    }
}

/// Bytes of a hash table that holds so many entries before it grows: one eighth of its places is never used, and each has a
/// byte of its own beside the entry.
pub fn map_bytes(capacity: usize, entry: usize) -> usize {
    capacity.div_ceil(7) * 8 * (entry + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_held_once_and_as_long_as_it_is_used() {
        let mut pool = Pool::default();
        let numbers = ["a", "b", "a"].map(|text| pool.take(text.to_owned()));
        assert_eq!(numbers, [0, 1, 0]);
        pool.release(0);
        assert_eq!(pool.get(0).map(String::as_str), Some("a"));
        pool.release(0);
        assert_eq!(pool.get(0), None);
        assert_eq!(pool.take("c".to_owned()), 0, "its place is used again");
        assert_eq!(pool.get(NONE), None);
        let (few, more) = (pool.bytes(|_| 0), pool.bytes(String::len));
        assert_eq!(more - few, 2, "two texts of one letter");
    }
}

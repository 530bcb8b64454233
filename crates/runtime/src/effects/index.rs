//! What is remembered of effects: done ones by hash, open ones by their document key (FX-1).

use crate::Map;
use crate::clock::Tick;
use std::collections::VecDeque;

/// Where the newest effect record of a business key lies: partition and offset of `ops.effect.v1`.
pub(super) type EffectPlace = (i32, i64);

/// What is known of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Never attempted, as far as this index reaches.
    No,
    /// It may have happened: look it up.
    Intended(Intention),
    /// It happened.
    Applied,
}

/// A call that was to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intention {
    /// Idempotency key that it carries.
    pub document_key: String,
    /// From when on a look-up that finds nothing means that it did not happen and will not.
    pub certain_at: Tick,
    /// It was written ahead of its turn: the call was only made when this effect had happened.
    pub after: Option<String>,
}

/// Effects of the partitions of this instance, bounded: the oldest applied ones are forgotten first.
#[derive(Debug)]
pub(super) struct EffectIndex {
    applied: Map<u128, ()>,
    order: VecDeque<u128>,
    intended: Map<String, Intention>,
    /// For an effect the one that was intended behind it, ahead of its turn.
    behind: Map<String, String>,
    newest: Map<u128, EffectPlace>,
    newest_order: VecDeque<u128>,
    bound: usize,
    /// Applied effects that are remembered no more.
    forgotten: u64,
}

impl EffectIndex {
    /// Remembers at most `bound` applied effects.
    pub fn new(bound: usize) -> Self {
        Self {
            applied: Map::default(),
            order: VecDeque::new(),
            intended: Map::default(),
            behind: Map::default(),
            newest: Map::default(),
            newest_order: VecDeque::new(),
            bound,
            forgotten: 0,
        }
    }

    /// What is known of an effect.
    pub fn known(&self, effect_key: &str) -> Known {
        if self.applied.contains_key(&hash(effect_key)) {
            return Known::Applied;
        }
        self.intended.get(effect_key).cloned().map_or(Known::No, Known::Intended)
    }

    /// An attempt is about to be made.
    pub fn intend(&mut self, effect_key: &str, document_key: &str, certain_at: Tick) {
        self.intend_after(effect_key, document_key, certain_at, None);
    }

    /// An attempt was written down ahead of its turn, behind another effect.
    pub fn intend_after(&mut self, effect_key: &str, document_key: &str, certain_at: Tick, after: Option<&str>) {
        self.void(effect_key);
        let intention =
            Intention { document_key: document_key.to_owned(), certain_at, after: after.map(str::to_owned) };
        self.intended.insert(effect_key.to_owned(), intention);
        if let Some(after) = after {
            self.behind.insert(after.to_owned(), effect_key.to_owned());
        }
    }

    /// From when on a look-up for the effect that finds nothing is believed; none when nothing was attempted.
    pub fn certain_at(&self, effect_key: &str) -> Option<Tick> {
        self.intended.get(effect_key).map(|intention| intention.certain_at)
    }

    /// It did not happen and will not under the document key that was intended.
    pub fn void(&mut self, effect_key: &str) {
        let after = self.intended.remove(effect_key).and_then(|intention| intention.after);
        // What is no intention any more waits behind nothing: only open ones are held (BND-1).
        if let Some(after) = after.filter(|after| self.behind.get(after).is_some_and(|next| next == effect_key)) {
            self.behind.remove(&after);
        }
    }

    /// It did not happen, so neither did what was only to be called for once it had.
    pub fn void_with_all_behind(&mut self, effect_key: &str) {
        self.void(effect_key);
        let mut front = effect_key.to_owned();
        while let Some(next) = self.behind.remove(&front) {
            if self.intended.get(&next).is_none_or(|intention| intention.after.as_deref() != Some(front.as_str())) {
                break;
            }
            self.void(&next);
            front = next;
        }
    }

    /// It happened.
    pub fn apply(&mut self, effect_key: &str) {
        self.void(effect_key);
        let hashed = hash(effect_key);
        if self.applied.insert(hashed, ()).is_none() {
            self.order.push_back(hashed);
            if self.order.len() > self.bound
                && let Some(oldest) = self.order.pop_front()
            {
                self.applied.remove(&oldest);
                self.forgotten += 1;
            }
        }
    }

    /// Where the newest effect of a business key lies.
    pub fn place(&mut self, business_key: &str, place: EffectPlace) {
        let hashed = hash(business_key);
        if self.newest.insert(hashed, place).is_none() {
            self.newest_order.push_back(hashed);
            if self.newest_order.len() > self.bound
                && let Some(oldest) = self.newest_order.pop_front()
            {
                self.newest.remove(&oldest);
            }
        }
    }

    /// Where the newest effect of a business key lies, if there was one.
    pub fn newest(&self, business_key: &str) -> Option<EffectPlace> {
        self.newest.get(&hash(business_key)).copied()
    }

    /// Number of applied effects that are remembered no more: a replay of their events is not suppressed.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Number of applied effects remembered.
    pub fn len(&self) -> usize {
        self.applied.len()
    }
}

/// 128 bits of a UUIDv5: collisions among millions of keys are out of reach.
fn hash(key: &str) -> u128 {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, key.as_bytes()).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fx_1_an_applied_effect_stays_known_and_an_intended_one_names_its_document() {
        let mut index = EffectIndex::new(10);
        assert_eq!(index.known("a"), Known::No);
        index.intend("a", "doc", Tick::default());
        let intention = Intention { document_key: "doc".to_owned(), certain_at: Tick::default(), after: None };
        assert_eq!(index.known("a"), Known::Intended(intention));
        index.apply("a");
        assert_eq!(index.known("a"), Known::Applied);
    }

    #[test]
    fn fx_1_behind_what_did_not_happen_nothing_was_called() {
        let mut index = EffectIndex::new(10);
        index.intend("a", "doc-a", Tick::default());
        index.intend_after("b", "doc-b", Tick::default(), Some("a"));
        index.intend_after("c", "doc-c", Tick::default(), Some("b"));
        index.intend_after("d", "doc-d", Tick::default(), Some("c"));
        index.apply("a");
        assert!(matches!(index.known("b"), Known::Intended(_)), "its turn had come");
        // Intended anew at its own turn: nobody knows of it by what became of the one in front.
        index.intend("d", "doc-d", Tick::default());
        index.void_with_all_behind("b");
        assert_eq!((index.known("b"), index.known("c")), (Known::No, Known::No));
        assert!(matches!(index.known("d"), Known::Intended(_)));
    }

    #[test]
    fn bnd_1_of_effects_that_are_not_open_nothing_is_held_ahead() {
        let mut index = EffectIndex::new(10);
        for (key, front) in [("b", "a"), ("c", "b"), ("d", "c")] {
            index.intend_after(key, "doc", Tick::default(), Some(front));
        }
        assert_eq!(index.behind.len(), 3);
        index.apply("b");
        index.void("c");
        index.intend("d", "doc", Tick::default());
        assert!(index.behind.is_empty(), "applied, void, and intended anew at its own turn");
    }

    #[test]
    fn bnd_1_the_oldest_are_forgotten_first() {
        let mut index = EffectIndex::new(2);
        for key in ["a", "b", "c"] {
            index.apply(key);
            index.place(key, (0, 1));
        }
        assert_eq!((index.known("a"), index.known("c"), index.len()), (Known::No, Known::Applied, 2));
        assert_eq!(index.forgotten(), 1, "it is told");
        assert_eq!((index.newest("a"), index.newest("b")), (None, Some((0, 1))));
    }
}

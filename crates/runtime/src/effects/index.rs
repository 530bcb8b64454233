//! What is remembered of effects: done ones by hash, open ones by their document key (FX-1).

use super::key_id::KeyId;
use crate::Map;
use crate::clock::Tick;
use crate::record::Place;
use std::collections::VecDeque;
use std::sync::Arc;

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
    pub document_key: Arc<str>,
    /// From when on a look-up that finds nothing means that it did not happen and will not.
    pub certain_at: Tick,
    /// It was written ahead of its turn: the call was only made when this effect had happened.
    pub after: Option<KeyId>,
    /// The record whose effect it is.
    pub origin: Place,
}

/// Effects of the partitions of this instance, bounded: the oldest applied ones are forgotten first.
#[derive(Debug)]
pub(super) struct EffectIndex {
    applied: Map<KeyId, ()>,
    order: VecDeque<KeyId>,
    intended: Map<KeyId, Intention>,
    /// For an effect the one that was intended behind it, ahead of its turn.
    behind: Map<KeyId, KeyId>,
    newest: Map<KeyId, EffectPlace>,
    newest_order: VecDeque<KeyId>,
    /// Of some business keys it is not remembered any more where their newest effect lies.
    lost_places: bool,
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
            lost_places: false,
            bound,
            forgotten: 0,
        }
    }

    /// What is known of an effect.
    pub fn known(&self, effect: KeyId) -> Known {
        if self.applied.contains_key(&effect) {
            return Known::Applied;
        }
        self.intended.get(&effect).cloned().map_or(Known::No, Known::Intended)
    }

    /// An attempt is about to be made, or was written down.
    pub fn intend(&mut self, effect: KeyId, intention: Intention) {
        self.void(effect);
        if let Some(after) = intention.after {
            self.behind.insert(after, effect);
        }
        self.intended.insert(effect, intention);
    }

    /// Whether nobody knows yet what became of an attempt for a record. All that is open is gone through: asked for what people
    /// decide, which is seldom.
    pub fn is_open(&self, origin: &Place) -> bool {
        self.intended.values().any(|intention| intention.origin == *origin)
    }

    /// From when on a look-up for the effect that finds nothing is believed; none when nothing was attempted.
    pub fn certain_at(&self, effect: KeyId) -> Option<Tick> {
        self.intended.get(&effect).map(|intention| intention.certain_at)
    }

    /// Nobody knows what became of an attempt: a look-up that finds nothing is believed from this moment on, or later. That holds for
    /// all that was intended in its document, also where it was settled for one of them.
    pub fn in_doubt(&mut self, document_key: &str, certain_at: Tick) {
        for intention in self.intended.values_mut().filter(|one| &*one.document_key == document_key) {
            intention.certain_at = intention.certain_at.max(certain_at);
        }
    }

    /// Of a document that was intended again for one of its effects, all are in doubt as long as that one.
    pub fn align_documents(&mut self) {
        let mut newest: Map<Arc<str>, Tick> = Map::default();
        for intention in self.intended.values() {
            let certain_at = newest.entry(Arc::clone(&intention.document_key)).or_default();
            *certain_at = intention.certain_at.max(*certain_at);
        }
        for intention in self.intended.values_mut() {
            intention.certain_at = newest.get(&intention.document_key).copied().unwrap_or(intention.certain_at);
        }
    }

    /// It did not happen and will not under the document key that was intended.
    pub fn void(&mut self, effect: KeyId) {
        let after = self.intended.remove(&effect).and_then(|intention| intention.after);
        // What is no intention any more waits behind nothing: only open ones are held (BND-1).
        if let Some(after) = after.filter(|after| self.behind.get(after) == Some(&effect)) {
            self.behind.remove(&after);
        }
    }

    /// It did not happen, so neither did what was only to be called for once it had.
    pub fn void_with_all_behind(&mut self, effect: KeyId) {
        self.void(effect);
        let mut front = effect;
        while let Some(next) = self.behind.remove(&front) {
            if self.intended.get(&next).is_none_or(|intention| intention.after != Some(front)) {
                break;
            }
            self.void(next);
            front = next;
        }
    }

    /// It happened.
    pub fn apply(&mut self, effect: KeyId) {
        self.void(effect);
        if self.applied.insert(effect, ()).is_none() {
            self.order.push_back(effect);
            if self.order.len() > self.bound
                && let Some(oldest) = self.order.pop_front()
            {
                self.applied.remove(&oldest);
                self.forgotten += 1;
            }
        }
    }

    /// Where the newest effect of a business key lies.
    pub fn place(&mut self, business_key: KeyId, place: EffectPlace) {
        if self.newest.insert(business_key, place).is_none() {
            self.newest_order.push_back(business_key);
            if self.newest_order.len() > self.bound
                && let Some(oldest) = self.newest_order.pop_front()
            {
                self.newest.remove(&oldest);
                self.lost_places = true;
            }
        }
    }

    /// Whether a business key of which no effect is known may have one that is remembered no more.
    pub fn has_lost_places(&self) -> bool {
        self.lost_places
    }

    /// Where the newest effect of a business key lies, if there was one and it is remembered.
    pub fn newest(&self, business_key: KeyId) -> Option<EffectPlace> {
        self.newest.get(&business_key).copied()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &str) -> KeyId {
        KeyId::of(key)
    }

    fn intention(document_key: &str, certain_at: Tick, after: Option<&str>) -> Intention {
        let origin = Place { topic: Arc::from("t"), partition: 0, offset: 7 };
        Intention { document_key: Arc::from(document_key), certain_at, after: after.map(id), origin }
    }

    fn intend(index: &mut EffectIndex, key: &str, after: Option<&str>) {
        index.intend(id(key), intention("doc", Tick::default(), after));
    }

    #[test]
    fn fx_1_an_applied_effect_stays_known_and_an_intended_one_names_its_document() {
        let mut index = EffectIndex::new(10);
        assert_eq!(index.known(id("a")), Known::No);
        let intention = intention("doc", Tick::default(), None);
        let origin = intention.origin.clone();
        assert!(!index.is_open(&origin));
        index.intend(id("a"), intention.clone());
        assert_eq!(index.known(id("a")), Known::Intended(intention));
        assert!(index.is_open(&origin) && !index.is_open(&Place { offset: 8, ..origin.clone() }));
        index.apply(id("a"));
        assert_eq!(index.known(id("a")), Known::Applied);
        assert!(!index.is_open(&origin));
    }

    #[test]
    fn fx_1_all_effects_of_a_document_are_in_doubt_as_long_as_one_of_them() {
        let (early, late) = (Tick::default(), Tick::default().after(std::time::Duration::from_secs(9)));
        let mut index = EffectIndex::new(10);
        for (key, document, certain_at) in [("a", "doc", early), ("b", "doc", late), ("c", "other", early)] {
            index.intend(id(key), intention(document, certain_at, None));
        }
        index.align_documents();
        let certain_at = |index: &EffectIndex| ["a", "b", "c"].map(|key| index.certain_at(id(key)));
        assert_eq!(certain_at(&index), [Some(late), Some(late), Some(early)]);
        let later = late.after(std::time::Duration::from_secs(9));
        index.in_doubt("doc", later);
        assert_eq!(certain_at(&index), [Some(later), Some(later), Some(early)]);
        index.in_doubt("doc", early);
        assert_eq!(certain_at(&index), [Some(later), Some(later), Some(early)], "no doubt ends by another");
    }

    #[test]
    fn fx_1_behind_what_did_not_happen_nothing_was_called() {
        let mut index = EffectIndex::new(10);
        intend(&mut index, "a", None);
        intend(&mut index, "b", Some("a"));
        intend(&mut index, "c", Some("b"));
        intend(&mut index, "d", Some("c"));
        index.apply(id("a"));
        assert!(matches!(index.known(id("b")), Known::Intended(_)), "its turn had come");
        // Intended anew at its own turn: nobody knows of it by what became of the one in front.
        intend(&mut index, "d", None);
        index.void_with_all_behind(id("b"));
        assert_eq!((index.known(id("b")), index.known(id("c"))), (Known::No, Known::No));
        assert!(matches!(index.known(id("d")), Known::Intended(_)));
    }

    #[test]
    fn bnd_1_of_effects_that_are_not_open_nothing_is_held_ahead() {
        let mut index = EffectIndex::new(10);
        for (key, front) in [("b", "a"), ("c", "b"), ("d", "c")] {
            intend(&mut index, key, Some(front));
        }
        assert_eq!(index.behind.len(), 3);
        index.apply(id("b"));
        index.void(id("c"));
        intend(&mut index, "d", None);
        assert!(index.behind.is_empty(), "applied, void, and intended anew at its own turn");
    }

    #[test]
    fn bnd_1_the_oldest_are_forgotten_first() {
        let mut index = EffectIndex::new(2);
        for key in ["a", "b", "c"] {
            assert!(!index.has_lost_places());
            index.apply(id(key));
            index.place(id(key), (0, 1));
        }
        assert!(index.has_lost_places(), "that of a is searched for when it is needed");
        assert_eq!((index.known(id("a")), index.known(id("c")), index.len()), (Known::No, Known::Applied, 2));
        assert_eq!(index.forgotten(), 1, "it is told");
        assert_eq!((index.newest(id("a")), index.newest(id("b"))), (None, Some((0, 1))));
    }
}

//! What is known about the effects of a room, as far as a preview needs it. Pure.

use schemas::{Effect, EffectState};
use std::collections::HashMap;

/// How the keys of records begin that only say that an event has its outcome, and which, when it was dropped, what it stated. They do
/// not stand against a replay of it.
const PASSED: [&str; 2] = ["passed|", "stated|"];
/// How the keys of records begin that say that an event was decided and asked for no effect. A replay writes nothing for it.
const DECIDED: &str = "decided|";

/// What became of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It happened; the number stands for its document, when there is one.
    Applied(Option<u128>),
    /// It may have happened.
    InDoubt,
    /// There was none to make.
    None,
}

/// Effects of a room about events of one topic, by where the event came from, and by what their keys begin with.
#[derive(Debug, Default)]
pub(super) struct Known {
    by_origin: HashMap<(i32, i64), Fate>,
    by_identity: HashMap<u128, Fate>,
}

impl Known {
    /// Takes an effect record in; the newest of a key comes last.
    pub fn take(&mut self, effect: &Effect, topic: &str) {
        if PASSED.iter().any(|begins| effect.effect_key.starts_with(begins)) {
            return;
        }
        let document = (!effect.document_key.is_empty()).then(|| hash(&effect.document_key));
        let fate = match effect.state {
            EffectState::Applied if effect.effect_key.starts_with(DECIDED) => Some(Fate::None),
            EffectState::Applied => Some(Fate::Applied(document)),
            EffectState::Intended | EffectState::InDoubt => Some(Fate::InDoubt),
            EffectState::Refused | EffectState::Withdrawn | EffectState::Unknown => None,
        };
        if effect.origin_topic.as_deref() == Some(topic)
            && let (Some(partition), Some(offset)) = (effect.origin_partition, effect.origin_offset)
        {
            set(&mut self.by_origin, (partition, offset), fate);
        }
        if effect.effect_key.starts_with(DECIDED) {
            return;
        }
        for end in ['/', '>'] {
            if let Some((identity, _)) = effect.effect_key.rsplit_once(end) {
                set(&mut self.by_identity, hash(identity), fate);
            }
        }
    }

    /// What became of the effect of an event.
    pub fn fate(&self, place: (i32, i64), identity: Option<&str>) -> Option<Fate> {
        let same_fact = identity.and_then(|identity| self.by_identity.get(&hash(identity)));
        let fates = [self.by_origin.get(&place), same_fact].into_iter().flatten().copied();
        // What happened wins over what may have happened, and that over nothing.
        fates.fold(None, |best, fate| match (best, fate) {
            (Some(Fate::Applied(_)), _) | (Some(Fate::InDoubt), Fate::None) => best,
            (_, fate) => Some(fate),
        })
    }

    /// Whether the effect of the event of this place has happened.
    pub fn is_applied(&self, place: (i32, i64)) -> bool {
        matches!(self.by_origin.get(&place), Some(Fate::Applied(_)))
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.by_origin.len().max(self.by_identity.len())
    }
}

/// One receiver that was told is enough to say so; a refusal takes back only what was in doubt.
fn set<K: Eq + std::hash::Hash>(fates: &mut HashMap<K, Fate>, key: K, fate: Option<Fate>) {
    let known = fates.get(&key).copied();
    match (known, fate) {
        (_, Some(applied @ Fate::Applied(_))) => {
            fates.insert(key, applied);
        }
        (None | Some(Fate::None), Some(fate)) => {
            fates.insert(key, fate);
        }
        (Some(Fate::InDoubt), None) => {
            fates.remove(&key);
        }
        (Some(_), _) | (None, None) => {}
    }
}

/// 128 bits of a UUIDv5: collisions among millions of keys are out of reach.
pub(super) fn hash(key: &str) -> u128 {
    hash_bytes(key.as_bytes())
}

/// The same of bytes.
pub(super) fn hash_bytes(key: &[u8]) -> u128 {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, key).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(key: &str, state: EffectState, offset: i64) -> Effect {
        Effect {
            effect_key: key.to_owned(),
            state,
            document_key: format!("doc-{offset}"),
            origin_topic: Some("t".to_owned()),
            origin_partition: Some(0),
            origin_offset: Some(offset),
            ..Effect::default()
        }
    }

    fn told(effects: &[Effect]) -> Known {
        let mut known = Known::default();
        effects.iter().for_each(|effect| known.take(effect, "t"));
        known
    }

    fn letter(known: &Known, offset: i64, identity: Option<&str>) -> char {
        match known.fate((0, offset), identity) {
            None => '-',
            Some(Fate::Applied(_)) => 'a',
            Some(Fate::InDoubt) => 'd',
            Some(Fate::None) => 'n',
        }
    }

    #[test]
    fn fx_1_an_effect_is_known_by_its_place_and_by_its_fact() {
        use EffectState::{Applied, InDoubt, Intended, Refused};
        let known = told(&[
            effect("usage/a/0/erp", Applied, 1),
            effect("usage/b/0/erp", Intended, 2),
            effect("usage/c/0/erp", Intended, 3),
            effect("usage/c/0/erp", Refused, 3),
            effect("usage/d@0>SUP/7", InDoubt, 4),
            effect("usage/d@0>SUP/7", Applied, 4),
            effect("passed|erp-post|t-0@5", Applied, 5),
            effect("stated|supplier-fanout|e6", Applied, 6),
        ]);
        let by_place: String = (0..7).map(|offset| letter(&known, offset, None)).collect();
        assert_eq!(by_place, "-ad-a--");
        let applied: Vec<i64> = (0..7).filter(|offset| known.is_applied((0, *offset))).collect();
        assert_eq!(applied, [1, 4]);
        // The same fact at another place.
        let by_fact = ["usage/a/0", "usage/a/1", "usage/b/0", "usage/c/0", "usage/d@0"];
        let by_fact: String = by_fact.iter().map(|identity| letter(&known, 99, Some(identity))).collect();
        assert_eq!(by_fact, "a-d-a");
    }

    #[test]
    fn what_asked_for_no_effect_is_no_effect_that_happened() {
        let known = told(&[
            effect("decided|erp-post|e1", EffectState::Applied, 1),
            effect("decided|erp-post|e2", EffectState::Applied, 2),
            effect("usage/b/0/erp", EffectState::Applied, 2),
        ]);
        let found: String = (1..4).map(|offset| letter(&known, offset, None)).collect();
        assert_eq!(found, "na-");
    }

    #[test]
    fn a_place_of_another_topic_is_another_place() {
        let mut known = Known::default();
        known.take(&effect("usage/a/0/erp", EffectState::Applied, 1), "other");
        assert_eq!((letter(&known, 1, None), letter(&known, 1, Some("usage/a/0"))), ('-', 'a'));
    }
}

//! Which effects a count needs: of the records of its range, and of what is newer of their keys. A room may have had many more.

use super::ReplayError;
use super::known::{hash, hash_bytes};
use super::plan::Count;
use runtime::reader::{self, From, Range, Until};
use schemas::{Effect, ReplaySpan};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Places and facts whose effects are needed.
#[derive(Debug, Default)]
pub(super) struct Needed {
    places: HashSet<(i32, i64)>,
    identities: HashSet<u128>,
}

impl Needed {
    /// Whether an effect is about one of them.
    pub fn takes(&self, effect: &Effect, topic: &str) -> bool {
        let is_place = effect.origin_topic.as_deref() == Some(topic)
            && effect.origin_partition.zip(effect.origin_offset).is_some_and(|place| self.places.contains(&place));
        let is_fact = |end| {
            let identity = effect.effect_key.rsplit_once(end).map(|(identity, _)| hash(identity));
            identity.is_some_and(|identity| self.identities.contains(&identity))
        };
        is_place || is_fact('/') || is_fact('>')
    }
}

impl Count {
    /// Reads the range, and what follows it, for the places and facts whose effects are needed.
    pub(super) fn needed(&self, spans: &[ReplaySpan]) -> Result<Needed, ReplayError> {
        let own = &self.replays.own;
        let (mut needed, mut keys) = (Needed::default(), HashSet::new());
        for span in spans {
            let (topic, from) = (self.topic.name.to_owned(), From::Offset(span.start));
            let range = Range { topic, partitions: vec![span.partition], from, until: Until::EndNow };
            let mut outcome = Ok(());
            reader::read_range(self.kafka(), &range, |record| {
                let place = (record.place.partition, record.place.offset);
                let key = record.key.as_deref().filter(|key| !key.is_empty()).map(hash_bytes);
                outcome = (|| {
                    if place.1 < span.end && self.takes(&record)? {
                        keys.extend(key);
                        needed
                            .identities
                            .extend(self.facts(&record)?.foreseen.map(|foreseen| hash(&foreseen.identity)));
                    } else if !key.is_some_and(|key| keys.contains(&key)) {
                        return Ok(());
                    }
                    needed.places.insert(place);
                    if keys.len() > own.keys_max {
                        return Err(ReplayError::TooMuch { what: "keys", key: "keys_max", most: own.keys_max });
                    }
                    self.within(needed.places.len(), "records of these keys", own.effects_max)
                })();
                if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            outcome?;
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_needed_by_its_place_or_by_its_fact() {
        let needed = Needed { places: [(0, 5)].into(), identities: [hash("usage/a/0"), hash("usage/b@0")].into() };
        let takes = |key: &str, topic: &str, offset: i64| {
            let effect = Effect {
                effect_key: key.to_owned(),
                origin_topic: Some(topic.to_owned()),
                origin_partition: Some(0),
                origin_offset: Some(offset),
                ..Effect::default()
            };
            needed.takes(&effect, "t")
        };
        assert!(takes("usage/x/0/erp", "t", 5) && takes("decided|erp-post|e1", "t", 5), "its place");
        assert!(takes("usage/a/0/erp", "t", 9) && takes("usage/b@0>SUP/7", "t", 9), "the same fact elsewhere");
        assert!(!takes("usage/a/1/erp", "t", 9) && !takes("usage/x/0/erp", "other", 5));
    }
}

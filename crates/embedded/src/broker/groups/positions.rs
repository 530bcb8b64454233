//! The positions of one group: committed ones, and those that wait for a transaction to end.

use std::collections::BTreeMap;

use super::{OffsetEntry, Position};

/// Topic and partition.
type Place = (String, i32);

/// Positions of a group.
#[derive(Debug, Default)]
pub(super) struct Positions {
    committed: BTreeMap<Place, Position>,
    /// By producer id. Empty maps are not kept.
    pending: BTreeMap<i64, BTreeMap<Place, Position>>,
}

impl Positions {
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    pub(super) fn committed(&self) -> &BTreeMap<Place, Position> {
        &self.committed
    }

    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&Position> {
        self.committed.get(&(topic.to_owned(), partition))
    }

    /// Whether an open transaction will move this position when it commits.
    pub(super) fn is_pending(&self, topic: &str, partition: i32) -> bool {
        let place = (topic.to_owned(), partition);
        self.pending.values().any(|places| places.contains_key(&place))
    }

    /// Puts a kept entry back, in the order in which they were written.
    pub(super) fn restore(&mut self, entry: OffsetEntry) {
        let place = (entry.topic, entry.partition);
        match (entry.producer, entry.position) {
            (None, Some(position)) => drop(self.committed.insert(place, position)),
            (None, None) => drop(self.committed.remove(&place)),
            (Some(producer), Some(position)) => drop(self.pending.entry(producer).or_default().insert(place, position)),
            (Some(producer), None) => self.forget_pending(producer, &place),
        }
    }

    /// Sets a position and gives the entry to keep.
    pub(super) fn set(&mut self, group: &str, place: Place, producer: Option<i64>, position: Position) -> OffsetEntry {
        let (topic, partition) = place;
        let entry = OffsetEntry { group: group.to_owned(), topic, partition, producer, position: Some(position) };
        self.restore(entry.clone());
        entry
    }

    /// Removes a position and gives the entry to keep, if there was one.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) -> Option<OffsetEntry> {
        let place = (topic.to_owned(), partition);
        self.committed.remove(&place)?;
        Some(deletion(group, &place, None))
    }

    /// Ends the transaction of a producer. Committed positions stand before the end of waiting ones, so that a journal cut
    /// between them loses none.
    pub(super) fn end_transaction(&mut self, group: &str, producer: i64, commit: bool) -> Vec<OffsetEntry> {
        let Some(places) = self.pending.remove(&producer) else { return Vec::new() };
        let ends: Vec<OffsetEntry> = places.keys().map(|place| deletion(group, place, Some(producer))).collect();
        let mut entries = Vec::new();
        if commit {
            entries.extend(places.into_iter().map(|(place, position)| self.set(group, place, None, position)));
        }
        entries.extend(ends);
        entries
    }

    pub(super) fn remove_topic(&mut self, group: &str, topic: &str) -> Vec<OffsetEntry> {
        self.remove_where(group, |place| place.0 == topic)
    }

    pub(super) fn remove_all(&mut self, group: &str) -> Vec<OffsetEntry> {
        self.remove_where(group, |_| true)
    }

    pub(super) fn snapshot(&self, group: &str) -> Vec<OffsetEntry> {
        let entry = |producer: Option<i64>, (topic, partition): &Place, position: &Position| OffsetEntry {
            group: group.to_owned(),
            topic: topic.clone(),
            partition: *partition,
            producer,
            position: Some(position.clone()),
        };
        let committed = self.committed.iter().map(|(place, position)| entry(None, place, position));
        let pending = self.pending.iter().flat_map(|(producer, places)| {
            places.iter().map(|(place, position)| entry(Some(*producer), place, position))
        });
        committed.chain(pending).collect()
    }

    fn remove_where(&mut self, group: &str, gone: impl Fn(&Place) -> bool) -> Vec<OffsetEntry> {
        let mut places: Vec<(Place, Option<i64>)> =
            self.committed.keys().filter(|place| gone(place)).map(|place| (place.clone(), None)).collect();
        for (producer, pending) in &self.pending {
            places.extend(pending.keys().filter(|place| gone(place)).map(|place| (place.clone(), Some(*producer))));
        }
        let entries: Vec<OffsetEntry> =
            places.iter().map(|(place, producer)| deletion(group, place, *producer)).collect();
        for entry in &entries {
            self.restore(entry.clone());
        }
        entries
    }

    fn forget_pending(&mut self, producer: i64, place: &Place) {
        if let Some(places) = self.pending.get_mut(&producer) {
            places.remove(place);
            if places.is_empty() {
                self.pending.remove(&producer);
            }
        }
    }
}

fn deletion(group: &str, (topic, partition): &Place, producer: Option<i64>) -> OffsetEntry {
    OffsetEntry { group: group.to_owned(), topic: topic.clone(), partition: *partition, producer, position: None }
}

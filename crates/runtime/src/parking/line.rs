//! The events of one lane in the order of their places: the next few by place, of all others only how many there are.
//!
//! What a key takes in memory does not grow with the events that wait behind it (BND-1). Those that are not held are found again
//! on the parking topic when it is their turn.

use super::Entry;
use std::collections::VecDeque;

/// The events of one lane.
#[derive(Debug)]
pub(super) struct Line {
    near: VecDeque<Packed>,
    /// Events behind those. Each lies further on than all that are near.
    beyond: usize,
    /// Where looking for the first of those begins: offset in the parking topic.
    from: i64,
    /// Newest origin that came in.
    newest: i64,
}

/// An entry in 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Twice the offset, and 1 more for a replay.
    origin: i64,
    /// Offset in the parking topic; below zero the ticket.
    place: i64,
}

/// What became of an event that somebody else has released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is out.
    Gone,
    /// It was not there.
    Unknown,
    /// It may be one of those that are not held.
    Unsure,
}

impl Packed {
    pub fn of(entry: &Entry) -> Self {
        let ticket = entry.ticket.and_then(|ticket| i64::try_from(ticket).ok());
        // Tickets begin with 1; without either nothing will ever tell its place.
        let place = entry.parked_at.unwrap_or_else(|| ticket.map_or(i64::MIN, |ticket| -ticket));
        Self { origin: entry.origin_offset * 2 + i64::from(entry.replay), place }
    }

    pub fn origin_offset(self) -> i64 {
        self.origin >> 1
    }

    /// Offset in the parking topic, once it is known.
    pub fn place(self) -> Option<i64> {
        (self.place >= 0).then_some(self.place)
    }

    pub fn entry(self) -> Entry {
        let ticket = self.place.checked_neg().filter(|ticket| *ticket > 0);
        Entry {
            origin_offset: self.origin_offset(),
            parked_at: self.place(),
            ticket: ticket.and_then(|ticket| u64::try_from(ticket).ok()),
            replay: self.origin & 1 == 1,
        }
    }

    /// Whether both are one event. What a replay has put beside an event that waits is another one: it has a place of its own,
    /// by which it is come by, and is counted as what is come by is.
    fn is_same(self, other: Self) -> bool {
        let is_replay = (self.origin | other.origin) & 1 == 1;
        self.origin_offset() == other.origin_offset() && (!is_replay || self.place == other.place)
    }

    /// Whether it lies, or may come to lie, behind a place.
    fn is_behind(self, place: i64) -> bool {
        self.place().is_none_or(|known| known > place)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self { near: VecDeque::with_capacity(1), beyond: 0, from: 0, newest: i64::MIN }
    }
}

impl Line {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.near.len() + self.beyond
    }

    /// Number of those that are held.
    pub fn held(&self) -> usize {
        self.near.len()
    }

    /// Whether an event of this origin is held.
    pub fn has(&self, origin: i64) -> bool {
        self.near.iter().any(|entry| entry.origin_offset() == origin)
    }

    /// The first event; none when it is not held.
    pub fn front(&self) -> Option<Packed> {
        self.near.front().copied()
    }

    /// Where looking for the next event that is not held begins.
    pub fn from(&self) -> i64 {
        self.near.back().and_then(|last| last.place()).map_or(self.from, |place| self.from.max(place + 1))
    }

    /// Whether events of it are looked for when they are come by.
    pub fn is_hungry(&self, most: usize) -> bool {
        self.beyond > 0 && self.near.len() < most
    }

    /// Adds an event, of which at most about `most` are held; false when it is there already.
    ///
    /// What others have parked may lie before what was parked here and has no known place yet. It is put where a restart would
    /// find it, behind the head, which may be under way.
    pub fn push(&mut self, entry: &Entry, most: usize) -> bool {
        let entry = Packed::of(entry);
        let origin = entry.origin_offset();
        if origin <= self.newest && self.near.iter().any(|held| held.is_same(entry)) {
            return false;
        }
        self.newest = self.newest.max(origin);
        if let Some(place) = entry.place()
            && let Some(at) = self.near.iter().skip(1).position(|held| held.is_behind(place))
        {
            self.near.insert(at + 1, entry);
        } else if (self.beyond == 0 && self.near.len() < most)
            || entry.place().is_some_and(|place| place < self.from() || self.is_pending())
        {
            self.near.push_back(entry);
        } else {
            self.beyond += 1;
        }
        true
    }

    /// Whether the place of the last event that is held is not known yet.
    fn is_pending(&self) -> bool {
        self.near.back().is_some_and(|last| last.place().is_none())
    }

    /// One of those that were not held was come by; looking goes on behind it.
    pub fn found(&mut self, entry: &Entry) -> bool {
        let entry = Packed::of(entry);
        let Some(place) = entry.place().filter(|place| self.beyond > 0 && *place >= self.from()) else { return false };
        self.near.push_back(entry);
        self.beyond -= 1;
        self.from = self.from.max(place + 1);
        true
    }

    /// Everything before this offset was looked at.
    pub fn searched(&mut self, before: i64) {
        self.from = self.from.max(before);
    }

    /// Tells the place of an event.
    pub fn placed(&mut self, ticket: u64, place: i64) {
        let wanted = i64::try_from(ticket).map_or(0, |ticket| -ticket);
        // What was parked last is told first of all.
        let Some(mut at) = self.near.iter().rposition(|entry| entry.place == wanted) else { return };
        if let Some(entry) = self.near.get_mut(at) {
            entry.place = place;
        }
        while at > 1 && self.near.get(at - 1).and_then(|before| before.place()).is_some_and(|before| before > place) {
            self.near.swap(at, at - 1);
            at -= 1;
        }
    }

    /// Takes the first event off.
    pub fn pop(&mut self) -> Option<Packed> {
        let entry = self.near.pop_front()?;
        if let Some(place) = entry.place() {
            self.from = self.from.max(place + 1);
        }
        Some(entry)
    }

    /// Takes an event out wherever it stands behind the first one.
    pub fn remove(&mut self, origin: i64) -> Removed {
        match self.near.iter().position(|entry| entry.origin_offset() == origin) {
            Some(at) => {
                let place = self.near.remove(at).and_then(Packed::place);
                if let Some(place) = place.filter(|_| at == self.near.len()) {
                    self.from = self.from.max(place + 1);
                }
                Removed::Gone
            }
            None if self.beyond > 0 => Removed::Unsure,
            None => Removed::Unknown,
        }
    }

    /// Holds no more than `most` events any longer.
    pub fn trim(&mut self, most: usize) {
        // What has no place yet cannot be found again.
        if self.near.len() > most && self.near.iter().all(|entry| entry.place().is_some()) {
            self.beyond += self.near.len() - most;
            self.near.truncate(most);
        }
        self.near.shrink_to_fit();
    }

    /// Bytes that it points to.
    pub fn bytes(&self) -> usize {
        self.near.capacity() * size_of::<Packed>()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    fn at(place: i64) -> Entry {
        Entry { origin_offset: place, parked_at: Some(place), ticket: None, replay: false }
    }

    fn pending(origin: i64, ticket: u64) -> Entry {
        Entry { origin_offset: origin, parked_at: None, ticket: Some(ticket), replay: false }
    }

    fn places(line: &Line) -> Vec<Option<i64>> {
        line.near.iter().map(|entry| entry.place()).collect()
    }

    #[test]
    fn a_packed_entry_is_the_entry() {
        let lost = Entry { parked_at: None, ..at(2) };
        for entry in [at(7), Entry { replay: true, ..pending(0, 9) }, lost] {
            assert_eq!(Packed::of(&entry).entry(), entry);
        }
        assert_eq!(size_of::<Packed>(), 16);
    }

    #[test]
    fn bnd_1_few_are_held_and_the_others_are_found_again_in_order() {
        let mut line = Line::default();
        (0..10).for_each(|place| assert!(line.push(&at(place), 3)));
        assert_eq!((line.len(), line.near.len(), line.from()), (10, 3, 3));
        assert!(!line.found(&at(2)), "it is held");
        for place in 0..3 {
            assert_eq!(line.pop().unwrap().place(), Some(place));
        }
        assert_eq!((line.front().map(Packed::place), line.len(), line.from()), (None, 7, 3));
        assert!(line.found(&at(3)) && !line.found(&at(3)));
        assert_eq!((line.pop().unwrap().place(), line.len(), line.from()), (Some(3), 6, 4));
    }

    #[test]
    fn ord_1_what_others_have_parked_goes_to_its_place_but_never_before_the_head() {
        let mut line = Line::default();
        line.push(&at(10), 3);
        line.push(&pending(11, 1), 3);
        line.push(&at(5), 3);
        assert_eq!(places(&line), [Some(10), Some(5), None]);
        line.push(&pending(12, 2), 3);
        assert_eq!((line.near.len(), line.len()), (3, 4), "one is not held");
        line.placed(1, 4);
        assert_eq!(places(&line), [Some(10), Some(4), Some(5)]);
        line.push(&at(3), 3);
        assert_eq!(places(&line), [Some(10), Some(3), Some(4), Some(5)], "else it would never be looked for");
        assert_eq!(line.from(), 6);
        let mut empty = Line::default();
        (0..3).for_each(|place| assert!(empty.push(&at(place * 10), 1)));
        empty.pop();
        empty.searched(8);
        empty.push(&at(7), 1);
        assert_eq!((empty.front().unwrap().place(), empty.len()), (Some(7), 3), "looking has passed it");
    }

    #[test]
    fn what_others_have_released_is_removed_or_unsure() {
        let mut line = Line::default();
        (0..4).for_each(|place| assert!(line.push(&at(place), 2)));
        assert_eq!((line.remove(1), line.remove(3)), (Removed::Gone, Removed::Unsure));
        assert!(!line.found(&at(1)), "it is not taken for one of the others");
        assert!(line.found(&at(2)) && line.found(&at(3)));
        assert_eq!((line.remove(7), line.len()), (Removed::Unknown, 3));
    }

    #[test]
    fn ord_1_what_a_replay_puts_beside_an_event_is_counted_as_it_is_come_by() {
        let mut line = Line::default();
        let copy = Entry { replay: true, parked_at: Some(2), ..at(0) };
        assert!(line.push(&at(0), 1) && line.push(&at(1), 1) && line.push(&copy, 1) && line.push(&at(3), 1));
        assert_eq!(line.pop().map(|first| first.place()), Some(Some(0)));
        for place in [at(1), copy, at(3)] {
            assert!(line.found(&place), "{place:?}");
            assert_eq!(line.pop().map(|next| next.entry().parked_at), Some(place.parked_at));
        }
        assert_eq!(line.len(), 0, "the last one was not lost behind the copy");
    }

    #[test]
    fn an_event_is_held_once_and_what_is_trimmed_is_found_again() {
        let mut line = Line::default();
        (0..5).for_each(|place| assert!(line.push(&at(place), usize::MAX)));
        assert!(!line.push(&at(3), usize::MAX));
        line.trim(2);
        assert_eq!((line.len(), places(&line), line.from()), (5, vec![Some(0), Some(1)], 2));
        let mut waits = Line::default();
        (0..3).for_each(|number| assert!(waits.push(&pending(number, 1), 9)));
        waits.trim(1);
        assert_eq!(waits.near.len(), 3, "their places are not known");
    }
}

//! Questions to the index.

use super::config::DueTimes;
use super::index::{CLASSES, CauseKey, Group, Held, Index, NO_PARTITION};
use super::pool::NONE;
use super::types::{Cause, Causes, Found, Hour, Oldest, Row, Standing, Stopped, is_open};
use super::waiting::Worth;
use schemas::Criticality;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::ops::Range;

/// How much longer an exception of each class may take, microseconds, in the order of [`CLASSES`].
pub type DueMicros = [i64; CLASSES.len()];

/// Events and exceptions of a cause, and its number.
type Weighed = (Reverse<(u64, usize)>, u32);

/// The times of a configuration as the index reckons.
pub fn due_micros(due: &DueTimes) -> DueMicros {
    CLASSES.map(|class| i64::try_from(due.of(class).as_micros()).unwrap_or(i64::MAX))
}

impl Index {
    /// The open exceptions by cause, the one with most waiting events first.
    pub fn causes(&self, due: &DueMicros, now: i64) -> Vec<Cause> {
        self.top_causes(usize::MAX, due, now).causes
    }

    /// So many causes with most waiting events, and what all of them come to.
    pub fn top_causes(&self, most: usize, due: &DueMicros, now: i64) -> Causes {
        let weighed = |(number, group): (&u32, &'_ Group)| {
            let weight = (group.worth.events, group.exceptions());
            (weight.1 > 0).then_some((Reverse(weight), *number))
        };
        let mut all: Vec<Weighed> = self.groups.iter().filter_map(weighed).collect();
        let total = all.len();
        let order = |one: &Weighed, other: &Weighed| self.order_of(one, other);
        if most < total {
            all.select_nth_unstable_by(most, order);
            all.truncate(most);
        }
        all.sort_unstable_by(order);
        let shown = all.iter().filter_map(|(_, number)| self.cause(*number, self.groups.get(number)?, due, now));
        let causes = shown.collect();
        Causes { causes, total, overdue: self.groups.values().map(|group| group.overdue(due, now)).sum() }
    }

    /// The oldest open exception of each class, most urgent first.
    pub fn oldest(&self, due: &DueMicros, now: i64) -> Vec<Oldest> {
        let of_class = |place: usize| {
            let open = || self.groups.values().map(|group| &group.open[place]);
            let (raised_at, _) = open().filter_map(BTreeSet::first).min().copied()?;
            let moment = open().flat_map(|open| open.range((raised_at, 0)..=(raised_at, NONE)));
            // Of those raised in the same moment the id decides, so that all views agree.
            let held = moment.filter_map(|(_, slot)| self.get(*slot)).min_by_key(|held| &held.id)?;
            Some(Oldest {
                class: CLASSES[place],
                raised_at,
                exception_id: held.id.to_string(),
                is_overdue: due_at(held, due) < now,
                open: open().map(BTreeSet::len).sum(),
            })
        };
        (0..CLASSES.len()).filter_map(of_class).collect()
    }

    /// How many exceptions were raised in each of the last hours.
    pub fn raised(&self, now: i64, hours: usize) -> Vec<Hour> {
        self.hours.last(now, hours)
    }

    /// What waits in each room.
    pub fn stopped(&self) -> Vec<Stopped> {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let rooms = self.waiting.by_room();
        let stopped = rooms.into_iter().filter(|(_, worth)| worth.events > 0).map(|(room, worth)| Stopped {
            room: room.to_owned(),
            events: count(worth.events),
            money: self.waiting.amounts(&worth),
            events_without_price: count(worth.unpriced),
        });
        stopped.collect()
    }

    /// One exception.
    pub fn row(&self, id: &str, due: &DueMicros, now: i64) -> Option<Row> {
        self.held(id).map(|held| self.row_of(held, due, now))
    }

    /// One exception as it is held.
    pub fn held(&self, id: &str) -> Option<&Held> {
        self.get(*self.by_id.get(&super::id::Id::of(id))?)
    }

    /// Which exception has an id that starts so. The whole id names its exception even where another one's begins with it.
    pub fn find(&self, start: &str) -> Found {
        if self.held(start).is_some() {
            return Found::One(start.to_owned());
        }
        let mut matching = self.by_id.keys().filter(|id| id.starts_with(start));
        match (matching.next(), matching.next()) {
            (None, _) => Found::None,
            (Some(id), None) => Found::One(id.to_string()),
            (Some(_), Some(_)) => Found::Several,
        }
    }

    /// How many events of a room's topic wait that came from these offsets of partitions; none when some were left out.
    pub fn parked_within(&self, room: &str, topic: &str, places: &[(i32, Range<i64>)]) -> Option<usize> {
        let count = |(partition, offsets): &(i32, Range<i64>)| self.waiting.within(room, topic, *partition, offsets);
        (self.parked_left_out == 0).then(|| places.iter().map(count).sum())
    }

    /// Counts and what is missing.
    pub fn standing(&self) -> Standing {
        let open = self.groups.values().map(Group::exceptions).sum();
        Standing {
            incomplete: self.incomplete(),
            exceptions: self.by_id.len(),
            open,
            parked: self.waiting.events(),
            keys: self.waiting.waiting_lanes(),
            bytes: self.bytes(),
            ..Standing::default()
        }
    }

    fn incomplete(&self) -> Vec<String> {
        let bounds = self.bounds();
        let mut missing = Vec::new();
        if self.left_out > 0 {
            missing.push(format!(
                "WL-7100: {} records of open exceptions are not shown, because {} are: raise operations.exceptions.exceptions_max",
                self.left_out, bounds.exceptions_max
            ));
        }
        if self.parked_left_out > 0 {
            missing.push(format!(
                "WL-7101: {} parked events are not counted, because {} are: raise operations.exceptions.parked_max",
                self.parked_left_out, bounds.parked_max
            ));
        }
        if self.forgotten > 0 {
            missing.push(format!(
                "WL-7102: {} settled exceptions are not listed any more, because {} are held: raise \
                 operations.exceptions.exceptions_max",
                self.forgotten, bounds.exceptions_max
            ));
        }
        if self.unreadable > 0 {
            missing.push(format!("WL-7103: {} records cannot be read and are not shown", self.unreadable));
        }
        missing
    }

    /// The heavier one first; of two that weigh the same the names decide, compared where they are.
    fn order_of(&self, one: &Weighed, other: &Weighed) -> Ordering {
        let name = |number: u32| {
            let key: Option<&CauseKey> = self.causes.get(number);
            key.map(|key| (&key.code, &key.room, &key.subject))
        };
        one.0.cmp(&other.0).then_with(|| name(one.1).cmp(&name(other.1)))
    }

    fn cause(&self, number: u32, group: &Group, due: &DueMicros, now: i64) -> Option<Cause> {
        let key = self.causes.get(number)?;
        let (since, _) = group.open.iter().filter_map(|open| open.first()).min().copied()?;
        let said = self.first_of(group, since).and_then(|held| self.said.get(held.said))?;
        let each = || group.open.iter().zip(due);
        let next = each().filter_map(|(open, due)| open.first().map(|(raised, _)| raised.saturating_add(*due))).min();
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let Worth { events, unpriced, .. } = group.worth;
        Some(Cause {
            code: key.code.clone(),
            room: key.room.clone(),
            subject: key.subject.clone(),
            exceptions: group.exceptions(),
            keys: group.keys,
            events: count(events),
            since,
            message: said.message.clone(),
            suggested_fix: said.suggested_fix.clone(),
            overdue: group.overdue(due, now),
            due: next?,
            money: self.waiting.amounts(&group.worth),
            events_without_price: count(unpriced),
        })
    }

    /// Of those raised first the one whose id comes first: all views show the same.
    fn first_of(&self, group: &Group, since: i64) -> Option<&Held> {
        let first = group.open.iter().flat_map(|open| open.range((since, 0)..=(since, NONE)));
        first.filter_map(|(_, slot)| self.get(*slot)).min_by_key(|held| &held.id)
    }

    pub(super) fn row_of(&self, held: &Held, due: &DueMicros, now: i64) -> Row {
        let (cause, said) = (self.causes.get(held.cause), self.said.get(held.said));
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let is_placed = held.origin_partition != NO_PARTITION;
        let due_at = due_at(held, due);
        Row {
            exception_id: held.id.to_string(),
            kind: held.kind,
            state: held.state,
            room: text(cause.map(|cause| &cause.room)),
            code: text(cause.map(|cause| &cause.code)),
            message: text(said.map(|said| &said.message)),
            subject: cause.and_then(|cause| cause.subject.clone()),
            suggested_fix: said.and_then(|said| said.suggested_fix.clone()),
            class: CLASSES.get(usize::from(held.class)).copied().unwrap_or(Criticality::Operational),
            origin_topic: self.name(held.topic).map(str::to_owned),
            origin_partition: is_placed.then_some(held.origin_partition),
            origin_offset: is_placed.then_some(held.origin_offset),
            raised_at: held.raised_at,
            at: held.at,
            due_at,
            is_overdue: is_open(held.state) && due_at < now,
            assignee: self.name(held.assignee).map(str::to_owned),
            discard_requested_by: self.name(held.requested_by).map(str::to_owned),
            correction_requested_by: self.name(held.corrected_by).map(str::to_owned),
            correction_mark: self.name(held.mark).map(str::to_owned),
            parked_key: held.parked_key,
            place: (held.partition, held.offset),
            events: self
                .waiting
                .get(held.lane)
                .map_or(0, |lane| usize::try_from(lane.worth.events).unwrap_or(usize::MAX)),
        }
    }

    pub(super) fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number).map(String::as_str)
    }
}

pub(super) fn due_at(held: &Held, due: &DueMicros) -> i64 {
    held.raised_at.saturating_add(due.get(usize::from(held.class)).copied().unwrap_or_default())
}

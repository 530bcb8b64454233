//! Questions to the index.

use super::config::DueTimes;
use super::index::{CLASSES, Group, Held, Index, NO_PARTITION};
use super::pool::NONE;
use super::types::{Cause, Filter, Found, Listed, Page, Row, Standing, is_open};
use super::waiting::Worth;
use schemas::Criticality;

/// How much longer an exception of each class may take, microseconds, in the order of [`CLASSES`].
pub type DueMicros = [i64; CLASSES.len()];

/// The times of a configuration as the index reckons.
pub fn due_micros(due: &DueTimes) -> DueMicros {
    CLASSES.map(|class| i64::try_from(due.of(class).as_micros()).unwrap_or(i64::MAX))
}

impl Index {
    /// The open exceptions by cause, the one with most waiting events first.
    pub fn causes(&self, due: &DueMicros, now: i64) -> Vec<Cause> {
        let mut causes: Vec<Cause> =
            self.groups.iter().filter_map(|(cause, group)| self.cause(*cause, group, due, now)).collect();
        causes.sort_by(|one, other| {
            let weight = |cause: &Cause| (cause.events, cause.exceptions);
            let name = |cause: &Cause| (cause.code.clone(), cause.room.clone(), cause.subject.clone());
            weight(other).cmp(&weight(one)).then_with(|| name(one).cmp(&name(other)))
        });
        causes
    }

    /// A part of the exceptions that match.
    pub fn list(&self, filter: &Filter, page: Page, due: &DueMicros, now: i64) -> Listed {
        let mut total = 0;
        let mut rows = Vec::new();
        let mut visit = |slot: u32| {
            let Some(held) = self.get(slot).filter(|held| self.matches(held, filter, due, now)) else { return };
            if total >= page.skip && rows.len() < page.most {
                rows.push(self.row_of(held, due, now));
            }
            total += 1;
        };
        // Of those raised in the same moment the id decides, so that all views agree.
        let mut moment: Vec<u32> = Vec::new();
        let mut last = None;
        let mut turn = |raised: Option<i64>, slot: Option<u32>| {
            if raised != last {
                moment.sort_unstable_by_key(|slot| self.get(*slot).map(|held| &held.id));
                if page.newest_first {
                    moment.reverse();
                }
                moment.drain(..).for_each(&mut visit);
                last = raised;
            }
            moment.extend(slot);
        };
        if page.newest_first {
            self.order.iter().rev().for_each(|(raised, slot)| turn(Some(*raised), Some(*slot)));
        } else {
            self.order.iter().for_each(|(raised, slot)| turn(Some(*raised), Some(*slot)));
        }
        turn(None, None);
        Listed { rows, total }
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
        let mut matching = self.by_id.keys().map(ToString::to_string).filter(|id| id.starts_with(start));
        match (matching.next(), matching.next()) {
            (None, _) => Found::None,
            (Some(id), None) => Found::One(id),
            (Some(_), Some(_)) => Found::Several,
        }
    }

    /// Counts and what is missing.
    pub fn standing(&self) -> Standing {
        let open = self.groups.values().flat_map(|group| &group.open).map(|open| open.len()).sum();
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

    fn cause(&self, number: u32, group: &Group, due: &DueMicros, now: i64) -> Option<Cause> {
        let key = self.causes.get(number)?;
        let (since, _) = group.open.iter().filter_map(|open| open.first()).min().copied()?;
        let said = self.first_of(group, since).and_then(|held| self.said.get(held.said))?;
        let each = || group.open.iter().zip(due);
        let overdue = each().map(|(open, due)| open.range(..(now.saturating_sub(*due), 0)).count()).sum();
        let next = each().filter_map(|(open, due)| open.first().map(|(raised, _)| raised.saturating_add(*due))).min();
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let Worth { events, unpriced, .. } = group.worth;
        Some(Cause {
            code: key.code.clone(),
            room: key.room.clone(),
            subject: key.subject.clone(),
            exceptions: group.open.iter().map(|open| open.len()).sum(),
            keys: group.keys,
            events: count(events),
            since,
            message: said.message.clone(),
            suggested_fix: said.suggested_fix.clone(),
            overdue,
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

    fn matches(&self, held: &Held, filter: &Filter, due: &DueMicros, now: i64) -> bool {
        let open = is_open(held.state);
        let Some(cause) = self.causes.get(held.cause) else { return false };
        let is = |wanted: &Option<String>, value: Option<&str>| match wanted.as_deref() {
            None => true,
            Some("") => value.is_none(),
            wanted => wanted == value,
        };
        (open || filter.settled)
            && filter.code.as_ref().is_none_or(|code| *code == cause.code)
            && filter.room.as_ref().is_none_or(|room| *room == cause.room)
            && is(&filter.subject, cause.subject.as_deref())
            && is(&filter.assignee, self.name(held.assignee))
            && (!filter.overdue || (open && due_at(held, due) < now))
            && (!filter.to_approve || (open && held.requested_by != NONE))
    }

    fn row_of(&self, held: &Held, due: &DueMicros, now: i64) -> Row {
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
            parked_key: held.parked_key,
            events: self
                .waiting
                .get(held.lane)
                .map_or(0, |lane| usize::try_from(lane.worth.events).unwrap_or(usize::MAX)),
        }
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number).map(String::as_str)
    }
}

fn due_at(held: &Held, due: &DueMicros) -> i64 {
    held.raised_at.saturating_add(due.get(usize::from(held.class)).copied().unwrap_or_default())
}

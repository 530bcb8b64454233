//! Lists of exceptions: as much is looked at as is shown, and nothing is gone through that is counted already.

use super::index::{CLASSES, Held, Index};
use super::pool::NONE;
use super::query::{DueMicros, due_at};
use super::types::{Filter, Listed, Page, is_open};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::btree_set;

/// A list that is being made.
struct Listing<'a> {
    index: &'a Index,
    filter: &'a Filter,
    page: Page,
    due: &'a DueMicros,
    now: i64,
    /// Those raised in the same moment, of which the id decides, so that all views agree.
    moment: Vec<u32>,
    raised: Option<i64>,
    listed: Listed,
}

/// The open exceptions of many causes as one list by time: of each set the next one, the first of all on top.
struct Merged<'a> {
    sets: Vec<Set<'a>>,
    first: BinaryHeap<Reverse<(i64, u32, usize)>>,
    newest_first: bool,
}

/// Open exceptions of one cause and class, from either end.
struct Set<'a>(btree_set::Range<'a, (i64, u32)>);

impl Index {
    /// A part of the exceptions that match.
    pub fn list(&self, filter: &Filter, page: Page, due: &DueMicros, now: i64) -> Listed {
        let listing = Listing {
            index: self,
            filter,
            page,
            due,
            now,
            moment: Vec::new(),
            raised: None,
            listed: Listed::default(),
        };
        if filter.settled { listing.of_all() } else { listing.of_open() }
    }

    pub(super) fn is_of(&self, cause: u32, filter: &Filter) -> bool {
        let Some(cause) = self.causes.get(cause) else { return false };
        filter.code.as_ref().is_none_or(|code| *code == cause.code)
            && filter.room.as_ref().is_none_or(|room| *room == cause.room)
            && is(filter.subject.as_deref(), cause.subject.as_deref())
    }
}

impl Listing<'_> {
    /// Settled ones too: they are in one list by time.
    fn of_all(mut self) -> Listed {
        let all = self.index.order.len();
        let plain = Filter { settled: true, ..Filter::default() };
        // Whether a cause fits is asked once for each of them, not for each of its exceptions.
        let mut fits: Vec<Option<bool>> = Vec::new();
        let is_whole = *self.filter == plain;
        let (index, filter) = (self.index, self.filter);
        let mut of_cause = |cause: u32| {
            let place = cause as usize;
            if place >= fits.len() {
                fits.resize(place + 1, None);
            }
            *fits[place].get_or_insert_with(|| index.is_of(cause, filter))
        };
        let mut order = index.order.iter();
        let newest_first = self.page.newest_first;
        while let Some((raised, slot)) = if newest_first { order.next_back() } else { order.next() } {
            if is_whole && self.is_full(Some(*raised)) {
                break;
            }
            if index.get(*slot).is_some_and(|held| of_cause(held.cause) && self.matches(held)) {
                self.turn(Some(*raised), Some(*slot));
            }
        }
        self.end(is_whole.then_some(all))
    }

    /// Open ones: each cause has its own by time.
    fn of_open(mut self) -> Listed {
        let (index, filter) = (self.index, self.filter);
        let groups = index.groups.iter().filter(|(cause, _)| index.is_of(**cause, filter)).map(|(_, group)| group);
        // What is said of single exceptions must be looked for; the rest is counted already.
        let is_counted = filter.assignee.is_none() && !filter.to_approve;
        let (mut total, mut sets) = (0, Vec::new());
        for group in groups {
            for (place, due) in self.due.iter().enumerate().take(CLASSES.len()) {
                let before = if filter.overdue { self.now.saturating_sub(*due) } else { i64::MAX };
                let set = Set(group.open[place].range(..(before, 0)));
                if is_counted {
                    total += if filter.overdue { set.0.clone().count() } else { group.open[place].len() };
                }
                sets.push(set);
            }
        }
        for (raised, slot) in Merged::new(sets, self.page.newest_first) {
            if is_counted && self.is_full(Some(raised)) {
                break;
            }
            if index.get(slot).is_some_and(|held| self.matches(held)) {
                self.turn(Some(raised), Some(slot));
            }
        }
        self.end(is_counted.then_some(total))
    }

    /// What its cause does not say.
    fn matches(&self, held: &Held) -> bool {
        let open = is_open(held.state);
        is(self.filter.assignee.as_deref(), self.index.name(held.assignee))
            && (!self.filter.overdue || (open && due_at(held, self.due) < self.now))
            && (!self.filter.to_approve || (open && (held.requested_by != NONE || held.mark != NONE)))
    }

    /// Whether the page has all its rows before this moment.
    fn is_full(&self, raised: Option<i64>) -> bool {
        let passed = self.listed.total + self.moment.len();
        raised != self.raised && passed >= self.page.skip.saturating_add(self.page.most)
    }

    fn turn(&mut self, raised: Option<i64>, slot: Option<u32>) {
        if raised != self.raised {
            let mut moment = std::mem::take(&mut self.moment);
            moment.sort_unstable_by_key(|slot| self.index.get(*slot).map(|held| &held.id));
            if self.page.newest_first {
                moment.reverse();
            }
            for slot in moment.drain(..) {
                self.visit(slot);
            }
            self.moment = moment;
            self.raised = raised;
        }
        self.moment.extend(slot);
    }

    fn visit(&mut self, slot: u32) {
        let Listed { rows, total, .. } = &mut self.listed;
        if *total >= self.page.skip
            && rows.len() < self.page.most
            && let Some(held) = self.index.get(slot)
        {
            rows.push(self.index.row_of(held, self.due, self.now));
        }
        *total += 1;
    }

    /// With how many there are in all, where that is known without looking at each.
    fn end(mut self, total: Option<usize>) -> Listed {
        self.turn(None, None);
        let (total, seen_until) = (total.unwrap_or(self.listed.total), self.index.until.clone());
        Listed { total, seen_until, ..self.listed }
    }
}

impl<'a> Merged<'a> {
    fn new(sets: Vec<Set<'a>>, newest_first: bool) -> Self {
        let mut this = Self { first: BinaryHeap::with_capacity(sets.len()), sets, newest_first };
        (0..this.sets.len()).for_each(|place| this.refill(place));
        this
    }

    fn refill(&mut self, place: usize) {
        let set = &mut self.sets[place].0;
        let next = if self.newest_first { set.next_back() } else { set.next() };
        if let Some((raised, slot)) = next {
            // The heap gives the least; newest first, that is the one with the greatest time.
            let time = if self.newest_first { raised.saturating_neg() } else { *raised };
            self.first.push(Reverse((time, *slot, place)));
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = (i64, u32);

    fn next(&mut self) -> Option<(i64, u32)> {
        let Reverse((time, slot, place)) = self.first.pop()?;
        self.refill(place);
        Some((if self.newest_first { time.saturating_neg() } else { time }, slot))
    }
}

/// Whether a value is the wanted one; an empty text wants none.
pub(super) fn is(wanted: Option<&str>, value: Option<&str>) -> bool {
    match wanted {
        None => true,
        Some("") => value.is_none(),
        wanted => wanted == value,
    }
}

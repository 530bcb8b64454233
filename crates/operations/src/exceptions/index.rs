//! The exceptions and what waits behind them, in memory: pure, told record by record, and never asked to count.
//!
//! What a cause holds up is kept as a sum that changes with each record, so that a list of causes does not depend on how much
//! waits. Of an exception its place on the topic is held, not its bytes.

use super::earlier::Earlier;
use super::hours::Hours;
use super::id::Id;
use super::pool::{NONE, Pool, map_bytes};
use super::told::{Told, ToldCorrection};
use super::types::is_open;
use super::waiting::{LaneName, Origin, Waiting, Worth};
use crate::offsets::Offsets;
use schemas::approval::Stands;
use schemas::{Criticality, Decimal, ExceptionKind, ExceptionState};
use std::collections::{BTreeSet, HashMap};

/// A class for each place in the lists by class.
pub const CLASSES: [Criticality; 3] = [Criticality::PatientAdjacent, Criticality::Operational, Criticality::Analytical];

/// Bounds of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most exceptions. The oldest settled ones are forgotten first.
    pub exceptions_max: usize,
    /// Most parked events.
    pub parked_max: usize,
}

/// What makes a cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CauseKey {
    /// Code.
    pub code: String,
    /// Room.
    pub room: String,
    /// Subject, `kind/key`.
    pub subject: Option<String>,
}

/// One sentence, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Said {
    /// The sentence.
    pub message: String,
    /// What would help.
    pub suggested_fix: Option<String>,
}

/// Sums of one cause.
#[derive(Debug, Default)]
pub struct Group {
    /// Open exceptions by class: when they were raised, and their slot.
    pub open: [BTreeSet<(i64, u32)>; CLASSES.len()],
    /// Lanes of theirs in which something waits.
    pub keys: usize,
    /// What waits in these lanes.
    pub worth: Worth,
}

impl Group {
    /// Open exceptions.
    pub fn exceptions(&self) -> usize {
        self.open.iter().map(BTreeSet::len).sum()
    }

    /// Open exceptions that should have been settled by now, by what each class may take.
    pub fn overdue(&self, due: &[i64; CLASSES.len()], now: i64) -> usize {
        let each = self.open.iter().zip(due);
        each.map(|(open, due)| open.range(..(now.saturating_sub(*due), 0)).count()).sum()
    }
}

/// An exception as the index holds it.
#[derive(Debug)]
pub struct Held {
    /// Its id.
    pub id: Id,
    /// Number of its cause.
    pub cause: u32,
    /// Number of what was said.
    pub said: u32,
    /// Number of its lane; [`NONE`] when nothing of it is parked or it is settled.
    pub lane: u32,
    /// Number of who has it.
    pub assignee: u32,
    /// Number of who asked to discard it.
    pub requested_by: u32,
    /// Number of the mark of that request.
    pub requested: u32,
    /// Number of who proposed the correction that waits; [`NONE`] when none waits.
    pub corrected_by: u32,
    /// Number of the mark of that correction.
    pub mark: u32,
    /// Number of the topic it is about.
    pub topic: u32,
    /// Partition of that.
    pub origin_partition: i32,
    /// Offset there.
    pub origin_offset: i64,
    /// Partition of the exception topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// When it was raised.
    pub raised_at: i64,
    /// When the last thing happened.
    pub at: i64,
    /// What that was.
    pub kind: ExceptionKind,
    /// Where it stands.
    pub state: ExceptionState,
    /// Place of its class in [`CLASSES`].
    pub class: u8,
    /// Whether events of its key are parked.
    pub parked_key: bool,
}

/// The exceptions and the parked events.
#[derive(Debug)]
pub struct Index {
    bounds: Bounds,
    pub(super) slots: Vec<Option<Held>>,
    free: Vec<u32>,
    pub(super) by_id: HashMap<Id, u32>,
    /// All, by the time they were raised.
    pub(super) order: BTreeSet<(i64, u32)>,
    /// How many were raised when.
    pub(super) hours: Hours,
    /// The settled ones, by the time that happened.
    settled: BTreeSet<(i64, u32)>,
    pub(super) causes: Pool<CauseKey>,
    pub(super) groups: HashMap<u32, Group>,
    pub(super) said: Pool<Said>,
    pub(super) names: Pool<String>,
    pub(super) waiting: Waiting,
    /// Places of last words that a person's later one has taken the place of, by exception.
    pub(super) reopened: HashMap<Id, (i32, i64)>,
    /// Places of what waits for a second person, where an approval of something else has taken its place on the topic.
    pub(super) overtaken: HashMap<Id, (i32, i64)>,
    earlier: Earlier,
    /// How far the exceptions are told: the last record of each partition.
    pub(super) until: Offsets,
    /// Exceptions that had no place.
    pub(super) left_out: u64,
    /// Settled exceptions that were forgotten for newer ones.
    pub(super) forgotten: u64,
    /// Parked events that had no place.
    pub(super) parked_left_out: u64,
    /// Records that cannot be read.
    pub(super) unreadable: u64,
}

impl Index {
    /// Nothing known yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            order: BTreeSet::new(),
            hours: Hours::default(),
            settled: BTreeSet::new(),
            causes: Pool::default(),
            groups: HashMap::new(),
            said: Pool::default(),
            names: Pool::default(),
            waiting: Waiting::default(),
            reopened: HashMap::new(),
            overtaken: HashMap::new(),
            earlier: Earlier::default(),
            until: Offsets::default(),
            left_out: 0,
            forgotten: 0,
            parked_left_out: 0,
            unreadable: 0,
        }
    }

    /// An exception stands so now.
    pub fn tell(&mut self, told: Told) {
        let id = Id::of(&told.id);
        self.until.note((told.partition, told.offset));
        if self.is_void(&id, &told) {
            self.earlier.note(&id, (told.partition, told.offset));
            return;
        }
        if let Some(held) = self.by_id.get(&id).and_then(|slot| self.get(*slot)) {
            let place = (held.partition, held.offset);
            self.earlier.note(&id, place);
        }
        self.overtaken.remove(&id);
        self.note_reopened(&id, told.kind);
        self.drop_exception(&id);
        if self.by_id.len() >= self.bounds.exceptions_max && !self.make_room() {
            self.left_out += 1;
            return;
        }
        let held = self.hold(id.clone(), told);
        let (key, open) = ((held.raised_at, held.at), is_open(held.state));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(held);
                slot
            }
            None => {
                self.slots.push(Some(held));
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        self.by_id.insert(id, slot);
        self.order.insert((key.0, slot));
        self.hours.add(key.0, open);
        if open {
            self.link(slot);
        } else {
            self.settled.insert((key.1, slot));
        }
    }

    /// An exception is gone from the topic.
    pub fn forget(&mut self, id: &str) {
        let id = Id::of(id);
        self.reopened.remove(&id);
        self.overtaken.remove(&id);
        self.earlier.forget(&id);
        self.drop_exception(&id);
    }

    /// An event is parked; parked once more it takes its place.
    pub fn park(&mut self, origin: &Origin<'_>, key: &str, money: Option<(Decimal, &str)>) {
        self.unpark(origin);
        if self.waiting.events() >= self.bounds.parked_max {
            self.parked_left_out += 1;
            return;
        }
        let (lane, gained) = self.waiting.add(origin, key, money);
        let Some(held) = self.waiting.get(lane) else { return };
        let is_first = held.worth.events == gained.events;
        for (cause, _) in &held.causes {
            let Some(group) = self.groups.get_mut(cause) else { continue };
            group.worth.add(&gained);
            group.keys += usize::from(is_first);
        }
    }

    /// An event has left the parking lot.
    pub fn unpark(&mut self, origin: &Origin<'_>) {
        let Some((lane, lost)) = self.waiting.remove(origin) else { return };
        let Some(held) = self.waiting.get(lane) else { return };
        let was_last = held.worth.events == 0;
        for (cause, _) in &held.causes {
            let Some(group) = self.groups.get_mut(cause) else { continue };
            group.worth.take(&lost);
            group.keys -= usize::from(was_last);
        }
        self.waiting.tidy(lane);
    }

    /// A record could not be read.
    pub fn cannot_read(&mut self) {
        self.unreadable += 1;
    }

    /// Forgets the exceptions: they are told anew.
    pub fn clear_exceptions(&mut self) {
        let all: Vec<Id> = self.by_id.keys().cloned().collect();
        all.iter().for_each(|id| self.drop_exception(id));
        self.reopened.clear();
        self.overtaken.clear();
        self.earlier.clear();
        self.until = Offsets::default();
        (self.left_out, self.forgotten) = (0, 0);
    }

    /// Forgets the parked events: they are told anew. The open exceptions stay, so they are linked to lanes anew.
    pub fn clear_parked(&mut self) {
        let open = |held: &&u32| self.get(**held).is_some_and(|held| is_open(held.state));
        let linked: Vec<u32> = self.by_id.values().filter(open).copied().collect();
        // Lanes are known by numbers, so each link is kept as the name of its lane.
        let lanes: Vec<(u32, Option<LaneName>)> = linked
            .into_iter()
            .map(|slot| {
                let lane = self.get(slot).and_then(|held| self.waiting.name(held.lane));
                self.unlink(slot);
                (slot, lane)
            })
            .collect();
        self.waiting = Waiting::default();
        self.parked_left_out = 0;
        for (slot, lane) in lanes {
            let number = lane.map_or(NONE, |(room, topic, key)| self.waiting.lane(&room, &topic, &key));
            if let Some(Some(held)) = self.slots.get_mut(slot as usize) {
                held.lane = number;
            }
            self.link(slot);
        }
    }

    /// The bounds it has.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// An exception by its slot.
    pub fn get(&self, slot: u32) -> Option<&Held> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// Places of the records of an exception that are known, oldest first.
    pub fn places(&self, id: &str) -> Vec<(i32, i64)> {
        let Some(held) = self.held(id) else { return Vec::new() };
        self.earlier.of(&held.id).chain([(held.partition, held.offset)]).collect()
    }

    /// Bytes held, about: the parts whose number grows, each with the size it has.
    pub fn bytes(&self) -> usize {
        /// What a set of that kind takes per entry when it was filled in order, nodes half full.
        const SET_ENTRY: usize = 36;
        let slots = self.slots.capacity() * size_of::<Option<Held>>() + self.free.capacity() * 4;
        let ids = map_bytes(self.by_id.capacity(), size_of::<(Id, u32)>());
        // Each is in the order and either settled or open in its group.
        let sets = (self.order.len() + self.by_id.len()) * SET_ENTRY;
        let groups = map_bytes(self.groups.capacity(), size_of::<(u32, Group)>());
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let causes = self.causes.bytes(|key| key.code.len() + key.room.len() + text(&key.subject));
        let said = self.said.bytes(|said| said.message.len() + text(&said.suggested_fix));
        slots
            + ids
            + sets
            + groups
            + causes
            + said
            + self.names.bytes(String::len)
            + self.waiting.bytes()
            + self.earlier.bytes()
    }

    /// A room settles an exception in the very moment in which somebody decides about it: then the decision stands behind the
    /// last word. It is kept in mind where that lies, until something else is said.
    fn note_reopened(&mut self, id: &Id, kind: ExceptionKind) {
        let is_of_person = matches!(
            kind,
            ExceptionKind::Assigned
                | ExceptionKind::Commented
                | ExceptionKind::RetryRequested
                | ExceptionKind::DiscardRequested
                | ExceptionKind::Discarded
                | ExceptionKind::Corrected
                | ExceptionKind::CorrectionRequested
        );
        let before = self.by_id.get(id).and_then(|slot| self.get(*slot));
        match before {
            Some(before) if is_of_person && before.kind == ExceptionKind::Resolved => {
                let place = (before.partition, before.offset);
                self.reopened.insert(id.clone(), place);
            }
            // A second decision too late does not take the first one for the last word.
            Some(_) if is_of_person => {}
            _ => {
                self.reopened.remove(id);
            }
        }
    }

    /// Whether this is an approval of something else than what waits: it changes nothing, and the place of what waits is kept
    /// in mind, because the record of the approval has taken its place on the topic.
    fn is_void(&mut self, id: &Id, told: &Told) -> bool {
        let Some(correction) = told.correction.as_ref().filter(|_| told.kind == ExceptionKind::Corrected) else {
            return false;
        };
        let held = self.by_id.get(id).and_then(|slot| self.get(*slot));
        let Some((held, before)) = held.and_then(|held| Some((held, self.waits(held)?))) else { return false };
        let is_void = correction.stands.is_void_after(Some(&before));
        if is_void {
            let place = (held.partition, held.offset);
            self.overtaken.insert(id.clone(), place);
        }
        is_void
    }

    /// The correction of an exception, as far as it waits for a second person.
    fn waits(&self, held: &Held) -> Option<Stands> {
        Some(Stands::Waits { mark: self.names.get(held.mark)?.clone() })
    }

    fn hold(&mut self, id: Id, told: Told) -> Held {
        let lane = match &told.origin {
            Some(origin) if is_open(told.state) && told.parked_key => {
                self.waiting.lane(&told.room, &origin.topic, &origin.key)
            }
            _ => NONE,
        };
        let (origin_partition, origin_offset) =
            told.origin.as_ref().map_or((NO_PARTITION, 0), |origin| (origin.partition, origin.offset));
        let mut name = |name: Option<String>| name.map_or(NONE, |name| self.names.take(name));
        let topic = name(told.origin.map(|origin| origin.topic));
        let (assignee, requested_by) = (name(told.assignee), name(told.discard_requested_by));
        let requested = name(told.discard_mark);
        let (corrected_by, mark) = match told.correction {
            Some(ToldCorrection { stands: Stands::Waits { mark }, by }) => (name(Some(by)), name(Some(mark))),
            _ => (NONE, NONE),
        };
        let class = CLASSES.iter().position(|class| *class == told.class).unwrap_or(1);
        Held {
            id,
            cause: self.causes.take(CauseKey { code: told.code, room: told.room, subject: told.subject }),
            said: self.said.take(Said { message: told.message, suggested_fix: told.suggested_fix }),
            lane,
            assignee,
            requested_by,
            requested,
            corrected_by,
            mark,
            topic,
            origin_partition,
            origin_offset,
            partition: told.partition,
            offset: told.offset,
            raised_at: told.raised_at,
            at: told.at,
            kind: told.kind,
            state: told.state,
            class: u8::try_from(class).unwrap_or(1),
            parked_key: told.parked_key,
        }
    }

    /// Forgets the settled exception of longest ago.
    fn make_room(&mut self) -> bool {
        let Some((_, slot)) = self.settled.first().copied() else { return false };
        let Some(id) = self.get(slot).map(|held| held.id.clone()) else { return false };
        self.earlier.forget(&id);
        self.drop_exception(&id);
        self.forgotten += 1;
        true
    }

    fn drop_exception(&mut self, id: &Id) {
        let Some(slot) = self.by_id.remove(id) else { return };
        self.unlink(slot);
        let Some(held) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        self.order.remove(&(held.raised_at, slot));
        self.hours.take(held.raised_at, is_open(held.state));
        self.settled.remove(&(held.at, slot));
        self.free.push(slot);
        self.causes.release(held.cause);
        self.said.release(held.said);
        let asked = [held.requested_by, held.requested];
        for name in [held.topic, held.assignee, held.corrected_by, held.mark].into_iter().chain(asked) {
            self.names.release(name);
        }
    }

    /// Adds an open exception to its cause, and what waits in its lane with it.
    fn link(&mut self, slot: u32) {
        let Some(held) = self.slots.get(slot as usize).and_then(Option::as_ref) else { return };
        let (cause, class, lane, raised_at) = (held.cause, usize::from(held.class), held.lane, held.raised_at);
        let group = self.groups.entry(cause).or_default();
        group.open[class].insert((raised_at, slot));
        let Some(lane) = self.waiting.lane_mut(lane) else { return };
        match lane.causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, exceptions)) => *exceptions += 1,
            None => {
                lane.causes.push((cause, 1));
                group.worth.add(&lane.worth);
                group.keys += usize::from(lane.worth.events > 0);
            }
        }
    }

    /// Takes an exception out of its cause again, whatever it was.
    fn unlink(&mut self, slot: u32) {
        let Some(held) = self.slots.get(slot as usize).and_then(Option::as_ref) else { return };
        let (cause, class, number, raised_at) = (held.cause, usize::from(held.class), held.lane, held.raised_at);
        let Some(group) = self.groups.get_mut(&cause) else { return };
        if !group.open[class].remove(&(raised_at, slot)) {
            return;
        }
        if let Some(lane) = self.waiting.lane_mut(number)
            && let Some(at) = lane.causes.iter().position(|(known, _)| *known == cause)
        {
            lane.causes[at].1 -= 1;
            if lane.causes[at].1 == 0 {
                lane.causes.swap_remove(at);
                group.worth.take(&lane.worth);
                group.keys -= usize::from(lane.worth.events > 0);
            }
        }
        if group.open.iter().all(BTreeSet::is_empty) {
            self.groups.remove(&cause);
        }
        self.waiting.tidy(number);
    }
}

/// Stands for the partition of an exception that is about no record of a topic.
pub const NO_PARTITION: i32 = -1;

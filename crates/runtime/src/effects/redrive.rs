//! Brings parked events back into their lanes, one at a time and in order.

use super::calls::Item;
use super::drafts::Draft;
use super::engine::Engine;
use super::lanes::Work;
use super::verdicts::Word;
use crate::clock::{now_micros, tick};
use crate::cluster::Cluster;
use crate::decisions::{Decided, Decision};
use crate::parking::Lane;
use crate::parking_store::Step;
use crate::record::{Place, Record};
use crate::room::RoomError;
use connector::effect::Effect;
use processor::{Code, Reason};
use schemas::{AuditKind, ExceptionKind, ExceptionState};
use std::sync::Arc;
use std::time::Duration;

/// Most lanes that become due in one turn.
const LANES_MAX: usize = 5_000;
/// So long others wait for a round.
const LONGEST: Duration = Duration::from_millis(10);
/// How long to wait for what is under way.
const UNDER_WAY: Duration = Duration::from_millis(50);

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// Brings back the lanes whose time has come, as many as there is room for.
    pub fn redrive_due(&mut self) -> Result<(), RoomError> {
        let started = tick();
        self.lot.rouse(started, LANES_MAX);
        while self.lot.is_awake() && self.has_room_for_parked() {
            let at = tick();
            if at.since(started) > LONGEST {
                break;
            }
            match self.store.step(&mut self.lot, at)? {
                Step::Event(lane, record) => self.bring(&lane, *record)?,
                Step::Passed => {}
                Step::Nothing => break,
            }
        }
        Ok(())
    }

    /// Whether parked events can be brought back now.
    pub fn has_room_for_parked(&self) -> bool {
        self.lanes.parked() < self.parts.config.limits.lanes_max
    }

    /// Brings the next event of a lane back at once when it is at hand; else it comes with the next reading.
    pub fn redrive(&mut self, lane: &Lane) -> Result<(), RoomError> {
        match self.store.kept_head(&mut self.lot, lane)? {
            Some(record) => self.bring(lane, record),
            None => Ok(()),
        }
    }

    /// As many keys are parked as may be: the event at the head of a lane is tried again later, where it is. What it holds up
    /// fills the room, which takes in no more then (BND-1).
    pub fn stands_still(&mut self, lane: &Lane) -> bool {
        let limits = &self.parts.config.limits;
        let most = limits.parked_max;
        let is_full = !self.lot.holds(lane) && self.lot.lane_count() >= most;
        self.parts.metrics.parked_full.set(i64::from(is_full));
        if is_full {
            tracing::error!(room = self.parts.desk.room, code = "WL-6030", most, "too many keys are parked");
            self.lanes.again_at(lane, tick().after(Duration::from_millis(limits.retry_delay_max_ms)));
        }
        is_full
    }

    /// Brings the first parked event of a lane back. Where events of the lane are under way, it is looked at again when that
    /// may have ended: a replay or a decision that comes just then must not be forgotten.
    fn bring(&mut self, lane: &Lane, record: Record) -> Result<(), RoomError> {
        if self.lanes.contains(lane) {
            self.lot.rehold(lane, |hold| hold.due = Some(tick().after(UNDER_WAY)));
            return Ok(());
        }
        let Some(entry) = self.lot.head(lane) else { return Ok(()) };
        let id = self.parts.desk.exception_id(&record.place);
        if self.parts.decisions.raised(&id).is_some() {
            self.lot.rehold(lane, |hold| hold.asks(id));
        }
        let since_micros = self.lot.hold(lane).map_or_else(now_micros, |hold| hold.since_micros);
        let work = Work::new(Arc::new(record), Some(entry), since_micros, tick());
        self.lanes.push(lane.clone(), work);
        Ok(())
    }

    /// Leaves the first parked event of a lane out, as a person has decided; the next one comes with the next reading.
    pub fn give_up(
        &mut self,
        lane: &Lane,
        record: &Record,
        origin_offset: i64,
        discard: Decided,
    ) -> Result<(), RoomError> {
        let reason = Reason::new(Code::new("WL-6042"), "discarded-by-operator", "a person discarded the event");
        let audit = self.parts.desk.audit(record, AuditKind::Dropped, reason.rule, &reason.message, now_micros());
        self.queue(audit)?;
        let code = self.lot.hold(lane).map(|hold| hold.code.clone());
        let decided = Some(discard);
        self.say(record, &reason, Word { state: ExceptionState::Discarded, code, decided, ..Word::RESOLVED })?;
        self.pending.push(Draft::Written(self.parts.desk.unpark(lane, origin_offset)));
        self.pending.cut();
        self.lot.release(lane);
        Ok(())
    }

    /// Whether a person has decided about some of a document that was about to be called for, after it was planned: they have
    /// given an event up, or corrected it. Then each of its events begins once more, with what was decided.
    pub fn is_spared(&mut self, items: &mut [Item<E>]) -> bool {
        if self.lot.is_empty() {
            return false;
        }
        let is_decided_anew = |item: &Item<E>| {
            let head = self.lanes.head(&item.lane).filter(|head| head.parked.is_some());
            head.is_some_and(|head| self.news(&item.record.place, head).is_some())
        };
        let is_spared = items.iter().any(is_decided_anew);
        if is_spared {
            self.calls.spare(items);
            for item in items {
                self.set_aside(item);
                self.lanes.again(&item.lane);
            }
        }
        is_spared
    }

    /// What a person has decided about a parked event since it was begun with: that is still to be carried out.
    fn news(&self, place: &Place, work: &Work) -> Option<Decided> {
        let decided = self.parts.decisions.about(&self.parts.desk.exception_id(place));
        decided.filter(|decided| work.decided_at != Some(decided.at))
    }

    /// A parked event must wait on.
    pub fn hold_again(&mut self, lane: &Lane, work: &Work, reason: &Reason, rejected: bool) -> Result<(), RoomError> {
        let record = &work.record;
        let Some(hold) = self.lot.hold(lane).cloned() else { return Ok(()) };
        let limits = self.parts.config.limits.clone();
        let class =
            schemas::topics::find(&lane.topic).map_or(schemas::catalogue::Criticality::Operational, |t| t.class);
        let waited = Duration::from_micros(u64::try_from(now_micros() - hold.since_micros).unwrap_or_default());
        let spent = rejected || waited >= limits.wait_budget(class);
        let id = self.parts.desk.exception_id(&record.place);
        if self.news(&record.place, work).is_some() {
            // That is still to be carried out, and said nothing of before.
            self.lot.rehold(lane, |hold| hold.due = Some(tick()));
            return Ok(());
        }
        match self.parts.decisions.about(&id) {
            Some(discard) if discard.decision == Decision::Discard => {
                // Given up, and nobody can say what became of its call. That is waited for, but not for ever: its key goes on.
                let since = hold.doubted.map_or(Duration::ZERO, |since| tick().since(since));
                let is_over = rejected || since >= Duration::from_millis(limits.discard_wait_ms);
                if is_over || !self.index.is_open(&record.place) {
                    return self.give_up(lane, record, record.place.offset, discard);
                }
                self.lot.rehold(lane, |hold| hold.doubted = hold.doubted.or_else(|| Some(tick())));
            }
            // A person's retry did not help: it is theirs again.
            Some(_) => self.say(record, reason, Word { kind: ExceptionKind::Retried, ..Word::RAISED })?,
            None if spent && hold.exception_id.is_none() => self.say(record, reason, Word::RAISED)?,
            None => {}
        }
        self.lot.rehold(lane, |hold| hold.again(reason, rejected, spent.then_some(id), tick(), &limits));
        Ok(())
    }
}

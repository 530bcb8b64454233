//! Brings parked events back into their lanes, one at a time and in order.

use super::engine::Engine;
use super::lanes::Work;
use super::verdicts::Word;
use crate::clock::{now_micros, tick};
use crate::cluster::Cluster;
use crate::decisions::Decision;
use crate::parking::Lane;
use crate::room::RoomError;
use connector::effect::Effect;
use processor::{Code, Reason};
use schemas::{AuditKind, ExceptionState};
use std::sync::Arc;
use std::time::Duration;

/// Most lanes brought back in one round.
const LANES_MAX: usize = 200;
/// So long others wait for a round.
const LONGEST: Duration = Duration::from_millis(50);
/// How long to wait for what is under way.
const UNDER_WAY: Duration = Duration::from_millis(50);

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// Brings back the lanes whose time has come.
    pub fn redrive_due(&mut self) -> Result<(), RoomError> {
        self.store.rest();
        let started = tick();
        let room = self.parts.config.limits.lanes_max.saturating_sub(self.lanes.parked());
        let mut due = self.lot.take_due(started, room.min(LANES_MAX));
        // In the order of their places they are read in one sweep.
        due.sort_by_key(|lane| (lane.partition, self.lot.head(lane).and_then(|head| head.parked_at)));
        for lane in due {
            if tick().since(started) < LONGEST {
                self.redrive(&lane)?;
            } else {
                self.lot.rehold(&lane, |hold| hold.due = Some(started));
            }
        }
        Ok(())
    }

    /// Brings the first parked event of a lane back. Where events of the lane are under way, it is looked at again when that
    /// may have ended: a replay or a decision that comes just then must not be forgotten.
    pub fn redrive(&mut self, lane: &Lane) -> Result<(), RoomError> {
        if self.lanes.contains(lane) {
            self.lot.rehold(lane, |hold| hold.due = Some(tick().after(UNDER_WAY)));
            return Ok(());
        }
        while !self.lanes.contains(lane) {
            let Some(entry) = self.lot.head(lane) else { return Ok(()) };
            let Some(parked_at) = entry.parked_at else {
                // Its place on the topic is known once its transaction is committed.
                self.lot.rehold(lane, |hold| hold.due = Some(tick().after(UNDER_WAY)));
                return Ok(());
            };
            let record = self.store.fetch(lane.partition, parked_at)?;
            let id = self.parts.desk.exception_id(&record.place);
            if self.parts.decisions.raised(&id).is_some() {
                self.lot.rehold(lane, |hold| hold.asks(id));
            }
            let hold = self.lot.hold(lane).cloned();
            let decided = self.parts.decisions.about(&id);
            if let Some(discard) = decided.filter(|decided| decided.decision == Decision::Discard) {
                let reason = Reason::new(Code::new("WL-6042"), "discarded-by-operator", "a person discarded the event");
                let now = now_micros();
                let audit = self.parts.desk.audit(&record, AuditKind::Dropped, reason.rule, &reason.message, now);
                self.queue(audit)?;
                let code = hold.map(|hold| hold.code);
                let decided = Some(discard);
                self.say(&record, &reason, Word { state: ExceptionState::Discarded, code, decided, ..Word::RESOLVED })?;
                self.pending.push(self.parts.desk.unpark(lane, entry.origin_offset));
                self.pending.cut();
                self.lot.release(lane);
                continue;
            }
            let since_micros = hold.map_or_else(now_micros, |hold| hold.since_micros);
            let work = Work::new(Arc::new(record), Some(entry), since_micros, tick());
            self.lanes.push(lane.clone(), work);
        }
        Ok(())
    }
}

//! What is said of a fact and dropped: nobody outside is told, and what is said of the same fact later is planned against it.
//!
//! ```text
//! credit (revision 1), nothing to take back -> dropped, `stated|room|event` {revision 1}
//! charge (revision 0), late                 -> prior is revision 1 -> overtaken
//! ```
//! A record `passed|room|place` says less and is deleted once the position lies above it; this one stays.

use super::engine::Engine;
use crate::clock::now_micros;
use crate::cluster::Cluster;
use crate::parking::Lane;
use crate::record::Record;
use crate::room::RoomError;
use connector::effect::Effect;
use processor::{Reason, Verdict};
use schemas::AuditKind;
use std::sync::Arc;

/// How the keys of records begin that say that an event was dropped, and what it stated. They do not stand against a replay of it.
pub(super) const STATED: &str = "stated|";

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// Carries out what was decided about the head of a lane without anybody outside. Of what is dropped is kept what it states, when
    /// that counts later.
    pub fn decided(
        &mut self,
        lane: &Lane,
        record: &Arc<Record>,
        verdict: Verdict<E::Output>,
        input: &E::Input,
        prior: Option<&E::Output>,
    ) -> Result<(), RoomError> {
        let Verdict::Drop(reason) = &verdict else { return self.conclude(lane, record, verdict) };
        let Some(stated) = self.parts.effect.stated(input, prior) else {
            return self.conclude(lane, record, verdict);
        };
        let stated = [stated];
        let values = match self.values(&stated)? {
            Ok(values) => values,
            Err(reason) => return self.conclude(lane, record, Verdict::Reject(reason)),
        };
        self.note_dropped(record, reason)?;
        self.place(record, self.key_of_event(STATED, record), &stated, &values);
        self.finish(lane)
    }

    /// Says on record by which rule an event was dropped.
    pub fn note_dropped(&mut self, record: &Record, reason: &Reason) -> Result<(), RoomError> {
        self.parts.metrics.dropped.inc();
        let audit = self.parts.desk.audit(record, AuditKind::Dropped, reason.rule, &reason.message, now_micros());
        self.queue(audit)
    }
}

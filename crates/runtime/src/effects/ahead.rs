//! Effect records that are written while their event still waits behind another one of its key.
//!
//! An effect record must be durable before the call (FX-1), and a transaction takes as long as a fast call. Asked for while the
//! event in front is under way, it is there when its turn comes. Nothing is called by it: whoever finds the record after a
//! crash looks on the other side, as always, and finds nothing.

use super::calls::document_key;
use super::engine::Engine;
use super::index::Known;
use super::lanes::AHEAD;
use crate::clock::{Tick, tick};
use crate::cluster::Cluster;
use crate::codec::WireError;
use crate::parking::Lane;
use crate::record::{Place, Record};
use connector::effect::{Action, Effect, Plan};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::oneshot;

/// Tells whether effect records are durable, or why not.
pub(super) type Written = oneshot::Receiver<Result<(), String>>;

/// The effect records of a document that were asked for.
pub(super) struct Intended {
    /// Idempotency key that they name.
    pub document_key: String,
    /// Tells when they are durable.
    pub written: Result<Written, WireError>,
    /// When they were asked for.
    pub asked: Tick,
}

impl Intended {
    /// Whether there is time left for the call: the partitions may belong to somebody else when it is used up.
    pub fn is_fresh(&self, valid: Duration) -> bool {
        tick().since(self.asked) < valid / 2
    }
}

/// An event that was planned before its turn.
pub(super) struct Foreseen<E: Effect> {
    pub input: E::Input,
    pub action: Action<E::Request>,
    pub intended: Intended,
}

/// Events that were planned before their turn, by their places.
pub(super) struct Ahead<E: Effect>(HashMap<Place, Foreseen<E>>);

impl<E: Effect> Ahead<E> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// What was planned for a record, unless that was too long ago.
    pub fn take(&mut self, place: &Place, valid: Duration) -> Option<Foreseen<E>> {
        self.0.remove(place).filter(|foreseen| foreseen.intended.is_fresh(valid))
    }

    /// Forgets what was planned for a record.
    pub fn forget(&mut self, place: &Place) {
        self.0.remove(place);
    }

    /// Forgets everything: the partitions have gone.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// Plans events behind those under way, and has their effect records written.
    pub fn look_ahead(&mut self) {
        let most = self.parts.config.limits.lanes_max.saturating_mul(AHEAD);
        while self.ahead.0.len() < most
            && let Some((lane, record)) = self.lanes.next_soon()
        {
            self.foresee(&lane, &record);
        }
    }

    /// What needs more than the event itself (an earlier effect, other lines of its document, a look-up, a person) waits for
    /// its turn.
    fn foresee(&mut self, lane: &Lane, record: &Record) {
        if self.lot.holds(lane) {
            return;
        }
        let Ok(input) = self.decode(record) else { return };
        if self.parts.effect.prior_key(&input).is_some() {
            return;
        }
        let Plan::Act(action) = self.parts.effect.plan(&input, None, &self.parts.tables) else { return };
        let alone = action.batch_key.is_none() || self.parts.client.batch_max() <= 1;
        if !alone || self.index.known(&action.effect_key) != Known::No {
            return;
        }
        let document_key = document_key(std::iter::once(action.effect_key.as_str()));
        let written = self.intend(std::iter::once((record, &action, 1)), &document_key);
        let intended = Intended { document_key, written, asked: tick() };
        self.ahead.0.insert(record.place.clone(), Foreseen { input, action, intended });
    }
}

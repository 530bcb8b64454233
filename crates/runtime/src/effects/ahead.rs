//! Effect records that are written while their event still waits behind another one of its key.
//!
//! An effect record must be durable before the call (FX-1), and a transaction takes as long as a fast call. Asked for while the
//! event in front is under way, it is there when its turn comes. It names the effect in front of it: whoever finds that one not
//! done after a crash knows of all behind it that nobody was called for them. What is not called for in the end is withdrawn on
//! record, so that nobody looks for it.

use super::calls::Item;
use super::drafts::EffectLine;
use super::engine::Engine;
use super::index::Known;
use super::intents::Intent;
use super::key_id::KeyId;
use super::lanes::{AHEAD, Soon};
use super::targets::Targets;
use crate::Map;
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::Cluster;
use crate::record::{Place, Record};
use connector::effect::{Action, Effect, Plan};
use schemas::EffectState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// Tells whether effect records are durable, or why not.
pub(super) type Written = oneshot::Receiver<Result<(), String>>;

/// The effect records of a document that were asked for.
pub(super) struct Intended {
    /// Idempotency key that they name.
    pub document_key: Arc<str>,
    /// Tells when they are durable.
    pub written: Written,
    /// When they were asked for.
    pub asked: Tick,
}

impl Intended {
    /// Whether there is time left for the call: the partitions may belong to somebody else when it is used up.
    pub fn is_fresh(&self, now: Tick, valid: Duration) -> bool {
        now.since(self.asked) < valid / 2
    }
}

/// An event that was planned before its turn.
pub(super) struct Planned<E: Effect> {
    pub record: Arc<Record>,
    pub input: E::Input,
    pub action: Action<E::Request>,
    pub effect: KeyId,
    pub intended: Intended,
}

/// Events that were planned before their turn, by their places.
pub(super) struct Ahead<E: Effect> {
    planned: Map<Place, Box<Planned<E>>>,
    /// Their effects: a second event with the same one is a copy, and waits to be seen as that.
    effects: Map<KeyId, ()>,
    /// Withdrawals that are being written.
    withdrawing: Vec<Written>,
}

impl<E: Effect> Ahead<E> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { planned: Map::default(), effects: Map::default(), withdrawing: Vec::new() }
    }

    /// Takes what was planned for a record.
    pub fn take(&mut self, place: &Place) -> Option<Box<Planned<E>>> {
        let planned = self.planned.remove(place)?;
        self.effects.remove(&planned.effect);
        Some(planned)
    }

    fn put(&mut self, planned: Box<Planned<E>>) {
        self.effects.insert(planned.effect, ());
        self.planned.insert(planned.record.place.clone(), planned);
    }

    /// Whether nothing is planned ahead, and no withdrawal is under way.
    pub fn is_empty(&mut self) -> bool {
        self.forget_written();
        self.planned.is_empty() && self.withdrawing.is_empty()
    }

    /// A withdrawal is being written. Those that are written are forgotten, so that no more are held than are under way (BND-1).
    fn withdraws(&mut self, written: Written) {
        self.forget_written();
        self.withdrawing.push(written);
    }

    fn forget_written(&mut self) {
        self.withdrawing.retain_mut(|written| matches!(written.try_recv(), Err(TryRecvError::Empty)));
    }

    /// Forgets everything: the partitions have gone.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// Plans events behind those under way, and has their effect records written.
    pub fn look_ahead(&mut self) {
        let most = self.parts.config.limits.lanes_max.saturating_mul(AHEAD);
        while self.ahead.planned.len() < most
            && let Some(soon) = self.lanes.next_soon()
        {
            self.plan_ahead(soon);
        }
    }

    /// What needs more than the event itself (an earlier effect, other lines of its document, a look-up, a person) waits for
    /// its turn.
    fn plan_ahead(&mut self, soon: Soon) {
        let Soon { lane, record, after } = soon;
        if self.lot.holds(&lane) {
            return;
        }
        let Ok(input) = self.decode(&record, false) else { return };
        let prior = self.parts.effect.prior_key(&input);
        if prior.is_some_and(|key| self.parts.effect.needs_prior(&input) || self.is_built_on(KeyId::of(&key))) {
            return;
        }
        let Plan::Act(action) = self.parts.effect.plan(&input, None, &self.parts.tables) else { return };
        let alone = action.batch_key.is_none() || self.parts.client.batch_max() <= 1;
        let effect = KeyId::of(&action.effect_key);
        if !alone || self.index.known(effect) != Known::No || self.ahead.effects.contains_key(&effect) {
            return;
        }
        let document_key = effect.document_key();
        let effect_key: Arc<str> = Arc::from(action.effect_key.as_str());
        let line = EffectLine {
            record: Arc::clone(&record),
            effect_key: Arc::clone(&effect_key),
            target: self.calls.targets.name(&action.target, tick()),
            state: EffectState::Intended,
            document_key: Arc::clone(&document_key),
            attempts: 1,
            after: Some(after),
            done: None,
            at: now_micros(),
        };
        let written = self.write(vec![line], true);
        self.lanes.planned(&lane, &record.place, effect_key);
        let intended = Intended { document_key, written, asked: tick() };
        self.ahead.put(Box::new(Planned { record, input, action, effect, intended }));
    }

    /// An event that was planned ahead does not go on now: it keeps its plan.
    pub fn set_aside(&mut self, item: &mut Item<E>) {
        if let Some(intended) = item.intended.take() {
            let (record, input, action) = (Arc::clone(&item.record), item.input.clone(), item.action.clone());
            self.ahead.put(Box::new(Planned { record, input, action, effect: item.effect, intended }));
        }
    }

    /// Says on record that nothing was called for these events, and will not be by what was written ahead.
    pub fn withdraw(&mut self, planned: impl IntoIterator<Item = Box<Planned<E>>>) {
        let not_done = planned.into_iter().filter(|planned| self.index.known(planned.effect) != Known::Applied);
        let targets = &mut self.calls.targets;
        let lines: Vec<_> = not_done.map(|planned| withdrawal(*planned, targets)).collect();
        if !lines.is_empty() {
            let written = self.write(lines, false);
            self.ahead.withdraws(written);
        }
    }

    /// Withdraws all that is planned ahead: the partitions go, and whoever has them next shall not have to look for it.
    pub fn withdraw_all(&mut self) {
        let gathered = self.calls.targets.take_gathered();
        let gathered = gathered.into_iter().filter_map(|item| {
            let Item { record, input, action, effect, intended, .. } = item;
            Some(Box::new(Planned { record, input, action, effect, intended: intended? }))
        });
        let planned = std::mem::take(&mut self.ahead.planned).into_values().chain(gathered);
        self.ahead.effects.clear();
        let mut planned: Vec<_> = planned.collect();
        planned.sort_unstable_by(|one, other| one.record.place.cmp(&other.record.place));
        self.withdraw(planned);
    }

    /// Has effect records written, one transaction after the other in the order in which they were asked for. Those that are `ahead`
    /// of their turn may wait for others.
    pub fn write(&self, lines: Vec<EffectLine>, ahead: bool) -> Written {
        let (written, waiting) = oneshot::channel();
        if let Some(group) = self.group() {
            let intent = Intent { lines, position: self.store.position(), group, ahead, written };
            // Where the writer has stopped, whoever waits learns it by the end of its channel.
            drop(self.parts.intents.send(intent));
        }
        waiting
    }
}

fn withdrawal<E: Effect>(planned: Planned<E>, targets: &mut Targets<E>) -> EffectLine {
    let Planned { record, action, intended, .. } = planned;
    EffectLine {
        record,
        effect_key: Arc::from(action.effect_key),
        target: targets.name(&action.target, tick()),
        state: EffectState::Withdrawn,
        document_key: intended.document_key,
        attempts: 0,
        after: None,
        done: None,
        at: now_micros(),
    }
}

//! What the event at the head of a lane begins with: it is read, planned, and waits for its turn at its target.

use super::ahead::Planned;
use super::calls::Item;
use super::engine::Engine;
use super::index::{EffectPlace, Known};
use super::key_id::KeyId;
use super::load::Prior;
use super::recall::{Found, Sought};
use crate::clock::{now_micros, tick};
use crate::cluster::Cluster;
use crate::codec::WireError;
use crate::decisions::{Decided, Decision};
use crate::parking::Lane;
use crate::record::Record;
use crate::room::RoomError;
use connector::effect::{Action, Effect, Plan};
use schemas::headers;
use std::sync::Arc;
use std::time::Duration;

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// Lets those lanes go on whose target has room again.
    pub fn release(&mut self) {
        for lane in self.calls.targets.released() {
            if !self.lanes.again(&lane) {
                self.calls.targets.begun(&lane);
            }
        }
    }

    /// Starts the lanes that may start.
    pub fn start_ready(&mut self) -> Result<(), RoomError> {
        while self.calls.has_room(&self.parts.config.limits) {
            let Some(lane) = self.lanes.next_ready() else { break };
            self.begin(&lane)?;
        }
        Ok(())
    }

    /// Plans the event at the head of a lane.
    fn begin(&mut self, lane: &Lane) -> Result<(), RoomError> {
        let place = self.calls.targets.begun(lane);
        let Some(work) = self.lanes.head(lane) else { return Ok(()) };
        let (record, attempt) = (Arc::clone(&work.record), work.attempts + 1);
        let is_parked = work.parked.is_some();
        if is_parked && self.is_given_up(lane, &record)? {
            return Ok(());
        }
        // Given up, with a call behind it of which nobody knows: that is looked up first.
        let is_in_doubt = is_parked && self.discard_of(&record).is_some();
        if let Some(planned) = self.ahead.take(&record.place) {
            let prior = self.parts.effect.prior_key(&planned.input);
            let overtaken = prior.is_some_and(|key| self.is_built_on(KeyId::of(&key)));
            if !overtaken && planned.intended.is_fresh(tick(), self.parts.intent_valid()) {
                let (below, Planned { input, action, effect, intended, .. }) =
                    (self.classes.below(&lane.topic), *planned);
                let intended = Some(intended);
                return self.act(Item { lane: lane.clone(), record, input, action, effect, attempt, below, intended });
            }
            self.withdraw([planned]);
        }
        let input = match self.decode(&record, is_parked) {
            Ok(input) => input,
            Err(error) if error.blames_record() => return self.bury(lane, &record, &error),
            Err(error) => {
                tracing::warn!(room = self.parts.desk.room, %error, "cannot decode now");
                self.lanes.again_at(lane, tick().after(self.parts.config.limits.retry_delay(1)));
                return Ok(());
            }
        };
        let prior = match self.parts.effect.prior_key(&input) {
            None => None,
            Some(key) if self.placing.holds(KeyId::of(&key)) => {
                // The earlier effect is done, and its record is being committed: a moment more.
                self.lanes.again_at(lane, tick().after(Duration::from_millis(5)));
                return Ok(());
            }
            Some(key) => match self.prior(lane, &key, self.parts.effect.needs_prior(&input))? {
                Prior::None => None,
                Prior::Output(output) => Some(*output),
                Prior::Asked => {
                    // Else others would have it by the time of the answer, again and again.
                    self.calls.targets.keep(lane, place);
                    return Ok(());
                }
                Prior::NotYet => return self.back_off(lane, None, "the earlier effect cannot be read yet", false),
            },
        };
        let plan = self.parts.effect.plan(&input, prior.as_ref(), &self.parts.tables);
        if is_in_doubt && !self.is_looked_up(&plan) {
            return self.leave_out(lane, &record);
        }
        match plan {
            Plan::Decided(verdict) => self.decided(lane, &record, verdict, &input, prior.as_ref()),
            Plan::Late { effect_key, verdict } => {
                let is_done = |key: &str| self.index.known(KeyId::of(key)) == Known::Applied;
                if is_done(&effect_key) || is_done(&self.decided_key(&record)) {
                    return self.note_repeated(lane, &record);
                }
                self.conclude(lane, &record, verdict)
            }
            Plan::Act(action) => {
                let (below, effect) = (self.classes.below(&lane.topic), KeyId::of(&action.effect_key));
                self.act(Item { lane: lane.clone(), record, input, action, effect, attempt, below, intended: None })
            }
        }
    }

    /// Whether a parked event was given up; then that is carried out, unless nobody knows what became of a call for it: what has
    /// happened is on record as done, or whatever is said of the same fact later would not know of it (FX-1). Else it is kept in
    /// mind for which decision it is tried.
    fn is_given_up(&mut self, lane: &Lane, record: &Record) -> Result<bool, RoomError> {
        let decided = self.parts.decisions.about(&self.parts.desk.exception_id(&record.place));
        if let Some(work) = self.lanes.head_mut(lane) {
            work.decided_at = decided.as_ref().map(|decided| decided.at);
        }
        let is_given_up = decided.is_some_and(|decided| decided.decision == Decision::Discard);
        if !is_given_up || self.index.is_open(&record.place) {
            return Ok(false);
        }
        self.leave_out(lane, record)?;
        Ok(true)
    }

    /// That a person has given a parked event up.
    pub fn discard_of(&self, record: &Record) -> Option<Decided> {
        let decided = self.parts.decisions.about(&self.parts.desk.exception_id(&record.place));
        decided.filter(|decided| decided.decision == Decision::Discard)
    }

    /// Whether what was planned asks what became of a call, and calls for nothing new.
    fn is_looked_up(&self, plan: &Plan<E::Request, E::Output>) -> bool {
        let key = |action: &Action<E::Request>| KeyId::of(&action.effect_key);
        matches!(plan, Plan::Act(action) if matches!(self.index.known(key(action)), Known::Intended(_)))
    }

    /// The event at the head of a lane is given up.
    pub fn leave_out(&mut self, lane: &Lane, record: &Record) -> Result<(), RoomError> {
        self.lanes.advance(lane);
        match self.discard_of(record) {
            Some(discard) => self.give_up(lane, record, record.place.offset, discard),
            None => Ok(()),
        }
    }

    /// Under what it is remembered that an event needed nothing outside.
    pub fn decided_key(&self, record: &Record) -> String {
        self.key_of_event("decided|", record)
    }

    /// The key of a record about an event rather than an effect.
    pub fn key_of_event(&self, begins: &str, record: &Record) -> String {
        let event = record.header(headers::ID).map_or_else(|| record.place.to_string(), str::to_owned);
        format!("{begins}{}|{event}", self.parts.desk.room)
    }

    /// Whether something was done before under a business key, as far as that is remembered.
    pub fn is_built_on(&self, key: KeyId) -> bool {
        self.placing.holds(key) || self.index.newest(key).is_some()
    }

    /// The newest output under a business key, when it was read back already. Where it is remembered no more, and an event needs
    /// it, it is searched for: to take this for "none" would repeat a whole effect instead of its difference (FX-1).
    fn prior(&mut self, lane: &Lane, business_key: &str, needed: bool) -> Result<Prior<E::Output>, RoomError> {
        let key = KeyId::of(business_key);
        if let Some(place) = self.index.newest(key) {
            return self.prior_at(lane, place);
        }
        if !needed || !self.index.has_lost_places() {
            return Ok(Prior::None);
        }
        match self.recollection.take(lane, Sought::Newest(key)) {
            Some(Found::Place(place)) => {
                self.index.place(key, place);
                self.prior_at(lane, place)
            }
            Some(Found::Nothing) => Ok(Prior::None),
            Some(_) => Ok(Prior::NotYet),
            None => self.ask(lane, Sought::Newest(key)),
        }
    }

    fn prior_at(&mut self, lane: &Lane, place: EffectPlace) -> Result<Prior<E::Output>, RoomError> {
        match self.recollection.take(lane, Sought::At(place)) {
            Some(Found::Record(record)) => super::load::output(&self.parts, &record),
            Some(_) => Ok(Prior::NotYet),
            None => self.ask(lane, Sought::At(place)),
        }
    }

    fn ask(&mut self, lane: &Lane, sought: Sought) -> Result<Prior<E::Output>, RoomError> {
        let asked = self.parts.recalls.send(self.recollection.ask(lane.clone(), sought));
        asked.map_err(|_| RoomError::Worker("the thread that reads effects back has stopped".to_owned()))?;
        Ok(Prior::Asked)
    }

    /// Has the effect of an event carried out, unless it was; what may have been is looked up.
    fn act(&mut self, mut item: Item<E>) -> Result<(), RoomError> {
        let (known, now) = (self.index.known(item.effect), tick());
        if known == Known::Applied {
            return self.suppress(&item.lane.clone(), &item);
        }
        let (targets, target) = (&mut self.calls.targets, &item.action.target);
        if let Some(left) = targets.shut(target, now) {
            self.set_aside(&mut item);
            return self.postpone(&item.lane, left);
        }
        if let Some(wait) = targets.barred(target, now) {
            self.set_aside(&mut item);
            return self.back_off(&item.lane, Some(wait), "the endpoint is failing, calls wait", false);
        }
        match known {
            Known::Intended(intention) => {
                self.look_up(item, intention);
                Ok(())
            }
            _ if !targets.admits(target, item.below, now) => {
                self.set_aside(&mut item);
                self.calls.targets.wait(item, now);
                Ok(())
            }
            _ => {
                let linger = Duration::from_millis(self.parts.config.limits.batch_linger_ms);
                let solo = self.lanes.head(&item.lane).is_some_and(|head| head.solo);
                self.lanes.planned(&item.lane, &item.record.place, item.action.effect_key.as_str());
                self.calls.gather(item, solo, linger);
                Ok(())
            }
        }
    }

    /// The calendar holds a call back: that uses up nothing of what the event may wait. Where what is held back would fill the room,
    /// it is put by until the window opens, so that all other endpoints go on (KEY-1).
    fn postpone(&mut self, lane: &Lane, left: Duration) -> Result<(), RoomError> {
        let Some(work) = self.lanes.head_mut(lane) else { return Ok(()) };
        let open = now_micros().saturating_add(i64::try_from(left.as_micros()).unwrap_or(i64::MAX));
        if work.parked.is_some() || self.parts.is_crowded() {
            return self.put_by(lane, tick().after(left), open);
        }
        work.since_micros = work.since_micros.max(open);
        self.lanes.again_at(lane, tick().after(left));
        Ok(())
    }

    pub fn decode(&self, record: &Record, is_parked: bool) -> Result<E::Input, WireError> {
        // Only what was parked can have been corrected.
        let exception_id = is_parked.then(|| self.parts.desk.exception_id(&record.place));
        let correction = exception_id.and_then(|id| self.parts.decisions.correction(&id));
        crate::correction::decode(self.parts.desk.codec(), &self.parts.handle, record, correction.as_deref())
    }
}

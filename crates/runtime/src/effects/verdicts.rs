//! What becomes of the event at the head of a lane.

use super::calls::{Item, Running};
use super::drafts::{Done, Draft, EffectLine};
use super::engine::Engine;
use super::index::Known;
use super::key_id::KeyId;
use super::lanes::Work;
use super::{Called, Outcome};
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::Cluster;
use crate::codec::WireError;
use crate::decisions::Decided;
use crate::desk::{EffectFacts, Statement};
use crate::metrics::EffectOutcome;
use crate::outgoing::Lineage;
use crate::parking::{Entry, Hold, Lane};
use crate::record::Record;
use crate::room::RoomError;
use bytes::Bytes;
use connector::effect::{CallError, Effect};
use processor::{Code, Reason, Verdict};
use schemas::{AuditKind, EffectState, ExceptionKind, ExceptionState};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How the keys of records begin that only say that an event has its outcome: dropped, a repetition or a dead letter. They do
/// not stand against a replay of it.
pub(super) const PASSED: &str = "passed|";

/// What is said about an exception.
pub(super) struct Word {
    pub kind: ExceptionKind,
    pub state: ExceptionState,
    /// Code under which it was raised.
    pub code: Option<String>,
    /// What a person decided.
    pub decided: Option<Decided>,
}

impl Word {
    pub const RAISED: Self =
        Self { kind: ExceptionKind::Raised, state: ExceptionState::Open, code: None, decided: None };
    pub const RESOLVED: Self =
        Self { kind: ExceptionKind::Resolved, state: ExceptionState::Resolved, code: None, decided: None };
}

impl<E: Effect, K: Cluster> Engine<E, K> {
    /// A call has ended.
    pub fn called(&mut self, called: Called) -> Result<(), RoomError> {
        let answers = self.parts.mailbox.lock().unwrap_or_else(PoisonError::into_inner).remove(&called.number);
        let now = tick();
        let Some(running) = self.calls.take(called.number, now) else { return Ok(()) };
        let target = Arc::clone(&running.target);
        // Where nobody was called, nothing is known of the endpoint.
        if !matches!(called.outcome, Outcome::NotIntended(_)) {
            let failed =
                matches!(called.outcome, Outcome::Failed(CallError::Transient { .. } | CallError::InDoubt { .. }));
            self.calls.targets.report(&target, now, !failed);
        }
        match called.outcome {
            Outcome::Answered => self.answered(running, answers.unwrap_or_default(), now),
            Outcome::NotFound => running.items.iter().try_for_each(|item| self.not_found(item, running.certain)),
            Outcome::NotIntended(reason) => {
                tracing::warn!(room = self.parts.desk.room, reason, "effect record not written, nothing was called");
                self.failed(&running, None, "the effect record could not be written", EffectOutcome::Transient)
            }
            Outcome::Failed(CallError::Transient { retry_after, reason }) => {
                if let Some(silence) = retry_after {
                    self.calls.targets.pause(&target, now, silence);
                }
                self.failed(&running, retry_after, &reason, EffectOutcome::Transient)
            }
            Outcome::Failed(CallError::InDoubt { reason }) => {
                if !running.look_up || running.certain {
                    // What a call consists of may have gone out just now, however long ago it began; what a look-up makes, too.
                    let certain_at = now.after(self.parts.client.certain_after());
                    self.index.in_doubt(&running.document_key, certain_at);
                }
                self.failed(&running, None, &reason, EffectOutcome::InDoubt)
            }
            Outcome::Failed(CallError::Refused { reason, request }) => self.refused(running, *reason, request),
        }
    }

    /// A look-up found nothing, or not all. While the other side may still be at work on the call, that says nothing: sent again,
    /// perhaps in another document, the effect would happen twice (FX-1).
    fn not_found(&mut self, item: &Item<E>, certain: bool) -> Result<(), RoomError> {
        if !certain {
            let early = self.index.certain_at(item.effect).map(|certain| certain.since(tick()));
            return self.back_off(&item.lane, early, "an earlier call may still be carried out", false);
        }
        self.index.void_with_all_behind(item.effect);
        self.lanes.again(&item.lane);
        Ok(())
    }

    fn answered(&mut self, running: Running<E>, answers: Vec<E::Response>, now: Tick) -> Result<(), RoomError> {
        if answers.len() != running.items.len() {
            let reason = format!("{} answers to {} requests", answers.len(), running.items.len());
            return self.failed(&running, None, &reason, EffectOutcome::InDoubt);
        }
        for (item, answer) in running.items.into_iter().zip(answers) {
            let verdict = self.parts.effect.settle(&item.input, &item.action.request, &answer);
            self.calls.targets.count(&item.action.target, now, EffectOutcome::Applied);
            let Verdict::Emit(outputs) = verdict else {
                self.conclude(&item.lane, &item.record, verdict)?;
                continue;
            };
            let documents = self.parts.client.documents(&answer);
            let (document_key, target) = (Arc::clone(&running.document_key), Arc::clone(&running.target));
            self.applied(item, (document_key, target), documents, outputs)?;
        }
        Ok(())
    }

    /// What was asked for outside, in a document and at a target, has happened, which settles the event. The durable record of it goes into
    /// the same transaction as its outputs; the thread that commits writes it.
    fn applied(
        &mut self,
        item: Item<E>,
        (document_key, target): (Arc<str>, Arc<str>),
        documents: Vec<schemas::Document>,
        outputs: Vec<E::Output>,
    ) -> Result<(), RoomError> {
        let Item { lane, record, action, effect, attempt, .. } = item;
        let is_given_up = self.is_parked(&lane) && self.discard_of(&record).is_some();
        let (outputs, values) = match self.values(&outputs)? {
            Ok(values) => (outputs, values),
            // Nobody wants to know what came of it; that it is done is on record.
            Err(_) if is_given_up => (Vec::new(), Vec::new()),
            // Not on record as done: when the event is tried again, the other side is asked for the answer once more.
            Err(reason) => return self.conclude(&lane, &record, Verdict::Reject(reason)),
        };
        self.index.apply(effect);
        let done = self.outcome(documents, &outputs, &values);
        self.pending.push(Draft::Effect(Box::new(EffectLine {
            record: Arc::clone(&record),
            effect_key: Arc::from(action.effect_key),
            target,
            state: EffectState::Applied,
            document_key,
            attempts: attempt,
            after: None,
            done: Some(done),
            at: now_micros(),
        })));
        if outputs.is_empty() && is_given_up {
            return self.leave_out(&lane, &record);
        }
        self.send(&record, &outputs, values);
        self.finish(&lane)
    }

    /// Whether the event at the head of a lane comes from the parking lot.
    fn is_parked(&self, lane: &Lane) -> bool {
        self.lanes.head(lane).is_some_and(|head| head.parked.is_some())
    }

    /// What came of an event, kept where what is said of the same fact later finds it.
    fn outcome(&mut self, documents: Vec<schemas::Document>, outputs: &[E::Output], values: &[Bytes]) -> Done {
        let business_key = outputs.last().map(|newest| self.parts.effect.output_key(newest));
        let ticket = business_key.as_deref().map(|key| {
            let ticket = self.lot.ticket();
            self.placing.insert(ticket, KeyId::of(key));
            ticket
        });
        Done { documents, business_key: business_key.unwrap_or_default(), output: values.last().cloned(), ticket }
    }

    /// Outputs of an event that needs nothing outside. They may be committed before the offset is, when an earlier event
    /// of the partition is still open; a record says that they are there, so that neither a restart says them again nor a copy
    /// of the event, which has its id: two listeners of a source may publish a message both.
    fn emit(&mut self, lane: &Lane, record: &Arc<Record>, outputs: Vec<E::Output>) -> Result<(), RoomError> {
        if !outputs.is_empty() {
            let effect_key = self.decided_key(record);
            let effect = KeyId::of(&effect_key);
            if self.index.known(effect) == Known::Applied {
                return self.note_repeated(lane, record);
            }
            let values = match self.values(&outputs)? {
                Ok(values) => values,
                Err(reason) => return self.conclude(lane, record, Verdict::Reject(reason)),
            };
            self.index.apply(effect);
            // Also what needed nothing outside is built on: what was taken back before it was stated is not done when it is.
            self.place(record, effect_key, &outputs, &values);
            self.send(record, &outputs, values);
        } else {
            self.parts.metrics.emitted.inc();
        }
        self.finish(lane)
    }

    /// Puts what an event without an effect states where what is said of the same fact later finds it.
    pub fn place(&mut self, record: &Arc<Record>, effect_key: String, outputs: &[E::Output], values: &[Bytes]) {
        let done = self.outcome(Vec::new(), outputs, values);
        self.pending.push(Draft::Effect(Box::new(EffectLine {
            record: Arc::clone(record),
            effect_key: Arc::from(effect_key),
            target: Arc::default(),
            state: EffectState::Applied,
            document_key: Arc::default(),
            attempts: 0,
            after: None,
            done: Some(done),
            at: now_micros(),
        })));
    }

    /// Sends the outputs of an event in their encoding.
    fn send(&mut self, record: &Record, outputs: &[E::Output], values: Vec<Bytes>) {
        self.parts.metrics.emitted.inc();
        let lineage = Lineage::of(&record.headers);
        for (output, value) in outputs.iter().zip(values) {
            self.pending.push(Draft::Written(self.parts.desk.encoded(output, value, &lineage)));
        }
    }

    /// Outputs in their encoding; or why the event waits for a person, when one of them does not fit its contract.
    pub fn values(&self, outputs: &[E::Output]) -> Result<Result<Vec<Bytes>, Reason>, RoomError> {
        let codec = self.parts.desk.codec();
        let values: Result<Vec<_>, _> = outputs.iter().map(|output| codec.encode(output)).collect();
        values.map(Ok).or_else(|error| error.unfit().map(Err).ok_or(RoomError::from(error)))
    }

    /// Says on record that an event without an effect has its outcome, so that a restart below its offset passes it over. It is not
    /// written where the position that is committed with it lies above.
    fn remember(&mut self, record: &Record) -> Result<(), RoomError> {
        let effect_key = &*format!("{PASSED}{}|{}", self.parts.desk.room, record.place);
        let facts = EffectFacts { effect_key, state: EffectState::Applied, at: now_micros(), ..EffectFacts::default() };
        let passed = self.parts.desk.effect(record, facts)?;
        self.pending.push(Draft::Passed(record.place.clone(), passed));
        Ok(())
    }

    pub fn suppress(&mut self, lane: &Lane, item: &Item<E>) -> Result<(), RoomError> {
        self.calls.targets.count(&item.action.target, tick(), EffectOutcome::Suppressed);
        self.note_repeated(lane, &item.record)
    }

    pub fn note_repeated(&mut self, lane: &Lane, record: &Record) -> Result<(), RoomError> {
        self.parts.metrics.duplicate.inc();
        let audit = self.parts.desk.audit(
            record,
            AuditKind::Suppressed,
            "effect-already-applied",
            "the effect happened before and was not repeated",
            now_micros(),
        );
        self.queue(audit)?;
        self.remember(record)?;
        self.finish(lane)
    }

    fn failed(
        &mut self,
        running: &Running<E>,
        retry_after: Option<Duration>,
        reason: &str,
        outcome: EffectOutcome,
    ) -> Result<(), RoomError> {
        let target = &*running.target;
        tracing::warn!(room = self.parts.desk.room, target, reason, outcome = outcome.label(), "call failed");
        for item in &running.items {
            self.calls.targets.count(&item.action.target, tick(), outcome);
            if outcome == EffectOutcome::Transient && !running.look_up {
                // Known not to have happened; the record on the topic is only looked at after a restart.
                self.index.void(item.effect);
            }
            self.back_off(&item.lane, retry_after, reason, true)?;
        }
        Ok(())
    }

    /// Tries again later, or parks the key when the budget of its class is used up.
    pub fn back_off(
        &mut self,
        lane: &Lane,
        retry_after: Option<Duration>,
        reason: &str,
        attempted: bool,
    ) -> Result<(), RoomError> {
        let limits = &self.parts.config.limits;
        let Some(work) = self.lanes.head_mut(lane) else { return Ok(()) };
        work.attempts += u32::from(attempted);
        let waited = Duration::from_micros(u64::try_from(now_micros() - work.since_micros).unwrap_or_default());
        let delay = retry_after.unwrap_or_default().max(limits.retry_delay(work.attempts.max(1)));
        let class =
            schemas::topics::find(&lane.topic).map_or(schemas::catalogue::Criticality::Operational, |t| t.class);
        if waited < limits.wait_budget(class) {
            self.lanes.again_at(lane, tick().after(delay));
            return Ok(());
        }
        let reason = Reason::new(Code::new("WL-5001"), "endpoint-unavailable", reason)
            .fix("Check the endpoint. The key is tried again by itself when it answers.");
        self.hold(lane, &reason, false, true)
    }

    fn refused(&mut self, running: Running<E>, reason: Reason, request: Option<usize>) -> Result<(), RoomError> {
        let shared = running.items.len() > 1;
        for (number, item) in running.items.into_iter().enumerate() {
            let at_fault = request.map_or(!shared, |at_fault| at_fault == number);
            self.index.void(item.effect);
            if !at_fault {
                // Not to blame, or nobody was named: once more, alone where nobody was named.
                if let Some(work) = self.lanes.head_mut(&item.lane) {
                    work.solo |= request.is_none();
                }
                self.lanes.again(&item.lane);
                continue;
            }
            self.calls.targets.count(&item.action.target, tick(), EffectOutcome::Refused);
            let facts = EffectFacts {
                effect_key: &item.action.effect_key,
                target: &item.action.target,
                state: EffectState::Refused,
                document_key: &running.document_key,
                code: Some(reason.code.as_str().to_owned()),
                attempts: item.attempt,
                at: now_micros(),
                ..EffectFacts::default()
            };
            let record = self.parts.desk.effect(&item.record, facts);
            self.queue(record)?;
            self.conclude(&item.lane, &item.record, Verdict::Reject(reason.clone()))?;
        }
        Ok(())
    }

    /// Carries out a verdict about the head of a lane.
    pub fn conclude(
        &mut self,
        lane: &Lane,
        record: &Arc<Record>,
        verdict: Verdict<E::Output>,
    ) -> Result<(), RoomError> {
        match verdict {
            Verdict::Emit(outputs) => self.emit(lane, record, outputs),
            Verdict::Drop(reason) => {
                self.note_dropped(record, &reason)?;
                self.remember(record)?;
                self.finish(lane)
            }
            Verdict::Wait(reason) => {
                self.parts.metrics.waited.inc();
                self.hold(lane, &reason, false, false)
            }
            Verdict::Reject(reason) => {
                self.parts.metrics.rejected.inc();
                self.hold(lane, &reason, true, true)
            }
        }
    }

    /// The head of a lane is settled.
    pub fn finish(&mut self, lane: &Lane) -> Result<(), RoomError> {
        let Some(work) = self.lanes.advance(lane) else { return Ok(()) };
        self.parts.metrics.latency_seconds.observe(tick().since(work.taken).as_secs_f64());
        let Some(entry) = work.parked else {
            self.done(&work.record);
            return Ok(());
        };
        let held = self.lot.hold(lane).cloned();
        if let Some(hold) = held.filter(|hold| hold.exception_id.is_some()) {
            let reason = Reason::new(Code::new("WL-6041"), "resolved", "the event was processed");
            self.say(&work.record, &reason, Word { code: Some(hold.code), ..Word::RESOLVED })?;
        }
        self.pending.push(Draft::Written(self.parts.desk.unpark(lane, entry.origin_offset)));
        self.pending.cut();
        self.lot.release(lane);
        self.redrive(lane)
    }

    /// Parks a lane: the head for its reason, everything behind it because of the head.
    fn hold(&mut self, lane: &Lane, reason: &Reason, rejected: bool, raise: bool) -> Result<(), RoomError> {
        if self.stands_still(lane) {
            return Ok(());
        }
        let Some((head, behind)) = self.take_lane(lane) else { return Ok(()) };
        if head.parked.is_some() {
            self.hold_again(lane, &head, reason, rejected)?;
        } else {
            if raise {
                self.say(&head.record, reason, Word::RAISED)?;
            }
            // Where a replay has parked the key meanwhile, the lane waits for what the replay put in front.
            let is_first = !self.lot.holds(lane);
            self.park_record(lane, &head.record, reason, raise)?;
            self.done(&head.record);
            if rejected && is_first {
                self.lot.rehold(lane, |hold| hold.due = None);
            }
        }
        self.park_behind(lane, &behind)
    }

    /// Parks a lane of which nothing is wrong until `due`, which is `open_micros` by the wall clock: only then the time begins that
    /// its event may wait.
    pub fn put_by(&mut self, lane: &Lane, due: Tick, open_micros: i64) -> Result<(), RoomError> {
        if self.stands_still(lane) {
            return Ok(());
        }
        let Some((head, behind)) = self.take_lane(lane) else { return Ok(()) };
        if head.parked.is_none() {
            let reason = Reason::new(
                Code::new(crate::parking_store::PUT_BY),
                "endpoint-closed",
                "the calendar of the endpoint holds calls back",
            );
            self.park_record(lane, &head.record, &reason, false)?;
            self.done(&head.record);
        }
        self.lot.rehold(lane, |hold| {
            hold.due = Some(due);
            hold.since_micros = hold.since_micros.max(open_micros);
        });
        self.park_behind(lane, &behind)
    }

    /// Takes a lane off, with what was planned ahead in it: its head, and what is behind.
    fn take_lane(&mut self, lane: &Lane) -> Option<(Work, VecDeque<Work>)> {
        let mut works = self.lanes.take(lane);
        let ahead: Vec<_> = works.iter().filter_map(|work| self.ahead.take(&work.record.place)).collect();
        self.withdraw(ahead);
        works.pop_front().map(|head| (head, works))
    }

    fn park_behind(&mut self, lane: &Lane, works: &VecDeque<Work>) -> Result<(), RoomError> {
        let behind =
            Reason::new(Code::new("WL-6040"), "behind-parked-key", "an earlier event of the same key is parked");
        for work in works {
            self.park_record(lane, &work.record, &behind, false)?;
            self.done(&work.record);
        }
        Ok(())
    }

    /// Puts an event on the parking topic and into the index.
    pub fn park_record(
        &mut self,
        lane: &Lane,
        record: &Record,
        reason: &Reason,
        raised: bool,
    ) -> Result<(), RoomError> {
        let now = now_micros();
        let exception_id = raised.then(|| self.parts.desk.exception_id(&record.place));
        let ticket = self.lot.ticket();
        let outgoing = self.parts.desk.park(record, reason, exception_id, ticket, now);
        self.queue(outgoing)?;
        let entry = Entry { origin_offset: record.place.offset, parked_at: None, ticket: Some(ticket), replay: false };
        let due = tick().after(self.parts.config.limits.retry_delay(1));
        self.lot.park(lane, entry, || Hold::first(reason, exception_id, now, Some(due)));
        Ok(())
    }

    /// Writes an exception record.
    pub fn say(&mut self, record: &Record, reason: &Reason, word: Word) -> Result<(), RoomError> {
        let raised = match word.kind {
            ExceptionKind::Raised => None,
            _ => self.parts.decisions.raised(&self.parts.desk.exception_id(&record.place)),
        };
        let (actor, comment) = word.decided.map_or((None, None), |decided| (decided.actor, decided.comment));
        let statement = Statement {
            stage: "effect",
            kind: word.kind,
            state: word.state,
            reason,
            code: word.code.as_deref(),
            raised,
            retryable: true,
            parked: true,
            actor,
            comment,
            at: now_micros(),
        };
        let outgoing = self.parts.desk.exception(record, &statement);
        self.queue(outgoing)
    }

    pub fn bury(&mut self, lane: &Lane, record: &Record, error: &WireError) -> Result<(), RoomError> {
        self.parts.metrics.dead_letter.inc();
        tracing::warn!(room = self.parts.desk.room, place = %record.place, code = error.code(), "dead letter");
        let letter = self.parts.desk.dead_letter(record, "decode", error.code(), &error.without_values(), now_micros());
        self.pending.push(Draft::Written(letter));
        self.remember(record)?;
        self.finish(lane)
    }
}

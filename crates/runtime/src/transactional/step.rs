//! What happens to one record inside a transaction.

use super::worker::{StepError, Worker};
use crate::clock::{now_micros, tick};
use crate::cluster::{Cluster, RecordView};
use crate::codec::WireError;
use crate::correction;
use crate::decisions::{Decided, Decision};
use crate::desk::Statement;
use crate::outgoing::Lineage;
use crate::parking::{Entry, Hold, Lane};
use crate::parking_store::Step;
use crate::record::Record;
use crate::telemetry::{self, Attribute, RecordSpan};
use processor::{Code, Input, Processor, Reason, Verdict};
use schemas::{AuditKind, Correction, ExceptionKind, ExceptionState, Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// Most lanes that become due in one turn.
const LANES_MAX: usize = 5_000;
/// Longest time that records from the topics wait while parked ones are tried.
const REDRIVE_LONGEST: Duration = Duration::from_millis(25);
/// Reason of events that wait only because an earlier one of their key does.
const BEHIND: Code = Code::new("WL-6040");

impl<P: Processor, K: Cluster> Worker<P, K> {
    /// Tries the lanes whose time has come, after what others told, for so long that the others do not notice.
    pub(super) fn redrive_due(&mut self) -> Result<(), StepError> {
        let started = tick();
        self.store.catch_up(&mut self.lot, started)?;
        let woken = self.shared.inbox.take();
        if !self.lot.is_empty() {
            for subject in &woken.subjects {
                self.lot.wake(subject, started);
            }
            if woken.all {
                self.lot.wake_all(started);
            }
        }
        self.lot.rouse(started, LANES_MAX);
        if !self.lot.is_awake() {
            self.store.rest();
            return Ok(());
        }
        let now = now_micros();
        while !self.open.is_full(&self.shared.limits) {
            let at = tick();
            if at.since(started) > REDRIVE_LONGEST {
                break;
            }
            match self.store.step(&mut self.lot, at)? {
                Step::Event(lane, record) => self.redrive(&lane, &record, now)?,
                Step::Passed => {}
                Step::Nothing => break,
            }
        }
        Ok(())
    }

    /// A record from its topic.
    pub(super) fn one(&mut self, topic: &str, message: &impl RecordView, now: i64) -> Result<(), StepError> {
        // Before the parking lot: what a copy repeats has its place in the order, and may wait there itself.
        if let Some(first) = self.copies.first_of(message)? {
            return self.leave_out_copy(&message.to_record(), first, now);
        }
        // Where order does not bind, nobody waits behind another.
        if !self.lot.is_empty() && self.store.is_ordered(topic) {
            let lane = self.lane_of(message);
            if self.lot.holds(&lane) {
                let reason = Reason::new(BEHIND, "behind-parked-key", "an earlier event of the same key is parked");
                return self.park(&lane, &message.to_record(), &reason, None, now);
            }
        }
        let verdict = match self.decide(topic, message.value()) {
            Ok(verdict) => verdict,
            Err(error) if error.blames_record() => {
                return self.bury(&message.to_record(), &error, now);
            }
            Err(error) => return Err(error.into()),
        };
        let (reason, rejected) = match verdict {
            Verdict::Emit(outputs) => {
                let mut lineage = message.lineage();
                let _span = self.span(message, &mut lineage);
                match self.emit(&outputs, &lineage)? {
                    Ok(()) => {
                        self.shared.metrics.emitted.inc();
                        return Ok(());
                    }
                    Err(reason) => (reason, true),
                }
            }
            Verdict::Drop(reason) => {
                self.shared.metrics.dropped.inc();
                return self.drop_record(&message.to_record(), &reason, now);
            }
            Verdict::Wait(reason) => (reason, false),
            Verdict::Reject(reason) => (reason, true),
        };
        if self.is_full() {
            // Before anything is said about it: it comes again.
            return Err(StepError::Full);
        }
        let metrics = &self.shared.metrics;
        if rejected { &metrics.rejected } else { &metrics.waited }.inc();
        let record = message.to_record();
        let id = rejected.then(|| self.desk.exception_id(&record.place));
        if rejected {
            self.say(&record, &reason, &Story::raised(), now)?;
        }
        self.park(&self.lane_of(message), &record, &reason, id, now)
    }

    /// Tries the event at the head of a parked lane again.
    fn redrive(&mut self, lane: &Lane, record: &Record, now: i64) -> Result<(), StepError> {
        let id = self.desk.exception_id(&record.place);
        if self.shared.decisions.raised(&id).is_some() {
            self.lot.rehold(lane, |hold| hold.asks(id));
        }
        // Before the correction is looked up: what is decided behind this is not used up by this try.
        let decided = self.shared.decisions.about(&id);
        let decided_at = decided.as_ref().map(|decided| decided.at);
        match decided {
            Some(decided) if decided.decision == Decision::Discard => self.discard(lane, record, decided, now)?,
            _ if !self.retry(lane, record, decided_at, now)? => return Ok(()),
            _ => {}
        }
        self.open.redriven();
        self.open.push(self.desk.unpark(lane, record.place.offset));
        self.lot.release(lane);
        Ok(())
    }

    /// Whether the event is settled now; otherwise the lane waits on.
    fn retry(
        &mut self,
        lane: &Lane,
        record: &Record,
        decided_at: Option<Timestamp>,
        now: i64,
    ) -> Result<bool, StepError> {
        let correction = self.shared.decisions.correction(&self.desk.exception_id(&record.place));
        let verdict = match self.decide_again(record, correction.as_deref()) {
            Ok(verdict) => verdict,
            Err(error) if error.blames_record() => {
                self.bury(record, &error, now)?;
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        let (reason, rejected) = match verdict {
            Verdict::Emit(outputs) => match self.emit(&outputs, &Lineage::of(&record.headers))? {
                Ok(()) => {
                    self.resolve(lane, record, now)?;
                    return Ok(true);
                }
                Err(reason) => (reason, true),
            },
            Verdict::Drop(reason) => {
                self.drop_record(record, &reason, now)?;
                self.resolve(lane, record, now)?;
                return Ok(true);
            }
            Verdict::Wait(reason) => (reason, false),
            Verdict::Reject(reason) => (reason, true),
        };
        let decided = self.shared.decisions.about(&self.desk.exception_id(&record.place));
        if decided.as_ref().is_some_and(|decided| decided_at != Some(decided.at)) {
            // That is still to be carried out, and said nothing of before.
            self.lot.rehold(lane, |hold| hold.due = Some(tick()));
            return Ok(false);
        }
        self.wait_on(lane, record, &reason, rejected, now)?;
        Ok(false)
    }

    /// Keeps a lane waiting; raises the exception when the event was rejected or its budget is used up, and opens it again when
    /// a person's retry did not help.
    fn wait_on(
        &mut self,
        lane: &Lane,
        record: &Record,
        reason: &Reason,
        rejected: bool,
        now: i64,
    ) -> Result<(), StepError> {
        let (since, asked) = match self.lot.hold(lane) {
            Some(hold) => (hold.since_micros, hold.exception_id.is_some()),
            None => (now, false),
        };
        let budget = self.shared.limits.wait_budget(class_of(&record.place.topic));
        let waited = Duration::from_micros(u64::try_from(now - since).unwrap_or_default());
        let spent = rejected || waited >= budget;
        let id = self.desk.exception_id(&record.place);
        if self.shared.decisions.about(&id).is_some() {
            self.say(record, reason, &Story::retried(), now)?;
        } else if spent && !asked {
            self.say(record, reason, &Story::raised(), now)?;
        }
        let limits = &self.shared.limits;
        self.lot.rehold(lane, |hold| hold.again(reason, rejected, spent.then_some(id), tick(), limits));
        Ok(())
    }

    /// Whether no further key can be parked.
    pub(super) fn is_full(&self) -> bool {
        self.lot.lane_count() >= self.shared.limits.parked_max
    }

    /// The span of a record, when spans are exported; the outputs continue it.
    fn span(&self, message: &impl RecordView, lineage: &mut Lineage) -> Option<RecordSpan> {
        if !telemetry::is_exporting() {
            return None;
        }
        let attributes = [
            Attribute::Room(self.desk.room),
            Attribute::Topic(message.topic()),
            Attribute::Partition(message.partition()),
            Attribute::Offset(message.offset()),
        ];
        let span = telemetry::start_span("process", lineage.traceparent(), &attributes);
        lineage.traceparent = Some(span.traceparent().to_owned().into());
        Some(span)
    }

    fn lane_of(&self, message: &impl RecordView) -> Lane {
        self.store.lane(message.topic(), message.partition(), message.key().unwrap_or_default(), message.offset())
    }

    fn decide(&self, topic: &str, value: Option<&[u8]>) -> Result<Verdict<P::Output>, WireError> {
        let value = value.unwrap_or_default();
        let (writer, body) = self.desk.codec().open_on(&self.handle, value)?;
        let input = P::Input::decode(topic, &writer, body)?;
        Ok(self.shared.wiring.processor().process(input, &self.shared.tables))
    }

    /// Decides about an event from the parking lot, as its corrections make it.
    fn decide_again(&self, record: &Record, correction: Option<&Correction>) -> Result<Verdict<P::Output>, WireError> {
        let input = correction::decode(self.desk.codec(), &self.handle, record, correction)?;
        Ok(self.shared.wiring.processor().process(input, &self.shared.tables))
    }

    /// Adds all outputs of an event; or none, and says why, when one of them does not fit its contract.
    fn emit(&mut self, outputs: &[P::Output], lineage: &Lineage) -> Result<Result<(), Reason>, StepError> {
        let before = self.open.len();
        for output in outputs {
            match self.desk.event(output, lineage) {
                Ok(record) => self.open.push(record),
                Err(error) => {
                    self.open.truncate(before);
                    return error.unfit().map(Err).ok_or_else(|| error.into());
                }
            }
        }
        Ok(Ok(()))
    }

    fn park(
        &mut self,
        lane: &Lane,
        record: &Record,
        reason: &Reason,
        exception_id: Option<Uuid>,
        now: i64,
    ) -> Result<(), StepError> {
        let ticket = self.lot.ticket();
        let outgoing = self.desk.park(record, reason, exception_id, ticket, now)?;
        self.open.push(outgoing);
        let entry = Entry { origin_offset: record.place.offset, parked_at: None, ticket: Some(ticket), replay: false };
        let first_try = tick().after(self.shared.limits.retry_delay(1));
        let due = exception_id.is_none().then_some(first_try);
        self.lot.park(lane, entry, || Hold::first(reason, exception_id, now, due));
        Ok(())
    }

    fn say(&mut self, record: &Record, reason: &Reason, story: &Story, now: i64) -> Result<(), StepError> {
        let raised = match story.kind {
            ExceptionKind::Raised => None,
            _ => self.shared.decisions.raised(&self.desk.exception_id(&record.place)),
        };
        let decided = story.decided.as_ref();
        let statement = Statement {
            stage: "process",
            kind: story.kind,
            state: story.state,
            reason,
            code: story.code.as_deref(),
            raised,
            retryable: true,
            parked: true,
            actor: decided.and_then(|decided| decided.actor.clone()),
            comment: decided.and_then(|decided| decided.comment.clone()),
            at: now,
        };
        self.open.push(self.desk.exception(record, &statement)?);
        Ok(())
    }

    fn resolve(&mut self, lane: &Lane, record: &Record, now: i64) -> Result<(), StepError> {
        let Some(hold) = self.lot.hold(lane).filter(|hold| hold.exception_id.is_some()) else { return Ok(()) };
        let reason = Reason::new(Code::new("WL-6041"), "resolved", "the event was processed");
        let story = Story {
            kind: ExceptionKind::Resolved,
            state: ExceptionState::Resolved,
            code: Some(hold.code.clone()),
            decided: None,
        };
        self.say(record, &reason, &story, now)
    }

    fn discard(&mut self, lane: &Lane, record: &Record, decided: Decided, now: i64) -> Result<(), StepError> {
        let reason = Reason::new(Code::new("WL-6042"), "discarded-by-operator", "a person discarded the event");
        self.drop_record(record, &reason, now)?;
        let story = Story {
            kind: ExceptionKind::Resolved,
            state: ExceptionState::Discarded,
            code: self.lot.hold(lane).map(|hold| hold.code.clone()),
            decided: Some(decided),
        };
        self.say(record, &reason, &story, now)
    }

    fn drop_record(&mut self, record: &Record, reason: &Reason, now: i64) -> Result<(), StepError> {
        let audit = self.desk.audit(record, AuditKind::Dropped, reason.rule, &reason.message, now)?;
        self.open.push(audit);
        Ok(())
    }

    fn leave_out_copy(&mut self, record: &Record, first: i64, now: i64) -> Result<(), StepError> {
        self.shared.metrics.duplicate.inc();
        let audit = self.desk.copy(record, first, now)?;
        self.open.push(audit);
        Ok(())
    }

    fn bury(&mut self, record: &Record, error: &WireError, now: i64) -> Result<(), StepError> {
        self.shared.metrics.dead_letter.inc();
        tracing::warn!(room = self.desk.room, place = %record.place, code = error.code(), "dead letter");
        let letter = self.desk.dead_letter(record, "decode", error.code(), &error.without_values(), now);
        self.open.push(letter);
        Ok(())
    }
}

/// What is said about an exception.
struct Story {
    kind: ExceptionKind,
    state: ExceptionState,
    code: Option<String>,
    decided: Option<Decided>,
}

impl Story {
    fn raised() -> Self {
        Self { kind: ExceptionKind::Raised, state: ExceptionState::Open, code: None, decided: None }
    }

    fn retried() -> Self {
        Self { kind: ExceptionKind::Retried, ..Self::raised() }
    }
}

fn class_of(topic: &str) -> schemas::catalogue::Criticality {
    schemas::topics::find(topic).map_or(schemas::catalogue::Criticality::Operational, |info| info.class)
}

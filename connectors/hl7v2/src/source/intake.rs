//! Takes messages in: in order per patient, once per message, answered when confirmed.

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use schemas::{ReceiptOutcome, Timestamp};

use super::batch::{Batch, Name, outcome_kind};
use super::doubts::Doubts;
use super::lanes::{Lanes, Turn};
use super::ledger::Ledger;
use super::siblings::{Siblings, Wait};
use crate::input::{Part, is_answered};
use crate::mapping::{Mapper, Outcome, Refusal};
use crate::mllp::{AckCode, AckError, Decision, acknowledgements};

/// What waits for the confirmation of Kafka.
pub type Confirmation = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Why no record of a batch was queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// An event does not fit its topic, now or later: the message is for a person.
    #[error("{}: {}", .0.code, .0.message)]
    Unfit(Box<Refusal>),
    /// It may do later; what is said is one sentence without patient data.
    #[error("{0}")]
    Failed(String),
}

/// Where batches go. Kafka in production, memory in tests.
pub trait Sink: Send + Sync + 'static {
    /// Queues all records of a batch, in order, and returns what to await.
    fn start(&self, batch: &Batch) -> Result<Confirmation, NotStarted>;

    /// Tells the ledger which records without a receipt are on their topics since a time. Called before a message whose
    /// confirmation did not come is published again.
    fn look_up(&self, since: Timestamp, ledger: &Arc<Ledger>) -> Confirmation;
}

/// Kafka did not confirm.
const NOT_STORED: &str = "WL-1030";
/// The receipts of other listeners could not be read.
const NOT_KNOWN: &str = "WL-2028";
/// Most messages whose confirmation did not come and that are remembered for that.
const DOUBTS_MAX: usize = 100_000;

/// What became of a message that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The answers that the sender asked for, unframed.
    pub answers: Vec<(AckCode, Vec<u8>)>,
    /// Whether it is safe: confirmed now, or known from before.
    pub confirmed: bool,
    /// Whether it was a resend of a message that was settled before.
    pub duplicate: bool,
    /// Whether a person has to look at it.
    pub needs_person: bool,
    /// What it became.
    pub outcome: ReceiptOutcome,
    /// How many events that were.
    pub events: usize,
}

/// The common way of messages from connections and files to Kafka.
pub struct Intake {
    /// Reads messages.
    pub mapper: Mapper,
    ledger: Arc<Ledger>,
    /// Order of the messages of one patient from one origin.
    patients: Arc<Lanes>,
    /// Order of a message and its resends.
    messages: Arc<Lanes>,
    /// Makes numbers of patients and origins.
    numbers: RandomState,
    doubts: Arc<Doubts>,
    sink: Arc<dyn Sink>,
    patience: Duration,
    siblings: Option<Arc<Siblings>>,
    keeps_sources: bool,
}

impl Intake {
    /// An intake with its parts. `patience` bounds the wait for a confirmation.
    pub fn new(mapper: Mapper, ledger: Arc<Ledger>, sink: Arc<dyn Sink>, patience: Duration) -> Self {
        Self {
            mapper,
            ledger,
            patients: Arc::default(),
            messages: Arc::default(),
            numbers: RandomState::new(),
            doubts: Arc::new(Doubts::new(DOUBTS_MAX)),
            sink,
            patience,
            siblings: None,
            keeps_sources: false,
        }
    }

    /// The same, with the messages themselves kept beside what was made of them.
    #[must_use]
    pub fn keeping_sources(self, keeps_sources: bool) -> Self {
        Self { keeps_sources, ..self }
    }

    /// The same beside other listeners, if there are any.
    #[must_use]
    pub fn beside(self, siblings: Option<Arc<Siblings>>) -> Self {
        Self { siblings, ..self }
    }

    /// The other listeners.
    pub(super) fn siblings(&self) -> Option<&Arc<Siblings>> {
        self.siblings.as_ref()
    }

    /// Takes a message in. The place in the order of its patients is taken at once, so call this in the order of arrival; the
    /// future settles the message, after `wait`. `now` is when it was received, `origin` the connection or file: the order of a
    /// patient's messages is that of one origin, since a sender that waits for no answer between two connections has given none.
    pub(super) fn take(
        self: &Arc<Self>,
        part: Part,
        origin: &Arc<str>,
        now: Timestamp,
        wait: Wait,
    ) -> impl Future<Output = Taken> + Send + 'static {
        let name = Name::of(&part);
        let patient = |patient: &String| self.patients.enter(self.numbers.hash_one((origin, patient)).into());
        let places = Places {
            patients: part.reading.patient_keys.iter().map(patient).collect(),
            // A message waits for its own resend wherever that came in.
            same: self.messages.enter(name.number),
        };
        let (intake, origin) = (Arc::clone(self), Arc::clone(origin));
        async move { intake.settle(part, &name, &origin, now, (wait, places)).await }
    }

    async fn settle(
        &self,
        mut part: Part,
        name: &Name,
        origin: &str,
        now: Timestamp,
        (wait, mut places): (Wait, Places),
    ) -> Taken {
        let refused = |part: &Part, code, message| Settled::of(part).taken(unconfirmed(part, code, message, now), None);
        if !places.wait().await {
            return refused(&part, NOT_STORED, "an earlier message of the patient was not confirmed");
        }
        if !wait.over().await {
            tracing::warn!(
                origin,
                code = NOT_KNOWN,
                "what other listeners have taken is not known; the sender has to repeat"
            );
            return refused(&part, NOT_KNOWN, "what other listeners have taken is not known; send the message again");
        }
        let id = name.receipt_id.as_str();
        if let Err(error) = self.clear_doubt(id).await {
            tracing::warn!(origin, error, "whether a message is on kafka is not known; the sender has to repeat it");
            return refused(&part, NOT_STORED, "the message could not be stored; send it again");
        }
        loop {
            let settled = Settled::of(&part);
            let look = self.ledger.look(name.number, (&name.source, &part.reading.identity.control_id));
            if let Some(known) = look.known
                && known.outcome == settled.outcome
            {
                places.leave();
                return settled.taken(answers(&part, known.received_at), Some(Safe::Before));
            }
            let ready = answers(&part, now);
            let code = ready.first().map(|(code, _)| *code);
            let mut batch = Batch::new(&mut part, name, origin, code, look.is_reused, now);
            if self.keeps_sources {
                batch.keep_source(&part);
            }
            batch.leave_out(&look.published);
            let confirmed = match self.sink.start(&batch) {
                Ok(confirmation) => self.confirmed(confirmation, &batch).await,
                Err(NotStarted::Unfit(refusal)) if settled.events > 0 => {
                    tracing::warn!(origin, code = refusal.code, "an event of a message does not fit its topic");
                    part.reading.outcome = Outcome::Exception(refusal);
                    continue;
                }
                Err(error) => {
                    drop(self.doubts.add(id, now));
                    Err(error.to_string())
                }
            };
            return match confirmed {
                Ok(()) => {
                    self.ledger.remember(&batch.receipt);
                    places.leave();
                    settled.taken(ready, Some(Safe::Now))
                }
                Err(error) => {
                    tracing::error!(origin, %error, "kafka did not confirm a message; the sender has to repeat it");
                    settled.taken(
                        unconfirmed(&part, NOT_STORED, "the message could not be stored; send it again", now),
                        None,
                    )
                }
            };
        }
    }
}

/// What a message became, as far as its reading says.
struct Settled {
    outcome: ReceiptOutcome,
    events: usize,
    needs_person: bool,
}

/// Since when a message is safe.
#[derive(PartialEq)]
enum Safe {
    /// It was confirmed now.
    Now,
    /// It was settled before: this is its resend.
    Before,
}

impl Settled {
    /// As long as its events are still in it.
    fn of(part: &Part) -> Self {
        let outcome = &part.reading.outcome;
        let events = if let Outcome::Events(events) = outcome { events.len() } else { 0 };
        let needs_person = matches!(outcome, Outcome::Exception(_) | Outcome::DeadLetter(_));
        Self { outcome: outcome_kind(outcome), events, needs_person }
    }

    fn taken(self, answers: Vec<(AckCode, Vec<u8>)>, safe: Option<Safe>) -> Taken {
        let Self { outcome, events, needs_person } = self;
        let (confirmed, duplicate) = (safe.is_some(), safe == Some(Safe::Before));
        Taken { answers, confirmed, duplicate, needs_person, outcome, events }
    }
}

/// The places of a message in the orders it belongs to. Dropped, they count as failed.
struct Places {
    /// One of each patient: a merge holds both.
    patients: Vec<Turn>,
    same: Turn,
}

impl Places {
    /// Waits for all turns. False if an earlier message of a patient failed.
    async fn wait(&mut self) -> bool {
        let mut go_on = true;
        for patient in &mut self.patients {
            go_on &= patient.wait().await;
        }
        // Whether the same message failed before does not matter: this is its resend.
        self.same.wait().await;
        go_on
    }

    /// The message is confirmed.
    fn leave(self) {
        self.same.leave(true);
        self.patients.into_iter().for_each(|patient| patient.leave(true));
    }
}

impl Intake {
    async fn confirmed(&self, mut confirmation: Confirmation, batch: &Batch) -> Result<(), String> {
        let (id, since) = (&batch.receipt.receipt_id, batch.receipt.received_at);
        if let Ok(confirmed) = tokio::time::timeout(self.patience, &mut confirmation).await {
            if confirmed.is_err() {
                drop(self.doubts.add(id, since));
            }
            return confirmed;
        }
        // It may still arrive; then the repeated message is a resend.
        let under_way = self.doubts.add(id, since);
        let (ledger, doubts, receipt) = (Arc::clone(&self.ledger), Arc::clone(&self.doubts), batch.receipt.clone());
        tokio::spawn(async move {
            if confirmation.await.is_ok() {
                ledger.remember(&receipt);
                doubts.remove(&receipt.receipt_id);
            }
            drop(under_way);
        });
        Err(format!("no confirmation within {} ms", self.patience.as_millis()))
    }

    /// A message whose confirmation did not come before: waits until its records are not under way any more, then looks up
    /// which of them are on Kafka.
    async fn clear_doubt(&self, id: &str) -> Result<(), String> {
        if !self.doubts.is_open(id) {
            return Ok(());
        }
        match tokio::time::timeout(self.patience, self.doubts.ended(id)).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(_) => return Err("its records are still on their way".to_owned()),
        }
        let _alone = self.doubts.looking.lock().await;
        let (ended, since) = self.doubts.settled();
        if let Some(since) = since
            && self.doubts.is_open(id)
        {
            self.sink.look_up(since, &self.ledger).await?;
            ended.iter().for_each(|id| self.doubts.remove(id));
        }
        Ok(())
    }
}

/// The answers to a message that is settled.
fn answers(part: &Part, time: Timestamp) -> Vec<(AckCode, Vec<u8>)> {
    let reading = &part.reading;
    if !is_answered(reading) {
        return Vec::new();
    }
    acknowledgements(&part.bytes, reading.decision(), &reading.errors(), &reading.identity.hash, &hl7_time(time))
}

/// The answers to a message that is not safe: AE or CE with 207, so that the sender repeats it.
fn unconfirmed(part: &Part, code: &'static str, message: &str, time: Timestamp) -> Vec<(AckCode, Vec<u8>)> {
    if !is_answered(&part.reading) {
        return Vec::new();
    }
    let error = AckError { code: 207, place: None, diagnostic: code, message: message.to_owned() };
    acknowledgements(&part.bytes, Decision::Error, &[error], &part.reading.identity.hash, &hl7_time(time))
}

/// A time as MSH-7 writes it, UTC.
fn hl7_time(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
    let time = jiff::tz::TimeZone::UTC.to_datetime(time);
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second, millisecond) = (time.hour(), time.minute(), time.second(), time.millisecond());
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}.{millisecond:03}+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_msh_7_does() {
        let check = |micros, expected: &str| assert_eq!(hl7_time(Timestamp::from_micros(micros)), expected);
        check(0, "19700101000000.000+0000");
        check(1_798_761_599_987_654, "20261231235959.987+0000");
    }
}

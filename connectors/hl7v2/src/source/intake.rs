//! Takes messages in: in order per patient, once per message, answered when confirmed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use schemas::Timestamp;

use super::batch::{Batch, outcome_kind, receipt_id, source};
use super::doubts::Doubts;
use super::lanes::{Lanes, Turn};
use super::ledger::Ledger;
use crate::input::{Part, is_answered};
use crate::mapping::{Mapper, Outcome};
use crate::mllp::{AckCode, AckError, Decision, acknowledgements};

/// What waits for the confirmation of Kafka.
pub type Confirmation = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Where batches go. Kafka in production, memory in tests.
pub trait Sink: Send + Sync + 'static {
    /// Queues all records of a batch, in order, and returns what to await. The error is one sentence without patient data.
    fn start(&self, batch: &Batch) -> Result<Confirmation, String>;

    /// Tells the ledger which records without a receipt are on their topics since a time. Called before a message whose
    /// confirmation did not come is published again.
    fn look_up(&self, since: Timestamp, ledger: &Arc<Ledger>) -> Confirmation;
}

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
}

/// The common way of messages from connections and files to Kafka.
pub struct Intake {
    /// Reads messages.
    pub mapper: Mapper,
    ledger: Arc<Ledger>,
    lanes: Arc<Lanes>,
    doubts: Arc<Doubts>,
    sink: Arc<dyn Sink>,
    patience: Duration,
}

impl Intake {
    /// An intake with its parts. `patience` bounds the wait for a confirmation.
    pub fn new(mapper: Mapper, ledger: Arc<Ledger>, sink: Arc<dyn Sink>, patience: Duration) -> Self {
        Self {
            mapper,
            ledger,
            lanes: Arc::new(Lanes::default()),
            doubts: Arc::new(Doubts::new(DOUBTS_MAX)),
            sink,
            patience,
        }
    }

    /// Takes a message in. The place in the order of its patients is taken at once, so call this in the order of arrival; the
    /// future settles the message. `now` is when it was received, `origin` the connection or file: the order of a patient's
    /// messages is that of one origin, since a sender that waits for no answer between two connections has given none.
    pub fn take(
        self: &Arc<Self>,
        part: Part,
        origin: &str,
        now: Timestamp,
    ) -> impl Future<Output = Taken> + Send + 'static {
        let id = receipt_id(&part);
        let lane = |patient: &String| self.lanes.enter(format!("{origin}\n{patient}"));
        let places = Places {
            patients: part.reading.patient_keys.iter().map(lane).collect(),
            // A message waits for its own resend wherever that came in.
            same: self.lanes.enter(id.clone()),
            id,
        };
        let intake = Arc::clone(self);
        let origin = origin.to_owned();
        async move { intake.settle(part, &origin, now, places).await }
    }

    async fn settle(&self, part: Part, origin: &str, now: Timestamp, mut places: Places) -> Taken {
        let needs_person = matches!(part.reading.outcome, Outcome::Exception(_) | Outcome::DeadLetter(_));
        let taken = |answers, confirmed, duplicate| Taken { answers, confirmed, duplicate, needs_person };
        if !places.wait().await {
            return taken(unconfirmed(&part, "an earlier message of the patient was not confirmed", now), false, false);
        }
        let id = places.id.as_str();
        if let Err(error) = self.clear_doubt(id).await {
            tracing::warn!(origin, error, "whether a message is on kafka is not known; the sender has to repeat it");
            return taken(unconfirmed(&part, "the message could not be stored; send it again", now), false, false);
        }
        if let Some(known) = self.ledger.find(id)
            && known.outcome == outcome_kind(&part.reading.outcome)
        {
            places.leave();
            return taken(answers(&part, known.received_at), true, true);
        }
        let reused = self.ledger.is_reused(&format!("{}|{}", source(&part), part.reading.identity.control_id), id);
        let ready = answers(&part, now);
        let mut batch = Batch::new(&part, origin, ready.first().map(|(code, _)| *code), reused, now);
        batch.leave_out(&self.ledger.found(id));
        let confirmed = match self.sink.start(&batch) {
            Ok(confirmation) => self.confirmed(confirmation, &batch).await,
            Err(error) => {
                drop(self.doubts.add(id, now));
                Err(error)
            }
        };
        match confirmed {
            Ok(()) => {
                self.ledger.remember(&batch.receipt);
                places.leave();
                taken(ready, true, false)
            }
            Err(error) => {
                tracing::error!(origin, %error, "kafka did not confirm a message; the sender has to repeat it");
                taken(unconfirmed(&part, "the message could not be stored; send it again", now), false, false)
            }
        }
    }
}

/// The places of a message in the orders it belongs to. Dropped, they count as failed.
struct Places {
    id: String,
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
fn unconfirmed(part: &Part, message: &str, time: Timestamp) -> Vec<(AckCode, Vec<u8>)> {
    if !is_answered(&part.reading) {
        return Vec::new();
    }
    let error = AckError { code: 207, place: None, diagnostic: "WL-1030", message: message.to_owned() };
    acknowledgements(&part.bytes, Decision::Error, &[error], &part.reading.identity.hash, &hl7_time(time))
}

/// A time as MSH-7 writes it, UTC.
fn hl7_time(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
    time.strftime("%Y%m%d%H%M%S.%3f+0000").to_string()
}

//! Reads what the day left on the topics, once, and draws the report's numbers from it.

use super::account::{RoomLedger, place};
use crate::{Failure, decode, rooms};
use operations::replay::STARTED;
use processor::laws::{Outcome, Violation, check_loss, check_once};
use runtime::codec::Codec;
use runtime::reader::{self, Range, ReadError};
use runtime::record::Record;
use runtime::{Config, RoomKind};
use schemas::{
    Audit, AuditKind, ErpPosting, Event, Exception, NoticeState, PostingKind, Receipt, ReceiptOutcome, SupplierNotice,
    headers, topics,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// What is on the topics.
#[derive(Default)]
pub struct Gathered {
    /// Records by topic, tombstones left out.
    pub counts: BTreeMap<String, u64>,
    /// Postings that moved something in the ERP.
    pub postings: Vec<ErpPosting>,
    /// Notices that suppliers took.
    pub notices: u64,
    /// Newest state of every exception.
    pub exceptions: Vec<Exception>,
    /// Every received message.
    pub receipts: Vec<Receipt>,
    /// Ids of all events, as often as they are there.
    event_ids: BTreeMap<&'static str, Vec<String>>,
    ledgers: BTreeMap<&'static str, RoomLedger>,
    /// Somebody had records processed again: their events are said again under the same ids.
    replayed: bool,
}

/// The postings on the topic now that moved something in the ERP.
pub async fn postings(config: &Config, codec: &Codec) -> Result<Vec<ErpPosting>, Failure> {
    let mut postings: Vec<ErpPosting> = typed(config, codec, topics::ERP_POSTING_V1.name()).await?;
    postings.retain(|posting| posting.kind != PostingKind::NoneNeeded);
    Ok(postings)
}

/// Ids of the messages that have a receipt from this source format, by message id.
pub async fn receipts(config: &Config, codec: &Codec) -> Result<Vec<Receipt>, Failure> {
    typed(config, codec, topics::OPS_RECEIPT_V1.name()).await
}

/// Reads everything. Outputs come before exceptions: a settled exception leaves the word to what came after it.
pub async fn gather(config: &Config, codec: &Codec) -> Result<Gathered, Failure> {
    let mut all = Gathered::default();
    let infos: Vec<_> = rooms::all().iter().map(|room| room.info().clone()).collect();
    let acting: Vec<_> =
        infos.iter().filter(|info| matches!(info.kind, RoomKind::Processor | RoomKind::Effect)).collect();
    for info in &acting {
        all.ledgers.insert(info.name, RoomLedger::default());
    }
    for topic in topics::ALL.iter().filter(|topic| !topic.name.starts_with("ops.")) {
        for record in read(config, topic.name).await? {
            all.event(topic.name, &record, &acting);
        }
    }
    all.postings = postings(config, codec).await?;
    let notices: Vec<SupplierNotice> = typed(config, codec, topics::PARTNER_SUPPLIER_NOTICE_V1.name()).await?;
    let taken = notices.iter().filter(|notice| notice.state == NoticeState::Delivered);
    all.notices = u64::try_from(taken.count()).unwrap_or_default();
    all.receipts = receipts(config, codec).await?;
    all.ops(config, codec).await?;
    Ok(all)
}

impl Gathered {
    /// What breaks LOSS-1 among the inputs sent (by content hash), the events made from them and the rooms' records.
    pub fn unaccounted(&self, sent: &BTreeSet<String>) -> Vec<Violation> {
        let received: Vec<(&str, Outcome)> = self
            .receipts
            .iter()
            .filter(|receipt| sent.contains(&receipt.content_hash))
            .map(|receipt| (receipt.content_hash.as_str(), outcome_of(receipt)))
            .collect();
        let mut found = check_loss(sent.iter().map(String::as_str), received);
        let promised = self.receipts.iter().flat_map(|receipt| receipt.event_ids.iter().map(String::as_str));
        let promised: BTreeSet<&str> = promised.collect();
        let known: BTreeSet<&str> = self.event_ids.values().flatten().map(String::as_str).collect();
        let present = promised.iter().filter(|id| known.contains(**id)).map(|id| (*id, Outcome::Emitted));
        found.extend(check_loss(promised.iter().copied(), present.collect::<Vec<_>>()));
        for (room, ledger) in &self.ledgers {
            found.extend(ledger.violations().into_iter().map(|mut violation| {
                violation.detail = format!("{room}: {}", violation.detail);
                violation
            }));
        }
        found
    }

    /// What breaks EOS-1: events, and effects in the ERP, that are there twice. Master data is said again when it changes;
    /// after a replay nothing can be said about it.
    pub fn doubled(&self) -> Vec<Violation> {
        if self.replayed {
            return Vec::new();
        }
        let mut found = check_once(self.postings.iter().map(|posting| posting.effect_key.as_str()));
        for (topic, ids) in self.event_ids.iter().filter(|(topic, _)| !topic.starts_with("master.")) {
            found.extend(check_once(ids.iter().map(String::as_str)).into_iter().map(|mut violation| {
                violation.detail = format!("{topic}: {}", violation.detail);
                violation
            }));
        }
        found
    }

    fn event(&mut self, topic: &'static str, record: &Record, rooms: &[&runtime::RoomInfo]) {
        if record.value.is_none() {
            return;
        }
        *self.counts.entry(topic.to_owned()).or_default() += 1;
        let id = record.header(headers::ID).map(str::to_owned);
        self.event_ids.entry(topic).or_default().extend(id.clone());
        let here = place(topic, record.place.partition, record.place.offset);
        for room in rooms {
            let Some(ledger) = self.ledgers.get_mut(room.name) else { continue };
            if room.reads.contains(&topic) {
                ledger.input(here.clone(), id.clone());
            }
            if room.writes.contains(&topic)
                && let Some(cause) = record.header(headers::CAUSATION_ID)
            {
                ledger.output(cause);
            }
        }
    }

    async fn ops(&mut self, config: &Config, codec: &Codec) -> Result<(), Failure> {
        for (_, exception) in latest::<Exception>(config, codec, topics::OPS_EXCEPTION_V1.name()).await? {
            if let Some(ledger) = self.ledgers.get_mut(exception.room.as_str()) {
                ledger.exception(&exception);
            }
            self.exceptions.push(exception);
        }
        for audit in typed::<Audit>(config, codec, topics::OPS_AUDIT_V1.name()).await? {
            self.replayed |= audit.kind == AuditKind::Replay && audit.code == STARTED;
            if let Some(ledger) = self.ledgers.get_mut(audit.room.as_str()) {
                ledger.audit(&audit);
            }
        }
        for record in read(config, topics::OPS_DEAD_LETTER_V1.name()).await? {
            *self.counts.entry(topics::OPS_DEAD_LETTER_V1.name().to_owned()).or_default() += 1;
            let text = |name: &str| record.header(name).unwrap_or_default();
            if let (Some(ledger), Ok(partition), Ok(offset)) =
                (self.ledgers.get_mut(text("wl_room")), text("wl_partition").parse(), text("wl_offset").parse())
            {
                ledger.outcome(place(text("wl_topic"), partition, offset), Outcome::DeadLetter);
            }
        }
        self.parked(config).await
    }

    /// What is parked behind an exception waits for a person as well.
    async fn parked(&mut self, config: &Config) -> Result<(), Failure> {
        let mut parked: HashMap<String, bool> = HashMap::new();
        each(config, topics::OPS_PARKED_V1.name(), |record| {
            parked.insert(record.key_text().into_owned(), record.value.is_some());
        })
        .await?;
        for (key, _) in parked.iter().filter(|(_, present)| **present) {
            let parts: Vec<&str> = key.split('|').collect();
            if let [room, topic, partition, offset] = parts.as_slice()
                && let Some(ledger) = self.ledgers.get_mut(*room)
                && let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse())
            {
                ledger.outcome(place(topic, partition, offset), Outcome::Exception);
            }
        }
        Ok(())
    }
}

fn outcome_of(receipt: &Receipt) -> Outcome {
    match receipt.outcome {
        ReceiptOutcome::Events => Outcome::Emitted,
        ReceiptOutcome::Dropped => Outcome::Dropped,
        ReceiptOutcome::Exception => Outcome::Exception,
        ReceiptOutcome::DeadLetter | ReceiptOutcome::Unknown => Outcome::DeadLetter,
    }
}

/// Every record of a topic, decoded; what cannot be decoded is told elsewhere.
async fn typed<T: Event>(config: &Config, codec: &Codec, topic: &'static str) -> Result<Vec<T>, Failure> {
    let mut events = Vec::new();
    for record in read(config, topic).await? {
        match decode::typed::<T>(codec, &record).await {
            Ok(event) => events.extend(event),
            Err(error) if error.blames_record() => {}
            Err(error) => return Err(Failure::registry(error)),
        }
    }
    Ok(events)
}

async fn latest<T: Event>(config: &Config, codec: &Codec, topic: &'static str) -> Result<BTreeMap<String, T>, Failure> {
    let events: Vec<T> = typed(config, codec, topic).await?;
    Ok(events.into_iter().map(|event| (event.key(), event)).collect())
}

async fn read(config: &Config, topic: &'static str) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    each(config, topic, |record| records.push(record)).await?;
    Ok(records)
}

async fn each(config: &Config, topic: &'static str, mut visit: impl FnMut(Record)) -> Result<(), Failure> {
    let kafka = config.kafka.clone();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
    let reading = tokio::task::spawn_blocking(move || {
        reader::read_range(&kafka, &Range::all(topic), |record| {
            if sender.blocking_send(record).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    });
    while let Some(record) = receiver.recv().await {
        visit(record);
    }
    reading.await.map_err(Failure::kafka)?.map(drop).map_err(|error: ReadError| Failure::kafka(error))
}

//! Reads what the day left on the topics, once, and draws the report's numbers from it.

use crate::{Failure, decode, rooms};
use operations::reconcile::{self, Kind, Options, Report, Room, Unwatched, Window};
use operations::replay::STARTED;
use processor::laws::{Outcome, Violation, check_loss, check_once};
use runtime::codec::Codec;
use runtime::reader::{Range, ReadError};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::{Config, clock};
use schemas::{
    Audit, AuditKind, ErpPosting, Event, Exception, NoticeState, PostingKind, Receipt, ReceiptOutcome, SupplierNotice,
    headers, topics,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What the topics are read with.
pub struct Desk<'a> {
    /// Where they are.
    pub config: &'a Config,
    /// Decodes their events.
    pub codec: Codec,
    /// Reads them.
    pub readers: Readers,
}

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
    /// What reconciliation says of all records and of all rooms.
    reconciled: Option<Report>,
    /// Somebody had records processed again: their events are said again under the same ids.
    replayed: bool,
}

impl<'a> Desk<'a> {
    /// A desk at an installation.
    ///
    /// # Errors
    /// When the client of the registry cannot be made.
    pub fn new(config: &'a Config) -> Result<Self, Failure> {
        let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
        Ok(Self { config, codec, readers: Readers::new(&config.kafka) })
    }
}

/// The postings on the topic now that moved something in the ERP.
pub async fn postings(desk: &Desk<'_>) -> Result<Vec<ErpPosting>, Failure> {
    let mut postings: Vec<ErpPosting> = typed(desk, topics::ERP_POSTING_V1.name()).await?;
    postings.retain(|posting| posting.kind != PostingKind::NoneNeeded);
    Ok(postings)
}

/// Ids of the messages that have a receipt from this source format, by message id.
pub async fn receipts(desk: &Desk<'_>) -> Result<Vec<Receipt>, Failure> {
    typed(desk, topics::OPS_RECEIPT_V1.name()).await
}

/// Reads everything.
pub async fn gather(desk: &Desk<'_>) -> Result<Gathered, Failure> {
    let mut all = Gathered::default();
    for topic in topics::ALL.iter().filter(|topic| !topic.name.starts_with("ops.")) {
        for record in read(desk, topic.name).await? {
            all.event(topic.name, &record);
        }
    }
    all.postings = postings(desk).await?;
    let notices: Vec<SupplierNotice> = typed(desk, topics::PARTNER_SUPPLIER_NOTICE_V1.name()).await?;
    let taken = notices.iter().filter(|notice| notice.state == NoticeState::Delivered);
    all.notices = u64::try_from(taken.count()).unwrap_or_default();
    all.receipts = receipts(desk).await?;
    all.ops(desk).await?;
    all.reconciled = Some(reconciled(desk.config).await?);
    Ok(all)
}

/// The same accounting as `wardline reconcile`, over all that is there. The day is over, so nothing counts as under way; the
/// ERP is compared by its stock.
async fn reconciled(config: &Config) -> Result<Report, Failure> {
    let options = Options {
        window: Window { from_ms: 0, until_ms: clock::now_micros() / 1_000 + 1 },
        rooms: rooms::all().iter().map(|room| room.info().clone()).collect(),
        erp: None,
        actor: "demo".to_owned(),
        room: Room::default(),
        settled: true,
    };
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    reconcile::reconcile(config, codec, &options, Arc::new(Unwatched)).await.map_err(Failure::kafka)
}

impl Gathered {
    /// What breaks LOSS-1 among the inputs sent (by content hash), and what reconciliation found. Events that are there twice
    /// are told by [`Gathered::doubled`].
    pub fn unaccounted(&self, sent: &BTreeSet<String>) -> Vec<String> {
        let received: Vec<(&str, Outcome)> = self
            .receipts
            .iter()
            .filter(|receipt| sent.contains(&receipt.content_hash))
            .map(|receipt| (receipt.content_hash.as_str(), outcome_of(receipt)))
            .collect();
        let found = check_loss(sent.iter().map(String::as_str), received);
        let differences = self.reconciled.iter().flat_map(|report| &report.differences);
        let differences = differences.filter(|difference| difference.kind != Kind::Doubled);
        let told = differences.map(|difference| format!("{}: {}", difference.code, difference.message));
        found.iter().map(ToString::to_string).chain(told).collect()
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

    fn event(&mut self, topic: &'static str, record: &Record) {
        if record.value.is_none() {
            return;
        }
        *self.counts.entry(topic.to_owned()).or_default() += 1;
        self.event_ids.entry(topic).or_default().extend(record.header(headers::ID).map(str::to_owned));
    }

    async fn ops(&mut self, desk: &Desk<'_>) -> Result<(), Failure> {
        let exceptions = latest::<Exception>(desk, topics::OPS_EXCEPTION_V1.name()).await?;
        self.exceptions = exceptions.into_values().collect();
        for audit in typed::<Audit>(desk, topics::OPS_AUDIT_V1.name()).await? {
            self.replayed |= audit.kind == AuditKind::Replay && audit.code == STARTED;
        }
        let letters = read(desk, topics::OPS_DEAD_LETTER_V1.name()).await?.len();
        let letters = u64::try_from(letters).unwrap_or_default();
        self.counts.insert(topics::OPS_DEAD_LETTER_V1.name().to_owned(), letters);
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
async fn typed<T: Event>(desk: &Desk<'_>, topic: &'static str) -> Result<Vec<T>, Failure> {
    let mut events = Vec::new();
    for record in read(desk, topic).await? {
        match decode::typed::<T>(&desk.codec, &record).await {
            Ok(event) => events.extend(event),
            Err(error) if error.blames_record() => {}
            Err(error) => return Err(Failure::registry(error)),
        }
    }
    Ok(events)
}

async fn latest<T: Event>(desk: &Desk<'_>, topic: &'static str) -> Result<BTreeMap<String, T>, Failure> {
    let events: Vec<T> = typed(desk, topic).await?;
    Ok(events.into_iter().map(|event| (event.key(), event)).collect())
}

async fn read(desk: &Desk<'_>, topic: &'static str) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    each(desk, topic, |record| records.push(record)).await?;
    Ok(records)
}

async fn each(desk: &Desk<'_>, topic: &'static str, mut visit: impl FnMut(Record)) -> Result<(), Failure> {
    let readers = desk.readers.clone();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
    let reading = tokio::task::spawn_blocking(move || {
        readers.read_range(&Range::all(topic), |record| {
            if sender.blocking_send(record).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    });
    while let Some(record) = receiver.recv().await {
        visit(record);
    }
    reading.await.map_err(Failure::kafka)?.map(drop).map_err(|error: ReadError| Failure::kafka(error))
}

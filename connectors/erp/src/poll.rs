//! The loop: one page of one stream after the other, published together with the cursor behind it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use connector::erp::{Change, Cursor, Erp, ErpError, Stream};
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, TransactionalPublisher};
use runtime::{RoomContext, RoomError, clock, reader};
use schemas::{Bytes, Exception, ExceptionKind, ExceptionState, Severity, Subject, Timestamp, identity, topics};

use crate::mapping::{self, MapError, Mapped};
use crate::seen::{Content, Name, Seen, identify};
use crate::{ErpConfig, NAME, written};

/// Runs until the stop is asked for.
pub(crate) async fn run(context: RoomContext) -> Result<(), RoomError> {
    let config: ErpConfig = context.config.room(NAME)?;
    let opened = config.system.open(&config.tryton, &config.sandbox);
    let erp = opened.map_err(|error| RoomError::Room(error.to_string()))?.erp;
    let publisher = TransactionalPublisher::connect(&context.config, context.codec.clone(), NAME, &written()).await?;
    let cursors = stored_cursors(&context, &config).await?;
    let mut poll = Poll { seen: Seen::new(config.remembered_max), failures: 0, config, cursors, publisher, context };
    poll.context.health.ready();
    while !poll.context.shutdown.requested() {
        let wait = poll.sweep_all(erp.as_ref()).await?;
        let shutdown = poll.context.shutdown.clone();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => {}
        }
    }
    Ok(())
}

struct Poll {
    config: ErpConfig,
    context: RoomContext,
    publisher: TransactionalPublisher,
    cursors: HashMap<Stream, Cursor>,
    seen: Seen,
    /// Sweeps in a row in which the ERP did not answer.
    failures: u32,
}

/// What a page becomes: records for Kafka, and what to remember once they are there.
#[derive(Default)]
struct Staged {
    records: Vec<Outgoing>,
    remembered: Vec<(Name, Content)>,
    refused: u64,
}

impl Poll {
    /// Reads every stream to its end; returns how long to wait before the next sweep. An ERP that does not answer is no
    /// reason to stop: the cursors stand, and the next sweep goes on from them.
    async fn sweep_all(&mut self, erp: &dyn Erp) -> Result<Duration, RoomError> {
        for stream in self.config.streams.clone() {
            if let Err(error) = self.sweep(erp, stream).await? {
                self.failures = self.failures.saturating_add(1);
                let wait = self.context.config.limits.retry_delay(self.failures);
                tracing::warn!(%stream, %error, code = error.code(), ?wait, "the ERP cannot be followed");
                return Ok(match error {
                    ErpError::Transient { retry_after: Some(asked), .. } => asked.max(wait),
                    _ => wait,
                });
            }
        }
        self.failures = 0;
        Ok(Duration::from_millis(self.config.poll_ms))
    }

    async fn sweep(&mut self, erp: &dyn Erp, stream: Stream) -> Result<Result<(), ErpError>, RoomError> {
        while !self.context.shutdown.requested() {
            let page = match erp.changes(stream, self.cursors.get(&stream)).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            let staged = self.stage(stream, &page.changes)?;
            self.commit(stream, staged, &page.next).await?;
            self.cursors.insert(stream, page.next);
            if !page.more {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Maps a page; what has not changed in content is left out.
    fn stage(&self, stream: Stream, changes: &[Change]) -> Result<Staged, PublishError> {
        let now = Timestamp::from_micros(clock::now_micros());
        let mut staged = Staged::default();
        for change in changes {
            match mapping::events(&self.config, stream, change, now) {
                Ok(events) => {
                    for event in events {
                        let (name, content) = identify(stream, &event);
                        let known =
                            self.seen.knows(&name, &content) || staged.remembered.contains(&(name.clone(), content));
                        if known {
                            self.context.metrics.duplicate.inc();
                            continue;
                        }
                        staged.records.push(self.encode(&event)?);
                        staged.remembered.push((name, content));
                    }
                }
                Err(error) => {
                    let exception = exception(&self.config, stream, change, &error, now);
                    let name = (stream, exception.exception_id.clone());
                    if !self.seen.knows(&name, &[0; 32]) {
                        staged.records.push(self.publisher.event(&exception, &Lineage::default())?);
                        staged.remembered.push((name, [0; 32]));
                        staged.refused += 1;
                    }
                }
            }
        }
        Ok(staged)
    }

    /// One transaction for the records and the cursor. A page that brought nothing new moves the cursor in memory only: after
    /// a restart the same nothing is read again.
    async fn commit(&mut self, stream: Stream, staged: Staged, next: &Cursor) -> Result<(), RoomError> {
        if staged.records.is_empty() {
            return Ok(());
        }
        let cursor = schemas::Cursor {
            connector: self.config.cursor_owner(),
            stream: stream.as_str().to_owned(),
            position: next.0.clone(),
            at: Timestamp::from_micros(clock::now_micros()),
            ..schemas::Cursor::default()
        };
        let events = staged.records.len() as u64 - staged.refused;
        let mut records = staged.records;
        records.push(self.publisher.event(&cursor, &Lineage::default())?);
        self.publisher.commit(records).await?;
        for (name, content) in staged.remembered {
            self.seen.remember(name, content);
        }
        self.context.metrics.emitted.inc_by(events);
        self.context.metrics.rejected.inc_by(staged.refused);
        self.context.metrics.transactions_committed.inc();
        tracing::info!(%stream, events, refused = staged.refused, "published changes of the ERP");
        Ok(())
    }

    fn encode(&self, event: &Mapped) -> Result<Outgoing, PublishError> {
        let lineage = Lineage::default();
        match event {
            Mapped::Item(event) => self.publisher.event(event.as_ref(), &lineage),
            Mapped::Supplier(event) => self.publisher.event(event, &lineage),
            Mapped::Location(event) => self.publisher.event(event, &lineage),
            Mapped::CostCentre(event) => self.publisher.event(event, &lineage),
            Mapped::Employee(event) => self.publisher.event(event, &lineage),
            Mapped::PurchaseOrder(event) => self.publisher.event(event, &lineage),
            Mapped::GoodsReceipt(event) => self.publisher.event(event, &lineage),
        }
    }
}

/// Where each stream was when the room last stopped.
async fn stored_cursors(context: &RoomContext, config: &ErpConfig) -> Result<HashMap<Stream, Cursor>, RoomError> {
    let kafka = context.config.kafka.clone();
    let owner = config.cursor_owner();
    let prefix = format!("{owner}/").into_bytes();
    // Only our own, of which there is one per stream: other connectors may keep any number on the topic.
    let read = move || {
        let mut newest: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let range = reader::Range::all(topics::OPS_CURSOR_V1.name());
        let read = reader::read_range(&kafka, &range, |record| {
            if let (Some(key), Some(value)) = (record.key, record.value)
                && key.starts_with(&prefix)
            {
                newest.insert(key.into(), value.into());
            }
            ControlFlow::Continue(())
        });
        read.map(|_| newest)
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| RoomError::Worker(error.to_string()))?;
    let records = read.map_err(|error| RoomError::Room(error.to_string()))?;
    let mut cursors = HashMap::new();
    for value in records.into_values() {
        let (writer, body) = context.codec.open(&value).await?;
        let stored: schemas::Cursor =
            schemas::codec::decode(&writer, body).map_err(|error| RoomError::Room(error.to_string()))?;
        if let Some(stream) = Stream::ALL.into_iter().find(|stream| stream.as_str() == stored.stream)
            && stored.connector == owner
        {
            cursors.insert(stream, Cursor(stored.position));
        }
    }
    Ok(cursors)
}

/// The exception about a record that cannot be an event, with the record as the ERP gave it (RAW-1).
fn exception(config: &ErpConfig, stream: Stream, change: &Change, error: &MapError, now: Timestamp) -> Exception {
    let body = change.body.to_string();
    let identity = format!("{stream}/{}", change.key);
    Exception {
        exception_id: identity::event_id(config.instance(), &identity, &body, "exception"),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: NAME.to_owned(),
        stage: "map".to_owned(),
        code: error.code().to_owned(),
        severity: Severity::Error,
        retryable: false,
        message: error.to_string(),
        subject: Some(Subject { kind: stream.as_str().to_owned(), key: change.key.clone() }),
        field_paths: vec![error.field().to_owned()],
        suggested_fix: Some(format!(
            "complete {} of {} in the ERP; the change brings it here",
            error.field(),
            change.key
        )),
        raw_value: Some(Bytes::from(body.into_bytes())),
        content_type: Some("application/json".to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        raised_at: now,
        at: now,
        ..Exception::default()
    }
}

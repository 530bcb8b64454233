//! The loop: one page of one stream after the other, published together with the cursor behind it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use connector::erp::{Change, Cursor, Erp, ErpError, Stream};
use runtime::librdkafka::settle;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, TransactionalPublisher};
use runtime::readers::Readers;
use runtime::{RoomContext, RoomError, clock, reader};
use schemas::{Timestamp, topics};

use crate::mapping::Mapped;
use crate::page::{Page, Staged};
use crate::seen::Seen;
use crate::{ErpConfig, NAME, remembered, written};

/// Runs until the stop is asked for.
pub(crate) async fn run(context: RoomContext) -> Result<(), RoomError> {
    let config: ErpConfig = context.config.room(NAME)?;
    let opened = config.system.open(&config.tryton, &config.sandbox);
    let erp = opened.map_err(|error| RoomError::Room(error.to_string()))?.erp;
    // Of whoever keeps these cursors, wherever it runs: one that stood still with a page in hand must not publish it behind newer ones.
    let id = format!("wardline.{}", config.cursor_owner());
    let publisher = TransactionalPublisher::take_over(&context.config, context.codec.clone(), id, &written()).await?;
    // Only now: whoever followed this ERP before can publish no more.
    let (cursors, seen) = what_was_told(&context, &config).await?;
    let mut poll = Poll { seen, failures: 0, config, cursors, publisher, context };
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
            self.context.metrics.duplicate.inc_by(staged.duplicates);
            self.commit(stream, staged, &page.next).await?;
            self.cursors.insert(stream, page.next);
            if !page.more {
                break;
            }
        }
        Ok(Ok(()))
    }

    fn stage(&self, stream: Stream, changes: &[Change]) -> Result<Staged, PublishError> {
        let page = Page { config: &self.config, stream, now: Timestamp::from_micros(clock::now_micros()) };
        page.stage(changes, &self.seen, |event| self.encode(event))
    }

    /// One transaction for the records and the cursor. A page that brought nothing new moves the cursor in memory only: after
    /// a restart the same nothing is read again.
    async fn commit(&mut self, stream: Stream, staged: Staged, next: &Cursor) -> Result<(), RoomError> {
        let (events, refused) = (staged.records.len() as u64, staged.exceptions.len() as u64);
        if events + refused == 0 {
            return Ok(());
        }
        let cursor = schemas::Cursor {
            connector: self.config.cursor_owner(),
            stream: stream.as_str().to_owned(),
            position: next.0.clone(),
            at: Timestamp::from_micros(clock::now_micros()),
            ..schemas::Cursor::default()
        };
        let mut records = staged.records;
        for exception in &staged.exceptions {
            records.push(self.publisher.event(exception, &Lineage::default())?);
        }
        records.push(self.publisher.event(&cursor, &Lineage::default())?);
        self.publisher.commit(records).await?;
        for (name, content) in staged.remembered {
            self.seen.remember(name, content);
        }
        self.context.metrics.emitted.inc_by(events);
        self.context.metrics.rejected.inc_by(refused);
        self.context.metrics.transactions_committed.inc();
        tracing::info!(%stream, events, refused, "published changes of the ERP");
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

/// Where each stream was, and what was published. One connection for all of it: to open and close one takes longer than to read a
/// short topic.
async fn what_was_told(
    context: &RoomContext,
    config: &ErpConfig,
) -> Result<(HashMap<Stream, Cursor>, Seen), RoomError> {
    let readers = Readers::new(&context.config.kafka);
    let told = async {
        let cursors = stored_cursors(context, config, &readers).await?;
        Ok((cursors, remembered::recall(context, config, &readers).await?))
    }
    .await;
    // Closing it takes a moment that the async threads have better use for.
    drop(tokio::task::spawn_blocking(move || drop(readers)));
    told
}

/// Where each stream was when the room last stopped.
async fn stored_cursors(
    context: &RoomContext,
    config: &ErpConfig,
    readers: &Readers,
) -> Result<HashMap<Stream, Cursor>, RoomError> {
    // All connectors write to the topic: what is behind somebody else's open transaction cannot be read before that has ended.
    settle(&context.config.kafka, topics::OPS_CURSOR_V1.name()).await?;
    let readers = readers.clone();
    let owner = config.cursor_owner();
    let prefix = format!("{owner}/").into_bytes();
    // Only our own, of which there is one per stream: other connectors may keep any number on the topic.
    let read = move || {
        let mut newest: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let range = reader::Range::all(topics::OPS_CURSOR_V1.name());
        let read = readers.read_range(&range, |record| {
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

//! The receipts on Kafka as the memory of the connector: its own from before, and those of other listeners.

use std::sync::Arc;
use std::time::Duration;

use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::reader::{From as RangeFrom, ReadError};
use runtime::record::Record;
use runtime::tail::Tail;
use runtime::{RoomContext, RoomError, Shutdown};
use schemas::{Event, Receipt, topics};
use tokio::runtime::Handle;

use super::ledger::Ledger;
use super::room::NAME;
use super::siblings::Siblings;

/// Longest wait for an answer of Kafka at start: a broker that starts again may need a minute.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often the receipts of others are read when nobody asks.
const AGAIN: Duration = Duration::from_millis(100);

/// Reads receipts into the ledger.
pub(super) struct Receipts {
    tail: Tail,
    reader: Reader,
}

/// What a record becomes.
struct Reader {
    ledger: Arc<Ledger>,
    codec: Arc<Codec>,
    handle: Handle,
}

/// What was read of the receipts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loaded {
    /// How many.
    pub(super) count: u64,
    /// When the newest was written, milliseconds since 1970.
    pub(super) newest_ms: Option<i64>,
}

/// The name of the receipt topic, for the description of the room.
pub(super) fn receipt_topic() -> &'static str {
    Receipt::topic().name
}

impl Receipts {
    /// Reads the receipts since a time into the ledger.
    pub(super) async fn load(
        ledger: &Arc<Ledger>,
        context: &RoomContext,
        since_ms: i64,
    ) -> Result<(Self, Loaded), RoomError> {
        let kafka: KafkaConfig = context.config.kafka.clone();
        let (ledger, codec) = (Arc::clone(ledger), Arc::clone(&context.codec));
        let reader = Reader { ledger, codec, handle: Handle::current() };
        let reading = tokio::task::spawn_blocking(move || {
            let mut loaded = Loaded::default();
            let mut tail = Tail::open(&kafka, topics::OPS_RECEIPT_V1.name(), RangeFrom::TimeMs(since_ms))?;
            loaded.count = tail.catch_up(START_PATIENCE, |record| {
                loaded.newest_ms = loaded.newest_ms.max(record.timestamp_ms);
                reader.remember(&record);
            })?;
            Ok::<_, ReadError>((Self { tail, reader }, loaded))
        });
        let read = reading.await.map_err(|stopped| RoomError::Worker(stopped.to_string()))?;
        read.map_err(|error| RoomError::Room(error.to_string()))
    }

    /// Follows the receipts of other listeners, and answers to whoever has to know all that is there, until the stop is asked
    /// for.
    pub(super) async fn follow(self, siblings: Arc<Siblings>, stop: Shutdown) {
        let following = tokio::task::spawn_blocking(move || self.follow_until(&siblings, &stop));
        if let Err(stopped) = following.await {
            tracing::error!(%stopped, "receipts of other listeners are not read any more; new connections are refused");
        }
    }

    fn follow_until(mut self, siblings: &Siblings, stop: &Shutdown) {
        let (mut away, mut answered) = (false, 0);
        while !stop.requested() {
            let number = siblings.newest();
            let remember = |record: Record| self.reader.remember(&record);
            let read = if number > answered {
                self.tail.catch_up(siblings.patience(), remember)
            } else {
                self.tail.drain(remember)
            };
            match read {
                Ok(_) => {
                    answered = number;
                    siblings.answer(number);
                    if std::mem::take(&mut away) {
                        tracing::info!("receipts of other listeners are read again");
                    }
                }
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(%error, "receipts of other listeners cannot be read now; new connections are refused");
                }
                Err(_) => {}
            }
            self.reader.handle.block_on(async {
                tokio::select! {
                    () = siblings.question(number, AGAIN) => {}
                    () = stop.wait() => {}
                }
            });
        }
    }
}

impl Reader {
    fn remember(&self, record: &Record) {
        match self.decode(record) {
            Some(receipt) if receipt.source.starts_with(NAME) => self.ledger.remember(&receipt),
            Some(_) => {}
            None => tracing::warn!(place = %record.place, "a receipt could not be read and was left out"),
        }
    }

    fn decode(&self, record: &Record) -> Option<Receipt> {
        let value = record.value.as_deref()?;
        let (writer, body) = match self.codec.open_cached(value).ok()? {
            Some(opened) => opened,
            None => self.handle.block_on(self.codec.open(value)).ok()?,
        };
        schemas::codec::decode::<Receipt>(&writer, body).ok()
    }
}

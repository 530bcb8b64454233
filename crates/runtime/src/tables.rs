//! Fills the tables from their compacted topics: caught up before the first record, then kept up to date.

use crate::cluster::{Cluster, PartitionReader, Polled, RecordView as _};
use crate::codec::{Codec, WireError};
use crate::kafka::ClientError;
use crate::reader::FOLLOW_WAIT;
use crate::room::RoomError;
use crate::shutdown::Shutdown;
use crate::turn::{Loop, Next, PATIENCE, drive};
use crate::wake::WakeInbox;
use processor::{FeedError, Subject, TableFeed};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Pause before the registry is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_millis(500);
/// Records that a reader fetches ahead.
const RECORDS_AHEAD: usize = 20_000;

/// Starts one reader per topic and returns when all tables hold everything that was there at the start.
///
/// # Errors
/// When Kafka does not answer or a topic is missing.
pub async fn start<K: Cluster>(
    cluster: &K,
    feeds: &[Arc<dyn TableFeed>],
    codec: &Arc<Codec>,
    listeners: &[WakeInbox],
    stop: &Shutdown,
) -> Result<(), ClientError> {
    let mut ready = Vec::new();
    for feed in feeds {
        let (caught_up, waiting) = oneshot::channel();
        let (cluster, feed, codec) = (cluster.clone(), Arc::clone(feed), Arc::clone(codec));
        let (listeners, stop, handle) = (listeners.to_vec(), stop.clone(), Handle::current());
        let topic = feed.topic().name;
        let opened = tokio::task::spawn_blocking(move || {
            let reader = TableReader::open(&cluster, feed, codec, listeners, stop.clone(), handle.clone())?;
            Ok((TableReader { caught_up: Some(caught_up), ..reader }, stop, handle))
        });
        let (reader, stop, handle) =
            opened.await.unwrap_or_else(|error| Err(ClientError::Delivery(error.to_string())))?;
        std::thread::Builder::new()
            .name(format!("table-{topic}"))
            // A reader gives up on nothing, so it ends with the stop alone.
            .spawn(move || drop(drive(reader, &stop, &handle)))
            .map_err(|error| ClientError::Delivery(error.to_string()))?;
        ready.push(waiting);
    }
    for waiting in ready {
        // A reader that went away before it was ready did so because of the stop.
        if waiting.await.is_err() && !stop.requested() {
            return Err(ClientError::Delivery("a table reader stopped before it was caught up".to_owned()));
        }
    }
    Ok(())
}

/// Fills one table.
pub struct TableReader<R> {
    reader: R,
    feed: Arc<dyn TableFeed>,
    codec: Arc<Codec>,
    listeners: Vec<WakeInbox>,
    stop: Shutdown,
    handle: Handle,
    behind: HashSet<i32>,
    caught_up: Option<oneshot::Sender<()>>,
    /// A record that waits for the registry; nothing is read behind it.
    waiting: Option<Master>,
}

impl<R: PartitionReader> TableReader<R> {
    /// Opens a reader at the oldest records of the topic behind a table.
    ///
    /// # Errors
    /// When Kafka does not answer or the topic is missing.
    pub fn open<K: Cluster<Reader = R>>(
        cluster: &K,
        feed: Arc<dyn TableFeed>,
        codec: Arc<Codec>,
        listeners: Vec<WakeInbox>,
        stop: Shutdown,
        handle: Handle,
    ) -> Result<Self, ClientError> {
        let topic = feed.topic().name;
        let reader = cluster.reader(RECORDS_AHEAD, FOLLOW_WAIT)?;
        let partitions = reader.partitions(topic)?;
        let whole: Vec<_> = partitions.iter().map(|partition| (*partition, None)).collect();
        reader.assign(topic, &whole)?;
        let behind = partitions.into_iter().collect();
        Ok(Self { reader, feed, codec, listeners, stop, handle, behind, caught_up: None, waiting: None })
    }

    /// Whether everything that was there at the start is in the table.
    pub fn is_caught_up(&self) -> bool {
        self.behind.is_empty()
    }

    fn reached_end(&mut self, partition: i32) {
        self.behind.remove(&partition);
        if self.behind.is_empty()
            && let Some(caught_up) = self.caught_up.take()
        {
            tracing::info!(topic = self.feed.topic().name, rows = self.feed.rows(), "table is caught up");
            // Nobody waits any more when the room was stopped meanwhile.
            let _ = caught_up.send(());
        }
    }

    /// Takes a record into the table; false when the registry does not answer, for nothing is decided about the record then. One
    /// that can never be read leaves the older version in place and is reported.
    fn apply(&self, key: Option<&[u8]>, value: Option<&[u8]>, offset: i64) -> bool {
        let topic = self.feed.topic().name;
        match self.read(key, value) {
            Ok(subjects) => self.listeners.iter().for_each(|listener| listener.push(&subjects)),
            Err(Unread::Never(reason)) => {
                tracing::error!(topic, offset, reason, code = "WL-6020", "master record cannot be used");
            }
            Err(Unread::Later(error)) => {
                tracing::warn!(topic, offset, %error, "master record waits");
                return false;
            }
        }
        true
    }

    fn read(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Vec<Subject>, Unread> {
        let never = |error: FeedError| Unread::Never(error.to_string());
        let key = key.ok_or_else(|| Unread::Never("it has no key".to_owned()))?;
        let Some(value) = value else { return self.feed.apply(key, None).map_err(never) };
        match self.handle.block_on(self.codec.open(value)) {
            Ok((writer, body)) => self.feed.apply(key, Some((&writer, body))).map_err(never),
            Err(error) if error.blames_record() => Err(Unread::Never(error.without_values())),
            Err(error) => Err(Unread::Later(error)),
        }
    }
}

/// A record of the topic.
struct Master {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    offset: i64,
}

/// Why a record is not in the table.
enum Unread {
    /// The registry does not answer.
    Later(WireError),
    /// It cannot be read.
    Never(String),
}

impl<R: PartitionReader> Loop for TableReader<R> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        if self.stop.requested() {
            return Ok(Next::Ended);
        }
        if let Some(waiting) = &self.waiting {
            if !self.apply(waiting.key.as_deref(), waiting.value.as_deref(), waiting.offset) {
                return Ok(Next::After(REGISTRY_PAUSE));
            }
            self.waiting = None;
        }
        let ended = match self.reader.poll(patience) {
            Polled::Nothing => return Ok(Next::Within(PATIENCE)),
            Polled::End(partition) => Some(partition),
            Polled::Record(message) => {
                if !self.apply(message.key(), message.value(), message.offset()) {
                    let (key, value) = (message.key().map(<[u8]>::to_vec), message.value().map(<[u8]>::to_vec));
                    self.waiting = Some(Master { key, value, offset: message.offset() });
                }
                None
            }
            Polled::Failed(error) => {
                tracing::warn!(topic = self.feed.topic().name, %error, "table reader");
                None
            }
        };
        if let Some(partition) = ended {
            self.reached_end(partition);
        }
        Ok(Next::Within(Duration::ZERO))
    }
}

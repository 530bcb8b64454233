//! Fills the tables from their compacted topics: caught up before the first record, then kept up to date.
//!
//! With `tables.snapshot_dir` a table is also written to a file, and read from there at the next start together with what the
//! topic has had since. The topic stays the truth: a snapshot that is not certainly a part of its past is not used.

mod file;
mod keeper;

use crate::cluster::{Cluster, PartitionReader, Polled, RecordView};
use crate::codec::{Codec, WireError};
use crate::kafka::ClientError;
use crate::reader::FOLLOW_WAIT;
use crate::record::Record;
use crate::room::RoomError;
use crate::shutdown::Shutdown;
use crate::turn::{Loop, Next, PATIENCE, drive};
use crate::wake::WakeInbox;
use file::Witness;
use keeper::Keeper;
use processor::{FeedError, Subject, TableFeed};
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

pub use keeper::Keeping;

/// How long the broker may wait for what is still to come. What comes is handed out at once; only the end of a partition, which
/// nobody waits for any more, is told later. An idle room with many tables would else ask the broker dozens of times a second.
const SETTLED_WAIT: Duration = Duration::from_secs(1);
/// Pause before the registry is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_millis(500);
/// Records that a reader fetches ahead.
const RECORDS_AHEAD: usize = 20_000;
/// Most records taken in one turn.
const RECORDS_PER_TURN: usize = 1_000;

/// The readers of a room's tables.
#[must_use = "a room waits for its readers when it stops"]
pub struct Readers {
    threads: Vec<JoinHandle<()>>,
    /// Topics whose reader has panicked.
    lost: mpsc::Receiver<&'static str>,
}

/// Starts one reader per topic and returns when all tables hold everything that was there at the start.
///
/// # Errors
/// When Kafka does not answer or a topic is missing.
pub async fn start<K: Cluster>(
    cluster: &K,
    feeds: &[Arc<dyn TableFeed>],
    codec: &Arc<Codec>,
    listeners: &[WakeInbox],
    keeping: Option<&Keeping>,
    stop: &Shutdown,
) -> Result<Readers, ClientError> {
    let (gone, lost) = mpsc::channel(feeds.len().max(1));
    let mut opening = Vec::new();
    for feed in feeds {
        let (caught_up, waiting) = oneshot::channel();
        let (cluster, feed, codec) = (cluster.clone(), Arc::clone(feed), Arc::clone(codec));
        let (listeners, stop, handle) = (listeners.to_vec(), stop.clone(), Handle::current());
        let (keeping, gone) = (keeping.cloned(), gone.clone());
        let topic = feed.topic().name;
        let opened = tokio::task::spawn_blocking(move || {
            let mut reader = TableReader::open(&cluster, feed, codec, listeners, stop.clone(), handle.clone())?;
            reader.filler.caught_up = Some(caught_up);
            if let Some(keeping) = keeping {
                reader.keep(keeping)?;
            }
            start_thread(format!("table-{topic}"), topic, gone, move || drop(drive(reader, &stop, &handle)))
        });
        opening.push((opened, waiting));
    }
    let mut readers = Readers { threads: Vec::new(), lost };
    for (opened, waiting) in opening {
        readers.threads.push(opened.await.unwrap_or_else(|error| Err(ClientError::Delivery(error.to_string())))?);
        // A reader that went away before it was ready did so because of the stop.
        if waiting.await.is_err() && !stop.requested() {
            return Err(ClientError::Delivery("a table reader stopped before it was caught up".to_owned()));
        }
    }
    Ok(readers)
}

/// A reader gives up on nothing, so it ends with the stop alone; or by a panic, which it tells.
fn start_thread(
    name: String,
    topic: &'static str,
    gone: mpsc::Sender<&'static str>,
    read: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ClientError> {
    let body = move || {
        if catch_unwind(AssertUnwindSafe(read)).is_err() {
            // Nobody listens when the room has ended before it.
            let _ = gone.try_send(topic);
        }
    };
    std::thread::Builder::new().name(name).spawn(body).map_err(|error| ClientError::Delivery(error.to_string()))
}

impl Readers {
    /// Ends when a reader has panicked. Its table stands still from then on, so the room must start again.
    pub async fn lost(&mut self) -> RoomError {
        match self.lost.recv().await {
            Some(topic) => RoomError::Worker(format!("the reader of {topic} has panicked")),
            // They have ended with the stop.
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, which they do at the stop; some write a snapshot before.
    pub async fn ended(self) {
        let join = move || self.threads.into_iter().for_each(|reader| drop(reader.join()));
        // A reader that panicked has told so itself.
        drop(tokio::task::spawn_blocking(join).await);
    }
}

/// Fills one table.
pub struct TableReader<R> {
    reader: R,
    partitions: Vec<i32>,
    filler: Filler,
    stop: Shutdown,
    /// A record that waits for the registry; nothing is read behind it.
    waiting: Option<Record>,
    /// Offset that comes next, of each partition of which something was read.
    next: BTreeMap<i32, i64>,
    /// Opens the reader for what is still to come; none when it is at work.
    settling: Option<Opening<R>>,
}

/// Opens a reader.
type Opening<R> = Box<dyn FnOnce() -> Result<R, ClientError> + Send>;

/// The table, and what is known of how far it is filled.
struct Filler {
    feed: Arc<dyn TableFeed>,
    codec: Arc<Codec>,
    listeners: Vec<WakeInbox>,
    handle: Handle,
    behind: HashSet<i32>,
    /// Records that must be where the snapshot says.
    unproved: BTreeMap<i32, Witness>,
    keeper: Option<Keeper>,
    caught_up: Option<oneshot::Sender<()>>,
}

/// What became of a record.
enum Took {
    /// It is in the table, or can never be.
    Done,
    /// The registry does not answer: nothing is decided about it.
    Waits,
    /// It is not the one that a snapshot says: the snapshot is of another topic.
    Disproves,
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
        let reader = cluster.reader(RECORDS_AHEAD, FOLLOW_WAIT)?;
        let partitions = reader.partitions(feed.topic().name)?;
        let (behind, unproved) = (HashSet::new(), BTreeMap::new());
        let filler = Filler { feed, codec, listeners, handle, behind, unproved, keeper: None, caught_up: None };
        let cluster = cluster.clone();
        let settling: Opening<R> = Box::new(move || cluster.reader(RECORDS_AHEAD, SETTLED_WAIT));
        let (next, settling) = (BTreeMap::new(), Some(settling));
        let mut opened = Self { reader, partitions, filler, stop, waiting: None, next, settling };
        opened.assign()?;
        Ok(opened)
    }

    /// Keeps a snapshot of the table, and goes on from the one that is there.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn keep(&mut self, keeping: Keeping) -> Result<(), ClientError> {
        if self.filler.feed.snapshots().is_some() {
            let mut keeper = Keeper::new(keeping, self.filler.feed.topic().name);
            self.filler.unproved = keeper.load(&*self.filler.feed, &self.partitions);
            self.filler.keeper = Some(keeper);
            self.assign()?;
        }
        Ok(())
    }

    /// Whether everything that was there at the start is in the table.
    pub fn is_caught_up(&self) -> bool {
        self.filler.behind.is_empty()
    }

    /// Reads each partition from the record on that a snapshot ends with, which proves the snapshot; without one from the
    /// oldest record on.
    fn assign(&mut self) -> Result<(), ClientError> {
        let from = |partition: &i32| self.filler.unproved.get(partition).map(|witness| witness.offset);
        let whole: Vec<_> = self.partitions.iter().map(|partition| (*partition, from(partition))).collect();
        self.reader.assign(self.filler.feed.topic().name, &whole)?;
        self.filler.behind = self.partitions.iter().copied().collect();
        self.next.clear();
        Ok(())
    }

    /// All that was there is read: goes on with a reader whose broker may wait longer.
    fn settle(&mut self, open: Opening<R>) {
        let topic = self.filler.feed.topic().name;
        let on: Vec<_> =
            self.partitions.iter().map(|partition| (*partition, self.next.get(partition).copied())).collect();
        match open().and_then(|reader| reader.assign(topic, &on).map(|()| reader)) {
            Ok(reader) => self.reader = reader,
            Err(error) => tracing::warn!(topic, %error, "table reader goes on with the connection it has"),
        }
    }

    /// Forgets the snapshot and all that came from it.
    fn start_over(&mut self) -> Result<(), ClientError> {
        self.filler.unproved.clear();
        if let Some(keeper) = &mut self.filler.keeper {
            keeper.disproved(&*self.filler.feed);
        }
        self.assign()
    }

    /// Takes what there is; false when nothing more came.
    fn take(&mut self, patience: Duration) -> Result<bool, ClientError> {
        for number in 0..RECORDS_PER_TURN {
            let took = match self.reader.poll(if number == 0 { patience } else { Duration::ZERO }) {
                Polled::Nothing => return Ok(number > 0),
                Polled::End(partition) => self.filler.ended(partition),
                Polled::Record(message) => {
                    self.next.insert(message.partition(), message.offset() + 1);
                    let took = self.filler.take(&message);
                    if matches!(took, Took::Waits) {
                        self.waiting = Some(message.to_record());
                    }
                    took
                }
                Polled::Failed(error) => {
                    tracing::warn!(topic = self.filler.feed.topic().name, %error, "table reader");
                    Took::Done
                }
            };
            match took {
                Took::Done => {}
                Took::Waits => break,
                Took::Disproves => {
                    self.start_over()?;
                    break;
                }
            }
        }
        Ok(true)
    }
}

impl Filler {
    fn take(&mut self, record: &impl RecordView) -> Took {
        if let Some(witness) = self.unproved.get(&record.partition()) {
            if Witness::of(record) != *witness {
                return Took::Disproves;
            }
            self.unproved.remove(&record.partition());
            return Took::Done;
        }
        let (topic, offset) = (self.feed.topic().name, record.offset());
        match self.apply(record.key(), record.value()) {
            Ok(subjects) if subjects.is_empty() => {}
            Ok(subjects) => self.listeners.iter().for_each(|listener| listener.push(&subjects)),
            Err(Unread::Never(reason)) => {
                tracing::error!(topic, offset, reason, code = "WL-6020", "master record cannot be used");
            }
            Err(Unread::Later(error)) => {
                tracing::warn!(topic, offset, %error, "master record waits");
                return Took::Waits;
            }
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.read_on(record);
        }
        Took::Done
    }

    /// Takes a record into the table. One that can never be read leaves the older version in place.
    fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Vec<Subject>, Unread> {
        let key = key.ok_or_else(|| Unread::Never("it has no key".to_owned()))?;
        let opened = match value {
            None => None,
            Some(value) => Some(self.codec.open_on(&self.handle, value).map_err(|error| self.unread(error))?),
        };
        let body = opened.as_ref().map(|(writer, body)| (writer, *body));
        // Nobody waits for anything before the table is whole.
        let applied = match self.behind.is_empty() {
            true => self.feed.apply(key, body),
            false => self.feed.fill(key, body).map(|()| Vec::new()),
        };
        applied.map_err(|error| {
            if let (FeedError::Full { .. }, Some(keeper)) = (&error, &mut self.keeper) {
                keeper.lacks();
            }
            Unread::Never(error.to_string())
        })
    }

    /// A record cannot be read: of one whose schema the registry does not know, or knows wrong, that may be mended there. A snapshot that
    /// has passed it would leave it out for ever.
    fn unread(&mut self, error: WireError) -> Unread {
        if let (WireError::UnknownSchema(_) | WireError::UnreadableSchema { .. }, Some(keeper)) =
            (&error, &mut self.keeper)
        {
            keeper.lacks();
        }
        Unread::of(error)
    }

    fn ended(&mut self, partition: i32) -> Took {
        if self.unproved.contains_key(&partition) {
            return Took::Disproves;
        }
        if self.behind.remove(&partition) && self.behind.is_empty() {
            tracing::info!(topic = self.feed.topic().name, rows = self.feed.rows(), "table is caught up");
            self.listeners.iter().for_each(WakeInbox::push_all);
            if let Some(caught_up) = self.caught_up.take() {
                // Nobody waits any more when the room was stopped meanwhile.
                let _ = caught_up.send(());
            }
        }
        Took::Done
    }
}

/// Why a record is not in the table.
enum Unread {
    /// The registry does not answer.
    Later(WireError),
    /// It cannot be read.
    Never(String),
}

impl Unread {
    fn of(error: WireError) -> Self {
        if error.blames_record() { Self::Never(error.without_values()) } else { Self::Later(error) }
    }
}

impl<R: PartitionReader> Loop for TableReader<R> {
    fn turn(&mut self, patience: Duration) -> Result<Next, RoomError> {
        let stopped = self.stop.requested();
        if let (true, Some(keeper)) = (self.is_caught_up(), &mut self.filler.keeper) {
            match stopped {
                true => keeper.finish(&*self.filler.feed),
                false => keeper.tend(&*self.filler.feed, crate::clock::tick()),
            }
        }
        if stopped {
            return Ok(Next::Ended);
        }
        if self.is_caught_up()
            && let Some(open) = self.settling.take()
        {
            self.settle(open);
        }
        if let Some(waiting) = self.waiting.take()
            && matches!(self.filler.take(&waiting), Took::Waits)
        {
            self.waiting = Some(waiting);
            return Ok(Next::After(REGISTRY_PAUSE));
        }
        let more = self.take(patience)?;
        Ok(Next::Within(if more { Duration::ZERO } else { PATIENCE }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests;

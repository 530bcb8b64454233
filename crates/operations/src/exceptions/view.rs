//! The view: two topics followed into the index, and the answers it gives.

use super::config::ExceptionsConfig;
use super::discards::{Discards, Requested};
use super::feed::{self, Feed, origin_of};
use super::history::{self, Step};
use super::id::Id;
use super::index::Index;
use super::query::{DueMicros, due_micros};
use super::records::{self, RecordsError};
use super::types::{Cause, Causes, Filter, Found, Hour, Listed, Oldest, Page, Row, Standing, Stopped};
use super::waiting::Origin;
use runtime::codec::{Codec, WireError};
use runtime::config::KafkaConfig;
use runtime::following::{Told, follow_all};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::{Config, ConfigError, Shutdown, clock};
use schemas::approval::discard_mark;
use schemas::{Exception, topics};
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::watch;

/// A look at an exception reads its newest record, the earlier ones and the audit at the same time.
const CONNECTIONS: usize = 3;
/// Pause before the schema registry is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_secs(1);
/// Stands for the place of an exception that was told without a record.
const NOWHERE: (i32, i64) = (0, i64::MAX);
/// How often a record that gives way to a newer one is looked for at its new place.
const MOVED_MAX: usize = 3;

/// What waits and why, as the topics say it now. Cheap to clone; all clones are the same view.
///
/// It holds no payload: of a parked event 24 bytes and its share of a table, of an exception its place on the topic. Several
/// views on the same topics agree, because what each shows follows from the newest record of each key alone.
#[derive(Clone)]
pub struct ExceptionsView {
    shared: Arc<Shared>,
}

struct Shared {
    index: RwLock<Index>,
    due: DueMicros,
    feeds: Mutex<[FeedState; 2]>,
    /// Up to where each partition of the exception topic is read.
    read_to: Mutex<HashMap<i32, i64>>,
    version: watch::Sender<u64>,
    kafka: KafkaConfig,
    readers: Readers,
    codec: Arc<Codec>,
    config: ExceptionsConfig,
}

/// How far one of the two topics was read.
#[derive(Clone, Debug, Default)]
struct FeedState {
    caught_up: bool,
    trouble: Option<String>,
}

/// The topics that a view follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Exceptions,
    Parked,
}

/// Why a view cannot be started or does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The block `operations.exceptions` is not what is documented.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The codec cannot be built.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A thread cannot be started.
    #[error("WL-7104: the view of exceptions cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// It has not read everything in time.
    #[error("WL-7105: the exceptions were not read within {within_s} s: {trouble}")]
    Behind {
        /// How long was waited, seconds.
        within_s: u64,
        /// What is in the way.
        trouble: String,
    },
    /// Records cannot be read back.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl ExceptionsView {
    /// Starts to follow the topics, until `shutdown`. It reads from their beginning and goes on by itself when Kafka was away.
    /// To be called where an async runtime is.
    ///
    /// # Errors
    /// When the configuration is refused or a thread cannot be started. What goes wrong later is told by
    /// [`ExceptionsView::standing`].
    pub fn start(config: &Config, shutdown: &Shutdown) -> Result<Self, ViewError> {
        let settings = ExceptionsConfig::of(config)?;
        let codec = Arc::new(Codec::new(&config.registry)?);
        let shared = Arc::new(Shared {
            index: RwLock::new(Index::new(settings.bounds())),
            due: due_micros(&settings.due_s),
            feeds: Mutex::default(),
            read_to: Mutex::default(),
            version: watch::Sender::new(0),
            kafka: config.kafka.clone(),
            readers: Readers::new(&config.kafka),
            codec,
            config: settings,
        });
        for side in [Side::Exceptions, Side::Parked] {
            let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
            let feed = Feed::new(Arc::clone(&shared.codec));
            std::thread::Builder::new().name(side.thread().to_owned()).spawn(move || {
                follow_all(&shared.kafka, side.topic(), |told| shared.told(side, &feed, told, &shutdown));
            })?;
        }
        Ok(Self { shared })
    }

    /// Opens the connections that a first look at an exception needs, so that nobody waits for them. Blocks. Where it fails, that
    /// look says why.
    pub fn connect(&self) {
        let topics = [topics::OPS_EXCEPTION_V1.name(), topics::OPS_AUDIT_V1.name()];
        if let Err(error) = self.shared.readers.open(CONNECTIONS, &topics) {
            tracing::info!(error = %error, "connections for the first look at an exception are not there yet");
        }
    }

    /// The open exceptions by cause, the one with most waiting events first. Takes time by causes, not by what waits.
    pub fn causes(&self) -> Vec<Cause> {
        self.shared.read().causes(&self.shared.due, clock::now_micros())
    }

    /// So many causes with most waiting events, and what all causes come to.
    pub fn top_causes(&self, most: usize) -> Causes {
        self.shared.read().top_causes(most, &self.shared.due, clock::now_micros())
    }

    /// The oldest open exception of each class, most urgent first.
    pub fn oldest(&self) -> Vec<Oldest> {
        self.shared.read().oldest(&self.shared.due, clock::now_micros())
    }

    /// How many exceptions were raised in each of the last hours, oldest first.
    pub fn raised(&self, hours: usize) -> Vec<Hour> {
        self.shared.read().raised(clock::now_micros(), hours)
    }

    /// What waits in each room, and what it is worth.
    pub fn stopped(&self) -> Vec<Stopped> {
        self.shared.read().stopped()
    }

    /// A part of the exceptions that match. Takes time by what is shown and by the number of causes, except for settled ones, for
    /// who has them and for what is to be approved: then all are gone through.
    pub fn list(&self, filter: &Filter, page: Page) -> Listed {
        self.shared.read().list(filter, page, &self.shared.due, clock::now_micros())
    }

    /// The requests to give up that wait for a second person, of the exceptions that match, with the reasons that were given. What
    /// a person sees of many before they agree to all of them at once.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn discards(&self, filter: &Filter) -> Result<Discards, ViewError> {
        let requested = self.requested(filter);
        let mut discards = Discards::of(&requested);
        for request in &mut discards.requests {
            let asked = self.exception(&request.exception_id).await?.and_then(|one| one.discard_request.clone());
            // What changed meanwhile is not what was counted.
            let is_same = asked.as_ref().is_some_and(|asked| discard_mark(asked) == request.mark);
            request.reason = asked.filter(|_| is_same).and_then(|asked| asked.comment);
            request.is_read = is_same;
        }
        Ok(discards.only_seen())
    }

    /// Which exceptions that match are asked to be given up, each with the mark of its request.
    pub(super) fn requested(&self, filter: &Filter) -> Vec<Requested> {
        self.shared.read().requested(filter)
    }

    /// One exception as lists show it.
    pub fn row(&self, id: &str) -> Option<Row> {
        self.shared.read().row(id, &self.shared.due, clock::now_micros())
    }

    /// Which exception has an id that starts so.
    pub fn find(&self, start: &str) -> Found {
        self.shared.read().find(start)
    }

    /// The whole newest record of an exception, its original bytes included, read from Kafka. They may identify a patient.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn exception(&self, id: &str) -> Result<Option<Arc<Exception>>, ViewError> {
        for _ in 0..MOVED_MAX {
            let Some(place) = self.shared.read().held(id).map(|held| (held.partition, held.offset)) else {
                return Ok(None);
            };
            if let Some(found) = records::one(&self.shared.readers, &self.shared.codec, place).await? {
                return Ok(Some(Arc::new(found)));
            }
        }
        Ok(None)
    }

    /// The whole newest records of some exceptions, by id, and how many cannot be read. All of them are held at once: whoever wants
    /// many asks for some at a time.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn whole(&self, ids: &[&str]) -> Result<(HashMap<String, Exception>, usize), ViewError> {
        let places = self.places(ids.iter().copied());
        let (mut records, reading) = records::many(&self.shared.readers, &places);
        let (mut found, mut unreadable) = (HashMap::with_capacity(ids.len()), 0);
        while let Some(record) = records.recv().await {
            match records::typed::<Exception>(&self.shared.codec, &record).await {
                Ok(exception) => found.extend(exception.map(|one| (one.exception_id.clone(), one))),
                Err(RecordsError::Wire(error)) if error.blames_record() => unreadable += 1,
                Err(error) => return Err(error.into()),
            }
        }
        reading.await.map_err(RecordsError::from)?.map_err(RecordsError::from)?;
        Ok((found, unreadable))
    }

    /// Everything that happened to an exception, oldest first, as far as the topics still tell it: what people did stays on
    /// the audit topic when the exception topic has given it up.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn history(&self, id: &str) -> Result<Vec<Step>, ViewError> {
        let places = self.shared.read().places(id);
        Ok(history::read(&self.shared.readers, &self.shared.codec, id, &places).await?)
    }

    /// Takes exceptions, and parked events (room, topic, partition, offset, key), as if the topics had told them: to measure what
    /// is asked of many without writing them first.
    pub fn preload<'a>(
        &self,
        exceptions: impl IntoIterator<Item = Exception>,
        parked: impl IntoIterator<Item = (Origin<'a>, String)>,
    ) {
        let mut index = self.shared.write();
        for exception in exceptions {
            index.tell(feed::told(&exception, NOWHERE));
        }
        for (origin, key) in parked {
            index.park(&origin, &key, None);
        }
        drop(index);
        self.shared.changed();
    }

    /// A number that grows with every change, in what it shows or in how it stands.
    pub fn version(&self) -> u64 {
        *self.shared.version.borrow()
    }

    /// Tells when [`ExceptionsView::version`] grows. Changes that come while nobody looks are told once.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Whether everything has been read that was written when the view started.
    pub fn caught_up(&self) -> bool {
        self.shared.feeds().iter().all(|feed| feed.caught_up)
    }

    /// Waits until the view has caught up.
    ///
    /// # Errors
    /// When it has not within that time.
    pub async fn until_caught_up(&self, within: Duration) -> Result<(), ViewError> {
        let mut changes = self.changes();
        let waiting = async {
            while !self.caught_up() {
                // The sender lives as long as this view.
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(within, waiting).await.is_ok() {
            return Ok(());
        }
        let trouble = self.shared.trouble().unwrap_or_else(|| "there is more to read".to_owned());
        Err(ViewError::Behind { within_s: within.as_secs(), trouble })
    }

    /// How many events of a room's topic wait that came from these offsets of partitions; none while that cannot be told from
    /// here. Takes time by what the range or the partition holds, whichever is less.
    pub fn parked_within(&self, room: &str, topic: &str, places: &[(i32, Range<i64>)]) -> Option<usize> {
        if self.caught_up() { self.shared.read().parked_within(room, topic, places) } else { None }
    }

    /// How it stands: whether it has caught up, what is in its way, and what is missing in it.
    pub fn standing(&self) -> Standing {
        let standing = self.shared.read().standing();
        Standing { caught_up: self.caught_up(), trouble: self.shared.trouble(), ..standing }
    }

    /// The settings it was started with.
    pub fn config(&self) -> &ExceptionsConfig {
        &self.shared.config
    }

    pub(super) fn readers(&self) -> &Readers {
        &self.shared.readers
    }

    pub(super) fn codec(&self) -> &Arc<Codec> {
        &self.shared.codec
    }

    /// Exceptions whose last word has been wrongly taken the place of, and where it lies: it was said in the very moment in
    /// which somebody decided about them, or it is a proposal that an approval of something else came behind.
    pub(super) fn reopened(&self) -> Vec<(String, (i32, i64))> {
        let index = self.shared.read();
        index.reopened.iter().chain(&index.overtaken).map(|(id, place)| (id.to_string(), *place)).collect()
    }

    /// Whether the newest record of an exception is an approval of something else than what waits.
    pub(super) fn is_overtaken(&self, id: &str) -> bool {
        self.shared.read().overtaken.contains_key(&Id::of(id))
    }

    /// Whether the newest record of an exception lies at a place.
    pub(super) fn is_newest(&self, id: &str, place: (i32, i64)) -> bool {
        self.shared.read().held(id).is_some_and(|held| (held.partition, held.offset) == place)
    }

    /// The offset behind the newest record of a partition of the exception topic that is read.
    pub(super) fn read_to(&self, partition: i32) -> Option<i64> {
        self.shared.read_places().get(&partition).copied()
    }

    /// Places of the newest records of exceptions.
    pub(super) fn places<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<(i32, i64)> {
        let index = self.shared.read();
        ids.into_iter().filter_map(|id| index.held(id)).map(|held| (held.partition, held.offset)).collect()
    }
}

impl Side {
    fn topic(self) -> &'static str {
        match self {
            Self::Exceptions => topics::OPS_EXCEPTION_V1.name(),
            Self::Parked => topics::OPS_PARKED_V1.name(),
        }
    }

    fn thread(self) -> &'static str {
        match self {
            Self::Exceptions => "exceptions-view",
            Self::Parked => "parked-view",
        }
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_places(&self) -> MutexGuard<'_, HashMap<i32, i64>> {
        self.read_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feeds(&self) -> [FeedState; 2] {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn trouble(&self) -> Option<String> {
        self.feeds().into_iter().find_map(|feed| feed.trouble)
    }

    fn told(&self, side: Side, feed: &Feed, told: Told, shutdown: &Shutdown) -> ControlFlow<()> {
        if shutdown.requested() {
            return ControlFlow::Break(());
        }
        match told {
            Told::Record(record) => return self.record(side, feed, &record, shutdown),
            Told::CaughtUp => self.stands(side, |state| *state = FeedState { caught_up: true, trouble: None }),
            Told::Idle => self.stands(side, |state| state.trouble = None),
            Told::Trouble(error) => self.stands(side, |state| state.trouble = Some(error.to_string())),
            Told::Anew => {
                tracing::warn!(topic = side.topic(), "topic was made anew, reading it from the beginning");
                match side {
                    Side::Exceptions => {
                        self.read_places().clear();
                        self.write().clear_exceptions();
                    }
                    Side::Parked => self.write().clear_parked(),
                }
                self.stands(side, |state| state.caught_up = false);
                self.changed();
            }
        }
        ControlFlow::Continue(())
    }

    /// One record; while the registry does not answer it is tried again, so that none is left out.
    fn record(&self, side: Side, feed: &Feed, record: &Record, shutdown: &Shutdown) -> ControlFlow<()> {
        loop {
            let applied = match side {
                Side::Exceptions => self.exception(feed, record),
                Side::Parked => self.parked(feed, record),
            };
            match applied {
                Ok(()) => break,
                Err(error) if error.blames_record() => {
                    tracing::warn!(place = %record.place, code = error.code(), "record cannot be read");
                    self.write().cannot_read();
                    break;
                }
                Err(error) => self.stands(side, |state| state.trouble = Some(error.to_string())),
            }
            if shutdown.requested() {
                return ControlFlow::Break(());
            }
            std::thread::park_timeout(REGISTRY_PAUSE);
        }
        if side == Side::Exceptions {
            self.read_places().insert(record.place.partition, record.place.offset.saturating_add(1));
        }
        self.changed();
        ControlFlow::Continue(())
    }

    fn exception(&self, feed: &Feed, record: &Record) -> Result<(), WireError> {
        match feed.exception(record)? {
            Some(told) => self.write().tell(told),
            None => self.write().forget(&record.key_text()),
        }
        Ok(())
    }

    fn parked(&self, feed: &Feed, record: &Record) -> Result<(), WireError> {
        let key = record.key_text();
        let Some(origin) = origin_of(&key) else {
            self.write().cannot_read();
            return Ok(());
        };
        match feed.parked(record)? {
            Some(event) => {
                let money = event.money.as_ref().map(|(amount, currency)| (*amount, currency.as_str()));
                self.write().park(&origin, &event.key, money);
            }
            None => self.write().unpark(&origin),
        }
        Ok(())
    }

    /// Changes how a feed stands, and tells it when that is news.
    fn stands(&self, side: Side, change: impl FnOnce(&mut FeedState)) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut feeds[side as usize];
        let before = (state.caught_up, state.trouble.clone());
        change(state);
        let is_news = before != (state.caught_up, state.trouble.clone());
        if is_news && let Some(trouble) = &state.trouble {
            tracing::warn!(topic = side.topic(), trouble, "the view of exceptions does not get on");
        }
        drop(feeds);
        if is_news {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

//! What is read of the installation for the pages, within bounds and shared by everybody who looks.

use crate::cached::{Cached, CachedByName};
use crate::config::BoundsConfig;
use crate::groups::{self, Groups};
use crate::pages::dead_letters::Letter;
use crate::problem::Problem;
use crate::reads::Reads;
use crate::state::Site;
use operations::Offsets;
use operations::audit::{self, AuditBounds, AuditFilter, AuditFound};
use operations::crosswalk::{Crosswalk, CrosswalkError, MappingProposal};
use operations::dead_letters::{Settled, Settlements};
use operations::exceptions::{ExceptionsView, Step};
use operations::messages::{self, Message, MessageId};
use operations::replay::reset::{Requested, ResetError};
use operations::replay::{Plan, ReplayError, Replays, Status};
use runtime::codec::Codec;
use runtime::health::RoomState;
use runtime::reader::{From, Range, ReadError, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::{Config, RoomInfo, RoomKind, clock};
use schemas::{MasterCrosswalk, topics};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Values by name that are held: of so many replays how they stand, and of so many exceptions what happened to them.
const NAMED_MAX: usize = 64;

/// Reads for the pages.
pub struct Desk {
    /// The bound of all reading.
    pub reads: Arc<Reads>,
    config: Arc<Config>,
    pub(crate) readers: Readers,
    rooms: Vec<RoomInfo>,
    codec: Result<Arc<Codec>, String>,
    lags: Arc<Cached<Lags>>,
    groups: Arc<Cached<Groups>>,
    resets: Arc<Cached<Vec<Requested>>>,
    audits: CachedByName<AuditFound>,
    letters: Arc<Cached<Newest<Letter>>>,
    settled: Arc<Cached<Settled>>,
    /// None without a client of the registry.
    settlements: Option<Arc<Settlements>>,
    plans: Arc<Cached<Vec<Plan>>>,
    mappings: Arc<Cached<Vec<MasterCrosswalk>>>,
    statuses: CachedByName<Status>,
    histories: CachedByName<Vec<Step>>,
    records_max: usize,
    audit_bounds: AuditBounds,
}

/// How far the rooms have got.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lags {
    /// When it was read, microseconds since 1970.
    pub at: i64,
    /// By room.
    pub rooms: Vec<RoomLag>,
}

/// How far one room has got.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomLag {
    /// Name.
    pub room: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Records it has not finished; none for a source, which has no place on a topic.
    pub lag: Option<i64>,
    /// Why the lag is not known.
    pub unknown: Option<String>,
}

/// The newest records of a topic.
#[derive(Clone, Debug)]
pub struct Newest<T> {
    /// Newest first.
    pub records: Vec<T>,
    /// Whether the topic has older ones.
    pub has_more: bool,
}

impl Desk {
    /// Nothing is read before somebody looks.
    pub fn new(site: &Site, bounds: &BoundsConfig) -> Self {
        let (fresh, patience) =
            (Duration::from_millis(bounds.cached_ms), Duration::from_millis(bounds.answer_timeout_ms / 2));
        let reads = Reads::new(bounds.reads_at_once, bounds.read_timeout());
        let readers = Readers::new(&site.config.kafka);
        let codec = Codec::new(&site.config.registry).map(Arc::new).map_err(|error| error.to_string());
        let settlements = codec.as_ref().ok().map(|codec| Settlements::new(readers.clone(), Arc::clone(codec)));
        Self {
            reads: Arc::new(reads),
            config: Arc::clone(&site.config),
            readers,
            rooms: site.rooms.iter().map(|room| room.info.clone()).collect(),
            codec,
            lags: Cached::new(fresh, patience),
            groups: Cached::new(fresh, patience),
            resets: Cached::new(fresh, patience),
            audits: CachedByName::new(NAMED_MAX, fresh, patience),
            letters: Cached::new(fresh, patience),
            settled: Cached::new(fresh, patience),
            settlements: settlements.map(Arc::new),
            plans: Cached::new(fresh, patience),
            mappings: Cached::new(fresh, patience),
            statuses: CachedByName::new(NAMED_MAX, fresh, patience),
            histories: CachedByName::new(NAMED_MAX, fresh, patience),
            records_max: bounds.records_max,
            // A look ends before whoever asked gives up, and says how far it got.
            audit_bounds: AuditBounds {
                wanted: bounds.page_rows,
                looked_at_max: bounds.audit_records_max,
                time: patience / 2,
            },
        }
    }

    /// Reads events.
    ///
    /// # Errors
    /// When the client of the registry cannot be made.
    pub fn codec(&self) -> Result<Arc<Codec>, Problem> {
        self.codec.clone().map_err(|error| Problem::unavailable(&error))
    }

    /// How many records each room has not finished.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub async fn lags(&self) -> Result<Arc<Lags>, Problem> {
        self.lags.get(|| read_lags(self.readers.clone(), self.rooms.clone())).await
    }

    /// Where the groups of the rooms stand.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub async fn groups(&self) -> Result<Arc<Groups>, Problem> {
        self.groups.get(|| groups::read(Arc::clone(&self.config), self.rooms.clone())).await
    }

    /// The resets that wait for a second person, oldest first.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer in time.
    pub async fn resets(
        &self,
        replays: &Arc<Replays>,
        refusal: fn(&ResetError) -> Problem,
    ) -> Result<Arc<Vec<Requested>>, Problem> {
        let read = || {
            let (replays, reads) = (Arc::clone(replays), Arc::clone(&self.reads));
            async move { reads.through(replays.resets_requested()).await?.map_err(|error| refusal(&error)) }
        };
        self.resets.get(read).await
    }

    /// Somebody has asked for a reset or agreed to one: what was read before does not count any more.
    pub fn groups_changed(&self) {
        self.groups.forget();
        self.resets.forget();
    }

    /// What people did and what was left out, by what is asked for; `name` stands for the question.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer in time.
    pub async fn audits(
        &self,
        name: &str,
        filter: AuditFilter,
        older: Option<Offsets>,
        wanted: usize,
    ) -> Result<Arc<AuditFound>, Problem> {
        let codec = self.codec()?;
        let bounds = AuditBounds { wanted, ..self.audit_bounds };
        let read = || {
            let (readers, codec, reads) = (self.readers.clone(), Arc::clone(&codec), Arc::clone(&self.reads));
            let (filter, older) = (filter.clone(), older.clone());
            async move {
                let look = audit::look(&readers, &codec, &filter, older.as_ref(), bounds);
                reads.through(look).await?.map_err(|error| Problem::unavailable(&error.to_string()))
            }
        };
        self.audits.of(name).get(read).await
    }

    /// The newest dead letters.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub async fn letters(&self) -> Result<Arc<Newest<Letter>>, Problem> {
        // What is held of each is a line of a list, not its bytes.
        let read = || {
            let (readers, most) = (self.readers.clone(), self.records_max);
            newest(readers, topics::OPS_DEAD_LETTER_V1.name(), most, |record| Letter::of(&record))
        };
        self.letters.get(read).await
    }

    /// Which dead letters are settled.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer in time.
    pub async fn settled(&self) -> Result<Arc<Settled>, Problem> {
        self.codec()?;
        // A look ends before whoever asked gives up, and the next one goes on from there.
        let time = self.audit_bounds.time;
        let read = || {
            let (settlements, reads) = (self.settlements.clone(), Arc::clone(&self.reads));
            async move {
                let Some(settlements) = settlements else { return Ok(Settled::default()) };
                let look = async move { settlements.look(time).await };
                let settled = reads.through(look).await?.map_err(|error| Problem::unavailable(&error.to_string()))?;
                Ok(Settled::clone(&settled))
            }
        };
        self.settled.get(read).await
    }

    /// Somebody has settled a dead letter: what was read before does not count any more.
    pub fn letters_changed(&self) {
        self.settled.forget();
    }

    /// What codes mean, and what is proposed for them. It may be some seconds old: an approval of what has changed since is refused.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer in time.
    pub async fn crosswalk(&self) -> Result<Arc<Vec<MasterCrosswalk>>, Problem> {
        let codec = self.codec()?;
        let read = || {
            let (config, codec, reads) = (Arc::clone(&self.config), Arc::clone(&codec), Arc::clone(&self.reads));
            async move {
                let unavailable = |error: CrosswalkError| Problem::unavailable(&error.to_string());
                let mappings = Crosswalk::new(config, codec).map_err(unavailable)?;
                reads.through(mappings.list()).await?.map_err(unavailable)
            }
        };
        self.mappings.get(read).await
    }

    /// What waits for a second person about mappings.
    ///
    /// # Errors
    /// As [`Desk::crosswalk`].
    pub async fn mapping_proposals(&self) -> Result<Vec<MappingProposal>, Problem> {
        Ok(self.crosswalk().await?.iter().filter_map(MappingProposal::of).collect())
    }

    /// Somebody has changed a mapping: what was read before does not count any more.
    pub fn mappings_changed(&self) {
        self.mappings.forget();
    }

    /// All plans of replays, oldest first.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer in time.
    pub async fn plans(
        &self,
        replays: &Arc<Replays>,
        refusal: fn(&ReplayError) -> Problem,
    ) -> Result<Arc<Vec<Plan>>, Problem> {
        let read = || {
            let (replays, reads) = (Arc::clone(replays), Arc::clone(&self.reads));
            async move { reads.through(replays.list()).await?.map_err(|error| refusal(&error)) }
        };
        self.plans.get(read).await
    }

    /// How a replay stands.
    ///
    /// # Errors
    /// When there is no such replay, or Kafka or the registry does not answer in time.
    pub async fn status(
        &self,
        replays: &Arc<Replays>,
        id: &str,
        refusal: fn(&ReplayError) -> Problem,
    ) -> Result<Arc<Status>, Problem> {
        let read = || {
            let (replays, reads, id) = (Arc::clone(replays), Arc::clone(&self.reads), id.to_owned());
            async move { reads.through(replays.status(&id)).await?.map_err(|error| refusal(&error)) }
        };
        self.statuses.of(id).get(read).await
    }

    /// Somebody has changed a replay: what was read of it before does not count any more.
    pub fn replay_changed(&self, id: &str) {
        self.plans.forget();
        self.statuses.of(id).forget();
    }

    /// What happened to an exception, as of the record about it that lies at this moment.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer in time.
    pub async fn history(&self, view: &ExceptionsView, id: &str, at: i64) -> Result<Arc<Vec<Step>>, Problem> {
        let read = || {
            let (view, reads, id) = (view.clone(), Arc::clone(&self.reads), id.to_owned());
            async move {
                let read = reads.through(view.history(&id)).await?;
                read.map_err(|error| Problem::unavailable(&error.to_string()))
            }
        };
        self.histories.of(&format!("{id}@{at}")).get(read).await
    }

    /// One record by its place, when it is still there.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn record(&self, topic: &'static str, partition: i32, offset: i64) -> Result<Option<Record>, Problem> {
        let readers = self.readers.clone();
        let read = blocking(move || readers.read_one(topic, partition, offset));
        self.reads.topics(read).await?
    }

    /// A received message as it came, when it is kept.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn message(&self, id: &MessageId) -> Result<Option<Message>, Problem> {
        let (readers, id) = (self.readers.clone(), id.clone());
        let read = blocking(move || messages::find(&readers, &id));
        self.reads.topics(read).await?
    }
}

impl RoomLag {
    /// Where the room stands, when it runs in this process.
    pub fn state(&self, site: &Site) -> Option<RoomState> {
        site.health.as_ref()?.states().remove(self.room)
    }
}

async fn read_lags(readers: Readers, rooms: Vec<RoomInfo>) -> Result<Lags, Problem> {
    // At the same time, because a client waits a while until it knows who keeps the positions of a group.
    let ask = |room: RoomInfo| {
        let readers = readers.clone();
        tokio::task::spawn_blocking(move || {
            let lag = match room.kind {
                RoomKind::Source => Ok(None),
                _ => readers
                    .group_lag(room.name, &room.reads)
                    .map(|partitions| Some(partitions.iter().map(|partition| partition.lag).sum())),
            };
            (room, lag)
        })
    };
    let asked: Vec<_> = rooms.into_iter().map(ask).collect();
    let mut rooms = Vec::with_capacity(asked.len());
    for asked in asked {
        let (room, lag) = asked.await.map_err(|error| Problem::defect(&error.to_string()))?;
        let (lag, unknown) = match lag {
            Ok(lag) => (lag, None),
            Err(error) => (None, Some(error.to_string())),
        };
        rooms.push(RoomLag { room: room.name, purpose: room.purpose, lag, unknown });
    }
    Ok(Lags { at: clock::now_micros(), rooms })
}

/// The newest records of a topic, newest first, as much of each as `of` takes; about as many of each partition.
async fn newest<T: Send + 'static>(
    readers: Readers,
    topic: &'static str,
    most: usize,
    of: fn(Record) -> T,
) -> Result<Newest<T>, Problem> {
    blocking(move || {
        let spans = readers.spans(&Range::all(topic))?;
        let share = i64::try_from(most / spans.len().max(1)).unwrap_or(i64::MAX).max(1);
        let (mut taken, mut has_more) = (Vec::new(), false);
        for (partition, span) in spans.into_iter().filter(|(_, span)| span.start < span.end) {
            let start = span.start.max(span.end.saturating_sub(share));
            has_more |= start > span.start;
            let range = Range {
                topic: topic.to_owned(),
                partitions: vec![partition],
                from: From::Offset(start),
                until: Until::Offset(span.end),
            };
            readers.read_range(&range, |record| {
                taken.push(((record.timestamp_ms, record.place.offset), of(record)));
                ControlFlow::Continue(())
            })?;
        }
        taken.sort_by_key(|(when, _)| std::cmp::Reverse(*when));
        Ok(Newest { records: taken.into_iter().map(|(_, record)| record).collect(), has_more })
    })
    .await
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Problem> {
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| Problem::defect(&error.to_string()))?;
    read.map_err(|error| Problem::unavailable(&error.to_string()))
}

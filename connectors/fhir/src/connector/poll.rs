//! One round: the deletions, then a sweep of each resource type.

use super::http::{Answer, FhirServer, ServerError};
use super::memory::Memory;
use super::page::{self, Page};
use super::position::Position;
use super::records::{self, Consumed, connector};
use super::shelf::{Asking, Cache};
use super::{DELETIONS, POLL};
use crate::config::FhirConfig;
use crate::mapping::{self, Identity, Profile};
use crate::outcome::{Outcome, Refusal};
use crate::parse::{Context, Deletion, content_hash, map_json, unreadable, withdraw, year_of};
use crate::seen::Seen;
use fhir_gate::Version;
use fhir_gate::json::Json;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::TransactionalPublisher;
use runtime::telemetry::{Attribute, RecordSpan, start_span};
use runtime::{RoomContext, RoomError, clock};
use schemas::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How deep references are followed: a device use to its procedure to the encounter to the patient.
const REFERENCE_ROUNDS: usize = 4;
/// Most deletions of one look at the history.
const DELETIONS_MAX: usize = 100_000;

/// How far the position in the history may be ahead of the stored one, microseconds.
const HISTORY_STORE_MICROS: i64 = 60_000_000;

/// What went wrong at the server ends a round; what went wrong at Kafka ends the session.
type Round<T> = Result<Result<T, ServerError>, RoomError>;

/// Passes an error of the server on, out of a [`Round`].
macro_rules! served {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

/// The state of a session.
pub(super) struct Poll {
    config: FhirConfig,
    pub(super) context: RoomContext,
    profile: Profile,
    server: FhirServer,
    publisher: TransactionalPublisher,
    positions: HashMap<String, Position>,
    seen: Seen,
    cache: Cache,
    /// Where a sweep that was cut at `pages_max` goes on, by stream.
    unfinished: HashMap<String, String>,
    /// The server has no history of all resources.
    no_history: bool,
    /// The position in the history that is stored.
    history_stored: Timestamp,
}

/// A page with what it was made from.
struct Fetched {
    bytes: Vec<u8>,
    bundle: Json,
    page: Page,
    version: Option<Version>,
    span: RecordSpan,
    at: Timestamp,
}

impl Poll {
    pub(super) fn new(
        config: FhirConfig,
        context: RoomContext,
        profile: Profile,
        server: FhirServer,
        publisher: TransactionalPublisher,
        memory: Memory,
    ) -> Self {
        let cache = Cache::new(config.cache_entries_max);
        let Memory { positions, seen } = memory;
        let (unfinished, no_history) = (HashMap::new(), !config.deletions);
        let history_stored = positions.get(DELETIONS).and_then(|position| position.from(0)).unwrap_or_default();
        Self {
            history_stored,
            config,
            context,
            profile,
            server,
            publisher,
            positions,
            seen,
            cache,
            unfinished,
            no_history,
        }
    }

    /// How long to wait after so many failures in a row.
    pub(super) fn back_off(&self, failures: u32) -> Duration {
        let factor = 1_u64 << failures.saturating_sub(1).min(20);
        Duration::from_millis(self.config.retry_delay_ms.saturating_mul(factor).min(self.config.retry_delay_max_ms))
    }

    /// Everything once.
    pub(super) async fn round(&mut self) -> Round<()> {
        let oldest = clock::now_micros().saturating_sub_unsigned(self.config.cache_age_max_ms.saturating_mul(1_000));
        self.cache.forget(Timestamp(oldest));
        if !self.no_history {
            served!(self.sweep_deletions().await?);
        }
        for resource_type in self.config.types() {
            served!(self.sweep(&resource_type).await?);
        }
        Ok(Ok(()))
    }

    /// Reads what is new of one resource type, page by page.
    async fn sweep(&mut self, resource_type: &str) -> Round<()> {
        let stream = format!("{POLL}{resource_type}");
        let mut url = match self.unfinished.remove(&stream) {
            Some(link) => served!(self.server.next(&link)),
            None => {
                let mut query =
                    vec![("_sort", "_lastUpdated".to_owned()), ("_count", self.config.page_size.to_string())];
                if let Some(from) =
                    self.positions.get(&stream).and_then(|position| position.from(self.config.overlap_ms))
                {
                    query.push(("_lastUpdated", format!("ge{from}")));
                }
                served!(self.server.address(resource_type, &query))
            }
        };
        for number in 1.. {
            let fetched = served!(self.fetch(url, resource_type).await);
            let next = fetched.page.next.clone();
            served!(self.consume(&stream, resource_type, fetched).await?);
            let Some(next) = next.filter(|_| !self.context.shutdown.requested()) else { break };
            if number >= self.config.pages_max {
                self.unfinished.insert(stream, next);
                break;
            }
            url = served!(self.server.next(&next));
        }
        Ok(Ok(()))
    }

    /// One page: everything it brings and the position behind it, in one transaction.
    async fn consume(&mut self, stream: &str, resource_type: &str, fetched: Fetched) -> Round<()> {
        // The server may fail here, so nothing is settled before all that the page refers to is at hand.
        served!(self.fill_shelf(stream, &fetched).await);
        let Fetched { bytes, bundle, page, version, span, at } = fetched;
        // Taken, not copied: from here on only an error that ends the session leaves early.
        let mut position = self.positions.remove(stream).unwrap_or_default();
        let mut records = Vec::new();
        for entry in &page.entries {
            let raw = bytes.get(entry.bytes.clone()).unwrap_or_default();
            let message_id = message_id(&entry.identity, resource_type, raw);
            let Some(resource) = page::resource(&bundle, entry.index).filter(|_| !position.knows(&message_id)) else {
                continue;
            };
            let attributes = [Attribute::Room(crate::NAME), Attribute::MessageType(resource_type)];
            let mut span = start_span("fhir.resource", Some(span.traceparent()), &attributes);
            let outcome = self.map(resource, raw, version, at);
            span.set(Attribute::Outcome(outcome.name()));
            if let Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) = &outcome {
                span.fail(refusal.code);
                tracing::warn!(code = refusal.code, path = refusal.path, "a resource was refused");
            }
            let consumed = Consumed {
                system: &self.config.system,
                resource_type,
                message_id: &message_id,
                bytes: raw,
                at,
                is_kept: self.config.keep_sources,
            };
            records.extend(consumed.records(&outcome, &self.publisher, span.traceparent())?);
            records::count(&outcome, &self.context);
            let stored_at = entry.identity.as_ref().ok().and_then(|identity| identity.last_updated);
            position.note(message_id, stored_at.map(|moment| moment.at).or(page.made_at).unwrap_or(at));
        }
        self.commit(stream, position, records, at).await.map(Ok)
    }

    fn map(&mut self, resource: &Json, raw: &[u8], version: Option<Version>, at: Timestamp) -> Outcome {
        let shelf = Asking::new(&self.cache);
        let version = version.or(Some(self.config.version));
        let context = Context { profile: &self.profile, version, shelf: &shelf, received_at: at };
        map_json(resource, raw, &context, &mut self.seen)
    }

    /// Puts the resources of a page on the shelf, and reads what the new ones refer to from the server.
    async fn fill_shelf(&mut self, stream: &str, fetched: &Fetched) -> Result<(), ServerError> {
        let version = fetched.version.unwrap_or(self.config.version);
        let mut new = Vec::new();
        for entry in &fetched.page.entries {
            let (Ok(identity), Some(resource)) = (&entry.identity, page::resource(&fetched.bundle, entry.index)) else {
                continue;
            };
            if ["Device", "Encounter", "Patient", "Procedure"].contains(&identity.resource_type.as_str()) {
                self.cache.put(identity.name(), Some(Arc::new(resource.clone())), fetched.at);
            }
            let raw = fetched.bytes.get(entry.bytes.clone()).unwrap_or_default();
            let message_id = message_id(&entry.identity, &identity.resource_type, raw);
            if !self.positions.get(stream).is_some_and(|position| position.knows(&message_id)) {
                new.push(resource);
            }
        }
        for _ in 0..REFERENCE_ROUNDS {
            let asking = Asking::new(&self.cache);
            for resource in &new {
                // Only what it asks for counts here; what it states is read when all is at hand.
                drop(mapping::read(resource, version, &self.profile, &asking, year_of(fetched.at)));
            }
            let wanted = asking.wanted();
            if wanted.is_empty() {
                break;
            }
            for name in wanted {
                let answer = self.get(self.server.address(&name, &[])?, fetched.span.traceparent()).await?;
                let found = if answer.status.is_success() { Json::read(&answer.body).ok() } else { None };
                self.cache.put(name, found.map(Arc::new), fetched.at);
            }
        }
        Ok(())
    }

    /// Reads an address, unless the stop is asked for first.
    async fn get(&self, url: reqwest::Url, traceparent: &str) -> Result<Answer, ServerError> {
        tokio::select! {
            answer = self.server.get(url, traceparent) => answer,
            () = self.context.shutdown.wait() => {
                Err(ServerError::Unavailable { reason: "stopping".to_owned(), retry_after: None })
            }
        }
    }

    /// Looks for deletions. The newest entry of a resource decides: what was stored again after its deletion lives.
    async fn sweep_deletions(&mut self) -> Round<()> {
        let since = self.positions.get(DELETIONS).and_then(|position| position.from(self.config.overlap_ms));
        let Some(since) = since else { return self.begin_deletions().await };
        let query = [("_since", since.to_string()), ("_count", self.config.page_size.to_string())];
        let mut url = served!(self.server.address("_history", &query));
        let (mut alive, mut found): (BTreeSet<String>, Vec<Deletion>) = (BTreeSet::new(), Vec::new());
        let mut made_at = None;
        loop {
            let fetched = match self.fetch(url, DELETIONS).await {
                Err(ServerError::Refused { status }) => {
                    tracing::warn!(status, "the FHIR server has no history: deletions are not seen");
                    self.no_history = true;
                    return Ok(Ok(()));
                }
                other => served!(other),
            };
            let Page { deletions, alive: living, next, made_at: now, .. } = fetched.page;
            found.extend(deletions.into_iter().filter(|deletion| !alive.contains(&deletion.name)));
            alive.extend(living);
            made_at = made_at.or(now);
            if found.len() > DELETIONS_MAX {
                return Err(RoomError::Room(format!("WL-2027: more than {DELETIONS_MAX} deletions at once")));
            }
            let Some(next) = next else { break };
            url = served!(self.server.next(&next));
        }
        let at = Timestamp(clock::now_micros());
        let mut position = self.positions.remove(DELETIONS).unwrap_or_default();
        let mut records = Vec::new();
        // Oldest first.
        for deletion in found.into_iter().rev() {
            records.extend(self.delete(&deletion, &mut position, made_at.unwrap_or(at), at)?);
        }
        if let Some(made_at) = made_at {
            position.reach(made_at);
        }
        // Nothing to tell moves the position in memory only, but not so far that a restart has much to read again.
        let stale =
            position.from(0).is_some_and(|now| now.micros() - self.history_stored.micros() > HISTORY_STORE_MICROS);
        if stale && records.is_empty() {
            return self.store(DELETIONS, position, records, at).await.map(Ok);
        }
        self.commit(DELETIONS, position, records, at).await.map(Ok)
    }

    /// The first look: nothing was told before it, so only the server's time counts.
    async fn begin_deletions(&mut self) -> Round<()> {
        let query = [("_count", "1".to_owned())];
        let url = served!(self.server.address("_history", &query));
        match self.fetch(url, DELETIONS).await {
            Ok(fetched) => {
                let mut position = Position::default();
                position.reach(fetched.page.made_at.unwrap_or(fetched.at));
                self.store(DELETIONS, position, Vec::new(), fetched.at).await.map(Ok)
            }
            Err(ServerError::Refused { status }) => {
                tracing::warn!(status, "the FHIR server has no history: deletions are not seen");
                self.no_history = true;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn delete(
        &mut self,
        deletion: &Deletion,
        position: &mut Position,
        stored_at: Timestamp,
        at: Timestamp,
    ) -> Result<Vec<Outgoing>, RoomError> {
        let (resource_type, _) = deletion.name.split_once('/').unwrap_or_default();
        let message_id = format!("{}/_history/{}", deletion.name, deletion.version_id.as_deref().unwrap_or("deleted"));
        self.cache.remove(&deletion.name);
        if !self.config.types().iter().any(|known| known == resource_type) || position.knows(&message_id) {
            return Ok(Vec::new());
        }
        let span =
            start_span("fhir.deletion", None, &[Attribute::Room(crate::NAME), Attribute::MessageType(resource_type)]);
        let shelf = Asking::new(&self.cache);
        let context =
            Context { profile: &self.profile, version: Some(self.config.version), shelf: &shelf, received_at: at };
        let outcome = withdraw(&deletion.name, deletion.version_id.as_deref(), &context, &mut self.seen);
        let consumed = Consumed {
            system: &self.config.system,
            resource_type,
            message_id: &message_id,
            bytes: b"",
            at,
            is_kept: false,
        };
        let records = consumed.records(&outcome, &self.publisher, span.traceparent())?;
        records::count(&outcome, &self.context);
        position.note(message_id, stored_at);
        Ok(records)
    }

    /// Stores records with the position behind them, if there is anything to store.
    async fn commit(
        &mut self,
        stream: &str,
        mut position: Position,
        records: Vec<Outgoing>,
        at: Timestamp,
    ) -> Result<(), RoomError> {
        position.prune(self.config.overlap_ms, self.config.overlap_versions_max);
        if records.is_empty() {
            self.positions.insert(stream.to_owned(), position);
            return Ok(());
        }
        self.store(stream, position, records, at).await
    }

    async fn store(
        &mut self,
        stream: &str,
        position: Position,
        mut records: Vec<Outgoing>,
        at: Timestamp,
    ) -> Result<(), RoomError> {
        let system = &self.config.system;
        records.extend(records::state(self.seen.changes(), system, at, &self.publisher)?);
        let cursor = position.store(&connector(system), stream, at);
        records.push(self.publisher.event(&cursor, &Lineage::default())?);
        self.publisher.commit(records).await?;
        self.context.metrics.transactions_committed.inc();
        if stream == DELETIONS {
            self.history_stored = position.from(0).unwrap_or_default();
        }
        self.positions.insert(stream.to_owned(), position);
        Ok(())
    }

    async fn fetch(&self, url: reqwest::Url, what: &str) -> Result<Fetched, ServerError> {
        let span = start_span("fhir.poll", None, &[Attribute::Room(crate::NAME), Attribute::MessageType(what)]);
        let answer = self.get(url, span.traceparent()).await?;
        if !answer.status.is_success() {
            return Err(ServerError::Refused { status: answer.status.as_u16() });
        }
        let bundle = Json::read(&answer.body).map_err(|error| {
            let Refusal { code, path, detail, .. } = unreadable(&error);
            ServerError::NoPage(format!("{code} at {path}: {detail}"))
        })?;
        let page = Page::of(&bundle).map_err(|_| ServerError::NoPage("it is another resource".to_owned()))?;
        Ok(Fetched {
            bytes: answer.body,
            bundle,
            page,
            version: answer.version,
            span,
            at: Timestamp(clock::now_micros()),
        })
    }
}

fn message_id(identity: &Result<Identity, Refusal>, resource_type: &str, raw: &[u8]) -> String {
    let name = identity.as_ref().map_or_else(|_| resource_type.to_owned(), Identity::name);
    match identity.as_ref().ok().and_then(|identity| identity.version_id.as_ref()) {
        Some(version) => format!("{name}/_history/{version}"),
        None => format!("{name}#{}", content_hash(raw)),
    }
}

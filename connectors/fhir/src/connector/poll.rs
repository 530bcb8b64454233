//! One round: the deletions of each resource type, then a sweep of each. One that fails keeps no other from its turn.

mod deletions;

use super::POLL;
use super::http::{Answer, FhirServer, ServerError};
use super::memory::Memory;
use super::page::{self, Entry, Page};
use super::position::Position;
use super::records::{self, Consumed, connector};
use super::salvage;
use super::shelf::{Asking, Cache};
use crate::config::FhirConfig;
use crate::mapping::{self, Found, Identity, Profile};
use crate::outcome::{Outcome, Refusal};
use crate::parse::{Context, content_hash, map_json, unreadable, year_of};
use crate::seen::Seen;
use deletions::Deletions;
use fhir_gate::Version;
use fhir_gate::json::Json;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::TransactionalPublisher;
use runtime::telemetry::{Attribute, RecordSpan, start_span};
use runtime::{RoomContext, RoomError, clock};
use schemas::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// How deep references are followed: a device use to its procedure to the encounter to the patient.
const REFERENCE_ROUNDS: usize = 4;

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
use served;

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
    deletions: Deletions,
    /// Sweeps that fail, by type and by what is swept of it.
    resting: HashMap<(String, &'static str), Rest>,
}

/// What is swept of a type.
const DELETIONS: &str = "its deletions";
const VERSIONS: &str = "its versions";

/// How often in a row a sweep has failed, and how many rounds it sits out.
struct Rest {
    failures: u32,
    rounds: u64,
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
        let deletions = Deletions::new(&positions);
        let (unfinished, resting) = (HashMap::new(), HashMap::new());
        Self { config, context, profile, server, publisher, positions, seen, cache, unfinished, deletions, resting }
    }

    /// How many rounds to sit out after so many failures in a row.
    fn rest_after(&self, failures: u32) -> u64 {
        let factor = 1_u64 << failures.saturating_sub(1).min(20);
        let delay_ms = self.config.retry_delay_ms.saturating_mul(factor).min(self.config.retry_delay_max_ms);
        delay_ms / self.config.poll_interval_ms.max(1)
    }

    /// Whether a sweep that has failed sits this round out, so that what works is not held up.
    fn rests(&mut self, of: &str, what: &'static str) -> bool {
        let Some(rest) = self.resting.get_mut(&(of.to_owned(), what)) else { return false };
        let rests = rest.rounds > 0;
        rest.rounds = rest.rounds.saturating_sub(1);
        rests
    }

    /// Everything once. What fails is tried again in the next round; of several errors, the one that asks for the longest
    /// wait is returned.
    pub(super) async fn round(&mut self) -> Round<()> {
        let oldest = clock::now_micros().saturating_sub_unsigned(self.config.cache_age_max_ms.saturating_mul(1_000));
        self.cache.forget(Timestamp(oldest));
        let types = self.config.types();
        let mut round = Ok(());
        if self.config.deletions {
            for resource_type in &types {
                if !self.rests(resource_type, DELETIONS) {
                    let swept = self.sweep_deletions(resource_type).await?;
                    self.note(&mut round, swept, resource_type, DELETIONS);
                }
            }
        }
        for resource_type in &types {
            if !self.rests(resource_type, VERSIONS) {
                let swept = self.sweep(resource_type).await?;
                self.note(&mut round, swept, resource_type, VERSIONS);
            }
        }
        Ok(round)
    }

    /// Takes note of how a sweep ended. After a stop each of them ends early, which is no failure of the server.
    fn note(
        &mut self,
        round: &mut Result<(), ServerError>,
        swept: Result<(), ServerError>,
        of: &str,
        what: &'static str,
    ) {
        let stream = (of.to_owned(), what);
        let Err(error) = swept else {
            self.resting.remove(&stream);
            return;
        };
        if self.context.shutdown.requested() {
            return;
        }
        let failures = self.resting.get(&stream).map_or(0, |rest| rest.failures).saturating_add(1);
        let rounds = self.rest_after(failures);
        self.resting.insert(stream, Rest { failures, rounds });
        tracing::warn!(%error, resource_type = of, what, failures, rounds, "a sweep of the FHIR server failed, the others go on");
        if round.as_ref().err().is_none_or(|known| known.retry_after() < error.retry_after()) {
            *round = Err(error);
        }
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
            self.begin_deletions(resource_type, &fetched).await?;
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
        // What has no time was stored about when its neighbour was; the time of the page may be far ahead of it.
        let mut stored_at = page.entries.iter().find_map(Entry::stored_at).or(page.made_at).unwrap_or(at);
        for entry in &page.entries {
            stored_at = entry.stored_at().unwrap_or(stored_at);
            let raw = bytes.get(entry.bytes.clone()).unwrap_or_default();
            let message_id = message_id(&entry.identity, resource_type, raw);
            if position.knows(&message_id) {
                continue;
            }
            let attributes = [Attribute::Room(crate::NAME), Attribute::MessageType(resource_type)];
            let mut span = start_span("fhir.resource", Some(span.traceparent()), &attributes);
            let outcome = match (&entry.refusal, page::resource(&bundle, entry.index)) {
                (Some(refusal), _) => Outcome::DeadLetter(refusal.clone()),
                (None, Some(resource)) => self.map(resource, raw, version, at),
                (None, None) => continue,
            };
            let consumed = Consumed {
                system: &self.config.system,
                resource_type,
                message_id: &message_id,
                bytes: raw,
                at,
                is_kept: self.config.keep_sources,
            };
            let (outcome, made) = consumed.records(outcome, &self.publisher, span.traceparent())?;
            span.set(Attribute::Outcome(outcome.name()));
            if let Outcome::Exception(refusal) | Outcome::DeadLetter(refusal) = &outcome {
                span.fail(refusal.code);
                tracing::warn!(code = refusal.code, path = refusal.path, "a resource was refused");
            }
            records.extend(made);
            records::count(&outcome, &self.context);
            position.note(message_id, stored_at);
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
        for entry in fetched.page.entries.iter().filter(|entry| entry.refusal.is_none()) {
            let (Ok(identity), Some(resource)) = (&entry.identity, page::resource(&fetched.bundle, entry.index)) else {
                continue;
            };
            if ["Device", "Encounter", "Patient", "Procedure"].contains(&identity.resource_type.as_str()) {
                self.cache.put(identity.name(), Found::Here(Arc::new(resource.clone())), fetched.at);
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
                let found = self.refer(&name, fetched.span.traceparent()).await?;
                self.cache.put(name, found, fetched.at);
            }
        }
        Ok(())
    }

    /// Reads a resource that another one refers to. One that this room may not read (a sealed record), or cannot, is not at
    /// hand: what refers to it is told without it, and says so.
    async fn refer(&self, name: &str, traceparent: &str) -> Result<Found, ServerError> {
        let found = match self.get(self.server.address(name, &[])?, traceparent).await {
            Ok(answer) if !answer.status.is_success() => return Ok(Found::Gone),
            Ok(answer) => Json::read(&answer.body).map_or(Found::NotAtHand, |resource| Found::Here(Arc::new(resource))),
            Err(ServerError::Refused { status: 403 } | ServerError::TooLong { .. }) => Found::NotAtHand,
            Err(error) => return Err(error),
        };
        if matches!(found, Found::NotAtHand) {
            let resource_type = name.split('/').next();
            tracing::warn!(resource_type, "a resource that is referred to may not or cannot be read");
        }
        Ok(found)
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
        self.deletions.stored(stream, &position);
        self.positions.insert(stream.to_owned(), position);
        Ok(())
    }

    async fn fetch(&self, url: reqwest::Url, what: &str) -> Result<Fetched, ServerError> {
        let span = start_span("fhir.poll", None, &[Attribute::Room(crate::NAME), Attribute::MessageType(what)]);
        let answer = self.get(url, span.traceparent()).await?;
        if !answer.status.is_success() {
            return Err(ServerError::Refused { status: answer.status.as_u16() });
        }
        let (bundle, flaws) = salvage::read(&answer.body).map_err(|error| {
            let Refusal { code, path, detail, .. } = unreadable(&error);
            ServerError::NoPage(format!("{code} at {path}: {detail}"))
        })?;
        let page = Page::of(&bundle, flaws).map_err(|_| ServerError::NoPage("it is another resource".to_owned()))?;
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

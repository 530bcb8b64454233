//! Deletions, from the history of each resource type: what a deleted resource told is taken back.

use super::{Poll, Round, served};
use crate::connector::DELETIONS;
use crate::connector::http::ServerError;
use crate::connector::page::Page;
use crate::connector::position::Position;
use crate::connector::records::{self, Consumed};
use crate::connector::shelf::Asking;
use crate::parse::{Context, Deletion, withdraw};
use runtime::outgoing::Outgoing;
use runtime::telemetry::{Attribute, start_span};
use runtime::{RoomError, clock};
use schemas::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// Most deletions of one look at the history.
const DELETIONS_MAX: usize = 100_000;
/// How far a position in the history may be ahead of the stored one, microseconds.
const STORE_MICROS: i64 = 60_000_000;
/// Rounds until a server that has no history of a type is asked again: a gateway may have said so in its place.
const NO_HISTORY_ROUNDS: u32 = 100;

/// What a session knows of the histories.
pub(super) struct Deletions {
    /// Rounds until a history is asked for again that was not there, by resource type.
    absent: HashMap<String, u32>,
    /// The stored positions, by stream.
    stored: HashMap<String, Timestamp>,
}

impl Deletions {
    pub(super) fn new(positions: &HashMap<String, Position>) -> Self {
        let mut deletions = Self { absent: HashMap::new(), stored: HashMap::new() };
        positions.iter().for_each(|(stream, position)| deletions.stored(stream, position));
        deletions
    }

    /// Takes note of a position that was stored.
    pub(super) fn stored(&mut self, stream: &str, position: &Position) {
        if stream.starts_with(DELETIONS) {
            self.stored.insert(stream.to_owned(), position.from(0).unwrap_or_default());
        }
    }

    /// Whether the history of a type is passed over in this round.
    fn passes_over(&mut self, resource_type: &str) -> bool {
        match self.absent.get_mut(resource_type) {
            Some(rounds) if *rounds > 0 => {
                *rounds -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Poll {
    /// Looks for deletions of one type. The newest entry of a resource decides: what was stored again after its deletion lives.
    pub(super) async fn sweep_deletions(&mut self, resource_type: &str) -> Round<()> {
        let since = self.deletions_since(resource_type).and_then(|position| position.from(self.config.overlap_ms));
        // Nothing of this type was told yet.
        let Some(since) = since else { return Ok(Ok(())) };
        if self.deletions.passes_over(resource_type) {
            return Ok(Ok(()));
        }
        let query = [("_since", since.to_string()), ("_count", self.config.page_size.to_string())];
        let mut url = served!(self.server.address(&format!("{resource_type}/_history"), &query));
        let (mut alive, mut found): (BTreeSet<String>, Vec<Deletion>) = (BTreeSet::new(), Vec::new());
        let (mut made_at, mut is_first) = (None, true);
        loop {
            let fetched = match self.fetch(url, DELETIONS).await {
                // On a further page it is a link that has expired, and any other refusal says nothing of what the server has.
                Err(ServerError::Refused { status: status @ (404 | 405 | 501) }) if is_first => {
                    tracing::warn!(status, resource_type, "the FHIR server has no history: deletions are not seen");
                    self.deletions.absent.insert(resource_type.to_owned(), NO_HISTORY_ROUNDS);
                    return Ok(Ok(()));
                }
                other => served!(other),
            };
            is_first = false;
            if !fetched.page.is_whole {
                return Ok(Err(ServerError::NoPage("an entry of the history cannot be read".to_owned())));
            }
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
        self.deletions.absent.remove(resource_type);
        self.take_back(resource_type, found, made_at).await.map(Ok)
    }

    /// Begins to look for the deletions of a type with the first page of it that is read: nothing of it was told before, so
    /// only the server's time counts, and what is told from here on is taken back, also when the history cannot be read now.
    pub(super) async fn begin_deletions(
        &mut self,
        resource_type: &str,
        fetched: &super::Fetched,
    ) -> Result<(), RoomError> {
        if !self.config.deletions || self.deletions_since(resource_type).is_some() {
            return Ok(());
        }
        let mut position = Position::default();
        position.reach(fetched.page.made_at.unwrap_or(fetched.at));
        self.store(&stream_of(resource_type), position, Vec::new(), fetched.at).await
    }

    fn deletions_since(&self, resource_type: &str) -> Option<&Position> {
        self.positions.get(&stream_of(resource_type)).or_else(|| self.positions.get(DELETIONS))
    }

    /// Takes back what deleted resources told; `found` comes newest first.
    async fn take_back(
        &mut self,
        resource_type: &str,
        found: Vec<Deletion>,
        made_at: Option<Timestamp>,
    ) -> Result<(), RoomError> {
        let at = Timestamp(clock::now_micros());
        let stream = stream_of(resource_type);
        let mut position = self.deletions_since(resource_type).cloned().unwrap_or_default();
        let mut records = Vec::new();
        for deletion in found.into_iter().rev() {
            records.extend(self.delete(resource_type, &deletion, &mut position, made_at.unwrap_or(at), at)?);
        }
        if let Some(made_at) = made_at {
            position.reach(made_at);
        }
        // Nothing to tell moves the position in memory only, but not so far that a restart has much to read again.
        let stored = self.deletions.stored.get(&stream).copied().unwrap_or_default();
        let is_stale = position.from(0).is_some_and(|now| now.micros() - stored.micros() > STORE_MICROS);
        if is_stale && records.is_empty() {
            return self.store(&stream, position, records, at).await;
        }
        self.commit(&stream, position, records, at).await
    }

    fn delete(
        &mut self,
        resource_type: &str,
        deletion: &Deletion,
        position: &mut Position,
        stored_at: Timestamp,
        at: Timestamp,
    ) -> Result<Vec<Outgoing>, RoomError> {
        let message_id = format!("{}/_history/{}", deletion.name, deletion.version_id.as_deref().unwrap_or("deleted"));
        self.cache.remove(&deletion.name);
        let is_of_type = deletion.name.split('/').next() == Some(resource_type);
        if !is_of_type || position.knows(&message_id) {
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
        let (outcome, records) = consumed.records(outcome, &self.publisher, span.traceparent())?;
        records::count(&outcome, &self.context);
        position.note(message_id, stored_at);
        Ok(records)
    }
}

/// The stream of the deletions of a type.
fn stream_of(resource_type: &str) -> String {
    format!("{DELETIONS}/{resource_type}")
}

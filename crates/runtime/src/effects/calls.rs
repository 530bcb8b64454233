//! Calls to the outside: grouped into documents, intended on record, then made.

use super::ahead::Intended;
use super::index::EffectIndex;
use super::targets::Targets;
use super::{Called, Event, Outcome, Parts};
use crate::Map;
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::{Cluster, Membership};
use crate::codec::WireError;
use crate::config::Limits;
use crate::desk::EffectFacts;
use crate::outgoing::Outgoing;
use crate::parking::Lane;
use crate::record::Record;
use crate::telemetry::{Attribute, start_span};
use connector::effect::{Action, CallError, Effect, EffectClient, with_traceparent};
use schemas::EffectState;
use std::borrow::Cow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// One event whose effect is asked for.
pub(super) struct Item<E: Effect> {
    pub lane: Lane,
    pub record: Arc<Record>,
    pub input: E::Input,
    pub action: Action<E::Request>,
    pub attempt: u32,
    /// By how many classes it is less urgent than the most urgent events of the room.
    pub below: usize,
    /// Its effect record, asked for while it was behind the head of its lane.
    pub intended: Option<Intended>,
}

/// A call under way.
pub(super) struct Running<E: Effect> {
    pub items: Vec<Item<E>>,
    pub document_key: String,
    pub look_up: bool,
    target: String,
    began: Tick,
}

/// Calls under way, and what waits for each target.
pub(super) struct Calls<E: Effect> {
    pub targets: Targets<E>,
    /// Items that gather or are under way.
    held: usize,
    running: Map<u64, Running<E>>,
    next: u64,
}

impl<E: Effect> Calls<E> {
    pub fn new(targets: Targets<E>) -> Self {
        Self { targets, held: 0, running: Map::default(), next: 0 }
    }

    /// Whether more lanes may start.
    pub fn has_room(&self, limits: &Limits) -> bool {
        self.held < limits.lanes_max
    }

    /// Number of calls under way.
    pub fn under_way(&self) -> usize {
        self.running.len()
    }

    /// Whether nothing is under way. What only gathers has not begun and does not count.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Adds a line to the document that gathers under its batch key, or starts one of its own.
    pub fn gather(&mut self, item: Item<E>, solo: bool, linger: Duration) {
        self.held += 1;
        self.targets.gather(item, solo, linger, tick());
    }

    fn register(&mut self, items: Vec<Item<E>>, document_key: String, look_up: bool) -> u64 {
        self.next += 1;
        let target = items.first().map(|item| item.action.target.clone()).unwrap_or_default();
        let began = tick();
        if look_up {
            self.held += 1;
            self.targets.looks_up(&target, class_of(&items), began);
        }
        self.running.insert(self.next, Running { items, document_key, look_up, target, began });
        self.next
    }

    /// Takes an ended call; none when it was abandoned.
    pub fn take(&mut self, number: u64) -> Option<Running<E>> {
        let running = self.running.remove(&number)?;
        self.held = self.held.saturating_sub(running.items.len());
        let took = tick().since(running.began);
        self.targets.ended(&running.target, class_of(&running.items), running.items.len(), took);
        Some(running)
    }

    /// Forgets what is under way: its partitions have gone, and its answers will not be looked at.
    pub fn abandon(&mut self) {
        self.targets.clear();
        self.held = 0;
        self.running.clear();
    }
}

impl<E: Effect, K: Cluster> super::engine::Engine<E, K> {
    /// Sends the documents that are full or have waited long enough.
    pub fn flush_batches(&mut self) {
        for mut items in self.calls.targets.take_due(tick()) {
            let ahead = match items.as_mut_slice() {
                [alone] => alone.intended.take().filter(|intended| intended.is_fresh(self.parts.intent_valid())),
                _ => None,
            };
            let intended = ahead.unwrap_or_else(|| self.intend(&items));
            let document_key = intended.document_key.clone();
            mark_intended(&mut self.index, &items, &document_key, tick().after(self.parts.certain_after()));
            let requests: Vec<E::Request> = items.iter().map(|item| item.action.request.clone()).collect();
            let span_parent = items.first().and_then(|item| trace_of(&item.record));
            let target = items.first().map(|item| item.action.target.clone()).unwrap_or_default();
            let number = self.calls.register(items, document_key.clone(), false);
            let call = Call::of(&self.parts, number, document_key, requests, span_parent, target);
            (self.parts.spawn)(Box::pin(call.make(intended)));
        }
    }

    /// Has the effect records of a document written.
    fn intend(&self, items: &[Item<E>]) -> Intended {
        let document_key = document_key(items.iter().map(|item| item.action.effect_key.as_str()));
        let line =
            |item: &Item<E>| intent(&self.parts, (&item.record, &item.action, item.attempt), &document_key, None);
        let records: Result<_, _> = items.iter().map(line).collect();
        let written = records.and_then(|records| self.write(records));
        Intended { document_key, written, asked: tick() }
    }

    /// Asks the other side what became of an earlier call.
    pub fn look_up(&mut self, item: Item<E>, document_key: String) {
        let requests = vec![item.action.request.clone()];
        let span_parent = trace_of(&item.record);
        let target = item.action.target.clone();
        let number = self.calls.register(vec![item], document_key.clone(), true);
        let call = Call::of(&self.parts, number, document_key, requests, span_parent, target);
        (self.parts.spawn)(Box::pin(call.ask()));
    }
}

/// What a call needs on the async runtime.
struct Call<E: Effect, K: Cluster> {
    number: u64,
    document_key: String,
    requests: Vec<E::Request>,
    span_parent: Option<String>,
    target: String,
    room: &'static str,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    /// How long an effect record that is about to be written says whose the partitions are.
    valid: Duration,
    mailbox: super::Mailbox<E::Response>,
    events: std::sync::mpsc::Sender<Event<Membership<K>>>,
}

impl<E: Effect, K: Cluster> Call<E, K> {
    fn of(
        parts: &Parts<E, K>,
        number: u64,
        document_key: String,
        requests: Vec<E::Request>,
        span_parent: Option<String>,
        target: String,
    ) -> Self {
        Self {
            number,
            document_key,
            requests,
            span_parent,
            target,
            room: parts.desk.room,
            client: Arc::clone(&parts.client),
            valid: parts.intent_valid(),
            mailbox: Arc::clone(&parts.mailbox),
            events: parts.events.clone(),
        }
    }

    async fn make(self, intended: Intended) {
        let outcome = match self.intend(intended).await {
            Err(reason) => Outcome::NotIntended(reason),
            Ok(()) => {
                let mut span = self.span("effect.call");
                let call = self.client.call(&self.document_key, &self.requests);
                match with_traceparent(span.traceparent().to_owned(), call).await {
                    Ok(answers) => self.deliver(answers),
                    Err(error) => {
                        span.fail(error_name(&error));
                        Outcome::Failed(error)
                    }
                }
            }
        };
        self.tell(outcome);
    }

    async fn ask(self) {
        let span = self.span("effect.look-up");
        let call = self.client.look_up(&self.document_key, &self.requests);
        let outcome = match with_traceparent(span.traceparent().to_owned(), call).await {
            Ok(Some(answers)) => self.deliver(answers),
            Ok(None) => Outcome::NotFound,
            Err(error) => Outcome::Failed(error),
        };
        drop(span);
        self.tell(outcome);
    }

    /// The effect records must be durable before anything happens outside. When that took so long that the partitions may
    /// belong to somebody else by now (a process that was paused), nothing happens.
    async fn intend(&self, intended: Intended) -> Result<(), String> {
        let written = intended.written.map_err(|error| error.to_string())?.await;
        written.unwrap_or_else(|_| Err("the writer of effect records has stopped".to_owned()))?;
        let took = tick().since(intended.asked);
        if took > self.valid {
            return Err(format!("it took {took:?} to write the effect record down"));
        }
        Ok(())
    }

    fn deliver(&self, answers: Vec<E::Response>) -> Outcome {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number, answers);
        Outcome::Answered
    }

    fn tell(self, outcome: Outcome) {
        // The loop is gone only when the room has stopped; then the effect record speaks for this call.
        drop(self.events.send(Event::Called(Box::new(Called { number: self.number, outcome }))));
    }

    fn span(&self, name: &'static str) -> crate::telemetry::RecordSpan {
        let attributes = [Attribute::Room(self.room), Attribute::Target(&self.target)];
        start_span(name, self.span_parent.as_deref(), &attributes)
    }
}

fn error_name(error: &CallError) -> &'static str {
    match error {
        CallError::Transient { .. } => "transient",
        CallError::InDoubt { .. } => "in-doubt",
        CallError::Refused { .. } => "refused",
    }
}

fn trace_of(record: &Record) -> Option<String> {
    record.header(schemas::headers::TRACEPARENT).map(str::to_owned)
}

/// By how many classes the events of a call are less urgent than the most urgent ones: all of a call are of one class.
fn class_of<E: Effect>(items: &[Item<E>]) -> usize {
    items.first().map_or(0, |item| item.below)
}

/// The same lines, in whatever order, always give the same document key, so that a late first try and its repetition meet on
/// the other side.
pub(super) fn document_key<'a>(effect_keys: impl Iterator<Item = &'a str>) -> String {
    let mut keys: Vec<&str> = effect_keys.collect();
    keys.sort_unstable();
    let name = if let [alone] = keys.as_slice() { Cow::Borrowed(*alone) } else { Cow::Owned(keys.join("\n")) };
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
    format!("wl-{}", id.simple())
}

/// The effect record of a call that is about to be made: of which record, which action, the how manyth attempt; `after` names the
/// effect in front of it when this is written ahead of its turn.
pub(super) fn intent<E: Effect, K: Cluster>(
    parts: &Parts<E, K>,
    (record, action, attempt): (&Record, &Action<E::Request>, u32),
    document_key: &str,
    after: Option<&str>,
) -> Result<Outgoing, WireError> {
    let facts = EffectFacts {
        effect_key: &action.effect_key,
        target: &action.target,
        state: EffectState::Intended,
        document_key,
        attempts: attempt,
        after,
        at: now_micros(),
        ..EffectFacts::default()
    };
    parts.desk.effect(record, facts)
}

fn mark_intended<E: Effect>(index: &mut EffectIndex, items: &[Item<E>], document_key: &str, certain_at: Tick) {
    for item in items {
        index.intend(&item.action.effect_key, document_key, certain_at);
    }
}

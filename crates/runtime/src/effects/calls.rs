//! Calls to the outside: grouped into documents, intended on record, then made.

use super::ahead::Intended;
use super::drafts::EffectLine;
use super::index::{EffectIndex, Intention};
use super::key_id::{KeyId, document_key};
use super::targets::Targets;
use super::{Called, Event, Outcome};
use crate::Map;
use crate::clock::{Tick, now_micros, tick};
use crate::cluster::{Cluster, Membership};
use crate::config::Limits;
use crate::parking::Lane;
use crate::record::Record;
use crate::telemetry::{Attribute, start_span};
use connector::effect::{Action, CallError, Effect, EffectClient, with_traceparent};
use schemas::EffectState;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// One event whose effect is asked for.
pub(super) struct Item<E: Effect> {
    pub lane: Lane,
    pub record: Arc<Record>,
    pub input: E::Input,
    pub action: Action<E::Request>,
    /// Identity of its effect.
    pub effect: KeyId,
    pub attempt: u32,
    /// By how many classes it is less urgent than the most urgent events of the room.
    pub below: usize,
    /// Its effect record, asked for while it was behind the head of its lane.
    pub intended: Option<Intended>,
}

/// A call under way.
pub(super) struct Running<E: Effect> {
    pub items: Vec<Item<E>>,
    pub document_key: Arc<str>,
    pub look_up: bool,
    /// A look-up that began when the earlier call could not be carried out any more: it may make what is missing.
    pub certain: bool,
    pub target: Arc<str>,
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

    /// Where a call goes: all of its events to the same.
    fn target_of(&mut self, items: &[Item<E>], now: Tick) -> Arc<str> {
        items.first().map(|item| self.targets.name(&item.action.target, now)).unwrap_or_default()
    }

    fn register(&mut self, running: Running<E>) -> u64 {
        self.next += 1;
        if running.look_up {
            self.held += 1;
            self.targets.looks_up(&running.target, class_of(&running.items), running.began);
        }
        self.running.insert(self.next, running);
        self.next
    }

    /// Whether a look-up is under way that may make what a document lacks.
    fn settles(&self, document_key: &str) -> bool {
        self.running.values().any(|running| running.certain && &*running.document_key == document_key)
    }

    /// Takes an ended call; none when it was abandoned.
    pub fn take(&mut self, number: u64, now: Tick) -> Option<Running<E>> {
        let running = self.running.remove(&number)?;
        self.held = self.held.saturating_sub(running.items.len());
        let took = now.since(running.began);
        self.targets.ended(&running.target, class_of(&running.items), running.items.len(), took);
        Some(running)
    }

    /// A document is not called for after all.
    pub fn spare(&mut self, items: &[Item<E>]) {
        self.held = self.held.saturating_sub(items.len());
        if let Some(first) = items.first() {
            self.targets.spared(&first.action.target, class_of(items), items.len());
        }
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
        let now = tick();
        let valid = self.parts.intent_valid();
        for mut items in self.calls.targets.take_due(now) {
            if self.is_spared(&mut items) {
                continue;
            }
            let ahead = match items.as_mut_slice() {
                [alone] => alone.intended.take().filter(|intended| intended.is_fresh(now, valid)),
                _ => None,
            };
            let target = self.calls.target_of(&items, now);
            let intended = ahead.unwrap_or_else(|| {
                let keys = items.iter().map(|item| item.action.effect_key.as_str());
                self.intend(&items, &target, document_key(keys))
            });
            // From here, not from the begin of this round: the effect record may have been asked for a moment ago.
            mark_intended(&mut self.index, &items, &intended.document_key, tick().after(self.parts.certain_after()));
            let (document_key, look_up, certain) = (Arc::clone(&intended.document_key), false, false);
            let call = self.register(Running { items, document_key, look_up, certain, target, began: now });
            (self.parts.spawn)(Box::pin(call.make(intended)));
        }
    }

    /// Keeps what is about to run, and gives what the call needs of it.
    fn register(&mut self, running: Running<E>) -> Call<E, K> {
        let (document_key, target) = (Arc::clone(&running.document_key), Arc::clone(&running.target));
        let requests = running.items.iter().map(|item| item.action.request.clone()).collect();
        let cause = running.items.first().map(|item| Arc::clone(&item.record));
        Call {
            number: self.calls.register(running),
            document_key,
            requests,
            cause,
            target,
            room: self.parts.desk.room,
            client: Arc::clone(&self.parts.client),
            valid: self.parts.intent_valid(),
            mailbox: Arc::clone(&self.parts.mailbox),
            events: self.parts.events.clone(),
            told: false,
        }
    }

    /// Has the effect records of a document written.
    fn intend(&self, items: &[Item<E>], target: &Arc<str>, document_key: Arc<str>) -> Intended {
        let line = |item: &Item<E>| EffectLine {
            record: Arc::clone(&item.record),
            effect_key: Arc::from(item.action.effect_key.as_str()),
            target: Arc::clone(target),
            state: EffectState::Intended,
            document_key: Arc::clone(&document_key),
            attempts: item.attempt,
            after: None,
            done: None,
            at: now_micros(),
        };
        let written = self.write(items.iter().map(line).collect(), false);
        Intended { document_key, written, asked: tick() }
    }

    /// Asks the other side what became of an earlier call. When that cannot be carried out any more, the look-up may make what
    /// is missing, which is intended on record as any call is: whoever has the partition next waits for it in turn (FX-1).
    pub fn look_up(&mut self, item: Item<E>, intention: Intention) {
        let began = tick();
        let Intention { document_key, certain_at, .. } = intention;
        let certain = certain_at.since(began).is_zero();
        if certain && self.calls.settles(&document_key) {
            // Another event of the document has it settled. What that makes may be in doubt, so this one waits for how it ends.
            self.lanes.again_at(&item.lane, began.after(self.parts.config.limits.retry_delay(1)));
            return;
        }
        let items = vec![item];
        let target = self.calls.target_of(&items, began);
        let intended = certain.then(|| self.intend(&items, &target, Arc::clone(&document_key)));
        let call = self.register(Running { items, document_key, look_up: true, certain, target, began });
        (self.parts.spawn)(Box::pin(call.ask(intended)));
    }
}

/// What a call needs on the async runtime.
struct Call<E: Effect, K: Cluster> {
    number: u64,
    document_key: Arc<str>,
    requests: Vec<E::Request>,
    /// The record whose trace it continues.
    cause: Option<Arc<Record>>,
    target: Arc<str>,
    room: &'static str,
    client: Arc<dyn EffectClient<E::Request, E::Response>>,
    /// How long an effect record that is about to be written says whose the partitions are.
    valid: Duration,
    mailbox: super::Mailbox<E::Response>,
    events: std::sync::mpsc::Sender<Event<Membership<K>>>,
    told: bool,
}

/// A call that ends by a panic is in doubt as any other of which nobody knows: its key must go on.
impl<E: Effect, K: Cluster> Drop for Call<E, K> {
    fn drop(&mut self) {
        if !self.told {
            let reason = "the call ended without an outcome".to_owned();
            self.say(Outcome::Failed(CallError::InDoubt { reason }));
        }
    }
}

impl<E: Effect, K: Cluster> Call<E, K> {
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

    /// A look-up that is intended may make what is missing.
    async fn ask(self, intended: Option<Intended>) {
        let certain = intended.is_some();
        let written = match intended {
            Some(intended) => self.intend(intended).await,
            None => Ok(()),
        };
        let outcome = match written {
            Err(reason) => Outcome::NotIntended(reason),
            Ok(()) => {
                let span = self.span("effect.look-up");
                let call = self.client.look_up(&self.document_key, &self.requests, certain);
                match with_traceparent(span.traceparent().to_owned(), call).await {
                    Ok(Some(answers)) => self.deliver(answers),
                    Ok(None) => Outcome::NotFound,
                    Err(error) => Outcome::Failed(error),
                }
            }
        };
        self.tell(outcome);
    }

    /// The effect records must be durable before anything happens outside. When that took so long that the partitions may
    /// belong to somebody else by now (a process that was paused), nothing happens.
    async fn intend(&self, intended: Intended) -> Result<(), String> {
        let written = intended.written.await;
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

    fn tell(mut self, outcome: Outcome) {
        self.told = true;
        self.say(outcome);
    }

    fn say(&self, outcome: Outcome) {
        // The loop is gone only when the room has stopped; then the effect record speaks for this call.
        drop(self.events.send(Event::Called(Box::new(Called { number: self.number, outcome }))));
    }

    fn span(&self, name: &'static str) -> crate::telemetry::RecordSpan {
        let attributes = [Attribute::Room(self.room), Attribute::Target(&self.target)];
        let parent = self.cause.as_ref().and_then(|record| record.header(schemas::headers::TRACEPARENT));
        start_span(name, parent, &attributes)
    }
}

fn error_name(error: &CallError) -> &'static str {
    match error {
        CallError::Transient { .. } => "transient",
        CallError::InDoubt { .. } => "in-doubt",
        CallError::Refused { .. } => "refused",
    }
}

/// By how many classes the events of a call are less urgent than the most urgent ones: all of a call are of one class.
fn class_of<E: Effect>(items: &[Item<E>]) -> usize {
    items.first().map_or(0, |item| item.below)
}

fn mark_intended<E: Effect>(index: &mut EffectIndex, items: &[Item<E>], document_key: &Arc<str>, certain_at: Tick) {
    for item in items {
        let (document_key, origin) = (Arc::clone(document_key), item.record.place.clone());
        index.intend(item.effect, Intention { document_key, certain_at, after: None, origin });
    }
}

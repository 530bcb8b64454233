//! The embedded broker's core in the world: its storage survives, it does not.

use embedded::broker::core::{Core, CoreOptions};
use embedded::broker::storage::MemoryStorage;
use embedded::broker::wire::{Request, RequestId};
use kafka_protocol::messages::{RequestKind, ResponseKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Virtual time begins here, milliseconds since 1970: the same instant as for the runtime.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// The broker.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    core: Option<Core>,
    storage: MemoryStorage,
    answers: BTreeMap<RequestId, Option<ResponseKind>>,
    /// Counts the starts: whoever waits for an answer of an earlier one waits in vain.
    start: u64,
    /// When a broker that is down comes back.
    back: Option<Duration>,
    number: u64,
    /// Counts what may have made more of a topic visible: writes to it, and ends of transactions.
    writes: BTreeMap<String, u64>,
    ends: u64,
    pub trouble: Vec<String>,
}

impl Broker {
    pub fn start(&mut self, now: Duration) {
        if self.core.is_some() {
            return;
        }
        self.back = None;
        self.storage.revive();
        self.start += 1;
        self.ends += 1;
        self.answers.clear();
        match Core::open(CoreOptions::default(), Box::new(self.storage.clone()), ms(now)) {
            Ok(core) => self.core = Some(core),
            Err(error) => self.trouble.push(format!("the broker does not start: {error}")),
        }
    }

    /// The broker dies; what it has written stays. It comes back by itself.
    pub fn crash(&mut self, back: Duration) {
        self.core = None;
        self.back = Some(back);
        self.answers.clear();
    }

    /// Hands a request to the broker; none when nobody is there. The id finds the answer.
    pub fn ask(&mut self, body: RequestKind, api_version: i16, now: Duration) -> Option<RequestId> {
        self.number += 1;
        self.count(&body);
        let core = self.core.as_mut()?;
        // One connection for each request: an answer that waits holds up no other.
        let id = RequestId { connection: self.start, number: self.number };
        let (client_id, client_host) = ("simulation".to_owned(), "/127.0.0.1".to_owned());
        core.handle(Request { id, api_version, client_id, client_host, body }, ms(now));
        self.collect();
        Some(id)
    }

    /// A number that changes when there may be more to read from a topic.
    pub fn version(&self, topic: &str) -> u64 {
        self.ends + self.writes.get(topic).copied().unwrap_or_default()
    }

    fn count(&mut self, body: &RequestKind) {
        match body {
            RequestKind::Produce(request) => {
                for topic in &request.topic_data {
                    *self.writes.entry(topic.name.to_string()).or_default() += 1;
                }
            }
            RequestKind::EndTxn(_) | RequestKind::InitProducerId(_) => self.ends += 1,
            _ => {}
        }
    }

    /// The answer, when it has come.
    pub fn answer(&mut self, id: RequestId) -> Option<ResponseKind> {
        self.answers.remove(&id).flatten()
    }

    /// Whether an answer to this request can still come.
    pub fn remembers(&self, id: RequestId) -> bool {
        self.core.is_some() && id.connection == self.start
    }

    /// Does what is due: comes back, or lets time pass in the broker.
    pub fn tick(&mut self, now: Duration) {
        if self.back.is_some_and(|back| back <= now) {
            self.start(now);
        }
        if let Some(core) = &mut self.core {
            core.tick(ms(now));
            self.ends += 1;
            self.collect();
        }
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        let Some(core) = &self.core else { return self.back };
        let deadline = core.next_deadline_ms()?;
        Some(Duration::from_millis(u64::try_from(deadline - EPOCH_MS).unwrap_or_default()))
    }

    fn collect(&mut self) {
        if let Some(core) = &mut self.core {
            self.answers.extend(core.take_responses().into_iter().map(|response| (response.id, response.body)));
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn ms(now: Duration) -> i64 {
    EPOCH_MS + i64::try_from(now.as_millis()).unwrap_or(i64::MAX - EPOCH_MS)
}

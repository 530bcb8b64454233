//! The outside of the benchmark: a system in this process that answers after a while, and a ledger that is not fooled.
//!
//! It stands for an ERP without HTTP: what is measured is the lane loop and Kafka. A call is a timer, not a thread.

use super::contracts::{Asked, Done};
use connector::effect::{Action, BoxFuture, CallError, Effect, EffectClient, Plan};
use processor::{Binder, Code, Reason, Tables, Verdict};
use runtime::clock::{Tick, tick};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Reasons of the benchmark have one code; the rule names the case.
const CODE: Code = Code::new("WL-4001");
/// Most pauses between two calls of a key that are kept.
const PAUSES_MAX: usize = 4_000_000;

/// The room of the benchmark as two pure functions.
pub struct Room;

/// What the stub is asked to do.
#[derive(Clone, Debug)]
pub struct Request {
    key: i32,
    sequence: i64,
    number: i64,
    bad: bool,
}

/// What the stub answers.
#[derive(Clone, Debug)]
pub struct Answer {
    document: String,
}

/// No tables.
pub struct NoTables;

impl Tables for NoTables {
    fn bind(_: &mut Binder) -> Self {
        Self
    }
}

impl Effect for Room {
    type Input = Asked;
    type Output = Done;
    type Tables = NoTables;
    type Request = Request;
    type Response = Answer;

    fn prior_key(&self, _: &Asked) -> Option<String> {
        None
    }

    fn plan(&self, asked: &Asked, _: Option<&Done>, _: &NoTables) -> Plan<Request, Done> {
        Plan::Act(Action {
            effect_key: format!("asked/{}/{}", asked.key, asked.sequence),
            target: "stub".to_owned(),
            batch_key: None,
            request: Request { key: asked.key, sequence: asked.sequence, number: asked.number, bad: asked.bad },
        })
    }

    fn settle(&self, asked: &Asked, _: &Request, answer: &Answer) -> Verdict<Done> {
        Verdict::emit(Done {
            key: asked.key,
            sequence: asked.sequence,
            number: asked.number,
            created: asked.created,
            document: answer.document.clone(),
            item: asked.item.clone(),
            quantity: asked.quantity,
        })
    }

    fn output_key(&self, done: &Done) -> String {
        format!("asked/{}/{}", done.key, done.sequence)
    }
}

/// The outside.
pub struct Stub {
    takes: Duration,
    calls_max: usize,
    ledger: Mutex<Ledger>,
}

/// What has happened at the stub.
#[derive(Default)]
struct Ledger {
    lanes: HashMap<i32, Happened>,
    first: Option<Tick>,
    calls: u64,
    disordered: u64,
    doubled: u64,
    overlapping: u64,
    refused: u64,
    pauses: Vec<u32>,
}

#[derive(Default)]
struct Happened {
    /// Sequence that comes next.
    next: i64,
    /// A call of the key is under way.
    busy: bool,
    ended: Option<Tick>,
}

/// What the ledger says in the end.
pub struct Seen {
    /// When the first call came.
    pub first: Option<Tick>,
    /// Calls carried out.
    pub calls: u64,
    /// Calls that came before an earlier one of their key was done, or while another one of it was under way.
    pub disordered: u64,
    /// Calls that had been carried out before.
    pub doubled: u64,
    /// Calls refused.
    pub refused: u64,
    /// Between the end of a call and the begin of the next one of the same key, microseconds, sorted.
    pub pauses: Vec<u32>,
}

impl Stub {
    /// Answers after so long.
    pub fn new(takes: Duration, calls_max: usize) -> Arc<Self> {
        Arc::new(Self { takes, calls_max, ledger: Mutex::default() })
    }

    /// What has happened.
    pub fn seen(&self) -> Seen {
        let ledger = &mut *self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pauses = std::mem::take(&mut ledger.pauses);
        pauses.sort_unstable();
        Seen {
            first: ledger.first,
            calls: ledger.calls,
            disordered: ledger.disordered + ledger.overlapping,
            doubled: ledger.doubled,
            refused: ledger.refused,
            pauses,
        }
    }

    /// Whether the first call has come.
    pub fn is_called(&self) -> bool {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).first.is_some()
    }

    fn begin(&self, request: &Request) {
        let now = tick();
        let ledger = &mut *self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.first.get_or_insert(now);
        let lane = ledger.lanes.entry(request.key).or_default();
        ledger.overlapping += u64::from(lane.busy);
        lane.busy = true;
        if let Some(ended) = lane.ended
            && ledger.pauses.len() < PAUSES_MAX
        {
            ledger.pauses.push(u32::try_from(now.since(ended).as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn end(&self, request: &Request) -> bool {
        let ledger = &mut *self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = ledger.lanes.entry(request.key).or_default();
        lane.busy = false;
        lane.ended = Some(tick());
        if request.bad {
            ledger.refused += 1;
            return false;
        }
        ledger.calls += 1;
        ledger.doubled += u64::from(request.sequence < lane.next);
        ledger.disordered += u64::from(request.sequence > lane.next);
        lane.next = lane.next.max(request.sequence + 1);
        true
    }
}

impl EffectClient<Request, Answer> for Stub {
    fn call<'a>(
        &'a self,
        document_key: &'a str,
        requests: &'a [Request],
    ) -> BoxFuture<'a, Result<Vec<Answer>, CallError>> {
        Box::pin(async move {
            requests.iter().for_each(|request| self.begin(request));
            tokio::time::sleep(self.takes).await;
            if requests.iter().all(|request| self.end(request)) {
                let document = |request: &Request| format!("{document_key}/{}", request.number);
                return Ok(requests.iter().map(|request| Answer { document: document(request) }).collect());
            }
            let reason = Box::new(Reason::new(CODE, "bad", "the stub refuses it"));
            Err(CallError::Refused { reason, request: None })
        })
    }

    fn look_up<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Request],
        _: bool,
    ) -> BoxFuture<'a, Result<Option<Vec<Answer>>, CallError>> {
        // Nothing is in doubt here: no answer is lost, and each run has keys of its own.
        Box::pin(async { Ok(None) })
    }

    fn certain_after(&self) -> Duration {
        self.takes.saturating_mul(2)
    }

    fn batch_max(&self) -> usize {
        1
    }

    fn calls_max(&self) -> usize {
        self.calls_max
    }

    fn documents(&self, answer: &Answer) -> Vec<schemas::Document> {
        let document = schemas::Document { id: answer.document.clone(), ..schemas::Document::default() };
        vec![document]
    }
}

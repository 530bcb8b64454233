//! The way of one event: from the source message to the ERP document and the supplier's answer.
//!
//! Every record that Wardline writes carries the id of what it belongs to, so two looks find the whole way: the first finds what
//! the id asked for belongs to, the second everything that belongs to that. Both read the topics themselves, newest first, and
//! stop when the beginning of the way is found.

mod mask;
mod question;
mod search;
mod story;

use runtime::codec::{Codec, WireError};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::{Config, clock};
use schemas::{headers, topics};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::runtime::Handle;

use super::{SightError, time_text};
use search::{Found, Search};

pub use question::{IdKind, SINCE_FORM, since_ms};
pub use story::{Gap, Step, StepKind};

/// Most chains of one answer: a lot may be used hundreds of times.
const CHAINS_MAX: usize = 200;
/// Shortest start of an exception id that is looked for.
const START_MIN: usize = 4;

/// A question.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The id.
    pub id: String,
    /// What it is; anything when none. A kind makes the search faster, as fewer values are looked into.
    pub kind: Option<IdKind>,
    /// Look at nothing older, milliseconds since 1970; growing windows when none.
    pub since_ms: Option<i64>,
    /// Also give directly identifying data.
    pub with_phi: bool,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The id asked for.
    pub id: String,
    /// As what it was found; none when nothing was found.
    pub found_as: Option<IdKind>,
    /// What happened, in order of time.
    pub steps: Vec<Step>,
    /// Where time passed, and what is still waited for.
    pub gaps: Vec<Gap>,
    /// What was looked at.
    pub searched: Searched,
}

/// What was looked at for an answer.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Searched {
    /// Oldest moment looked at, milliseconds since 1970; none is everything.
    pub since_ms: Option<i64>,
    /// Records looked at, those that were looked at twice counted twice.
    pub records: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Whether the beginning of every chain was found. Otherwise there may be older records.
    pub is_whole: bool,
    /// There was more than an answer may hold; narrow the question.
    pub is_truncated: bool,
}

impl Searched {
    /// One line for people at a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        self.told("narrow it with --as or --since", "an earlier --since looks further back")
    }

    /// One line for people who see a page with the fields `What it is` and `Not before`.
    #[must_use]
    pub fn on_page(&self) -> String {
        self.told(
            "say what it is, or look at nothing before a later time",
            "an earlier time in `Not before` looks further back",
        )
    }

    fn told(&self, narrower: &str, further: &str) -> String {
        let since = self.since_ms.map_or_else(|| "the beginning".to_owned(), time_text);
        let whole = match (self.is_truncated, self.is_whole, self.since_ms) {
            (true, _, _) => format!("; there is more than is shown: {narrower}"),
            (false, false, Some(_)) => format!("; the beginning was not found: {further}"),
            (false, _, _) => String::new(),
        };
        format!("looked at {} records since {since} in {} ms{whole}", self.records, self.took_ms)
    }
}

/// Looks for the way of an event with connections that may be kept from one search to the next. `progress` is told which topic is being read.
///
/// # Errors
/// When topics cannot be read, or the id is empty or the start of several exceptions.
pub async fn trace(
    config: &Config,
    readers: &Readers,
    question: Question,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Trace, SightError> {
    if question.id.trim().is_empty() {
        return Err(SightError::Question("there is no id to look for".to_owned()));
    }
    let codec = Codec::new(&config.registry)?;
    let (readers, handle) = (readers.clone(), Handle::current());
    let looking = tokio::task::spawn_blocking(move || {
        let search = Search { readers: &readers, progress: &progress };
        let reader = Reader { codec: &codec, handle: &handle };
        let started = clock::tick();
        let mut trace = Tracing::new(&search, &reader, &question).answer(&question.id)?;
        if trace.steps.is_empty()
            && let Some(exception) = exception_starting(&search, &question.id)?
        {
            trace = Tracing::new(&search, &reader, &question).answer(&exception)?;
        }
        trace.searched.took_ms = u64::try_from(clock::tick().since(started).as_millis()).unwrap_or(u64::MAX);
        Ok(trace)
    });
    looking.await.map_err(|error| SightError::Stopped(error.to_string()))?
}

fn exception_starting(search: &Search<'_>, start: &str) -> Result<Option<String>, SightError> {
    if start.len() < START_MIN || !start.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(None);
    }
    let found = search.exceptions_starting(start)?;
    let mut ids: BTreeSet<String> = found.records.iter().map(|record| record.key_text().into_owned()).collect();
    match ids.len() {
        0 | 1 => Ok(ids.pop_first()),
        several => Err(SightError::Question(format!("{several} exceptions have an id that starts with {start}"))),
    }
}

/// Decodes records.
struct Reader<'a> {
    codec: &'a Codec,
    handle: &'a Handle,
}

impl Reader<'_> {
    fn json(&self, record: &Record) -> Result<Value, WireError> {
        let Some(value) = record.value.as_deref() else { return Ok(Value::Null) };
        if &*record.place.topic == topics::OPS_DEAD_LETTER_V1.name() {
            return Ok(json!({"bytes": value.len()}));
        }
        let decoded = self.handle.block_on(self.codec.open(value));
        match decoded.and_then(|(writer, body)| Ok(schemas::codec::to_json(&writer, body)?)) {
            Ok(value) => Ok(value),
            Err(error) if error.blames_record() => Ok(json!({"error": error.without_values()})),
            Err(error) => Err(error),
        }
    }
}

/// One search.
struct Tracing<'a> {
    search: &'a Search<'a>,
    reader: &'a Reader<'a>,
    question: &'a Question,
    /// Ids of the chains.
    chains: BTreeSet<String>,
    found_as: Option<IdKind>,
    searched: Searched,
}

impl<'a> Tracing<'a> {
    fn new(search: &'a Search<'a>, reader: &'a Reader<'a>, question: &'a Question) -> Self {
        let (chains, found_as, searched) = (BTreeSet::new(), None, Searched::default());
        Self { search, reader, question, chains, found_as, searched }
    }

    fn answer(mut self, id: &str) -> Result<Trace, SightError> {
        let now_ms = clock::now_micros() / 1_000;
        let mut records: BTreeMap<(String, i32, i64), Record> = BTreeMap::new();
        for window in question::windows(id, self.question.kind, self.question.since_ms, now_ms) {
            self.searched.since_ms = window.from_ms;
            let candidates = self.search.candidates(id, self.question.kind, window)?;
            self.count(&candidates);
            let first_ms = story::first_event_ms(&candidates.records);
            self.learn(id, candidates.records)?;
            if self.chains.is_empty() || !window.may_end {
                continue;
            }
            // What belongs to it may be newer than what has the id, and lie in windows that were passed over.
            let is_of_one = self.found_as == Some(IdKind::Event) && self.chains.len() <= 2;
            let from_first = first_ms.filter(|_| is_of_one).map(|time| time.saturating_sub(question::CLOCKS_MS));
            let from_ms = from_first.max(window.from_ms);
            let members = self.search.members(&self.chains, question::Window { from_ms, until_ms: None, ..window })?;
            self.count(&members);
            let key = |record: &Record| (record.place.topic.to_string(), record.place.partition, record.place.offset);
            records.extend(members.records.into_iter().map(|record| (key(&record), record)));
            self.searched.is_whole = story::has_beginnings(records.values());
            if self.searched.is_whole {
                break;
            }
        }
        let mut records: Vec<Record> = records.into_values().collect();
        records.extend(self.later_words(&records)?);
        let mut steps = Vec::new();
        for record in records {
            let mut value = self.reader.json(&record)?;
            if !self.question.with_phi {
                mask::mask(&record.place.topic, &mut value);
            }
            steps.push(story::step(&record, value));
        }
        let (steps, gaps) = story::tell(steps, now_ms);
        Ok(Trace { id: id.to_owned(), found_as: self.found_as, steps, gaps, searched: self.searched })
    }

    fn count(&mut self, found: &Found) {
        self.searched.records += found.looked_at;
        self.searched.is_truncated |= found.truncated;
    }

    /// Learns which chains have the id.
    fn learn(&mut self, id: &str, candidates: Vec<Record>) -> Result<(), SightError> {
        for record in candidates {
            if self.chains.len() >= CHAINS_MAX {
                self.searched.is_truncated = true;
                return Ok(());
            }
            let chain = record.header(headers::CORRELATION_ID).or_else(|| record.header(headers::ID));
            let value = self.reader.json(&record)?;
            let Some(kind) = named_as(&record, id, self.question.kind, &value) else { continue };
            self.found_as = self.found_as.or(Some(kind));
            self.chains.extend(chain.map(str::to_owned));
            self.chains.extend(listed(&value, "eventIds").map(str::to_owned));
            self.chains.extend(value.get("originEventId").and_then(Value::as_str).map(str::to_owned));
            if matches!(kind, IdKind::Event | IdKind::Key | IdKind::Exception) {
                self.chains.insert(id.to_owned());
            }
        }
        Ok(())
    }

    /// What was said later under the keys of what was found: decisions about exceptions, and that a parked event has left. And
    /// the receipt of a message whose own id none of its events carries.
    fn later_words(&mut self, records: &[Record]) -> Result<Vec<Record>, SightError> {
        let mut more = Vec::new();
        let has_receipt = records.iter().any(|record| &*record.place.topic == topics::OPS_RECEIPT_V1.name());
        let firsts: BTreeSet<String> = story::first_events(records).take(CHAINS_MAX).collect();
        if !has_receipt && !firsts.is_empty() {
            let from_ms = records.iter().filter_map(|record| record.timestamp_ms).min();
            let from_ms = from_ms.map(|time| time.saturating_sub(question::CLOCKS_MS));
            let found =
                self.search.receipts_of(&firsts, question::Window { from_ms, until_ms: None, may_end: true })?;
            self.count(&found);
            more.extend(found.records);
        }
        for topic in [topics::OPS_EXCEPTION_V1.info(), topics::OPS_PARKED_V1.info()] {
            let known = || records.iter().filter(|record| &*record.place.topic == topic.name);
            let keys: BTreeSet<Vec<u8>> = known().filter_map(|record| Some(record.key.as_deref()?.to_vec())).collect();
            let Some(from_ms) = known().filter_map(|record| record.timestamp_ms).min() else { continue };
            let window = question::Window { from_ms: Some(from_ms), until_ms: None, may_end: true };
            let found = self.search.with_keys(topic, &keys, window)?;
            self.count(&found);
            let is_new = |record: &Record| known().all(|before| before.place != record.place);
            more.extend(found.records.into_iter().filter(is_new));
        }
        Ok(more)
    }
}

/// As what a record has this id.
fn named_as(record: &Record, id: &str, wanted: Option<IdKind>, value: &Value) -> Option<IdKind> {
    let is_wanted = |kind: IdKind| wanted.is_none_or(|wanted| wanted == kind);
    let header = |name: &str| record.header(name) == Some(id);
    let is_event = [headers::ID, headers::CORRELATION_ID, headers::CAUSATION_ID].into_iter().any(header)
        || record.header(headers::TRACEPARENT).is_some_and(|trace| trace.contains(id));
    if is_wanted(IdKind::Event) && is_event {
        return Some(IdKind::Event);
    }
    let by_value = IdKind::of(id, wanted, value);
    let is_key = record.key_text() == id || header(headers::PARTITION_KEY);
    by_value.or((is_key && is_wanted(IdKind::Key)).then_some(IdKind::Key))
}

fn listed<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

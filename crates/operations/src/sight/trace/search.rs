//! Looks through topics for the records of a chain: several partitions at once, newest first, within bounds.

use memchr::memmem::Finder;
use runtime::reader::{From, Range, ReadError, Span, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use runtime::scan::{self, Glance};
use schemas::{TopicInfo, headers, topics};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use uuid::Uuid;

use super::question::{IdKind, Window, searched_topics};

/// Most records of an answer.
pub(super) const STEPS_MAX: usize = 10_000;
/// Most threads that read at the same time.
const THREADS_MAX: usize = 8;
/// Fewest, where there is work for them.
const THREADS_MIN: usize = 4;
/// A topic with more records than this in a window is read by several threads.
const SPLIT_OVER: i64 = 20_000;
/// Headers that name an event or what it belongs to.
const NAMING: [&str; 4] = [headers::ID, headers::CORRELATION_ID, headers::CAUSATION_ID, headers::PARTITION_KEY];

/// Reads topics of one cluster.
pub(super) struct Search<'a> {
    pub readers: &'a Readers,
    pub progress: &'a (dyn Fn(&str) + Sync),
}

/// What one look found, and how much was looked at.
#[derive(Default)]
pub(super) struct Found {
    pub records: Vec<Record>,
    /// Records that were looked at.
    pub looked_at: u64,
    /// There was more than [`STEPS_MAX`].
    pub truncated: bool,
}

/// Whether a record is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    Yes,
    /// It is, and no other need be looked for.
    Last,
}

impl Wanted {
    fn when(wanted: bool) -> Self {
        if wanted { Self::Yes } else { Self::No }
    }
}

/// A piece of work: some partitions of a topic.
type Task = (&'static TopicInfo, BTreeMap<i32, Span>);

impl Search<'_> {
    /// Records that name the id, or may hold it: whoever asks decodes them and looks again.
    pub fn candidates(&self, id: &str, kind: Option<IdKind>, window: Window) -> Result<Found, ReadError> {
        let finder = Finder::new(id.as_bytes());
        let in_values: BTreeSet<&str> =
            searched_topics().filter(|topic| IdKind::is_in_values_of(kind, topic)).map(|topic| topic.name).collect();
        // One record that has it as the id of an event tells all there is to learn; of anything else there may be many.
        let is_of_one = kind == Some(IdKind::Event) || (kind.is_none() && Uuid::parse_str(id).is_ok());
        self.look(&searched_topics().collect::<Vec<_>>(), window, |glance, topic| {
            let mut names_event = false;
            let in_headers = glance.any_header(|name, value| {
                names_event |= name == headers::ID && value == id.as_bytes();
                match name {
                    headers::TRACEPARENT => finder.find(value).is_some(),
                    _ => NAMING.contains(&name) && value == id.as_bytes(),
                }
            });
            let is_wanted = in_headers
                || glance.key() == Some(id.as_bytes())
                || (in_values.contains(topic) && glance.value().is_some_and(|value| finder.find(value).is_some()));
            match is_wanted {
                true if names_event && is_of_one => Wanted::Last,
                true => Wanted::Yes,
                false => Wanted::No,
            }
        })
    }

    /// Records that belong to the chains.
    pub fn members(&self, chains: &BTreeSet<String>, window: Window) -> Result<Found, ReadError> {
        let is_one = |value: &[u8]| std::str::from_utf8(value).is_ok_and(|text| chains.contains(text));
        let finders: Vec<Finder<'_>> = chains.iter().map(|id| Finder::new(id.as_bytes())).collect();
        let receipts = topics::OPS_RECEIPT_V1.name();
        self.look(&searched_topics().collect::<Vec<_>>(), window, |glance, topic| {
            let is_member = glance.key().is_some_and(is_one)
                || glance.any_header(|name, value| NAMING[..3].contains(&name) && is_one(value))
                || (topic == receipts
                    && glance.value().is_some_and(|value| finders.iter().any(|finder| finder.find(value).is_some())));
            Wanted::when(is_member)
        })
    }

    /// Records of one topic with one of these keys, deletions included.
    pub fn with_keys(
        &self,
        topic: &'static TopicInfo,
        keys: &BTreeSet<Vec<u8>>,
        window: Window,
    ) -> Result<Found, ReadError> {
        self.look(&[topic], window, |glance, _| Wanted::when(glance.key().is_some_and(|key| keys.contains(key))))
    }

    /// Receipts that name one of these events.
    pub fn receipts_of(&self, events: &BTreeSet<String>, window: Window) -> Result<Found, ReadError> {
        let finders: Vec<Finder<'_>> = events.iter().map(|id| Finder::new(id.as_bytes())).collect();
        self.look(&[topics::OPS_RECEIPT_V1.info()], window, |glance, _| {
            let names_one = |value: &[u8]| finders.iter().any(|finder| finder.find(value).is_some());
            Wanted::when(glance.value().is_some_and(names_one))
        })
    }

    /// Exceptions whose id starts so.
    pub fn exceptions_starting(&self, start: &str) -> Result<Found, ReadError> {
        let everything = Window { from_ms: None, until_ms: None, may_end: true };
        let is_so = |glance: &Glance<'_>, _: &str| {
            Wanted::when(glance.key().is_some_and(|key| key.starts_with(start.as_bytes())))
        };
        self.look(&[topics::OPS_EXCEPTION_V1.info()], everything, is_so)
    }

    fn look(
        &self,
        topics: &[&'static TopicInfo],
        window: Window,
        wish: impl Fn(&Glance<'_>, &str) -> Wanted + Sync,
    ) -> Result<Found, ReadError> {
        // Most of the time of a thread goes by waiting for the broker, so there are more of them than cores.
        let threads = (2 * thread::available_parallelism().map_or(2, NonZero::get)).clamp(THREADS_MIN, THREADS_MAX);
        let range = |topic: &&'static TopicInfo| Range {
            topic: topic.name.to_owned(),
            partitions: Vec::new(),
            from: window.from_ms.map_or(From::Earliest, From::TimeMs),
            until: window.until_ms.map_or(Until::EndNow, Until::TimeMs),
        };
        let ranges: Vec<Range> = topics.iter().map(range).collect();
        // A cluster with a part of the topics is still worth looking at.
        let spans = topics.iter().zip(scan::spans(self.readers, &ranges)?);
        let mut tasks: VecDeque<Task> =
            spans.flat_map(|(topic, spans)| split(topic, spans.unwrap_or_default(), threads)).collect();
        // The long ones first, so that no thread is left alone with one at the end.
        tasks.make_contiguous().sort_by_key(|(_, spans)| std::cmp::Reverse(length(spans)));
        let (found, count) = (Mutex::new(VecDeque::new()), AtomicUsize::new(0));
        let (looked_at, enough) = (AtomicU64::new(0), AtomicBool::new(false));
        let go_on = || if enough.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        self.work(threads, tasks, |(topic, spans): Task| {
            (self.progress)(topic.name);
            let mut mine = VecDeque::new();
            let visited = scan::scan_on(self.readers, topic.name, &spans, |glance| {
                let Some(glance) = glance else { return go_on() };
                let wanted = wish(glance, topic.name);
                if wanted != Wanted::No {
                    if count.fetch_add(1, Ordering::Relaxed) >= STEPS_MAX {
                        return ControlFlow::Break(());
                    }
                    mine.push_back(glance.to_record());
                    enough.fetch_or(wanted == Wanted::Last, Ordering::Relaxed);
                }
                go_on()
            })?;
            looked_at.fetch_add(visited, Ordering::Relaxed);
            put(&found, mine);
            Ok(())
        })?;
        Ok(Found {
            records: take_all(&found).into(),
            looked_at: looked_at.into_inner(),
            truncated: count.into_inner() > STEPS_MAX,
        })
    }

    /// Does all tasks on some threads; the first failure ends it.
    fn work<T: Send>(
        &self,
        threads: usize,
        tasks: VecDeque<T>,
        task: impl Fn(T) -> Result<(), ReadError> + Sync,
    ) -> Result<(), ReadError> {
        let workers = threads.min(tasks.len());
        let tasks = Mutex::new(tasks);
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let failed = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(one) = next() {
                        if let Err(error) = task(one) {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            tasks.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        }
                    }
                });
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

fn put<T>(all: &Mutex<VecDeque<T>>, more: VecDeque<T>) {
    all.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
}

fn take_all<T>(all: &Mutex<VecDeque<T>>) -> VecDeque<T> {
    std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner))
}

fn length(spans: &BTreeMap<i32, Span>) -> i64 {
    spans.values().map(|span| (span.end - span.start).max(0)).sum()
}

/// Gives the partitions of a long topic to several threads; an empty one needs none.
fn split(topic: &'static TopicInfo, spans: BTreeMap<i32, Span>, threads: usize) -> VecDeque<Task> {
    let length = length(&spans);
    let parts = if length > SPLIT_OVER { threads.min(spans.len()) } else { 1 };
    let mut tasks: Vec<Task> = (0..parts).map(|_| (topic, BTreeMap::new())).collect();
    for (index, (partition, span)) in spans.into_iter().enumerate() {
        if let Some((_, task)) = tasks.get_mut(index % parts.max(1))
            && span.start < span.end
        {
            task.insert(partition, span);
        }
    }
    tasks.into_iter().filter(|(_, spans)| !spans.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_topic_is_read_by_several_threads_and_nothing_is_left_out() {
        let spans = |length| (0..6).map(|partition| (partition, Span { start: 0, end: length })).collect();
        let topic = topics::ERP_POSTING_V1.info();
        assert_eq!(split(topic, spans(10), 4).len(), 1);
        let parts = split(topic, spans(100_000), 4);
        assert_eq!(parts.len(), 4);
        let mut partitions: Vec<i32> = parts.iter().flat_map(|(_, spans)| spans.keys().copied()).collect();
        partitions.sort_unstable();
        assert_eq!(partitions, [0, 1, 2, 3, 4, 5]);
        assert!(split(topic, spans(0), 4).is_empty());
    }
}

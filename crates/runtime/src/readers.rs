//! Connections for short reads, used again: opening one takes longer than a short read.

use crate::config::KafkaConfig;
use crate::kafka::Reader;
use crate::reader::{
    PartitionLag, RANGE_WAIT, Range, ReadError, Span, consumer_waiting, ends_with, group_lag_with, let_go,
    read_range_with, spans_with,
};
use crate::record::Record;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most connections that wait for the next read: each has a few threads.
const IDLE_MAX: usize = 8;

/// Reads as [`crate::reader`] does. Cheap to clone; all clones share their connections.
///
/// Each read has a connection to itself, so that reads do not wait for each other. Like those of [`crate::reader`], they block.
#[derive(Clone)]
pub struct Readers {
    kafka: Arc<KafkaConfig>,
    idle: Arc<Mutex<Vec<Reader>>>,
    /// A connection learns once who keeps the positions of its group, and that takes up to a second.
    groups: Arc<Mutex<HashMap<String, Reader>>>,
}

impl Readers {
    /// Connects when something is read first.
    pub fn new(kafka: &KafkaConfig) -> Self {
        Self { kafka: Arc::new(kafka.clone()), idle: Arc::default(), groups: Arc::default() }
    }

    /// Opens so many connections, each to all who keep one of the topics, before somebody waits for them.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(&self, count: usize, topics: &[&str]) -> Result<(), ReadError> {
        let Some(others) = count.checked_sub(1) else { return Ok(()) };
        // Each is held until all are there: otherwise it would be the same one again and again.
        self.with(|reader| ends_with(reader, topics).and_then(|_| self.open(others, topics)))
    }

    /// See [`crate::reader::read_range`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_range(&self, range: &Range, visit: impl FnMut(Record) -> ControlFlow<()>) -> Result<u64, ReadError> {
        self.with(|reader| read_range_with(reader, range, visit))
    }

    /// See [`crate::reader::spans`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn spans(&self, range: &Range) -> Result<BTreeMap<i32, Span>, ReadError> {
        self.with(|reader| spans_with(reader, range))
    }

    /// See [`crate::reader::read_one`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_one(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<Record>, ReadError> {
        let mut found = None;
        self.read_range(&Range::one(topic, partition, offset), |record| {
            found = (record.place.offset == offset).then_some(record);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// See [`crate::reader::ends`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn ends(&self, topics: &[&str]) -> Result<BTreeMap<(String, i32), i64>, ReadError> {
        self.with(|reader| ends_with(reader, topics))
    }

    /// See [`crate::reader::group_lag`]. Keeps one connection for each group that is asked for.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn group_lag(&self, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>, ReadError> {
        let before = lock(&self.groups).remove(group);
        let reader = match before {
            Some(reader) => reader,
            None => consumer_waiting(&self.kafka, group, RANGE_WAIT)?,
        };
        let lags = group_lag_with(&reader, topics)?;
        lock(&self.groups).insert(group.to_owned(), reader);
        Ok(lags)
    }

    /// A connection that has failed is not used again.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Reader) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let before = lock(&self.idle).pop();
        let reader = match before {
            Some(reader) => reader,
            None => consumer_waiting(&self.kafka, "wardline-reader", RANGE_WAIT)?,
        };
        let answer = read(&reader)?;
        let_go(&reader)?;
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
        Ok(answer)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

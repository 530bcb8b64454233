//! Connections for short reads, used again: opening one takes longer than a short read.

use crate::config::KafkaConfig;
use crate::kafka::Reader;
use crate::reader::{RANGE_WAIT, Range, ReadError, Span, consumer_waiting, read_range_with, spans_with};
use crate::record::Record;
use rdkafka::consumer::Consumer as _;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most connections that wait for the next read: each has a few threads.
const IDLE_MAX: usize = 4;

/// Reads as [`crate::reader`] does. Cheap to clone; all clones share their connections.
///
/// Each read has a connection to itself, so that reads do not wait for each other. Like those of [`crate::reader`], they block.
#[derive(Clone)]
pub struct Readers {
    kafka: Arc<KafkaConfig>,
    idle: Arc<Mutex<Vec<Reader>>>,
}

impl Readers {
    /// Connects when something is read first.
    pub fn new(kafka: &KafkaConfig) -> Self {
        Self { kafka: Arc::new(kafka.clone()), idle: Arc::default() }
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

    /// A connection that has failed is not used again.
    fn with<T>(&self, read: impl FnOnce(&Reader) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let before = self.idle().pop();
        let reader = match before {
            Some(reader) => reader,
            None => consumer_waiting(&self.kafka, "wardline-reader", RANGE_WAIT)?,
        };
        let answer = read(&reader)?;
        // A partition that is paused stays so, also when it is assigned anew.
        reader.resume(&reader.assignment()?)?;
        reader.unassign()?;
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
        Ok(answer)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A record as it came from Kafka, with its bytes.

use crate::outgoing::{Headers, bytes_of, header_text};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// A record as it came, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub place: Place,
    /// Broker or producer time, milliseconds since 1970, when known.
    pub timestamp_ms: Option<i64>,
    /// Key bytes.
    pub key: Option<Bytes>,
    /// Value bytes.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
}

impl Record {
    /// The key as text; replacement characters stand for bytes that are not UTF-8.
    pub fn key_text(&self) -> Cow<'_, str> {
        self.key.as_deref().map_or(Cow::Borrowed(""), String::from_utf8_lossy)
    }

    /// The text of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header_text(&self.headers, name)
    }

    /// Bytes held, for bounds.
    pub fn bytes(&self) -> usize {
        bytes_of(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

//! A record on its way to Kafka.

use crate::pieces;
use bytes::Bytes;
use schemas::Event;
use schemas::headers::{CLOUD_EVENT_HEADERS_MAX, HeaderText};
use std::borrow::Cow;

/// Headers that an event without an envelope gives.
const WITHOUT_ENVELOPE: usize = 3;

/// Header names and values; no value is a header that is there and null.
pub type Headers = Vec<(Cow<'static, str>, Option<Bytes>)>;

/// A record on its way to Kafka, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic.
    pub topic: Cow<'static, str>,
    /// Partition, when not the one of the key.
    pub partition: Option<i32>,
    /// Key bytes.
    pub key: Option<Bytes>,
    /// Value bytes; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
    /// Set on a parked record: its number in the index of the parking lot, to learn its offset.
    pub ticket: Option<u64>,
}

/// What an event inherits from its cause: UTF-8 texts, which lie where the headers of the cause do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// W3C trace context.
    pub traceparent: Option<Bytes>,
    /// Id that all events of one source message share.
    pub correlation_id: Option<Bytes>,
    /// Id of the event that caused this one.
    pub causation_id: Option<Bytes>,
}

impl Outgoing {
    /// An event in its Avro encoding, with CloudEvents headers (CloudEvents 1.0, Kafka binary mode).
    pub fn event<T: Event>(event: &T, value: Bytes, lineage: &Lineage, tenant: &'static str) -> Self {
        let key = event.key();
        let piece = pieces::cut(&key);
        let own = if event.meta().is_some() { CLOUD_EVENT_HEADERS_MAX } else { WITHOUT_ENVELOPE };
        let mut headers = Headers::with_capacity(own + lineage.len() + 1);
        schemas::headers::cloud_event_headers(event, &key, |name, text| {
            let value = match text {
                HeaderText::Fixed(text) => Bytes::from_static(text.as_bytes()),
                // It is there twice more.
                HeaderText::Own(text) if std::ptr::eq(text, key.as_str()) => piece.clone(),
                HeaderText::Own(text) => pieces::cut(text),
            };
            headers.push((Cow::Borrowed(name), Some(value)));
        });
        let inherited = [
            (schemas::headers::TRACEPARENT, &lineage.traceparent),
            (schemas::headers::CORRELATION_ID, &lineage.correlation_id),
            (schemas::headers::CAUSATION_ID, &lineage.causation_id),
        ];
        for (name, text) in inherited {
            if text.is_some() {
                headers.push((Cow::Borrowed(name), text.clone()));
            }
        }
        headers.push((Cow::Borrowed(schemas::headers::TENANT), Some(Bytes::from_static(tenant.as_bytes()))));
        Self {
            topic: Cow::Borrowed(T::topic().name),
            partition: None,
            key: Some(piece),
            value: Some(value),
            headers,
            ticket: None,
        }
    }

    /// Bytes held, for bounds.
    pub fn bytes(&self) -> usize {
        bytes_of(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }

    /// A deletion mark for a key of a compacted topic.
    pub fn tombstone(topic: &'static str, partition: Option<i32>, key: impl Into<Bytes>) -> Self {
        Self {
            topic: Cow::Borrowed(topic),
            partition,
            key: Some(key.into()),
            value: None,
            headers: Vec::new(),
            ticket: None,
        }
    }
}

/// Bytes that a key, a value and headers hold.
pub(crate) fn bytes_of(key: Option<&Bytes>, value: Option<&Bytes>, headers: &Headers) -> usize {
    let length = |bytes: Option<&Bytes>| bytes.map_or(0, Bytes::len);
    let headers: usize = headers.iter().map(|(name, value)| name.len() + length(value.as_ref())).sum();
    length(key) + length(value) + headers
}

/// The text of a header.
pub fn header_text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(present, _)| present == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

impl Lineage {
    /// Number of headers that it gives.
    fn len(&self) -> usize {
        let parts = [&self.traceparent, &self.correlation_id, &self.causation_id];
        parts.iter().filter(|part| part.is_some()).count()
    }

    /// The trace context.
    pub fn traceparent(&self) -> Option<&str> {
        std::str::from_utf8(self.traceparent.as_deref()?).ok()
    }

    /// What the next event inherits from a record with these headers.
    pub fn of(headers: &Headers) -> Self {
        let mut lineage = Self::default();
        for (name, value) in headers {
            lineage.inherit(name, value.as_deref(), || value.clone());
        }
        lineage.completed()
    }

    /// A header of the cause; `keep` gives its value where it counts. Of two with one name the first does.
    pub(crate) fn inherit(&mut self, name: &str, value: Option<&[u8]>, keep: impl FnOnce() -> Option<Bytes>) {
        let kept = match name {
            schemas::headers::TRACEPARENT => &mut self.traceparent,
            schemas::headers::CORRELATION_ID => &mut self.correlation_id,
            schemas::headers::ID => &mut self.causation_id,
            _ => return,
        };
        if kept.is_none() && value.is_some_and(|value| std::str::from_utf8(value).is_ok()) {
            *kept = keep();
        }
    }

    /// All headers were inherited: the first event of a message is what all that follow from it share.
    pub(crate) fn completed(mut self) -> Self {
        self.correlation_id = self.correlation_id.or_else(|| self.causation_id.clone());
        self
    }
}

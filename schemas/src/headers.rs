//! Kafka headers: CloudEvents 1.0 binary mode and trace context.
//!
//! Headers are visible to every consumer and to tooling, so they never hold a direct identifier (PHI-1).

use std::borrow::Cow;

use crate::{Event, Source};

/// CloudEvents version, always [`SPEC_VERSION`].
pub const SPECVERSION: &str = "ce_specversion";
/// Event id.
pub const ID: &str = "ce_id";
/// Where the event came from.
pub const SOURCE: &str = "ce_source";
/// Event type, for example `org.wardline.clinical.encounter.discharged.v1`.
pub const TYPE: &str = "ce_type";
/// When the fact happened, RFC 3339; when it was recorded if that is not known.
pub const TIME: &str = "ce_time";
/// What it is about: the Kafka key.
pub const SUBJECT: &str = "ce_subject";
/// Subject of the contract in the schema registry.
pub const DATASCHEMA: &str = "ce_dataschema";
/// The Kafka key.
pub const PARTITION_KEY: &str = "ce_partitionkey";
/// W3C trace context as a CloudEvents extension.
pub const TRACEPARENT: &str = "ce_traceparent";
/// The first event of a chain.
pub const CORRELATION_ID: &str = "ce_correlationid";
/// The event that this one follows from.
pub const CAUSATION_ID: &str = "ce_causationid";
/// Tenant.
pub const TENANT: &str = "ce_tenant";
/// PHI class of the topic: none, indirect or direct.
pub const PHI: &str = "ce_phi";
/// Content type, always [`AVRO`] for events.
pub const CONTENT_TYPE: &str = "content-type";

const NAMES: [&str; 14] = [
    SPECVERSION,
    ID,
    SOURCE,
    TYPE,
    TIME,
    SUBJECT,
    DATASCHEMA,
    PARTITION_KEY,
    TRACEPARENT,
    CORRELATION_ID,
    CAUSATION_ID,
    TENANT,
    PHI,
    CONTENT_TYPE,
];

/// The name of a header, not to be kept a second time where it is one of those here.
pub fn name(name: &str) -> Cow<'static, str> {
    let known = NAMES.iter().find(|known| **known == name);
    known.map_or_else(|| Cow::Owned(name.to_owned()), |known| Cow::Borrowed(*known))
}

/// Value of [`SPECVERSION`].
pub const SPEC_VERSION: &str = "1.0";
/// Value of [`CONTENT_TYPE`] of events.
pub const AVRO: &str = "application/avro";

/// Most headers that [`cloud_event_headers`] gives.
pub const CLOUD_EVENT_HEADERS_MAX: usize = 10;

/// The value of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderText<'a> {
    /// The same for all records of a topic, or at least often.
    Fixed(&'static str),
    /// Of this record.
    Own(&'a str),
}

/// Gives `put` the headers an event carries by itself; trace context, causation and tenant are the runtime's. `key` is the
/// event's key.
///
/// Operational records have no envelope and carry only type, PHI class and content type.
pub fn cloud_event_headers<T: Event>(event: &T, key: &str, mut put: impl FnMut(&'static str, HeaderText<'_>)) {
    use HeaderText::{Fixed, Own};
    let topic = T::topic();
    put(CONTENT_TYPE, Fixed(AVRO));
    match event.event_type() {
        Cow::Borrowed(of_topic) => put(TYPE, Fixed(of_topic)),
        Cow::Owned(of_kind) => put(TYPE, Own(&of_kind)),
    }
    put(PHI, Fixed(topic.phi.as_str()));
    if let Some(meta) = event.meta() {
        put(SPECVERSION, Fixed(SPEC_VERSION));
        put(ID, Own(&meta.event_id));
        put(SOURCE, Own(&source(&meta.source)));
        put(TIME, Own(&meta.occurred_at.unwrap_or(meta.recorded_at).to_string()));
        put(SUBJECT, Own(key));
        put(DATASCHEMA, Fixed(topic.data_schema));
        put(PARTITION_KEY, Own(key));
    }
}

/// A URI reference of the source: `/wardline/<format>/<system>/<facility>`.
fn source(source: &Source) -> String {
    let mut uri = String::from("/wardline");
    for part in [source.format.as_str(), &source.system, &source.facility] {
        if !part.is_empty() {
            uri.push('/');
            push_encoded(&mut uri, part);
        }
    }
    uri
}

fn push_encoded(uri: &mut String, part: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push('%');
            uri.push(HEX[usize::from(byte >> 4)]);
            uri.push(HEX[usize::from(byte & 15)]);
        }
    }
}

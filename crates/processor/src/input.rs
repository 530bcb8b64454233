//! What a room reads: one event type, or an enum over several topics.

use schemas::codec::{CodecError, WriterSchema};
use schemas::{Event, EventMeta, TopicInfo};
use serde_json::Value;

/// An event, or an enum of events of several topics.
pub trait Input: Sized + Send + Sync + 'static {
    /// Topics that can carry it.
    fn topics() -> Vec<&'static TopicInfo>;

    /// Decodes the Avro body of a record of `topic`.
    ///
    /// # Errors
    /// When the body does not fit the writer's schema or the type, or the topic is not one of [`Input::topics`].
    fn decode(topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Self, CodecError>;

    /// The event as JSON by the names of its contract.
    ///
    /// # Errors
    /// When a value cannot be told so.
    fn to_json(&self) -> Result<Value, CodecError>;

    /// Takes the event of a record of `topic` from JSON, as [`Input::to_json`] or [`schemas::codec::to_json`] gives it.
    ///
    /// # Errors
    /// When it is no event of the type, or the topic is not one of [`Input::topics`].
    fn from_json(topic: &str, event: Value) -> Result<Self, CodecError>;

    /// The envelope of the event.
    fn envelope(&self) -> Option<&EventMeta>;
}

impl<T: Event> Input for T {
    fn topics() -> Vec<&'static TopicInfo> {
        vec![T::topic()]
    }

    fn decode(_topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Self, CodecError> {
        schemas::codec::decode(writer, body)
    }

    fn to_json(&self) -> Result<Value, CodecError> {
        told(self)
    }

    fn from_json(_topic: &str, event: Value) -> Result<Self, CodecError> {
        schemas::codec::from_json(event)
    }

    fn envelope(&self) -> Option<&EventMeta> {
        self.meta()
    }
}

/// An event as JSON by the names of its contract, for [`Input::to_json`] of an enum of events.
///
/// # Errors
/// When a value cannot be told so.
pub fn told<T: Event>(event: &T) -> Result<Value, CodecError> {
    serde_json::to_value(event).map_err(|error| CodecError::Encode(error.to_string()))
}

//! What a room reads: one event type, or an enum over several topics.

use schemas::codec::{CodecError, WriterSchema};
use schemas::{Event, EventMeta, TopicInfo};

/// An event, or an enum of events of several topics.
pub trait Input: Sized + Send + Sync + 'static {
    /// Topics that can carry it.
    fn topics() -> Vec<&'static TopicInfo>;

    /// Decodes the Avro body of a record of `topic`.
    ///
    /// # Errors
    /// When the body does not fit the writer's schema or the type, or the topic is not one of [`Input::topics`].
    fn decode(topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Self, CodecError>;

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

    fn envelope(&self) -> Option<&EventMeta> {
        self.meta()
    }
}

//! A record of a known type.

use runtime::codec::{Codec, WireError};
use runtime::record::Record;
use schemas::Event;

/// Decodes one known record type; `None` for a tombstone.
pub async fn typed<T: Event>(codec: &Codec, record: &Record) -> Result<Option<T>, WireError> {
    let Some(value) = record.value.as_deref() else { return Ok(None) };
    let (writer, body) = codec.open(value).await?;
    Ok(Some(schemas::codec::decode(&writer, body)?))
}

//! Records to bytes and back: the Confluent framing and the Avro body.
//!
//! The hot path is `serde_avro_fast` with the writer's schema and our types, whose serde defaults are the defaults of the
//! contracts; a test shows that this equals Avro's schema resolution. Everything generic goes through `apache-avro`.

mod compatibility;
mod json;
mod library;
mod walk;

use std::sync::OnceLock;

use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::SerializerConfig;

use crate::Event;

pub use compatibility::{Incompatible, check_compatibility};
pub use json::{from_json, to_json};
pub use library::check_schema;

/// Length of the Confluent frame: a zero byte and the schema id.
pub const FRAME_LENGTH: usize = 5;

/// A value that is not in the Confluent framing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a frame.
    #[error("the value has {0} bytes, fewer than a schema frame")]
    TooShort(usize),
    /// The first byte is not zero.
    #[error("the value starts with byte {0:#04x}, not with 0x00")]
    Magic(u8),
}

impl FrameError {
    /// Stable code; `docs/errors` has a page for it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "WL-6001"
    }
}

/// A schema, a record or a body that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The text is not an Avro schema.
    #[error("not an Avro schema: {0}")]
    Schema(String),
    /// The body does not fit its writer's schema or our type.
    #[error("the body does not fit: {0}")]
    Decode(String),
    /// Bytes are left after the record.
    #[error("{0} bytes are left after the record")]
    Trailing(usize),
    /// The record does not fit its contract, for example a quantity with too many decimal places.
    #[error("the record does not fit its contract: {0}")]
    Encode(String),
}

impl CodecError {
    /// Stable code; `docs/errors` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Schema(_) => "WL-6003",
            Self::Decode(_) | Self::Trailing(_) => "WL-6004",
            Self::Encode(_) => "WL-6008",
        }
    }
}

/// A compiled schema that records were written with.
pub struct WriterSchema {
    schema: serde_avro_fast::Schema,
    json: Box<str>,
    /// For tools only, so compiled when a tool asks for it.
    generic: OnceLock<Result<apache_avro::Schema, CodecError>>,
}

impl WriterSchema {
    /// Compiles a self-contained Avro schema.
    ///
    /// # Errors
    /// [`CodecError::Schema`] when it is none.
    pub fn parse(json: &str) -> Result<Self, CodecError> {
        let schema = json
            .parse()
            .map_err(|error: serde_avro_fast::schema::SchemaError| CodecError::Schema(error.to_string()))?;
        Ok(Self { schema, json: json.into(), generic: OnceLock::new() })
    }

    /// The schema as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    fn generic(&self) -> Result<&apache_avro::Schema, CodecError> {
        self.generic
            .get_or_init(|| library::parse(&self.json).map_err(CodecError::Schema))
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl std::fmt::Debug for WriterSchema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("WriterSchema").field(&self.json).finish()
    }
}

/// The frame of a value: a zero byte and the schema id, big-endian.
#[must_use]
pub const fn frame(schema_id: u32) -> [u8; FRAME_LENGTH] {
    let [a, b, c, d] = schema_id.to_be_bytes();
    [0, a, b, c, d]
}

/// Splits a framed value into schema id and body.
///
/// # Errors
/// [`FrameError`] when it is not framed.
pub const fn split_frame(value: &[u8]) -> Result<(u32, &[u8]), FrameError> {
    match value {
        [0, a, b, c, d, body @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        [magic, ..] if *magic != 0 => Err(FrameError::Magic(*magic)),
        _ => Err(FrameError::TooShort(value.len())),
    }
}

/// Appends the framed Avro encoding of a record. On an error `out` is as it was.
///
/// # Errors
/// [`CodecError::Encode`] when the record does not fit its contract.
pub fn encode<T: Event>(value: &T, schema_id: u32, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&frame(schema_id));
    let mut config = SerializerConfig::new(&T::contract()?.schema);
    let written = serde_avro_fast::to_datum(value, &mut *out, &mut config).map(|_| ());
    written.map_err(|error| {
        out.truncate(start);
        CodecError::Encode(error.to_string())
    })
}

/// Reads a record from an Avro body (without frame) that was written with `writer`.
///
/// Fields the writer did not know get the defaults of the contract, symbols we do not know read as `Unknown`, fields we do
/// not know are skipped.
///
/// # Errors
/// [`CodecError::Decode`] or [`CodecError::Trailing`] when the bytes are not exactly one such record.
pub fn decode<T: Event>(writer: &WriterSchema, body: &[u8]) -> Result<T, CodecError> {
    decode_part(writer, body)
}

/// Like [`decode`], into a type that names only some fields of the record; the others are passed over, which takes no memory.
///
/// # Errors
/// As [`decode`].
pub fn decode_part<'a, T: serde::Deserialize<'a>>(writer: &WriterSchema, body: &'a [u8]) -> Result<T, CodecError> {
    let mut config = DeserializerConfig::new(&writer.schema);
    // No element of our arrays takes less than a byte, so a longer list is a lie and must not cost time.
    config.max_seq_size = body.len();
    let mut state = DeserializerState::with_config(SliceRead::new(body), config);
    let record = T::deserialize(state.deserializer()).map_err(|error| CodecError::Decode(error.to_string()))?;
    match std::io::BufRead::fill_buf(&mut *state) {
        Ok([]) => Ok(record),
        Ok(rest) => Err(CodecError::Trailing(rest.len())),
        Err(error) => Err(CodecError::Decode(error.to_string())),
    }
}

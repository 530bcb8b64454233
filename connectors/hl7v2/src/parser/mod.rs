//! A lossless HL7 v2 parser: what it cannot interpret it keeps, and [`Message::print`] gives back the bytes it was given.
//!
//! `message.segment("PV1").field(19).component(1).text()` reads PV1-19.1. Nothing is copied until a value needs decoding:
//! a segment is a range of the decoded text, and a field is found when it is asked for. Positions count from 1 as in the
//! standard, and a position that does not exist is an empty value, as the standard demands of receivers.

mod batch;
mod charset;
mod delimiters;
mod error;
mod escape;
mod layout;
mod message;
mod timestamp;

pub use batch::{Piece, PieceKind, is_one_message, split, split_plain};
pub use charset::{Charset, CharsetError};
pub use delimiters::Delimiters;
pub use error::{ParseError, ParseErrorKind};
pub use escape::Decoded;
pub use layout::Tolerance;
pub use message::{Message, ParseOptions, Presence, Segment, Value};
pub use timestamp::{Timestamp, TimestampError, TimestampPrecision, parse_timestamp};

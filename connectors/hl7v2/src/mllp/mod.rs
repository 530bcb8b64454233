//! MLLP: the framing of HL7 v2 over TCP (HL7 transport specification, release 1), and the acknowledgements that go back. The
//! decoder and the acknowledgements do no I/O, so the same code reads sockets and files, and tests cut streams where they
//! like.

mod ack;
mod client;
mod decoder;
mod header;

pub use ack::{AckCode, AckError, Decision, ErrorPlace, acknowledgements, read_ack};
pub use client::{Ack, ClientError, ClientOptions, MllpClient};
pub use decoder::{Decoder, Event, encode, encode_into};
pub use header::Header;

/// Opens a frame: VT.
pub const START: u8 = 0x0b;
/// Ends a frame when CR follows: FS.
pub const END: u8 = 0x1c;
/// Default bound of a frame: 16 MiB.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

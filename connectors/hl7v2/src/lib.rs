//! HL7 v2 source: MLLP or files in, encounter and supply usage events out.
//!
//! ```text
//! VT MSH|^~\&|EHR1|NORTH|…||DFT^P03|7|P|2.5.1 CR … FT1|1|TX1||202609141030-0500||CG|…|||1 CR ZSC|1|71-100234|… FS CR
//!     -> clinical.supply-usage.v1 {itemRef: 71-100234, quantity: 1, occurredAt: 15:30Z}, ops.receipt.v1
//!     -> VT MSH|… CR MSA|AA|7 CR FS CR, once Kafka has confirmed both
//! ```
//! A resend of the same bytes gets the same answer and no second event. What is wrong with a message becomes an exception with
//! its bytes; what is no message becomes a dead letter.

pub mod config;
pub mod input;
pub mod mapping;
pub mod mllp;
pub mod parser;
pub mod source;

pub use input::parse_to_json;
pub use source::{NAME, room};

//! The vocabulary of a processor: a value goes in, a verdict comes out.
//!
//! Nothing here knows Kafka, a clock, a network or a metric. A processor declares its [`Wiring`], which is data: the
//! command line, the catalogue, the chart and the tests read the same object that the runtime executes.
//!
//! ```text
//! input event  +  tables of master data   ->   Verdict::Emit | Drop | Wait | Reject
//! ```

mod code;
mod derive;
mod input;
pub mod laws;
mod reason;
mod table;
mod verdict;
mod wiring;

pub use code::Code;
pub use derive::{day_of, derived, is_newer, statement};
pub use input::{Input, told};
pub use reason::{Reason, Subject};
pub use table::{Binder, Body, FeedError, Image, Row, Snapshots, Table, TableFeed, Tables};
pub use verdict::Verdict;
pub use wiring::{Processor, Wiring, WiringInfo, table_topics};

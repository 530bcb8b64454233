//! The connector itself: listens, reads files, publishes, and answers only what Kafka has confirmed.

mod batch;
mod connection;
mod counters;
mod directory;
mod doubts;
mod intake;
mod kafka;
mod lanes;
mod ledger;
mod listener;
mod receipts;
mod room;
mod siblings;
mod tls;

pub use batch::{Batch, RawLetter};
pub use directory::Directory;
pub use intake::{Confirmation, Intake, NotStarted, Sink, Taken};
pub use ledger::{Known, Ledger, Look};
pub use listener::{Listener, SourceError};
pub use room::{NAME, room};
pub use siblings::Siblings;

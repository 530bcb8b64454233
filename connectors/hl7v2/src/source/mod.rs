//! The connector itself: listens, reads files, publishes, and answers only what Kafka has confirmed.

mod batch;
mod connection;
mod directory;
mod doubts;
mod intake;
mod kafka;
mod lanes;
mod ledger;
mod listener;
mod room;
mod tls;

pub use batch::{Batch, RawLetter};
pub use directory::Directory;
pub use intake::{Confirmation, Intake, Sink, Taken};
pub use ledger::{Known, Ledger};
pub use listener::{Listener, SourceError};
pub use room::{NAME, room};

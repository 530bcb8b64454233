//! What people do about a running installation: look at what waits and why, decide, replay, reconcile.
//!
//! Everything here is read from topics and written to topics, so the command line and the console are two faces of the same
//! acts, and several of either agree.

pub mod audit;
pub mod crosswalk;
pub mod dead_letters;
mod dump;
pub mod exceptions;
pub mod groups;
pub mod messages;
mod offsets;
pub mod original;
mod people;
pub mod reconcile;
pub mod replay;
pub mod shell;
pub mod sight;
pub mod topics;
mod zone;

pub use dump::dump;
pub use offsets::Offsets;
pub use people::{AS_USER, People, identified, same_person, shown_name};
pub use zone::Zone;

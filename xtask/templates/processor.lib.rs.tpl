//! Makes `@writes@` out of `@reads@`.
//!
//! ```text
//! @Input@ {meta}   ->   @Output@ {meta}
//! ```
//! Replay-safe: the verdict depends on the event alone.

mod config;

pub use config::@Type@Config;

use processor::{Processor, Verdict, Wiring, derived};
use schemas::{@imports@, topics};

/// Name of the room.
pub const NAME: &str = "@room@";

/// The processor.
pub struct @Type@ {
    config: @Type@Config,
}

impl Processor for @Type@ {
    type Input = @Input@;
    type Output = @Output@;
    type Tables = ();

    fn process(&self, event: @Input@, _tables: &()) -> Verdict<@Output@> {
        let mut meta = derived::<@Output@>(&event, NAME);
        if meta.facility_id.is_empty() {
            meta.facility_id.clone_from(&self.config.facility);
        }
        Verdict::emit(@Output@ { meta, ..@Output@::default() })
    }
}

/// The declaration of the room.
#[must_use]
pub fn wiring(config: @Type@Config) -> Wiring<@Type@> {
    Wiring::new(NAME, "Makes @writes@ out of @reads@.", @Type@ { config }, topics::@WRITES@)
}

/// The room, for a process.
#[must_use]
pub fn room() -> runtime::Room {
    let info = runtime::RoomInfo::of_processor(&wiring(@Type@Config::default()));
    runtime::Room::processor(info, |config| Ok(wiring(config.room(NAME)?))).configured(|_: &@Type@Config, _| Ok(()))
}

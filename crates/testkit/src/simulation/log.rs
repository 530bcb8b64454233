//! Takes the log of the runtime into the trace, so that what leaves the process there is looked at too (PHI-1).

use super::world::world;
use std::fmt::{Debug, Write as _};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Most lines kept of one run (BND-1).
const LINES_MAX: usize = 50_000;

/// Runs with the log going into the trace of the world.
pub(super) fn captured<T>(run: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(Capture, run)
}

struct Capture;

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        let world = world();
        let now = world.now();
        let mut trace = world.trace.borrow_mut();
        trace.note(now, "log", || line.0.clone());
        if trace.log.len() < LINES_MAX {
            trace.log.push(line.0);
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

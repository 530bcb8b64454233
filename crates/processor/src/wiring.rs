//! The declaration of a processor: what it reads, looks up and writes.

use crate::{Binder, Input, Tables, Verdict};
use schemas::{Event, Topic, TopicInfo};
use serde::Serialize;

/// A pure function from an event and the tables to a verdict.
pub trait Processor: Send + Sync + 'static {
    /// What it reads.
    type Input: Input;
    /// What it writes.
    type Output: Event;
    /// What it looks things up in.
    type Tables: Tables;

    /// Decides about one event. The same event and tables always give the same verdict.
    fn process(&self, input: Self::Input, tables: &Self::Tables) -> Verdict<Self::Output>;
}

/// A processor with its name, as a declaration that the runtime executes.
pub struct Wiring<P: Processor> {
    name: &'static str,
    purpose: &'static str,
    processor: P,
}

/// A wiring as data, for the command line, the catalogue, the chart and the tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WiringInfo {
    /// Name of the room; also its consumer group, its workload and its metrics label.
    pub name: &'static str,
    /// One sentence for people.
    pub purpose: &'static str,
    /// Topics it reads.
    pub reads: Vec<&'static str>,
    /// Compacted topics it looks things up in.
    pub looks_up: Vec<&'static str>,
    /// Topics it writes.
    pub writes: Vec<&'static str>,
}

impl<P: Processor> Wiring<P> {
    /// Declares `processor` under `name`. The input type says what it reads, `writes` where its output goes.
    pub fn new(name: &'static str, purpose: &'static str, processor: P, _writes: Topic<P::Output>) -> Self {
        Self { name, purpose, processor }
    }

    /// Name of the room.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The function itself.
    pub fn processor(&self) -> &P {
        &self.processor
    }

    /// Takes the function out.
    pub fn into_processor(self) -> P {
        self.processor
    }

    /// The wiring as data.
    pub fn info(&self) -> WiringInfo {
        WiringInfo {
            name: self.name,
            purpose: self.purpose,
            reads: names(&P::Input::topics()),
            looks_up: table_topics::<P::Tables>(),
            writes: vec![P::Output::topic().name],
        }
    }
}

/// Names of the topics behind a set of tables.
pub fn table_topics<T: Tables>() -> Vec<&'static str> {
    let mut binder = Binder::new(1);
    T::bind(&mut binder);
    binder.feeds().iter().map(|feed| feed.topic().name).collect()
}

fn names(topics: &[&'static TopicInfo]) -> Vec<&'static str> {
    topics.iter().map(|topic| topic.name).collect()
}

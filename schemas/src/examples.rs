//! Synthetic example events, at least two per topic. Together they tell how one implant is used, posted and reordered.

use serde_json::Value;

use crate::Event;
use crate::generated::example_files::FILES;

/// The examples of a record type, in the order of their file names. No example holds data of a real person.
#[must_use]
pub fn examples<T: Event>() -> Vec<T> {
    texts(T::topic().name).filter_map(|(_, text)| serde_json::from_str(text).ok()).collect()
}

/// The examples of a topic as JSON, with their file names, in the order of these.
#[must_use]
pub fn examples_of(topic: &str) -> Vec<(&'static str, Value)> {
    texts(topic).filter_map(|(name, text)| Some((name, serde_json::from_str(text).ok()?))).collect()
}

fn texts(topic: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter(move |(of, ..)| *of == topic).map(|(_, name, text)| (*name, *text))
}

//! Service levels: what the hospital is promised about the way from one topic to another.
//!
//! A topic's own `sla` is about one step; a service level is about what people wait for, for example "documented at the bed
//! to booked in the stock".

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{CODE_SERVICE_LEVEL, Criticality, Problem, RawCatalogue, RawTopic, SchemaFacts, problem};

/// The times of an event start with its envelope, so only events can be measured.
const ENVELOPE: &str = "meta.recordedAt";

/// One service level as `topics.yaml` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelSpec {
    /// Name: words in lower case, joined with hyphens.
    pub name: String,
    /// What people wait for, one sentence.
    pub description: String,
    /// Topic whose events start the time.
    pub from: String,
    /// Topic whose events end it.
    pub to: String,
    /// Which time of the first event counts.
    pub measured_from: MeasuredFrom,
    /// Longest time that keeps the promise, milliseconds.
    pub within_ms: u64,
    /// Share that must keep it, hundredths of a percent: 9900 is 99 %.
    pub target_basis_points: u32,
    /// How urgent it is.
    pub class: Criticality,
    /// Rooms on the way, sorted. What one of them leaves out by a rule will never arrive and is not waited for.
    pub rooms: Vec<String>,
    /// Topics between the two, sorted.
    pub through: Vec<String>,
}

/// Which time of the first event starts the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeasuredFrom {
    /// When Wardline published it: what Wardline itself answers for.
    #[default]
    Published,
    /// When the source recorded it: with the time that the source took to send it.
    Recorded,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLevel {
    name: Spanned<String>,
    description: Spanned<String>,
    from: Spanned<String>,
    to: Spanned<String>,
    #[serde(default)]
    measured_from: MeasuredFrom,
    within_ms: Spanned<u64>,
    target_percent: Spanned<f64>,
    class: Criticality,
}

/// Checks all service levels and returns them; problems are added to the list.
pub(super) fn levels(raw: &RawCatalogue, schemas: &[SchemaFacts], problems: &mut Vec<Problem>) -> Vec<LevelSpec> {
    for pair in raw.service_levels.windows(2) {
        let [before, after] = pair else { continue };
        let (before, name) = (&before.name.value, &after.name.value);
        if name <= before {
            let reason = match name == before {
                true => format!("the service level {name} stands twice"),
                false => format!("{name} must stand before {before}: service levels are sorted by name"),
            };
            problems.push(problem(&after.name.referenced, CODE_SERVICE_LEVEL, reason));
        }
    }
    raw.service_levels.iter().map(|level| one_level(raw, level, schemas, problems)).collect()
}

fn one_level(raw: &RawCatalogue, level: &RawLevel, schemas: &[SchemaFacts], problems: &mut Vec<Problem>) -> LevelSpec {
    let mut wrong = |text: &serde_saphyr::Location, reason: String| {
        problems.push(problem(text, CODE_SERVICE_LEVEL, reason));
    };
    let name = &level.name.value;
    if !is_name(name) {
        wrong(&level.name.referenced, format!("{name} is not words in lower case, joined with hyphens"));
    }
    if level.description.value.trim().is_empty() {
        wrong(&level.description.referenced, format!("{name} does not say what people wait for"));
    }
    if level.within_ms.value == 0 {
        wrong(&level.within_ms.referenced, format!("{name} promises what nothing can keep: within_ms is at least 1"));
    }
    let target = basis_points(level.target_percent.value);
    if target.is_none() {
        let reason = format!("{name} needs a target above 0 and up to 100 percent, with two decimals at most");
        wrong(&level.target_percent.referenced, reason);
    }
    let mut are_events = true;
    for topic in [&level.from, &level.to] {
        let known = raw.topics.iter().find(|known| known.name.value == topic.value);
        let reason = match known {
            None => format!("there is no topic {}", topic.value),
            Some(known) if !is_event(known, schemas) => {
                format!("{} carries no events, so the way of one cannot be timed", topic.value)
            }
            Some(_) => continue,
        };
        are_events = false;
        wrong(&topic.referenced, reason);
    }
    let way = Way::between(raw, schemas, &level.from.value, &level.to.value);
    if are_events && way.rooms.is_empty() {
        let reason = format!("no room leads from {} to {}", level.from.value, level.to.value);
        wrong(&level.to.referenced, reason);
    }
    LevelSpec {
        name: name.clone(),
        description: level.description.value.clone(),
        from: level.from.value.clone(),
        to: level.to.value.clone(),
        measured_from: level.measured_from,
        within_ms: level.within_ms.value,
        target_basis_points: target.unwrap_or_default(),
        class: level.class,
        rooms: way.rooms.into_iter().map(str::to_owned).collect(),
        through: way.through.into_iter().map(str::to_owned).collect(),
    }
}

/// What lies between two topics.
#[derive(Default)]
struct Way<'a> {
    rooms: BTreeSet<&'a str>,
    through: BTreeSet<&'a str>,
}

impl<'a> Way<'a> {
    /// Every room that can be reached from `from` and from which `to` can be reached, by events alone.
    fn between(raw: &'a RawCatalogue, schemas: &[SchemaFacts], from: &'a str, to: &'a str) -> Self {
        let events: Vec<&RawTopic> = raw.topics.iter().filter(|topic| is_event(topic, schemas)).collect();
        let steps: Vec<(&str, &str, &str)> = events
            .iter()
            .flat_map(|read| read.consumers.iter().map(|consumer| (read.name.value.as_str(), &consumer.value.room)))
            .flat_map(|(read, room)| {
                let written = events.iter().filter(|topic| topic.producers.iter().any(|by| by.value == *room));
                written.map(move |topic| (read, room.as_str(), topic.name.value.as_str()))
            })
            .collect();
        let ahead = reached(from, steps.iter().map(|(read, _, written)| (*read, *written)));
        let behind = reached(to, steps.iter().map(|(read, _, written)| (*written, *read)));
        let mut way = Self::default();
        // What leaves the end again, or comes back to the start, is another way.
        for (read, room, written) in &steps {
            if *read != to && *written != from && ahead.contains(read) && behind.contains(written) {
                way.rooms.insert(room);
                way.through.extend([read, written].into_iter().filter(|topic| **topic != from && **topic != to));
            }
        }
        way
    }
}

/// All that can be reached over these steps, the start included.
fn reached<'a>(start: &'a str, steps: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([start]);
    loop {
        let more: Vec<&str> = steps
            .clone()
            .filter(|(before, after)| reached.contains(before) && !reached.contains(after))
            .map(|(_, after)| after)
            .collect();
        if more.is_empty() {
            return reached;
        }
        reached.extend(more);
    }
}

fn is_event(topic: &RawTopic, schemas: &[SchemaFacts]) -> bool {
    let schema = schemas.iter().find(|schema| schema.file == topic.schema.value);
    schema.is_some_and(|schema| schema.field(ENVELOPE).is_some()) && topic.compaction.is_none()
}

fn is_name(name: &str) -> bool {
    name.split('-').all(|word| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    })
}

/// Percent with two decimals at most, above 0 and up to 100, as hundredths.
fn basis_points(percent: f64) -> Option<u32> {
    (1..=10_000).find(|points| (f64::from(*points) / 100.0 - percent).abs() < 1e-9)
}

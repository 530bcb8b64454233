//! `wardline exceptions causes`: one line per cause instead of one per event. What has one cause is mended once.

use super::{is_open, load};
use crate::args::ExceptionsCauses;
use crate::output::{self, Output};
use crate::{Failure, decode};
use runtime::Config;
use runtime::codec::Codec;
use runtime::reader::{self, Range};
use schemas::{Exception, Parked, Subject, topics};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use tokio::runtime::Handle;

/// Most parked events that are counted.
const PARKED_MAX: usize = 2_000_000;

/// A lane of parked events: room, topic and key.
type Lane = (String, String, String);
/// Where an event came from.
type Place = (String, String, i32, i64);

/// What one cause holds up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Code under which the exceptions were raised.
    pub code: String,
    /// Room that raised them.
    pub room: String,
    /// What it is about, `kind/key`; none where the events themselves are at fault.
    pub subject: Option<String>,
    /// Open exceptions.
    pub exceptions: usize,
    /// Keys that wait, those behind the exceptions included.
    pub keys: usize,
    /// Events that wait, the later ones of these keys included.
    pub events: usize,
    /// When the first was raised, microseconds since 1970.
    pub since: i64,
    /// One sentence of an exception, and what would help.
    pub message: String,
    /// What would make it go away.
    pub suggested_fix: Option<String>,
}

/// Lists the causes, the one with most events first.
pub async fn list(config: &Config, options: &ExceptionsCauses) -> Result<(), Failure> {
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let open: Vec<Exception> = load(config, &codec).await?.into_iter().filter(is_open).collect();
    let (kafka, handle) = (config.kafka.clone(), Handle::current());
    let waiting = tokio::task::spawn_blocking(move || {
        let mut waiting = Waiting::default();
        let mut failed = None;
        let read = reader::read_range(&kafka, &Range::all(topics::OPS_PARKED_V1.name()), |record| {
            let key = record.key.as_deref().unwrap_or_default().to_vec();
            match handle.block_on(decode::typed::<Parked>(&codec, &record)) {
                Ok(Some(parked)) if waiting.count() < PARKED_MAX => waiting.add(key, parked),
                Ok(None) => waiting.remove(&key),
                Ok(Some(_)) => {
                    failed = Some(Failure::usage(
                        format!("WL-6015: more than {PARKED_MAX} events are parked"),
                        "list the exceptions with `wardline exceptions ls`",
                    ))
                }
                Err(error) => failed = Some(Failure::registry(error)),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        read.map_err(Failure::kafka)?;
        failed.map_or(Ok(waiting), Err)
    });
    let causes = causes(&open, &waiting.await.map_err(Failure::kafka)??);
    show(&causes, options)
}

fn show(causes: &[Cause], options: &ExceptionsCauses) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if options.json {
        for cause in causes {
            output.json(cause)?;
        }
        return output.finish();
    }
    let rows: Vec<Vec<String>> = causes.iter().map(row).collect();
    output.table(&["CODE", "ROOM", "SUBJECT", "EXCEPTIONS", "KEYS", "EVENTS", "SINCE", "EXAMPLE"], &rows)?;
    output.finish()?;
    match causes.first() {
        None => output::note("no exception is open"),
        Some(first) => {
            if let Some(fix) = &first.suggested_fix {
                output::note(&format!("the first: {fix}"));
            }
            let subject = first.subject.as_ref().map(|subject| format!(" --subject {subject}")).unwrap_or_default();
            output::note(&format!(
                "what waits for a master record goes on by itself when that arrives; else: `wardline exceptions retry --code {}{subject}`",
                first.code
            ));
        }
    }
    Ok(())
}

fn row(cause: &Cause) -> Vec<String> {
    vec![
        cause.code.clone(),
        cause.room.clone(),
        cause.subject.clone().unwrap_or_else(|| "-".to_owned()),
        cause.exceptions.to_string(),
        cause.keys.to_string(),
        cause.events.to_string(),
        output::time_text(cause.since / 1_000).chars().take(19).collect(),
        cause.message.clone(),
    ]
}

/// A subject as one word.
pub fn subject_text(subject: &Subject) -> String {
    format!("{}/{}", subject.kind, subject.key)
}

/// The open exceptions by cause, and what waits because of them.
fn causes(open: &[Exception], waiting: &Waiting) -> Vec<Cause> {
    let mut found: BTreeMap<_, (Cause, BTreeSet<&Lane>)> = BTreeMap::new();
    for exception in open {
        let subject = exception.subject.as_ref().map(subject_text);
        let (cause, lanes) =
            found.entry((exception.code.as_str(), exception.room.as_str(), subject.clone())).or_insert_with(|| {
                let cause = Cause {
                    code: exception.code.clone(),
                    room: exception.room.clone(),
                    subject,
                    exceptions: 0,
                    keys: 0,
                    events: 0,
                    since: exception.raised_at.0,
                    message: exception.message.clone(),
                    suggested_fix: exception.suggested_fix.clone(),
                };
                (cause, BTreeSet::new())
            });
        cause.exceptions += 1;
        cause.since = cause.since.min(exception.raised_at.0);
        lanes.extend(place_of(exception).and_then(|place| waiting.lane_of(&place)));
    }
    let counted = found.into_values().map(|(cause, lanes)| Cause {
        keys: lanes.len(),
        events: lanes.iter().map(|lane| waiting.events_of(lane)).sum(),
        ..cause
    });
    let mut causes: Vec<Cause> = counted.collect();
    causes.sort_by(|one, other| {
        (other.events, other.exceptions, &one.code).cmp(&(one.events, one.exceptions, &other.code))
    });
    causes
}

fn place_of(exception: &Exception) -> Option<Place> {
    let topic = exception.origin_topic.clone()?;
    Some((exception.room.clone(), topic, exception.origin_partition?, exception.origin_offset?))
}

/// Parked events, counted by lane.
#[derive(Debug, Default)]
struct Waiting {
    /// By the key of the parked record, which its removal names.
    records: HashMap<Vec<u8>, (Place, Lane)>,
    lanes: HashMap<Place, Lane>,
    events: HashMap<Lane, usize>,
}

impl Waiting {
    fn count(&self) -> usize {
        self.records.len()
    }

    fn add(&mut self, key: Vec<u8>, parked: Parked) {
        // The same event parked once more takes its place.
        self.remove(&key);
        let place = (parked.room.clone(), parked.topic.clone(), parked.partition, parked.offset);
        let lane = (parked.room, parked.topic, parked.key);
        *self.events.entry(lane.clone()).or_default() += 1;
        self.lanes.insert(place.clone(), lane.clone());
        self.records.insert(key, (place, lane));
    }

    fn remove(&mut self, key: &[u8]) {
        let Some((place, lane)) = self.records.remove(key) else { return };
        self.lanes.remove(&place);
        if let Some(events) = self.events.get_mut(&lane) {
            *events -= 1;
        }
    }

    fn lane_of(&self, place: &Place) -> Option<&Lane> {
        self.lanes.get(place)
    }

    fn events_of(&self, lane: &Lane) -> usize {
        self.events.get(lane).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Timestamp;

    fn exception(offset: i64, code: &str, item: Option<&str>) -> Exception {
        Exception {
            code: code.to_owned(),
            room: "validate".to_owned(),
            subject: item.map(|item| Subject { kind: "master.item.v1".to_owned(), key: item.to_owned() }),
            origin_topic: Some("t".to_owned()),
            origin_partition: Some(0),
            origin_offset: Some(offset),
            raised_at: Timestamp(1_000 + offset),
            message: format!("event {offset}"),
            ..Exception::default()
        }
    }

    fn parked(waiting: &mut Waiting, offset: i64, key: &str) {
        let parked = Parked {
            room: "validate".to_owned(),
            topic: "t".to_owned(),
            key: key.to_owned(),
            offset,
            ..Parked::default()
        };
        waiting.add(offset.to_be_bytes().to_vec(), parked);
    }

    #[test]
    fn events_of_one_cause_are_one_line_and_the_largest_comes_first() {
        let mut waiting = Waiting::default();
        for (offset, key) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c"), (7, "d")] {
            parked(&mut waiting, offset, key);
        }
        // Settled, and the same event parked twice.
        waiting.remove(&7_i64.to_be_bytes());
        parked(&mut waiting, 2, "a");
        let open = [
            exception(6, "WL-4002", None),
            exception(1, "WL-4010", Some("4711")),
            exception(4, "WL-4010", Some("4711")),
            exception(9, "WL-4010", Some("4712")),
        ];
        let found = causes(&open, &waiting);
        let told: Vec<_> = found
            .iter()
            .map(|cause| (cause.code.as_str(), cause.subject.as_deref(), cause.exceptions, cause.keys, cause.events))
            .collect();
        let expected = [
            ("WL-4010", Some("master.item.v1/4711"), 2, 2, 5),
            ("WL-4002", None, 1, 1, 1),
            ("WL-4010", Some("master.item.v1/4712"), 1, 0, 0),
        ];
        assert_eq!(told, expected);
        assert_eq!((found[0].since, found[0].message.as_str()), (1_001, "event 1"));
    }
}

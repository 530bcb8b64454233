//! What a reset comes to.

use super::super::ReplayError;
use super::super::acts::Replays;
use super::super::plan::Count;
use super::{ResetError, ResetRequest};
use runtime::reader::{self, From, PartitionLag, Range, Until};
use runtime::{RoomKind, groups};
use schemas::{Criticality, Replay as Plan, ReplaySelection, ReplaySpan, topics};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Letters of an id.
const ID_LENGTH: usize = 12;

/// Where a room is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the oldest record that is still there.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the first record at or after this time, milliseconds since 1970.
    TimeMs(i64),
    /// At this offset.
    Offset(i64),
}

impl std::str::FromStr for Target {
    type Err = jiff::Error;

    /// An offset, a time like `2026-03-01T08:00:00Z`, `earliest` or `latest`.
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match text.parse() {
                Ok(offset) => Ok(Self::Offset(offset)),
                Err(_) => text.parse::<jiff::Timestamp>().map(|time| Self::TimeMs(time.as_millisecond())),
            },
        }
    }
}

/// In one line: partitions by topic, and what moving them comes to.
#[must_use]
pub fn told(moves: &[Move]) -> String {
    let mut topics: Vec<&str> = moves.iter().map(|one| one.topic.as_str()).collect();
    topics.dedup();
    let (again, skipped) = moves.iter().fold((0, 0), |sum, one| (sum.0 + one.again, sum.1 + one.skipped));
    let count = moves.len();
    let partitions = if count == 1 { "partition" } else { "partitions" };
    format!("{count} {partitions} of {}: {again} records again, {skipped} passed over", topics.join(", "))
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Where the room stands; none when it never committed.
    pub from: Option<i64>,
    /// Where it is to go on.
    pub to: i64,
    /// Records that it reads again.
    pub again: u64,
    /// Records that it would never read.
    pub skipped: u64,
}

/// What reading a topic again comes to, in a room that writes events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicAgain {
    /// Topic.
    pub topic: String,
    /// Records that the room works on again, and writes events of with the same ids.
    pub records: i64,
    /// Their keys.
    pub keys: i64,
    /// Those of them that cannot be read: they become dead letters again.
    pub unreadable: i64,
    /// Records that are parked already, and are left to that.
    pub waiting: i64,
}

/// What a reset comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetPlan {
    /// Made of the room and its moves: the same moves have the same id.
    pub id: String,
    /// The room.
    pub room: String,
    /// Its partitions that move.
    pub moves: Vec<Move>,
    /// Records that are read again.
    pub again: u64,
    /// Records that are passed over.
    pub skipped: u64,
    /// What reading again comes to, by topic; nothing for a sink, nor where a reset was agreed to.
    pub topics: Vec<TopicAgain>,
    /// Why a second person has to agree; none when one is enough.
    pub second_person: Option<Cow<'static, str>>,
}

impl ResetPlan {
    /// The moves and their sums, nothing of which is counted.
    pub(super) fn of(id: String, room: String, moves: Vec<Move>) -> Self {
        let (again, skipped) = (moves.iter().map(|one| one.again).sum(), moves.iter().map(|one| one.skipped).sum());
        Self { id, room, moves, again, skipped, topics: Vec::new(), second_person: None }
    }
}

/// Resolves and counts. Blocks.
pub(super) fn plan(
    replays: &Arc<Replays>,
    request: &ResetRequest,
    read: &dyn Fn(u64),
) -> Result<ResetPlan, ResetError> {
    let info = replays.room(&request.room)?.info.clone();
    if info.kind == RoomKind::Source {
        return Err(ReplayError::Room(format!("{} reads no topic", info.name)).into());
    }
    let kafka = &replays.config.kafka;
    let read_topics: Vec<&'static str> = match &request.topic {
        None => info.reads.clone(),
        Some(wanted) => info.reads.iter().copied().filter(|topic| topic == wanted).collect(),
    };
    if read_topics.is_empty() {
        return Err(ReplayError::Room(format!("{} reads {}", info.name, info.reads.join(", "))).into());
    }
    check(request, read_topics.len())?;
    let members = groups::members(kafka, info.name)?;
    if !members.is_empty() {
        return Err(ResetError::Members { room: info.name.to_owned(), members });
    }
    let lags = reader::group_lag(kafka, info.name, &read_topics)?;
    let mut moves = Vec::new();
    for topic in &read_topics {
        moves.extend(resolved(replays, request, topic, &lags)?);
    }
    if moves.is_empty() {
        return Err(ResetError::Nothing { room: info.name.to_owned() });
    }
    if info.kind == RoomKind::Effect {
        forward(info.name, &moves)?;
    }
    let topics = match info.kind {
        RoomKind::Processor => read_again(replays, info.name, &moves, read)?,
        _ => Vec::new(),
    };
    let second_person = second_person(info.kind, &moves).map(Cow::Borrowed);
    let plan = ResetPlan::of(id_of(info.name, &moves), info.name.to_owned(), moves);
    Ok(ResetPlan { topics, second_person, ..plan })
}

/// An id that is the same for the same moves: what a second person agrees to is exactly what was asked for.
pub(super) fn id_of(room: &str, moves: &[Move]) -> String {
    let mut digest = Sha256::new();
    digest.update(room);
    let mut moves: Vec<&Move> = moves.iter().collect();
    moves.sort_by_key(|one| (&one.topic, one.partition));
    for one in moves {
        let Move { topic, partition, from, to, .. } = one;
        digest.update(format!("|{topic}|{partition}|{from:?}|{to}"));
    }
    let text: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.get(..ID_LENGTH).unwrap_or(&text).to_owned()
}

/// Why a second person has to agree. What is passed over is lost; records of patients are not processed again by one alone, as
/// with a replay; of a compacted topic older records are gone, and with them the rows that were made of them.
fn second_person(kind: RoomKind, moves: &[Move]) -> Option<&'static str> {
    let known = |one: &Move| topics::find(&one.topic);
    let again = |one: &&Move| one.again > 0;
    if moves.iter().any(|one| one.skipped > 0) {
        return Some("records are passed over");
    }
    if kind == RoomKind::Sink {
        let compacted = moves.iter().any(|one| one.from.is_some_and(|from| from > one.to) && is_compacted(&one.topic));
        return compacted.then_some("rows of older versions of master data would be gone");
    }
    let adjacent = |one: &Move| known(one).is_some_and(|topic| topic.class == Criticality::PatientAdjacent);
    moves.iter().filter(again).any(adjacent).then_some("the topic is patient-adjacent")
}

fn is_compacted(topic: &str) -> bool {
    topics::find(topic).is_some_and(|topic| topic.compacted)
}

/// A room with effects only goes forward. Each outcome that it had has left a record that is no part of the position, so that most of
/// what it reads again would be passed over, whatever there is to do by now. A replay asks it anew.
fn forward(room: &str, moves: &[Move]) -> Result<(), ResetError> {
    let back = moves.iter().find_map(|one| one.from.filter(|from| *from > one.to).map(|from| (one, from)));
    back.map_or(Ok(()), |(one, from)| {
        let (topic, partition, to) = (one.topic.clone(), one.partition, one.to);
        Err(ResetError::Back { room: room.to_owned(), topic, partition, from, to })
    })
}

/// What can be said without Kafka.
fn check(request: &ResetRequest, topics: usize) -> Result<(), ResetError> {
    match request.to {
        Target::Offset(_) if topics != 1 || request.partitions.len() != 1 => {
            Err(ResetError::Target("an offset says something only with its one topic and partition".to_owned()))
        }
        _ => Ok(()),
    }
}

/// The partitions of a topic that move.
fn resolved(
    replays: &Replays,
    request: &ResetRequest,
    topic: &str,
    lags: &[PartitionLag],
) -> Result<Vec<Move>, ResetError> {
    let kafka = &replays.config.kafka;
    let whole = reader::spans(kafka, &Range::all(topic).partitions(request.partitions.iter().copied()))?;
    let at_time = match request.to {
        Target::TimeMs(at_ms) => {
            let partitions = request.partitions.clone();
            let range = Range { topic: topic.to_owned(), partitions, from: From::TimeMs(at_ms), until: Until::EndNow };
            reader::spans(kafka, &range)?
        }
        _ => BTreeMap::new(),
    };
    let mut moves = Vec::new();
    for (partition, span) in whole {
        let to = match request.to {
            Target::Earliest => span.start,
            Target::Latest => span.end,
            Target::TimeMs(_) => at_time.get(&partition).map_or(span.end, |found| found.start.min(span.end)),
            Target::Offset(offset) if (span.start..=span.end).contains(&offset) => offset,
            Target::Offset(offset) => {
                return Err(ResetError::Target(format!(
                    "{topic} partition {partition} has the offsets {} to {}, and {offset} is none of them",
                    span.start, span.end
                )));
            }
        };
        let known = lags.iter().find(|lag| lag.topic == topic && lag.partition == partition);
        let from = known.and_then(|lag| lag.committed);
        if from == Some(to) {
            continue;
        }
        // Who never committed begins at the oldest record.
        let stands = from.unwrap_or(span.start).max(span.start);
        let again = counted(replays, topic, partition, to, stands)?;
        let skipped = counted(replays, topic, partition, stands, to)?;
        moves.push(Move { topic: topic.to_owned(), partition, from, to, again, skipped });
    }
    Ok(moves)
}

/// Records between two offsets; transaction markers are none.
fn counted(replays: &Replays, topic: &str, partition: i32, from: i64, to: i64) -> Result<u64, ResetError> {
    if from >= to {
        return Ok(0);
    }
    let partitions = vec![partition];
    let range = Range { topic: topic.to_owned(), partitions, from: From::Offset(from), until: Until::Offset(to) };
    Ok(reader::read_range(&replays.config.kafka, &range, |_| ControlFlow::Continue(()))?)
}

/// What the records that are read again come to, counted as for a replay of them.
fn read_again(
    replays: &Arc<Replays>,
    room: &str,
    moves: &[Move],
    read: &dyn Fn(u64),
) -> Result<Vec<TopicAgain>, ResetError> {
    let mut spans: BTreeMap<&str, Vec<ReplaySpan>> = BTreeMap::new();
    for one in moves.iter().filter(|one| one.again > 0) {
        let (start, end) = (one.to, one.from.unwrap_or(one.to));
        let span =
            ReplaySpan { partition: one.partition, start, end, next: start, committed: end, ..ReplaySpan::default() };
        spans.entry(&one.topic).or_default().push(span);
    }
    let selection = ReplaySelection { from_time_ms: Some(0), ..ReplaySelection::default() };
    let mut topics = Vec::new();
    for (topic, spans) in spans {
        let count = Count::new(replays, room, Some(topic), &selection)?;
        let mut counted = Plan::default();
        count.run(&mut counted, &spans, read)?;
        let counts = counted.counts;
        let (records, keys, unreadable, waiting) = (counts.records, counts.keys, counts.unreadable, counts.waiting);
        topics.push(TopicAgain { topic: topic.to_owned(), records, keys, unreadable, waiting });
    }
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(topic: &str, from: i64, to: i64) -> Move {
        let count = |from: i64, to: i64| u64::try_from((to - from).max(0)).unwrap_or_default();
        let (again, skipped) = (count(to, from), count(from, to));
        Move { topic: topic.to_owned(), partition: 0, from: Some(from), to, again, skipped }
    }

    #[test]
    fn rpl_1_one_person_is_not_enough_for_a_loss_nor_for_records_of_patients() {
        let enriched = topics::SUPPLY_USAGE_ENRICHED_V1.name();
        let (orders, items) = (topics::SUPPLY_PURCHASE_ORDER_V1.name(), topics::MASTER_ITEM_V1.name());
        let needs = |kind, topic, from, to| second_person(kind, &[moved(topic, from, to)]).is_some();
        let table = [
            (RoomKind::Processor, enriched, 5, 3, true),
            (RoomKind::Processor, orders, 5, 3, false),
            (RoomKind::Effect, orders, 3, 5, true),
            (RoomKind::Sink, enriched, 5, 3, false),
            (RoomKind::Sink, enriched, 3, 5, true),
            (RoomKind::Sink, items, 5, 3, true),
        ];
        for (kind, topic, from, to, expected) in table {
            assert_eq!(needs(kind, topic, from, to), expected, "{kind:?} {topic} {from} -> {to}");
        }
    }

    #[test]
    fn rpl_1_a_room_with_effects_goes_forward_alone() {
        let enriched = topics::SUPPLY_USAGE_ENRICHED_V1.name();
        assert!(forward("erp-post", &[moved(enriched, 3, 5)]).is_ok());
        let refused = forward("erp-post", &[moved(enriched, 3, 5), moved(enriched, 9, 5)]).unwrap_err();
        assert!(refused.to_string().starts_with("WL-7263: erp-post has settled "), "{refused}");
        let range =
            format!("wardline replay plan erp-post --topic {enriched} --partition 0 --from-offset 5 --to-offset 8 ");
        assert!(refused.next().contains(&range), "{}", refused.next());
    }

    #[test]
    fn what_was_asked_for_is_one_line() {
        let one = |topic: &str, again, skipped| Move { again, skipped, ..moved(topic, 0, 0) };
        assert_eq!(told(&[one("t", 5, 0)]), "1 partition of t: 5 records again, 0 passed over");
        let several = [one("t", 5, 0), one("t", 1, 0), one("u", 0, 2)];
        assert_eq!(told(&several), "3 partitions of t, u: 6 records again, 2 passed over");
    }

    #[test]
    fn a_place_is_an_offset_a_time_or_an_end() {
        let read = |text: &str| text.parse::<Target>().ok();
        assert_eq!(read("earliest"), Some(Target::Earliest));
        assert_eq!(read("latest"), Some(Target::Latest));
        assert_eq!(read("17"), Some(Target::Offset(17)));
        assert_eq!(read("1970-01-01T00:00:01Z"), Some(Target::TimeMs(1_000)));
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn the_same_moves_have_the_same_id_and_others_another() {
        let id = |room, from, to| id_of(room, &[moved("t", from, to)]);
        assert_eq!(id("a", 5, 3), id("a", 5, 3));
        for other in [id("b", 5, 3), id("a", 6, 3), id("a", 5, 4)] {
            assert_ne!(id("a", 5, 3), other);
        }
    }
}

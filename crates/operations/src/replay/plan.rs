//! Counts what a replay comes to, reading the topic once and holding keys and effects, not records.

use super::acts::Replays;
use super::corrected::{Correcting, Judged, Tally};
use super::count::{Counter, Facts, Meaning, meaning};
use super::known::Known;
use super::order::{History, Order, Overtaken};
use super::select::{Wanted, end_of, start_of};
use super::{Plan, RATE_USUAL, ReplayError, ReplayRoom, ReplaySelection};
use runtime::RoomKind;
use runtime::codec::{Codec, WireError};
use runtime::config::KafkaConfig;
use runtime::parking_store::origin;
use runtime::reader::{self, From, Range, Span, Until};
use runtime::record::Record;
use schemas::{Effect, ReplaySpan, TopicInfo, topics};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The room that is to process the records again.
    pub room: String,
    /// Topic, when the room reads several.
    pub topic: Option<String>,
    /// Which records.
    pub selection: ReplaySelection,
    /// Make the events anew, as a correction, where they would come out otherwise today.
    pub correct: bool,
    /// Why; goes on record.
    pub reason: String,
    /// Who asks; goes on record.
    pub actor: String,
}

/// A plan, with what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// What would take effect behind newer events; none when the order is kept.
    pub overtaken: Option<Overtaken>,
    /// How long handing over takes at least, seconds.
    pub takes_at_least_s: u64,
    /// At so many records in a second.
    pub takes_at_rate: u32,
}

impl Preview {
    /// What follows when it is handed over at this rate; when none is said at its own, or the usual one.
    pub fn at_rate(plan: Plan, rate: Option<u32>) -> Self {
        let own = u32::try_from(plan.rate).ok().filter(|rate| *rate > 0);
        let takes_at_rate = rate.or(own).unwrap_or(RATE_USUAL).max(1);
        let records = u64::try_from(plan.counts.records).unwrap_or_default();
        let takes_at_least_s = records.div_ceil(u64::from(takes_at_rate));
        Self { overtaken: Overtaken::of(&plan), takes_at_least_s, takes_at_rate, plan }
    }
}

/// What becomes of the records of which a plan says `events`, in words that follow their number.
#[must_use]
pub const fn events_mean(plan: &Plan) -> &'static str {
    match plan.correction {
        0 => {
            "are decided again; their events are written again with the same ids, and files of analytics hold a row more of each"
        }
        _ => "are made anew: their events are corrections of what was written",
    }
}

/// Whether a record of a selection is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// As it is.
    Plain,
    /// To be made anew; the digest of what changes by that.
    Corrected(u128),
    /// It would come out the same.
    Not,
}

/// The records that a correcting replay hands over, by partition and offset: digests of what changes by that.
pub(super) type Agreed = HashMap<(i32, i64), u128>;

/// What is counted of the records of a range.
struct Sums {
    counter: Counter,
    tally: Tally,
    order: Order,
    agreed: Agreed,
}

/// What a count of a plan needs.
#[derive(Clone)]
pub(super) struct Count {
    pub replays: Arc<Replays>,
    pub room: ReplayRoom,
    pub topic: &'static TopicInfo,
    pub wanted: Wanted,
    pub handle: Handle,
    /// Set for a correcting replay: it takes only what would come out otherwise.
    pub correcting: Option<Arc<Correcting>>,
}

impl Count {
    /// Prepares one for the room and topic of a selection.
    pub fn new(
        replays: &Arc<Replays>,
        room: &str,
        topic: Option<&str>,
        selection: &ReplaySelection,
    ) -> Result<Self, ReplayError> {
        let room = replays.room(room)?.clone();
        let topic = topic_of(&room, topic)?;
        let wanted = Wanted::of(selection, topic)?;
        Ok(Self { replays: Arc::clone(replays), room, topic, wanted, handle: Handle::current(), correcting: None })
    }

    /// Prepares one for a plan that is on record.
    pub async fn of_plan(replays: &Arc<Replays>, plan: &Plan) -> Result<Self, ReplayError> {
        let mut count = Self::new(replays, &plan.room, Some(&plan.topic), &plan.selection)?;
        if plan.correction > 0 {
            let from = start_of(&plan.selection);
            count.correcting = Some(Correcting::prepare(replays, &count, from).await?);
        }
        Ok(count)
    }

    /// The range of a selection, as far as the room has passed it.
    pub fn spans(&self, selection: &ReplaySelection) -> Result<Vec<ReplaySpan>, ReplayError> {
        let range = Range {
            topic: self.topic.name.to_owned(),
            partitions: selection.partitions.clone(),
            from: start_of(selection),
            until: end_of(selection),
        };
        let passed = self.passed()?;
        let spans = reader::spans(self.kafka(), &range)?;
        Ok(spans.into_iter().filter_map(|(partition, span)| passed_part(partition, span, &passed)).collect())
    }

    /// Counts the records of these spans into the plan. Tells how many were read, and gives those that would be corrected.
    pub fn run(&self, plan: &mut Plan, spans: &[ReplaySpan], read: &dyn Fn(u64)) -> Result<Agreed, ReplayError> {
        let history = self.history(spans)?;
        let of = (self.room.info.name, self.topic.name);
        let waiting = waiting(self.kafka(), &parking_lot(), of, self.replays.own.parked_max)?;
        let passed = self.passed()?;
        let counter = Counter::new(self.replays.own.keys_max);
        let mut sums = Sums { counter, tally: Tally::default(), order: Order::default(), agreed: Agreed::new() };
        let mut visited = 0;
        for span in spans {
            let committed = passed.get(&span.partition).copied().unwrap_or_default();
            sums.counter.span(ReplaySpan { committed, ..span.clone() });
            // On to the end of the topic: newer events of the same keys wait behind the replayed ones.
            let range = Range {
                topic: self.topic.name.to_owned(),
                partitions: vec![span.partition],
                from: From::Offset(span.start),
                until: Until::EndNow,
            };
            let mut failed = None;
            reader::read_range(self.kafka(), &range, |record| {
                visited += 1;
                if visited % 1_000 == 0 {
                    read(visited);
                }
                match self.one(&record, span, (&history, &waiting), &mut sums) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        read(visited);
        sums.counter.finish(plan);
        match self.correcting {
            Some(_) => sums.tally.finish(plan),
            None => sums.order.finish(self.topic.name, plan),
        }
        Ok(sums.agreed)
    }

    fn one(
        &self,
        record: &Record,
        span: &ReplaySpan,
        (history, waiting): (&History, &HashSet<(i32, i64)>),
        sums: &mut Sums,
    ) -> Result<(), ReplayError> {
        let Sums { counter, tally, order, agreed } = sums;
        let place = (record.place.partition, record.place.offset);
        let key = record.key.as_deref().unwrap_or_default();
        // What waits already takes its turn before what is handed over now.
        if history.took_effect(record) || waiting.contains(&place) {
            order.took_effect(place, key);
        }
        let chosen = place.1 < span.end && self.takes(record)?;
        if !chosen {
            counter.pass(|| record.place.to_string(), key);
            return Ok(());
        }
        if waiting.contains(&place) {
            counter.waits();
            return Ok(());
        }
        if let Some(correcting) = &self.correcting {
            // The money is that which was posted: what is moved to another place.
            let Some((amount, says)) = tally.take(correcting.judge(self, record)?) else { return Ok(()) };
            agreed.insert(place, says);
            let most = self.replays.own.keys_max;
            if agreed.len() > most {
                return Err(ReplayError::TooMuch { what: "records to correct", key: "keys_max", most });
            }
            let facts = Facts { amount, says: Some(says), ..Facts::default() };
            return counter.take(place, key, &facts, Meaning::Events);
        }
        let facts = self.facts(record)?;
        let means = self.meaning(&history.known, place, &facts);
        counter.take(place, key, &facts, means)?;
        if history.is_late(record, means) {
            order.late(place, key);
        }
        Ok(())
    }

    /// Whether a record of the selection is handed over, and the digest of what a correcting replay changes by that.
    pub fn hands_over(&self, record: &Record) -> Result<Handed, ReplayError> {
        let Some(correcting) = &self.correcting else { return Ok(Handed::Plain) };
        Ok(match correcting.judge(self, record)? {
            Judged::Differs { says, .. } => Handed::Corrected(says),
            Judged::Same | Judged::Refused => Handed::Not,
        })
    }

    /// Whether a record is one of the selection.
    pub fn takes(&self, record: &Record) -> Result<bool, ReplayError> {
        if !self.wanted.takes(record) {
            return Ok(false);
        }
        if !self.wanted.needs_body() {
            return Ok(true);
        }
        Ok(self.body(record)?.is_some_and(|body| self.wanted.takes_body(&body)))
    }

    fn meaning(&self, known: &Known, place: (i32, i64), facts: &Facts) -> Meaning {
        meaning(self.room.info.kind == RoomKind::Effect, known, place, facts.foreseen.as_ref())
    }

    pub(super) fn facts(&self, record: &Record) -> Result<Facts, ReplayError> {
        match self.body(record)? {
            None => Ok(Facts { unreadable: true, ..Facts::default() }),
            Some(body) => Ok(Facts::of(&body, self.foreseen(record)?)),
        }
    }

    fn foreseen(&self, record: &Record) -> Result<Option<connector::effect::Foreseen>, ReplayError> {
        let (Some(foresee), Some(value)) = (self.room.foresee, record.value.as_deref()) else { return Ok(None) };
        let (writer, body) = self.handle.block_on(self.codec().open(value))?;
        Ok(foresee(self.topic.name, &writer, body).ok().flatten())
    }

    /// The body as JSON; nothing when the record cannot be decoded.
    fn body(&self, record: &Record) -> Result<Option<Value>, ReplayError> {
        let Some(value) = record.value.as_deref() else { return Ok(None) };
        match self.handle.block_on(self.codec().open(value)) {
            Ok((writer, body)) => Ok(schemas::codec::to_json(&writer, body).ok()),
            Err(error) if error.blames_record() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The effects of the room that the records of these spans may meet, where it has any.
    pub(super) fn known(&self, spans: &[ReplaySpan]) -> Result<Known, ReplayError> {
        let mut known = Known::default();
        if self.room.info.kind != RoomKind::Effect {
            return Ok(known);
        }
        let needed = self.needed(spans)?;
        let most = self.replays.own.effects_max;
        let mut failed: Option<ReplayError> = None;
        reader::read_range(self.kafka(), &Range::all(topics::OPS_EFFECT_V1.name()), |record| {
            let Some(value) = record.value.as_deref() else { return ControlFlow::Continue(()) };
            match self.effect(value) {
                Ok(effect) if effect.room == self.room.info.name && needed.takes(&effect, self.topic.name) => {
                    known.take(&effect, self.topic.name);
                }
                Ok(_) => {}
                Err(error) => failed = Some(error.into()),
            }
            if known.len() > most {
                failed = Some(ReplayError::TooMuch { what: "effects", key: "effects_max", most });
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed.map_or(Ok(known), Err)
    }

    fn effect(&self, value: &[u8]) -> Result<Effect, WireError> {
        let (writer, body) = self.handle.block_on(self.codec().open(value))?;
        Ok(schemas::codec::decode(&writer, body)?)
    }

    /// Next offset of the room in each partition where it has one.
    pub(super) fn passed(&self) -> Result<BTreeMap<i32, i64>, ReplayError> {
        let lags = reader::group_lag(self.kafka(), self.room.info.name, &[self.topic.name])?;
        Ok(lags.into_iter().filter_map(|lag| Some((lag.partition, lag.committed?))).collect())
    }

    pub(super) fn kafka(&self) -> &KafkaConfig {
        &self.replays.config.kafka
    }

    fn codec(&self) -> &Codec {
        &self.replays.codec
    }
}

/// All of the parking lot.
pub(super) fn parking_lot() -> Range {
    Range::all(topics::OPS_PARKED_V1.name())
}

/// Places of one topic from which the room has parked records, or had them parked by a replay, that wait now, as far as this range
/// of the parking lot tells.
pub(super) fn waiting(
    kafka: &KafkaConfig,
    parked: &Range,
    (room, topic): (&str, &str),
    most: usize,
) -> Result<HashSet<(i32, i64)>, ReplayError> {
    let mut waiting = HashSet::new();
    reader::read_range(kafka, parked, |record| {
        let key = record.key_text();
        if let Some((from, partition, offset)) = origin(room, &key)
            && from == topic
        {
            if record.value.is_some() {
                waiting.insert((partition, offset));
            } else {
                waiting.remove(&(partition, offset));
            }
        }
        if waiting.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if waiting.len() > most {
        return Err(ReplayError::TooMuch { what: "parked records", key: "parked_max", most });
    }
    Ok(waiting)
}

/// What the room has not passed yet comes by itself.
fn passed_part(partition: i32, span: Span, passed: &BTreeMap<i32, i64>) -> Option<ReplaySpan> {
    let committed = *passed.get(&partition)?;
    let (start, end) = (span.start, span.end.min(committed));
    (start < end).then(|| ReplaySpan { partition, start, end, next: start, committed, ..ReplaySpan::default() })
}

fn topic_of(room: &ReplayRoom, wanted: Option<&str>) -> Result<&'static TopicInfo, ReplayError> {
    let info = &room.info;
    if !matches!(info.kind, RoomKind::Processor | RoomKind::Effect) {
        return Err(ReplayError::Room(format!("{} does not take replayed records", info.name)));
    }
    let name = match wanted {
        Some(wanted) => info.reads.iter().copied().find(|topic| *topic == wanted),
        None if info.reads.len() == 1 => info.reads.first().copied(),
        None => None,
    };
    let known = name.and_then(topics::find);
    known.ok_or_else(|| ReplayError::Room(format!("{} reads {}", info.name, info.reads.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpl_1_a_plan_says_which_rows_of_analytics_it_repeats() {
        let repeats = |correction| events_mean(&Plan { correction, ..Plan::default() }).contains("files of analytics");
        assert!(repeats(0), "the same ids come again");
        assert!(!repeats(1), "a correction is another event");
    }

    #[test]
    fn only_what_the_room_has_passed_is_part_of_a_plan() {
        let passed: BTreeMap<i32, i64> = [(0, 10), (1, 3)].into();
        let part = |partition, start, end| {
            passed_part(partition, Span { start, end }, &passed).map(|span| (span.start, span.end, span.next))
        };
        assert_eq!(part(0, 2, 8), Some((2, 8, 2)));
        assert_eq!(part(0, 2, 12), Some((2, 10, 2)));
        assert_eq!(part(1, 3, 12), None);
        assert_eq!(part(2, 0, 12), None, "the room was never there");
    }
}

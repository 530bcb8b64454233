//! A correcting replay: records whose events would come out otherwise today are made anew, under a number that orders them
//! behind what was written and before the next word of the source.
//!
//! ```text
//! record -> what the room has written of it (newest of its business key)  \
//!        -> what the room would write with the tables of now              -> differs: handed over, corrected
//!                                                                         -> the same: left out
//! ```
//! What was posted of it is not undone here: the event with the higher number reaches the room that posts, and that posts the
//! difference, as with every correction.

use super::acts::Replays;
use super::known::hash;
use super::plan::{Count, parking_lot, waiting};
use super::store::{blocking, settle, visit_readable};
use super::{CLOCK_SLACK_MS, Plan, ReplayError};
use runtime::codec::WireError;
use runtime::reader::{From, Range, Until};
use runtime::record::Record;
use runtime::shadow::{Said, SaidEvent, Shadow};
use runtime::{RoomKind, correction};
use schemas::catalogue::{Phi, SchemaFacts};
use schemas::{Decimal, Effect, EffectState, ReplayChange, TopicInfo, topics};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Fields that say how a room came to its result, not what it is.
const HOW: [&str; 3] = ["meta", "checks", "masters"];
/// Changes that are told one by one.
const CHANGES_SHOWN: usize = 10;
/// Changes that are counted one by one.
const CHANGES_MAX: usize = 10_000;
/// Longest value that is told, characters.
const VALUE_SHOWN: usize = 80;

/// Money of a posting, and its currency.
pub(super) type Posted = Option<(Decimal, String)>;

/// What a correcting replay compares with.
pub(super) struct Correcting {
    shadow: Box<dyn Shadow>,
    past: Past,
}

/// What has come of the records of the room.
#[derive(Default)]
struct Past {
    /// Fields that the room adds to what it reads.
    added: Vec<String>,
    /// The newest event of each business key.
    written: HashMap<u128, Written>,
    /// What was done outside, by business key and statement.
    posted: HashMap<u128, Posted>,
    /// What earlier rooms have corrected of what this one reads: the highest number, by business key and revision.
    restated: HashMap<(u128, i32), i32>,
}

/// What a room has written of a fact.
struct Written {
    statement: (i32, i32),
    /// Digest of the id of the event that it was made of.
    cause: u128,
    by_person: bool,
    /// Digest of what the keys of its effects begin with.
    outside: u128,
    facts: Box<str>,
}

/// What a correcting replay makes of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Judged {
    /// It comes out otherwise: field, before and after; and what was posted of it.
    Differs {
        /// Field, before and after, as far as they are told.
        changes: Vec<(String, String, String)>,
        /// Digest of them, whole.
        says: u128,
        /// What was posted of it, where it was.
        posted: Option<Posted>,
    },
    /// The room would write the same, or what it has written last of the fact was made of another record: a newer revision, a
    /// correction of an earlier room, or the same fact stated again. Or it has written nothing, or an earlier room has corrected the
    /// record and the room has that still before it.
    Same,
    /// The room would not let it through, or a person has corrected it by hand.
    Refused,
}

/// What was counted beside the records that are made anew.
#[derive(Default)]
pub(super) struct Tally {
    changes: BTreeMap<(String, String, String), i64>,
    unchanged: i64,
    refused: i64,
    posted: i64,
}

impl Correcting {
    /// Fills the tables of the room and reads what it has written, and what was corrected in front of it, since the range began.
    ///
    /// # Errors
    /// When the room cannot be asked, a bound is met, or Kafka or the registry does not answer.
    pub async fn prepare(replays: &Arc<Replays>, count: &Count, from: From) -> Result<Arc<Self>, ReplayError> {
        let room = count.room.info.name;
        let refused = || ReplayError::NotCorrectable(room.to_owned());
        if count.room.info.kind != RoomKind::Processor {
            return Err(refused());
        }
        let shadow = (count.room.shadow.as_ref().ok_or_else(refused)?)(&replays.config);
        let shadow =
            shadow.map_err(|error| ReplayError::Shadow { room: room.to_owned(), reason: error.to_string() })?;
        runtime::shadow::fill(shadow.as_ref(), &replays.config.kafka, &replays.codec).await?;
        let added = added(shadow.writes(), count.topic);
        let mut this = Self { shadow, past: Past { added, ..Past::default() } };
        let of = count.clone();
        let from = match from {
            From::TimeMs(at_ms) => From::TimeMs(at_ms.saturating_sub(CLOCK_SLACK_MS).max(0)),
            // An offset of what is read says nothing of what is written.
            From::Offset(_) | From::Newest(_) | From::Earliest => From::Earliest,
        };
        blocking(move || {
            this.read_restated(&of, from)?;
            this.read_written(&of, from)?;
            this.read_posted(&of)?;
            Ok(Arc::new(this))
        })
        .await
    }

    /// What a correcting replay makes of a record of the range.
    pub fn judge(&self, count: &Count, record: &Record) -> Result<Judged, ReplayError> {
        let value = record.value.as_deref().unwrap_or_default();
        let opened = match count.handle.block_on(count.replays.codec.open(value)) {
            Ok(opened) => opened,
            Err(error) if error.blames_record() => return Ok(Judged::Refused),
            Err(error) => return Err(error.into()),
        };
        match self.shadow.decide(count.topic.name, (&opened.0, opened.1), None) {
            Ok(Said::Emits { events, .. }) => match events.as_slice() {
                [event] => Ok(self.past.compare(event)),
                _ => Ok(Judged::Refused),
            },
            Ok(Said::Drops(_)) => Ok(Judged::Same),
            Ok(Said::Waits(_) | Said::Rejects(_)) | Err(_) => Ok(Judged::Refused),
        }
    }

    /// Reads what earlier rooms have corrected. The room may have it still before it, or parked: it knows nothing of it then, and
    /// what it made anew of the older word would get the higher number and undo it.
    fn read_restated(&mut self, count: &Count, from: From) -> Result<(), ReplayError> {
        let topic = count.topic;
        if topic.producers.iter().all(|room| topic.sources.contains(room)) {
            // What sources say is corrected behind them.
            return Ok(());
        }
        settle(&count.replays, topic.name)?;
        // Before it is read what the room has written: what it processes meanwhile is among that, too.
        let (passed, most) = (count.passed()?, count.replays.own.keys_max);
        let of = (count.room.info.name, topic.name);
        let parked = waiting(count.kafka(), &parking_lot(), of, count.replays.own.parked_max)?;
        let range = Range { from, ..Range::all(topic.name) };
        visit_readable(count.kafka(), &range, |record| {
            let place = (record.place.partition, record.place.offset);
            let is_before_it = passed.get(&place.0).is_none_or(|next| place.1 >= *next) || parked.contains(&place);
            if !is_before_it {
                return Ok(());
            }
            let Some(value) = record.value.as_deref() else { return Ok(()) };
            let (writer, body) = count.handle.block_on(count.replays.codec.open(value))?;
            self.past.restate(&schemas::codec::to_json(&writer, body).map_err(WireError::from)?);
            if self.past.restated.len() > most {
                return Err(ReplayError::TooMuch { what: "corrected statements", key: "keys_max", most });
            }
            Ok(())
        })
    }

    fn read_written(&mut self, count: &Count, from: From) -> Result<(), ReplayError> {
        let most = count.replays.own.keys_max;
        let range =
            Range { topic: self.shadow.writes().name.to_owned(), partitions: Vec::new(), from, until: Until::EndNow };
        visit_readable(&count.replays.config.kafka, &range, |record| {
            let Some(value) = record.value.as_deref() else { return Ok(()) };
            let (writer, body) = count.handle.block_on(count.replays.codec.open(value))?;
            let (event, _) = self.shadow.written((&writer, body)).map_err(WireError::from)?;
            self.past.take(&event.body);
            if self.past.written.len() > most {
                return Err(ReplayError::TooMuch { what: "business keys", key: "keys_max", most });
            }
            Ok(())
        })
    }

    fn read_posted(&mut self, count: &Count) -> Result<(), ReplayError> {
        let needed: HashSet<u128> = self.past.written.values().map(|written| written.outside).collect();
        visit_readable(&count.replays.config.kafka, &Range::all(topics::OPS_EFFECT_V1.name()), |record| {
            let Some(value) = record.value.as_deref() else { return Ok(()) };
            let (writer, body) = count.handle.block_on(count.replays.codec.open(value))?;
            let effect: Effect = schemas::codec::decode(&writer, body).map_err(WireError::from)?;
            // A record without a document only says that an event has its outcome.
            let Some((identity, _)) = effect.effect_key.rsplit_once('/') else { return Ok(()) };
            let is_needed = needed.contains(&hash(identity));
            if !is_needed || effect.state != EffectState::Applied || effect.document_key.is_empty() {
                return Ok(());
            }
            let money = match effect.output.as_ref() {
                None => None,
                Some(output) => {
                    let (writer, body) = count.handle.block_on(count.replays.codec.open(output.as_ref()))?;
                    money(&schemas::codec::to_json(&writer, body).map_err(WireError::from)?)
                }
            };
            self.past.posted.insert(hash(identity), money);
            Ok(())
        })
    }
}

impl Past {
    fn compare(&self, event: &SaidEvent) -> Judged {
        let (key, (revision, correction)) = identity(&event.body);
        let key = hash(&key);
        if self.restated.get(&(key, revision)).is_some_and(|highest| *highest > correction) {
            return Judged::Same;
        }
        let Some(written) = self.written.get(&key) else { return Judged::Same };
        if !written.is_of(&cause(&event.body)) {
            return Judged::Same;
        }
        let before: Map<String, Value> = serde_json::from_str(&written.facts).unwrap_or_default();
        let after = facts(&self.added, &event.body);
        let whole: Vec<(&String, &Value, &Value)> = after
            .iter()
            .map(|(name, value)| (name, before.get(name).unwrap_or(&Value::Null), value))
            .filter(|(_, before, after)| before != after)
            .collect();
        match whole.is_empty() {
            true => Judged::Same,
            // Made anew from what the source said it would lose what the person has set.
            false if written.by_person => Judged::Refused,
            false => {
                let posted = self.posted.get(&written.outside).cloned();
                let told =
                    |(name, before, after): &(&String, &Value, &Value)| ((*name).clone(), shown(before), shown(after));
                let says = hash(&serde_json::to_string(&whole).unwrap_or_default());
                Judged::Differs { changes: whole.iter().map(told).collect(), says, posted }
            }
        }
    }

    /// Takes note of an event that the room reads.
    fn restate(&mut self, body: &Value) {
        let (key, (revision, correction)) = identity(body);
        if correction > 0 {
            let highest = self.restated.entry((hash(&key), revision)).or_default();
            *highest = correction.max(*highest);
        }
    }

    /// Takes note of an event that the room has written.
    fn take(&mut self, body: &Value) {
        let (key, statement) = identity(body);
        let warnings = body.pointer("/meta/warnings").and_then(Value::as_array);
        let by_person = warnings.into_iter().flatten().any(|warning| warning["code"] == correction::BY_PERSON);
        let facts = Value::Object(facts(&self.added, body)).to_string().into_boxed_str();
        let outside = hash(&outside(&key, statement));
        let key = hash(&key);
        if self.written.get(&key).is_none_or(|known| known.statement <= statement) {
            self.written.insert(key, Written { statement, cause: hash(&cause(body)), by_person, outside, facts });
        }
    }
}

impl Written {
    /// Whether it was made of the event with this id: as that came, or as a correcting replay has handed it over.
    fn is_of(&self, event_id: &str) -> bool {
        let handed = || correction::renewed_id(event_id, self.statement.1);
        !event_id.is_empty()
            && (self.cause == hash(event_id) || (self.statement.1 > 0 && self.cause == hash(&handed())))
    }
}

impl Tally {
    /// Takes note of what was judged; the money of it and the digest of what changes, when the record is to be made anew.
    pub fn take(&mut self, judged: Judged) -> Option<(Posted, u128)> {
        match judged {
            Judged::Same => self.unchanged += 1,
            Judged::Refused => self.refused += 1,
            Judged::Differs { changes, says, posted } => {
                self.posted += i64::from(posted.is_some());
                for change in changes {
                    if self.changes.contains_key(&change) || self.changes.len() < CHANGES_MAX {
                        *self.changes.entry(change).or_default() += 1;
                    }
                }
                return Some((posted.flatten(), says));
            }
        }
        None
    }

    /// What was counted, into a plan.
    pub fn finish(self, plan: &mut Plan) {
        let mut changes: Vec<ReplayChange> = self
            .changes
            .into_iter()
            .map(|((path, before, after), records)| ReplayChange { path, before, after, records })
            .collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.records));
        changes.truncate(CHANGES_SHOWN);
        let counts = &mut plan.counts;
        (counts.unchanged, counts.refused, counts.posted) = (self.unchanged, self.refused, self.posted);
        counts.changes = changes;
    }
}

/// Fields of one value that `written` has and `read` has not. Never one with direct identifiers (PHI-1).
fn added(written: &TopicInfo, read: &TopicInfo) -> Vec<String> {
    let fields = |topic: &TopicInfo| -> BTreeMap<String, Phi> {
        let Ok(schema) = serde_json::from_str(topic.schema) else { return BTreeMap::new() };
        let facts = SchemaFacts::of(topic.schema_file, &schema);
        facts
            .fields
            .into_iter()
            .filter(|field| !field.path.contains('.'))
            .map(|field| (field.path, field.phi))
            .collect()
    };
    let known: BTreeSet<String> = fields(read).into_keys().collect();
    let all = fields(written).into_iter();
    all.filter(|(name, phi)| *phi != Phi::Direct && !known.contains(name) && !HOW.contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect()
}

fn facts(added: &[String], body: &Value) -> Map<String, Value> {
    added.iter().map(|name| (name.clone(), body.get(name).cloned().unwrap_or_default())).collect()
}

/// Business key and statement of an event.
fn identity(body: &Value) -> (String, (i32, i32)) {
    let meta = &body["meta"];
    let number = |name: &str| meta[name].as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default();
    (meta["businessKey"].as_str().unwrap_or_default().to_owned(), (number("revision"), number("correction")))
}

/// Id of the event that an event of a room was made of.
fn cause(body: &Value) -> String {
    body.pointer("/meta/source/messageId").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What the keys of effects of a statement begin with.
fn outside(key: &str, (revision, correction): (i32, i32)) -> String {
    let meta = schemas::EventMeta { revision, correction, ..schemas::EventMeta::default() };
    format!("{key}/{}", processor::statement(&meta))
}

fn money(output: &Value) -> Posted {
    let amount = output.get("amount").and_then(Value::as_str)?.parse().ok()?;
    let currency = output.get("currency").and_then(Value::as_str)?.to_owned();
    Some((amount, currency))
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(VALUE_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An event that a room has made of the event `cause`: the place that it found.
    fn event(cause: &str, (revision, correction): (i32, i32), place: &str) -> Value {
        json!({"meta": {"businessKey": "usage/1", "revision": revision, "correction": correction, "warnings": [],
            "source": {"messageId": cause}}, "locationId": place})
    }

    fn past(events: &[Value]) -> Past {
        let mut past = Past { added: vec!["locationId".to_owned()], ..Past::default() };
        events.iter().for_each(|event| past.take(event));
        past
    }

    /// What the room would write of the record now, against what it has written.
    fn judged(past: &Past, cause: &str, statement: (i32, i32), place: &str) -> Judged {
        past.compare(&SaidEvent { id: String::new(), body: event(cause, statement, place) })
    }

    fn differs(judged: &Judged) -> bool {
        matches!(judged, Judged::Differs { .. })
    }

    #[test]
    fn fx_1_only_the_record_of_which_the_newest_event_was_made_is_corrected() {
        // The room before has made e2 of what became e1: the room has written of both, and the correction stands.
        let corrected = past(&[event("e1", (0, 0), "ICU"), event("e2", (0, 1), "OR1")]);
        assert_eq!(judged(&corrected, "e1", (0, 0), "ICU"), Judged::Same, "what was corrected is not undone");
        assert_eq!(judged(&corrected, "e2", (0, 1), "OR1"), Judged::Same);
        assert!(differs(&judged(&corrected, "e2", (0, 1), "OR2")), "what the correction has become is corrected again");

        // The room itself has made it anew of the same record, once or several times.
        let renewed = |number| event(&correction::renewed_id("e1", number), (0, number), "OR1");
        for again in [past(&[event("e1", (0, 0), "ICU"), renewed(1)]), past(&[renewed(1), renewed(4)])] {
            assert!(differs(&judged(&again, "e1", (0, 0), "OR2")));
            assert_eq!(judged(&again, "e1", (0, 0), "OR1"), Judged::Same);
            assert_eq!(judged(&again, "e9", (0, 0), "OR2"), Judged::Same);
        }
    }

    #[test]
    fn fx_1_what_an_earlier_room_has_corrected_is_not_undone_while_the_room_has_it_before_it() {
        // e2 is the correction of e1. It lies behind what the room has read, or is parked there: nothing was written of it.
        let mut waits = past(&[event("e1", (0, 0), "ICU")]);
        assert!(differs(&judged(&waits, "e1", (0, 0), "OR2")));
        for said in [event("e0", (0, 0), ""), event("e0", (0, 5), ""), event("e0", (0, 3), "")] {
            waits.restate(&said);
        }
        assert_eq!(judged(&waits, "e1", (0, 0), "OR2"), Judged::Same, "the older word stays where it is");
        assert_eq!(judged(&waits, "e2", (0, 5), "OR2"), Judged::Same, "what is not there yet is not corrected");
        waits.take(&event("e2", (0, 5), "OR1"));
        assert_eq!(judged(&waits, "e1", (0, 0), "OR2"), Judged::Same);
        assert!(differs(&judged(&waits, "e2", (0, 5), "OR2")), "the correction, once the room has it");

        // A correction of another revision comes behind it or in front of it in any case.
        let mut other = past(&[event("e1", (0, 0), "ICU")]);
        other.restate(&event("e0", (1, 5), ""));
        assert!(differs(&judged(&other, "e1", (0, 0), "OR2")));
    }

    #[test]
    fn rpl_1_what_changes_is_told_whole_to_the_digest() {
        let past = past(&[event("e1", (0, 0), "ICU")]);
        let says = |place: &str| match judged(&past, "e1", (0, 0), place) {
            Judged::Differs { says, .. } => Some(says),
            _ => None,
        };
        let long = "O".repeat(VALUE_SHOWN);
        assert!(says("OR1").is_some() && says("OR1") == says("OR1") && says("OR1") != says("OR2"));
        assert_ne!(says(&format!("{long}1")), says(&format!("{long}2")), "also what is not shown");
    }

    #[test]
    fn a_fact_stated_twice_and_a_newer_revision_are_judged_by_the_record_that_counts() {
        let twice = past(&[event("e1", (0, 0), "ICU"), event("e2", (0, 0), "OR1")]);
        assert_eq!(judged(&twice, "e1", (0, 0), "ICU"), Judged::Same);
        assert!(differs(&judged(&twice, "e2", (0, 0), "OR2")));
        let newer = past(&[event("e2", (1, 0), "OR1"), event("e1", (0, 0), "ICU")]);
        assert_eq!(judged(&newer, "e1", (0, 0), "OR2"), Judged::Same);
        assert_eq!(judged(&past(&[]), "e1", (0, 0), "OR2"), Judged::Same, "nothing was written of it");
        let nameless = past(&[event("", (0, 0), "ICU")]);
        assert_eq!(judged(&nameless, "", (0, 0), "OR2"), Judged::Same);
    }
}

//! What people do about dead letters: have the record processed again, or say that the matter is settled.
//!
//! A dead letter holds nothing up and is never changed. That somebody has settled one, or asks for it where two people do that, is an action on `ops.audit.v1` about its
//! place; who asks which are open reads those, from the oldest dead letter that is still there on. Audit records stay longer
//! than dead letters, so what was settled stays so.

mod settle;

pub use settle::{Settle, SettleError, SettleStep};

use crate::audit::{AuditError, decoded};
use crate::exceptions::class_of;
use memchr::memmem::Finder;
use runtime::clock;
use runtime::codec::Codec;
use runtime::reader::{From, Range, ReadError, Until};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{Audit, AuditKind, Criticality, topics};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Code of the records that say that a dead letter is settled.
pub const SETTLE: &str = "dead-letter.settle";
/// Code of the records that ask for it. Begins as [`SETTLE`], by which both are found.
pub const ASK: &str = "dead-letter.settle-request";
/// How what they say begins; the reason follows.
const SETTLED: &str = "settled: ";
/// The same of those that ask.
const ASKED: &str = "to be settled: ";
/// Records of the audit that are read in one go.
const STEP: i64 = 20_000;
/// Most settled dead letters that are known; beyond, the ones that were settled first are listed as open again.
const SETTLED_MAX: usize = 100_000;
/// By so much the clock of who settled something may be away from the brokers', milliseconds.
const SKEW_MS: i64 = 3_600_000;

/// Partition and offset of a dead letter on its topic.
pub type LetterPlace = (i32, i64);

/// A record that nobody could read, as it is handed to its room once more: by a replay of this one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Again {
    /// The room that could not read it.
    pub room: String,
    /// Topic that it came from.
    pub topic: String,
    /// Partition there.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// Why, as it goes on record with the plan.
    pub reason: String,
}

/// Who has settled a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settlement {
    /// The person.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// What people have said about a dead letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterStand {
    /// Who was the first to ask that it be settled, where two people settle it.
    pub asked: Option<Settlement>,
    /// Who has settled it.
    pub settled: Option<Settlement>,
}

/// Which dead letters are settled.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    by_place: BTreeMap<LetterPlace, LetterStand>,
    /// Whether all that is on record was read; what is not settled here may be otherwise.
    pub is_whole: bool,
}

/// Follows what is settled.
pub struct Settlements {
    readers: Readers,
    codec: Arc<Codec>,
    read: Mutex<Read>,
}

/// How far the audit was read.
#[derive(Default)]
struct Read {
    /// Next offset of each partition; none before the first look.
    next: BTreeMap<i32, i64>,
    settled: Arc<Settled>,
}

impl Again {
    /// What to hand over again; none for a record that came from outside Kafka, which only its sender can send again, and for one
    /// of a topic that its room does not read in this version.
    #[must_use]
    pub fn of(letter: &Record) -> Option<Self> {
        let (room, topic) = (fact(letter, "wl_room")?, fact(letter, "wl_topic")?);
        let info = topics::find(&topic)?;
        // Both names are those of the catalogue, so they can stand in a command and in an address.
        info.consumers.iter().find(|(reader, _)| *reader == room)?;
        let partition = fact(letter, "wl_partition")?.parse::<i32>().ok().filter(|partition| *partition >= 0)?;
        let offset = fact(letter, "wl_offset")?.parse::<i64>().ok().filter(|offset| *offset >= 0)?;
        let is_code = |code: &String| code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let code = fact(letter, "wl_code").filter(is_code).map(|code| format!(", {code}")).unwrap_or_default();
        let reason = format!("dead letter {}@{}{code}", letter.place.partition, letter.place.offset);
        Some(Self { room, topic, partition, offset, reason })
    }

    /// The command that plans it.
    #[must_use]
    pub fn command(&self) -> String {
        let Self { room, topic, partition, offset, reason } = self;
        format!(
            "wardline replay plan {room} --topic {topic} --partition {partition} --from-offset {offset} --to-offset {offset} --reason \"{reason}\""
        )
    }
}

impl Settled {
    /// Who has settled a dead letter, when somebody has.
    #[must_use]
    pub fn of(&self, place: LetterPlace) -> Option<&Settlement> {
        self.by_place.get(&place)?.settled.as_ref()
    }

    /// What people have said about a dead letter.
    #[must_use]
    pub fn stand(&self, place: LetterPlace) -> LetterStand {
        self.by_place.get(&place).cloned().unwrap_or_default()
    }

    /// Takes a record in; the first about a dead letter counts.
    fn take(&mut self, audit: Audit) {
        let is_of_letters =
            audit.kind == AuditKind::Action && audit.origin_topic.as_deref() == Some(topics::OPS_DEAD_LETTER_V1.name());
        let place = audit.origin_partition.zip(audit.origin_offset).filter(|_| is_of_letters);
        let said = match audit.code.as_str() {
            SETTLE => audit.detail.strip_prefix(SETTLED),
            ASK => audit.detail.strip_prefix(ASKED),
            _ => None,
        };
        let (Some(place), Some(reason)) = (place, said) else { return };
        let by = audit.actor.unwrap_or_else(|| "unknown".to_owned());
        let one = Settlement { by, reason: reason.to_owned(), at: audit.at.0 };
        let stand = self.by_place.entry(place).or_default();
        let told = if audit.code == SETTLE { &mut stand.settled } else { &mut stand.asked };
        told.get_or_insert(one);
        if self.by_place.len() > SETTLED_MAX
            && let Some(first) = self.by_place.iter().min_by_key(|(_, stand)| stand.at()).map(|(place, _)| *place)
        {
            self.by_place.remove(&first);
        }
    }
}

impl LetterStand {
    /// When the last word was said.
    fn at(&self) -> i64 {
        self.settled.as_ref().or(self.asked.as_ref()).map_or(0, |one| one.at)
    }
}

impl Settlements {
    /// Nothing is read before somebody looks.
    pub fn new(readers: Readers, codec: Arc<Codec>) -> Self {
        Self { readers, codec, read: Mutex::default() }
    }

    /// What is settled now. Reads what has come since the last look; begins no further step after this time, and says then that
    /// this is not all. The next look goes on from there.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn look(&self, time: Duration) -> Result<Arc<Settled>, AuditError> {
        let started = clock::tick();
        let mut read = self.read.lock().await;
        let Read { next, settled } = &mut *read;
        let (readers, is_first) = (self.readers.clone(), next.is_empty());
        let found = tokio::task::spawn_blocking(move || spans(&readers, is_first)).await??;
        let Some(Spans { oldest, audit }) = found else {
            return Ok(Arc::new(Settled { is_whole: true, ..Settled::default() }));
        };
        if settled.by_place.keys().any(|place| is_gone(place, &oldest)) {
            Arc::make_mut(settled).by_place.retain(|place, _| !is_gone(place, &oldest));
        }
        let mut is_whole = true;
        for (partition, (first, end)) in audit {
            let from = next.entry(partition).or_insert(first);
            *from = (*from).max(first.min(end));
            while is_whole && *from < end {
                if clock::tick().since(started) >= time {
                    is_whole = false;
                    break;
                }
                let until = end.min(from.saturating_add(STEP));
                for record in records(self.readers.clone(), partition, *from, until).await? {
                    if let Some(audit) = decoded(&self.codec, &record).await? {
                        Arc::make_mut(settled).take(audit);
                    }
                }
                *from = until;
            }
        }
        if settled.is_whole != is_whole {
            Arc::make_mut(settled).is_whole = is_whole;
        }
        Ok(Arc::clone(settled))
    }
}

/// How urgent the flow is that the record of a dead letter belongs to.
#[must_use]
pub fn class(letter: &Record) -> Criticality {
    class_of(&fact(letter, "wl_room").unwrap_or_default(), fact(letter, "wl_topic").as_deref())
}

/// What Wardline says about a dead letter: the last word, since a record may have come with such a header.
#[must_use]
pub fn fact(letter: &Record, name: &str) -> Option<String> {
    let (_, value) = letter.headers.iter().rev().find(|(header, _)| header == name)?;
    value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned())
}

/// What there is to read.
struct Spans {
    /// The oldest offset of each partition of the dead letters.
    oldest: BTreeMap<i32, i64>,
    /// First offset that matters, and the end, of each partition of the audit.
    audit: BTreeMap<i32, (i64, i64)>,
}

/// None when there is no dead letter. What was settled lies behind the oldest of them, which is looked for once.
fn spans(readers: &Readers, is_first: bool) -> Result<Option<Spans>, ReadError> {
    let topic = topics::OPS_DEAD_LETTER_V1.name();
    let letters = readers.spans(&Range::all(topic))?;
    if letters.values().all(|span| span.start >= span.end) {
        return Ok(None);
    }
    let mut since: Option<i64> = None;
    if is_first {
        for (partition, span) in letters.iter().filter(|(_, span)| span.start < span.end) {
            // The first offset may be that of a mark of a transaction: the first record counts.
            let (partitions, from) = (vec![*partition], From::Offset(span.start));
            readers.read_range(&Range { partitions, from, ..Range::all(topic) }, |record| {
                since = since.into_iter().chain(record.timestamp_ms).min();
                ControlFlow::Break(())
            })?;
        }
    }
    let from = since.map_or(From::Earliest, |since| From::TimeMs(since.saturating_sub(SKEW_MS)));
    let audit = readers.spans(&Range { from, ..Range::all(topics::OPS_AUDIT_V1.name()) })?;
    Ok(Some(Spans {
        oldest: letters.into_iter().map(|(partition, span)| (partition, span.start)).collect(),
        audit: audit.into_iter().map(|(partition, span)| (partition, (span.start, span.end))).collect(),
    }))
}

/// Whether retention has removed it.
fn is_gone((partition, offset): &LetterPlace, oldest: &BTreeMap<i32, i64>) -> bool {
    oldest.get(partition).is_some_and(|oldest| offset < oldest)
}

/// The records of a stretch of the audit that may say that something is settled: a busy installation has many others.
async fn records(readers: Readers, partition: i32, start: i64, end: i64) -> Result<Vec<Record>, AuditError> {
    let range = Range {
        partitions: vec![partition],
        from: From::Offset(start),
        until: Until::Offset(end),
        ..Range::all(topics::OPS_AUDIT_V1.name())
    };
    let reading = tokio::task::spawn_blocking(move || {
        let (mut found, code) = (Vec::new(), Finder::new(SETTLE));
        readers.read_range(&range, |record| {
            if record.value.as_deref().is_some_and(|value| code.find(value).is_some()) {
                found.push(record);
            }
            ControlFlow::Continue(())
        })?;
        Ok::<_, ReadError>(found)
    });
    Ok(reading.await??)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use runtime::record::Place;
    use std::borrow::Cow;

    fn letter(facts: &[(&'static str, &str)]) -> Record {
        let header =
            |(name, text): &(&'static str, &str)| (Cow::Borrowed(*name), Some(text.as_bytes().to_vec().into()));
        Record {
            place: Place { topic: Arc::from(topics::OPS_DEAD_LETTER_V1.name()), partition: 2, offset: 17 },
            timestamp_ms: Some(0),
            key: None,
            value: Some(b"?".to_vec().into()),
            headers: facts.iter().map(header).collect(),
        }
    }

    const FACTS: [(&str, &str); 5] = [
        ("wl_room", "validate"),
        ("wl_code", "WL-6001"),
        ("wl_topic", "clinical.supply-usage.v1"),
        ("wl_partition", "1"),
        ("wl_offset", "5"),
    ];

    #[test]
    fn the_command_to_process_it_again_has_all_its_arguments() {
        let again = Again::of(&letter(&FACTS)).unwrap();
        let expected = "wardline replay plan validate --topic clinical.supply-usage.v1 --partition 1 --from-offset 5 \
                        --to-offset 5 --reason \"dead letter 2@17, WL-6001\"";
        assert_eq!(again.command(), expected);
    }

    #[test]
    fn what_no_room_reads_from_a_topic_is_not_offered() {
        let with = |name: &'static str, text: &'static str| {
            let mut facts = FACTS.to_vec();
            facts.push((name, text));
            Again::of(&letter(&facts))
        };
        for (name, text) in [
            ("wl_topic", ""),
            ("wl_topic", "clinical.supply-usage.v1; reboot"),
            ("wl_room", "hl7v2"),
            ("wl_room", "$(reboot)"),
            ("wl_partition", "-1"),
            ("wl_offset", "five"),
        ] {
            assert_eq!(with(name, text), None, "{name} {text}");
        }
        let strange = with("wl_code", "\"; reboot").unwrap();
        assert_eq!(strange.reason, "dead letter 2@17", "a code is a code");
        assert_eq!(Again::of(&letter(&FACTS[..2])), None, "it came from outside");
    }

    /// That somebody settles it, as it goes on record.
    fn said(actor: &str, reason: &str, place: LetterPlace, now: i64) -> Audit {
        let class = Criticality::Operational;
        let settle =
            Settle { via: "cli", actor: actor.to_owned(), reason: reason.to_owned(), place, class, may_agree: true };
        settle.audit(SettleStep::Settle, now)
    }

    #[test]
    fn what_is_on_record_says_who_has_settled_what_and_the_first_counts() {
        let mut settled = Settled::default();
        settled.take(said("ada", " sent again ", (2, 17), 7));
        settled.take(said("bob", "me too, later", (2, 17), 9));
        let one = settled.of((2, 17)).unwrap();
        assert_eq!((one.by.as_str(), one.reason.as_str(), one.at), ("ada", "sent again", 7));
        let right = said("ada", "sent again", (0, 1), 7);
        for wrong in [
            Audit { code: "show-original".to_owned(), ..right.clone() },
            Audit { kind: AuditKind::Dropped, ..right.clone() },
            Audit { origin_topic: Some("ops.exception.v1".to_owned()), ..right.clone() },
            Audit { origin_offset: None, ..right.clone() },
            Audit { detail: "sent again".to_owned(), ..right },
        ] {
            settled.take(wrong);
        }
        assert_eq!(settled.by_place.len(), 1);
        assert!(is_gone(&(2, 17), &BTreeMap::from([(2, 18)])));
        assert!(!is_gone(&(2, 17), &BTreeMap::from([(1, 18), (2, 17)])));
    }

    #[test]
    fn bnd_1_of_too_many_the_ones_that_were_settled_first_are_forgotten() {
        let mut settled = Settled::default();
        let most = i64::try_from(SETTLED_MAX).unwrap();
        for number in 0..=most {
            settled.take(said("ada", "sent again", (0, number), most - number));
        }
        assert_eq!(settled.by_place.len(), SETTLED_MAX);
        assert_eq!((settled.of((0, most)), settled.of((0, 0)).is_some()), (None, true));
    }
}

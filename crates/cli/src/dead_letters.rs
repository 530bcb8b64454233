//! `wardline dead-letters ls|show|settle`: the records that nobody could read, as they came, and what to do about them.
//!
//! The id of a dead letter is its place on the topic, `PARTITION@OFFSET`: unlike its origin it is there for each of them.

use crate::args::{DeadLetters, DeadLettersAction, DeadLettersLs, DeadLettersSettle, DeadLettersShow, Globals};
use crate::output::{self, Output};
use crate::{Failure, context, people, rooms, unmask};
use operations::audit::Shown;
use operations::dead_letters::{self, Again, LetterStand, Settle, SettleStep, Settled, Settlement, Settlements, fact};
use operations::exceptions::ExceptionsConfig;
use runtime::Config;
use runtime::codec::Codec;
use runtime::reader::{self, Range};
use runtime::readers::Readers;
use runtime::record::Record;
use schemas::{headers, topics};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest look through the audit for what is settled; a command tells what it has found by then.
const SETTLED_TIME: Duration = Duration::from_secs(120);
/// Most dead letters held in memory; the oldest are left out.
const LISTED_MAX: usize = 100_000;
/// Most bytes that are shown; a file takes all of them.
const SHOWN_MAX: usize = 1_024;
/// Stands for what may identify a patient.
const HIDDEN: &str = "***";

/// What is known of a dead letter, without its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Letter {
    id: String,
    time: String,
    #[serde(skip)]
    at_ms: Option<i64>,
    room: String,
    stage: String,
    code: String,
    version: String,
    reason: String,
    /// Topic that the record came from; none when it came from outside Kafka.
    topic: Option<String>,
    /// Where it came from.
    origin: String,
    bytes: usize,
    /// Who has asked that it be settled; a second person has to agree.
    asked: Option<Settlement>,
    /// Who has settled it.
    settled: Option<Settlement>,
    #[serde(skip)]
    place: (i32, i64),
}

/// Executes `wardline dead-letters`.
pub fn execute(globals: &Globals, letters: &DeadLetters) -> Result<(), Failure> {
    let config = context::running(globals)?;
    match &letters.action {
        DeadLettersAction::Ls(options) => list(&config, options),
        DeadLettersAction::Show(options) => show(&config, options),
        DeadLettersAction::Settle(options) => settle(&config, options),
    }
}

/// What is settled, as far as it can be said: dead letters are shown also when the registry does not answer.
fn settled(config: &Config) -> Result<Arc<Settled>, Failure> {
    let look = async {
        let codec = Codec::new(&config.registry).map_err(|error| error.to_string())?;
        let settlements = Settlements::new(Readers::new(&config.kafka), Arc::new(codec));
        settlements.look(SETTLED_TIME).await.map_err(|error| error.to_string())
    };
    let settled = context::block_on(look)?.unwrap_or_else(|error| {
        output::note(&format!("what is settled cannot be read: {error}"));
        Arc::default()
    });
    if !settled.is_whole {
        output::note("what people have settled is not known of all: some of these may be settled");
    }
    Ok(settled)
}

fn settle(config: &Config, options: &DeadLettersSettle) -> Result<(), Failure> {
    let (record, place) = read(config, &options.id)?;
    let reason = options.reason.trim().to_owned();
    let class = dead_letters::class(&record);
    people::by_class(config, class, "settling what two people settle")?;
    let two_people = ExceptionsConfig::of(config)
        .map_err(|error| Failure::usage(error, "correct operations.exceptions of the configuration"))?
        .two_people;
    let settle = Settle { via: "cli", actor: options.actor.clone(), reason, place, class, may_agree: true };
    let step = settle
        .check(&settled(config)?.stand(place), &two_people)
        .map_err(|error| Failure::usage(error.to_string(), error.next()))?;
    context::block_on(settle.record(config, step))?.map_err(|error| {
        Failure::new(
            format!("WL-1472: this could not be put on record, so it is not settled: {error}"),
            "check that Kafka and the schema registry answer, and that this user may write ops.audit.v1",
        )
    })?;
    let mut output = Output::stdout();
    let id = Letter::of(&record).id;
    match step {
        SettleStep::Settle => output.line(format!("dead letter {id} is settled"))?,
        SettleStep::Ask => output.line(format!("dead letter {id} is to be settled: a second person has to agree"))?,
    }
    output.finish()?;
    if step == SettleStep::Ask {
        output::note("next to the patient two people settle a dead letter: somebody else has to run this command, too");
    }
    Ok(())
}

/// A dead letter and its place.
fn read(config: &Config, id: &str) -> Result<(Record, (i32, i64)), Failure> {
    let (partition, offset) = place(id)?;
    let topic = topics::OPS_DEAD_LETTER_V1.name();
    let found = reader::read_one(&config.kafka, topic, partition, offset).map_err(Failure::kafka)?;
    let record = found.ok_or_else(|| {
        Failure::usage(
            format!("WL-7072: there is no dead letter {id}"),
            "list them with `wardline dead-letters ls`; retention may have removed it",
        )
    })?;
    Ok((record, (partition, offset)))
}

fn list(config: &Config, options: &DeadLettersLs) -> Result<(), Failure> {
    let settled = settled(config)?;
    let mut found = VecDeque::new();
    let mut left_out = 0_u64;
    reader::read_range(&config.kafka, &Range::all(topics::OPS_DEAD_LETTER_V1.name()), |record| {
        let letter = Letter::of(&record);
        let LetterStand { asked, settled } = settled.stand(letter.place);
        let letter = Letter { asked, settled, ..letter };
        if letter.is_wanted(options) {
            found.push_back(letter);
        }
        if found.len() > LISTED_MAX {
            found.pop_front();
            left_out += 1;
        }
        ControlFlow::Continue(())
    })
    .map_err(Failure::kafka)?;
    let mut found = Vec::from(found);
    found.sort_by(|one, other| (&one.time, &one.id).cmp(&(&other.time, &other.id)));
    let mut output = Output::stdout();
    if options.json {
        found.iter().try_for_each(|letter| output.json(letter))?;
    } else {
        let rows: Vec<Vec<String>> = found.iter().map(Letter::row).collect();
        output.table(&["ID", "TIME", "ROOM", "STAGE", "CODE", "VERSION", "FROM", "SETTLED BY"], &rows)?;
    }
    output.finish()?;
    if left_out > 0 {
        output::note(&format!(
            "the newest {LISTED_MAX}; {left_out} more are on the topic: filter by code, room or topic"
        ));
    }
    if found.is_empty() {
        output::note(&nothing_matches(options));
    } else if !options.json {
        output::note(
            "`wardline dead-letters show ID` tells more of one and how it is processed again, with --with-phi and --reason also its bytes; `wardline explain CODE` explains a code",
        );
    }
    Ok(())
}

fn show(config: &Config, options: &DeadLettersShow) -> Result<(), Failure> {
    if options.with_phi {
        unmask::check(&options.unmask)?;
    }
    let (record, (partition, offset)) = read(config, &options.id)?;
    let topic = topics::OPS_DEAD_LETTER_V1.name();
    if options.with_phi {
        let shown = Shown {
            what: "the bytes of a dead letter",
            origin: Some((topic.to_owned(), partition, offset)),
            ..Shown::default()
        };
        context::block_on(unmask::record(config, &options.unmask, shown))??;
    }
    let bytes = record.value.as_deref().unwrap_or_default();
    match &options.bytes {
        Some(path) if path != Path::new("-") => std::fs::write(path, bytes).map_err(|error| {
            Failure::usage(
                format!("WL-7062: cannot write {}: {error}", path.display()),
                "name a file that can be written, or - for stdout",
            )
        }),
        Some(_) => {
            let mut output = Output::stdout();
            output.bytes(bytes)?;
            output.finish()
        }
        None => {
            let LetterStand { asked, settled } = settled(config)?.stand((partition, offset));
            print(&record, Letter { asked, settled, ..Letter::of(&record) }, options.json, options.with_phi)
        }
    }
}

fn print(record: &Record, letter: Letter, as_json: bool, with_phi: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let bytes = record.value.as_deref().unwrap_or_default();
    if as_json {
        output.json(&whole(record, &letter, with_phi)?)?;
        return output.finish();
    }
    let facts = [
        ("id", &letter.id),
        ("time", &letter.time),
        ("room", &letter.room),
        ("stage", &letter.stage),
        ("code", &letter.code),
        ("version", &letter.version),
        ("reason", &letter.reason),
        ("from", &letter.origin),
    ];
    for (name, text) in facts.into_iter().filter(|(_, text)| !text.is_empty()) {
        output.line(format!("{name:<10} {text}"))?;
    }
    if let Some(Settlement { by, reason, at }) = &letter.settled {
        output.line(format!("{:<10} by {by}, {}: {reason}", "settled", output::time_text(at / 1_000)))?;
    } else if let Some(Settlement { by, reason, at }) = &letter.asked {
        output.line(format!("{:<10} by {by}, {}: {reason}", "asked", output::time_text(at / 1_000)))?;
    }
    let key = record.key.as_deref().map_or_else(|| "none".to_owned(), |key| seen(key, with_phi));
    output.line(format!("{:<10} {key}", "key"))?;
    for (name, value) in shown_headers(record, with_phi) {
        output.line(format!("{:<10} {name}: {}", "header", value.unwrap_or_else(|| "null".to_owned())))?;
    }
    output.line(format!("{:<10} {}", "bytes", bytes.len()))?;
    if with_phi {
        output.line(operations::dump(bytes.get(..SHOWN_MAX).unwrap_or(bytes)).trim_end())?;
    }
    output.finish()?;
    output::note(&match Again::of(record) {
        Some(again) => format!("process it again, when its cause is mended: {}", again.command()),
        None => "it did not come from a topic that its room reads: let its sender send it again, corrected".to_owned(),
    });
    if letter.settled.is_none() {
        output::note(&format!(
            "when nothing is open about it: wardline dead-letters settle {} --reason TEXT",
            letter.id
        ));
    }
    if !with_phi {
        output::note(
            "its bytes may identify a patient: --with-phi --reason TEXT shows them, and who looked and why goes on record",
        );
    } else if let Some(more) = bytes.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        output::note(&format!("{more} more bytes: --bytes FILE writes all of them"));
    }
    Ok(())
}

/// The headers as they are shown. Of a record that nobody could read only those of events never identify a patient; what Wardline
/// itself added is told as facts.
fn shown_headers(record: &Record, with_phi: bool) -> Vec<(String, Option<String>)> {
    let is_of_events = |name: &str| name.starts_with("ce_") || name == headers::CONTENT_TYPE;
    let shown = record.headers.iter().filter(|(name, _)| with_phi || !name.starts_with("wl_"));
    shown
        .map(|(name, value)| {
            (name.to_string(), value.as_deref().map(|value| seen(value, with_phi || is_of_events(name))))
        })
        .collect()
}

fn seen(bytes: &[u8], is_seen: bool) -> String {
    if is_seen { readable(bytes) } else { HIDDEN.to_owned() }
}

/// Everything that may be seen, for programs.
fn whole(record: &Record, letter: &Letter, with_phi: bool) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(letter).map_err(|error| Failure::new(error, "report this as a defect"))?;
    let headers: Vec<Value> = shown_headers(record, with_phi)
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("again".to_owned(), json!(Again::of(record).map(|again| again.command())));
        fields.insert("key".to_owned(), json!(record.key.as_deref().map(|key| seen(key, with_phi))));
        fields.insert("headers".to_owned(), Value::Array(headers));
        if !with_phi {
            return Ok(value);
        }
        let bytes = record.value.as_deref().unwrap_or_default();
        let text = std::str::from_utf8(bytes).ok();
        fields.insert("text".to_owned(), json!(text));
        fields.insert("hex".to_owned(), json!(text.is_none().then(|| hex(bytes))));
    }
    Ok(value)
}

impl Letter {
    fn of(record: &Record) -> Self {
        let fact = |name: &str| fact(record, name).unwrap_or_default();
        let micros: Option<i64> = fact("wl_at").parse().ok();
        let time = micros.map(|micros| micros / 1_000).or(record.timestamp_ms);
        let topic = Some(fact("wl_topic")).filter(|topic| !topic.is_empty());
        let origin = match &topic {
            Some(topic) => format!("{topic}-{}@{}", fact("wl_partition"), fact("wl_offset")),
            None => ["wl_origin", "wl_source"].into_iter().map(fact).find(|from| !from.is_empty()).unwrap_or_default(),
        };
        Self {
            id: format!("{}@{}", record.place.partition, record.place.offset),
            time: time.map(output::time_text).unwrap_or_default(),
            at_ms: time,
            room: fact("wl_room"),
            stage: fact("wl_stage"),
            code: fact("wl_code"),
            version: fact("wl_version"),
            reason: fact("wl_reason"),
            topic,
            origin,
            bytes: record.value.as_ref().map_or(0, |value| value.len()),
            asked: None,
            settled: None,
            place: (record.place.partition, record.place.offset),
        }
    }

    fn is_wanted(&self, options: &DeadLettersLs) -> bool {
        options.code.as_ref().is_none_or(|code| *code == self.code)
            && options.room.as_ref().is_none_or(|room| *room == self.room)
            && options.topic.as_ref().is_none_or(|topic| Some(topic) == self.topic.as_ref())
            && (options.all || self.settled.is_none())
    }

    fn row(&self) -> Vec<String> {
        let time = self.at_ms.map_or_else(|| "-".to_owned(), |at_ms| output::told_time(at_ms.saturating_mul(1_000)));
        let cells = [&self.room, &self.stage, &self.code, &self.version, &self.origin].map(String::clone);
        let settled = self.settled.as_ref().map(|settled| settled.by.clone());
        [self.id.clone(), time].into_iter().chain(cells).chain([settled.unwrap_or_default()]).collect()
    }
}

/// Partition and offset of an id; the name of the topic may stand in front.
fn place(id: &str) -> Result<(i32, i64), Failure> {
    let topic = topics::OPS_DEAD_LETTER_V1.name();
    let short = id.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-')).unwrap_or(id);
    let read =
        short.split_once('@').and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    read.filter(|(partition, offset)| *partition >= 0 && *offset >= 0).ok_or_else(|| {
        Failure::usage(
            format!("WL-7072: {id} is not the id of a dead letter"),
            "give the id that `wardline dead-letters ls` prints, for example 2@17",
        )
    })
}

fn nothing_matches(options: &DeadLettersLs) -> String {
    let filter = |title: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!(" {title} {value}")).unwrap_or_default()
    };
    let unknown = options.room.as_deref().filter(|room| !rooms::names().contains(room));
    let unknown = unknown.map(|_| format!(": the rooms are {}", rooms::names().join(", "))).unwrap_or_default();
    let (code, room) = (filter("with code", &options.code), filter("of room", &options.room));
    let open = if options.all { "" } else { "open " };
    format!("no {open}dead letter{code}{room}{}{unknown}", filter("from topic", &options.topic))
}

/// Text as it is when it can be printed on one line, hexadecimal otherwise.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use runtime::record::Place;
    use std::borrow::Cow;
    use std::sync::Arc;

    fn record(headers: &[(&'static str, &str)], value: &[u8]) -> Record {
        Record {
            place: Place { topic: Arc::from(topics::OPS_DEAD_LETTER_V1.name()), partition: 2, offset: 17 },
            timestamp_ms: Some(0),
            key: Some(b"V1".to_vec().into()),
            value: Some(value.to_vec().into()),
            headers: headers
                .iter()
                .map(|(name, text)| (Cow::Borrowed(*name), Some(text.as_bytes().to_vec().into())))
                .collect(),
        }
    }

    /// RAW-1: place, stage, code and version of what refused it are shown.
    #[test]
    fn raw_1_a_letter_says_who_refused_what_and_where_it_came_from() {
        let headers = [
            ("wl_code", "of the sender"),
            ("wl_room", "validate"),
            ("wl_stage", "decode"),
            ("wl_code", "WL-6001"),
            ("wl_topic", "clinical.supply-usage.v1"),
            ("wl_partition", "1"),
            ("wl_offset", "5"),
            ("wl_version", "0.1.0"),
            ("wl_at", "1000000"),
        ];
        let letter = Letter::of(&record(&headers, b"?"));
        let row = [
            "2@17",
            "1970-01-01 00:00:01 UTC",
            "validate",
            "decode",
            "WL-6001",
            "0.1.0",
            "clinical.supply-usage.v1-1@5",
            "",
        ];
        assert_eq!(letter.row(), row);
        let from_outside = Letter::of(&record(&[("wl_room", "hl7v2"), ("wl_origin", "mllp 127.0.0.1:9")], b"?"));
        assert_eq!((from_outside.topic, from_outside.origin.as_str()), (None, "mllp 127.0.0.1:9"));
    }

    #[test]
    fn filters_take_code_room_and_topic_of_origin() {
        let letter = Letter::of(&record(&[("wl_room", "validate"), ("wl_code", "WL-6001"), ("wl_topic", "t")], b""));
        let text = |text: &str| Some(text.to_owned());
        for (room, code, topic, wanted) in [
            (None, None, None, true),
            (text("validate"), text("WL-6001"), text("t"), true),
            (text("enrich"), None, None, false),
            (None, text("WL-1001"), None, false),
            (None, None, text("u"), false),
        ] {
            let options = DeadLettersLs { code, room, topic, ..DeadLettersLs::default() };
            assert_eq!(letter.is_wanted(&options), wanted, "{options:?}");
        }
        let one = Settlement { by: "ada".to_owned(), reason: "sent again".to_owned(), at: 7 };
        let settled = Letter { settled: Some(one), ..letter };
        assert!(!settled.is_wanted(&DeadLettersLs::default()));
        assert!(settled.is_wanted(&DeadLettersLs { all: true, ..DeadLettersLs::default() }));
        assert_eq!(settled.row().last().unwrap(), "ada");
        let nothing = nothing_matches(&DeadLettersLs { room: text("validat"), ..DeadLettersLs::default() });
        assert!(nothing.starts_with("no open dead letter of room validat: the rooms are "), "{nothing}");
    }

    #[test]
    fn an_id_is_a_place_on_the_topic() {
        assert_eq!(place("2@17").unwrap(), (2, 17));
        assert_eq!(place("ops.dead-letter.v1-2@17").unwrap(), (2, 17));
        for wrong in ["", "17", "2@", "-1@3", "t-2@17"] {
            assert!(place(wrong).unwrap_err().to_string().contains("WL-7072"), "{wrong}");
        }
    }

    #[test]
    fn what_is_text_is_shown_as_text() {
        assert_eq!((readable(b"V1"), readable(b"a\x00")), ("V1".to_owned(), "0x6100".to_owned()));
    }

    #[test]
    fn phi_1_without_a_reason_nothing_that_may_identify_a_patient_is_shown() {
        let headers =
            [("wl_room", "validate"), ("ce_type", "org.wardline.x"), ("patient", "Abel^Ada"), ("wl_x", "Abel")];
        let record = record(&headers, b"PID|1||M1||Abel^Ada");
        let masked = whole(&record, &Letter::of(&record), false).unwrap();
        let expected = json!([{"name": "ce_type", "value": "org.wardline.x"}, {"name": "patient", "value": "***"}]);
        assert_eq!((&masked["headers"], &masked["key"], &masked["bytes"]), (&expected, &json!("***"), &json!(19)));
        assert!(!masked.to_string().contains("Abel"), "{masked}");
        assert!(whole(&record, &Letter::of(&record), true).unwrap().to_string().contains("PID|1||M1||Abel^Ada"));
    }

    #[test]
    fn json_holds_all_bytes_as_text_or_hexadecimal() {
        let value = |bytes: &[u8]| {
            let record = record(&[("wl_room", "validate")], bytes);
            whole(&record, &Letter::of(&record), true).unwrap()
        };
        let text = value(b"MSH|\r");
        assert_eq!((&text["text"], &text["hex"], &text["key"]), (&json!("MSH|\r"), &Value::Null, &json!("V1")));
        assert_eq!(text["headers"], json!([{"name": "wl_room", "value": "validate"}]));
        assert_eq!(value(b"\xff\x00")["hex"], "ff00");
    }
}

//! What a request says about a replay: which records, how fast.

use crate::ask::Ask;
use crate::fields::{Field, Kind};
use crate::problem::Problem;
use operations::replay::{ReplayField, ReplaySelection, Request, field_condition};

/// What is to be replayed.
pub const PLAN: &[Field] = FIELDS.split_at(1).1;

/// Which records are looked at by which version, without anything that is done about them.
pub const LOOKED_AT: &[Field] = FIELDS.split_at(12).0;

const FIELDS: &[Field] = &[
    Field::optional(
        "version",
        Kind::Line(64),
        "Version that is to be asked: refused when this console is of another one",
    ),
    Field::required("room", Kind::Line(64), "Room that is to process the records again"),
    Field::optional("topic", Kind::Line(100), "Topic, when the room reads several"),
    Field::optional("from_time", Kind::Line(40), "From this time on, for example 2026-03-01T08:00:00Z"),
    Field::optional("until_time", Kind::Line(40), "Before this time"),
    Field::optional("partition", Kind::Number, "Only this partition; needed with offsets"),
    Field::optional("from_offset", Kind::Number, "From this offset on"),
    Field::optional("to_offset", Kind::Number, "Last offset, included"),
    Field::optional("key", Kind::Line(200), "Only records with this key"),
    Field::optional("event_id", Kind::Text(40_000), "Only these events: ids, parted by blanks or lines"),
    Field::optional(
        "type",
        Kind::Line(200),
        "Only events of this type: in full, or how it ends, for example discharged",
    ),
    Field::optional(
        "field",
        Kind::Text(4_000),
        "Only events whose fields have these values, one on a line, for example supplierId=SUP-7",
    ),
    Field::optional(
        "correct",
        Kind::Flag,
        "Correct: make the events anew where they would come out otherwise with the master data of today",
    ),
    Field::required("reason", Kind::Text(1_000), "Why, without patient data; it goes on record"),
];

/// What the form to plan one is filled with: a dead letter leads here.
pub const FILLED: &[Field] = &[
    Field::optional("room", Kind::Line(64), "Room, for the form on the page"),
    Field::optional("topic", Kind::Line(100), "Topic, for the form on the page"),
    Field::optional("partition", Kind::Number, "Partition, for the form on the page"),
    Field::optional("from_offset", Kind::Number, "First offset, for the form on the page"),
    Field::optional("to_offset", Kind::Number, "Last offset, for the form on the page"),
    Field::optional("reason", Kind::Line(1_000), "Why, for the form on the page"),
];

/// The plan that is asked for.
///
/// # Errors
/// When a time, a number or a condition cannot be read.
pub fn request(ask: &Ask) -> Result<Request, Problem> {
    let text = |name: &str| ask.body.text(name).map(str::to_owned);
    Ok(Request {
        room: text("room").unwrap_or_default(),
        topic: text("topic"),
        selection: selection(ask)?,
        correct: ask.body.flag("correct"),
        reason: text("reason").unwrap_or_default(),
        actor: ask.name().to_owned(),
    })
}

/// The records that are asked for.
///
/// # Errors
/// When a time, a number or a condition cannot be read.
pub fn selection(ask: &Ask) -> Result<ReplaySelection, Problem> {
    let text = |name: &str| ask.body.text(name).map(str::to_owned);
    Ok(ReplaySelection {
        partitions: partition(ask)?.into_iter().collect(),
        from_offset: ask.body.number("from_offset"),
        to_offset: ask.body.number("to_offset"),
        from_time_ms: milliseconds(ask, "from_time")?,
        until_time_ms: milliseconds(ask, "until_time")?,
        event_ids: words(ask.body.text("event_id").unwrap_or_default()),
        key: text("key"),
        event_type: text("type"),
        fields: conditions(ask.body.text("field").unwrap_or_default())?,
    })
}

/// Records in a second, where some are asked for.
///
/// # Errors
/// When it is no rate.
pub fn rate(ask: &Ask) -> Result<Option<u32>, Problem> {
    let Some(rate) = ask.body.number("rate") else { return Ok(None) };
    let fits = u32::try_from(rate).ok().filter(|rate| *rate > 0);
    fits.map(Some).ok_or_else(|| Problem::not_understood("rate must be at least 1 record in a second"))
}

fn partition(ask: &Ask) -> Result<Option<i32>, Problem> {
    let Some(number) = ask.body.number("partition") else { return Ok(None) };
    let fits = i32::try_from(number).ok();
    fits.map(Some).ok_or_else(|| Problem::not_understood("partition must be the number of a partition"))
}

fn milliseconds(ask: &Ask, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = ask.body.text(name) else { return Ok(None) };
    let read = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
    read.map(Some).map_err(|_| Problem::not_understood(format!("{name} must be a time like 2026-03-01T08:00:00Z")))
}

/// As people paste a list: on lines, with commas, in one row.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| letter.is_whitespace() || letter == ',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// One condition on a line: a value may have blanks.
fn conditions(text: &str) -> Result<Vec<ReplayField>, Problem> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| field_condition(line).map_err(|error| super::refusal(&error))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_as_people_paste_them() {
        assert_eq!(words(" a\r\nb, c\td,\n"), ["a", "b", "c", "d"]);
        assert!(words(" \n").is_empty());
    }

    #[test]
    fn each_line_is_a_condition_and_what_is_none_is_refused_with_its_code() {
        let read = conditions("supplierId=SUP-7\r\n\n itemRef.code=a b \n").unwrap();
        let read: Vec<_> = read.iter().map(|field| (field.path.as_str(), field.value.as_str())).collect();
        assert_eq!(read, [("supplierId", "SUP-7"), ("itemRef.code", "a b")]);
        assert_eq!(conditions("supplierId").unwrap_err().code, "WL-7151");
    }
}

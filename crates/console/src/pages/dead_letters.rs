//! What could not be read at all, and what people do about it: have it processed again, or say that it is settled.

use super::{PAGE, slice};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Act, Frame, Page, chip, code_link, facts, form, number, pager, time};
use crate::original::{MASK, Source, check_reason, see_bytes, show};
use crate::pages::errors;
use crate::people::Right;
use crate::problem::Problem;
use crate::trail::{self, Entry};
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::dead_letters::{Again, LetterStand, Settle, SettleError, SettleStep, Settled, Settlement, class, fact};
use runtime::record::Record;
use schemas::{Criticality, headers, topics};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// What may be asked for.
pub const QUERY: &[Field] = &[
    Field::optional("code", Kind::Line(16), "Code"),
    Field::optional("room", Kind::Line(64), "Room"),
    Field::optional("state", Kind::OneOf(&["open", "all"]), "Only those that are not settled, or all"),
    PAGE,
];
/// What somebody says who settles one.
pub const SETTLE: &[Field] =
    &[Field::required("reason", Kind::Line(500), "What was done about it, without patient data; it goes on record")];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letters {
    page: usize,
    rows_per_page: usize,
    total: usize,
    has_more: bool,
    /// Whether what is settled is known of all; where not, some of these may be settled.
    settled_known: bool,
    letters: Vec<Letter>,
    #[serde(skip)]
    query: Fields,
}

/// What is known of a dead letter, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    id: String,
    at: i64,
    room: String,
    stage: String,
    code: String,
    version: String,
    reason: String,
    origin: String,
    bytes: usize,
    /// How its room can process it again; none when only its sender can send it again.
    again: Option<Again>,
    /// Who has asked that it be settled; a second person has to agree.
    asked: Option<Settlement>,
    /// Who has settled it.
    settled: Option<Settlement>,
    #[serde(skip)]
    place: (i32, i64),
    #[serde(skip)]
    class: Criticality,
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    letter: Letter,
    headers: Vec<(String, Option<String>)>,
    source: Source,
}

/// The newest, filtered.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let newest = ask.console.desk.letters().await?;
    let settled = settled(&ask).await;
    let all = ask.query.text("state") == Some("all");
    let wanted = |letter: &Letter| {
        ask.query.text("code").is_none_or(|code| code == letter.code)
            && ask.query.text("room").is_none_or(|room| room == letter.room)
            && (all || settled.of(letter.place).is_none())
    };
    let found: Vec<&Letter> = newest.records.iter().filter(|letter| wanted(letter)).collect();
    let (page, rows_per_page) = (ask.page(), ask.console.config.bounds.page_rows);
    let (total, has_more, query, settled_known) = (found.len(), newest.has_more, ask.query, settled.is_whole);
    let told = |letter: &&Letter| (*letter).clone().standing(settled.stand(letter.place));
    let letters = slice(&found, page, rows_per_page).iter().map(told).collect();
    Ok(Answer::view(Letters { page, rows_per_page, total, has_more, settled_known, letters, query }, list_page))
}

/// What is settled, as far as it can be said soon: dead letters are shown also when the registry does not answer.
async fn settled(ask: &Ask) -> Arc<Settled> {
    let reading = tokio::time::timeout(ask.console.config.part_timeout(), ask.console.desk.settled());
    match reading.await {
        Ok(Ok(settled)) => settled,
        Ok(Err(problem)) => {
            tracing::warn!(code = %problem.code, "what is settled of the dead letters cannot be read");
            Arc::default()
        }
        Err(_) => Arc::default(),
    }
}

/// Somebody says that one is settled; that is on record when this answers.
pub async fn settle(ask: Ask) -> Result<Answer, Problem> {
    let letter = read(&ask).await?.letter;
    let settled = ask.console.desk.settled().await?;
    let settle = Settle {
        via: trail::ROOM,
        actor: ask.name().to_owned(),
        reason: ask.body.text("reason").unwrap_or_default().to_owned(),
        place: letter.place,
        class: letter.class,
        may_agree: ask.may(Right::Approve),
    };
    let two_people = &ask.console.exceptions.config().two_people;
    let step = settle.check(&settled.stand(letter.place), two_people).map_err(|error| refusal(&error))?;
    let (partition, offset) = letter.place;
    ask.console
        .trail
        .record(Entry {
            code: step.code().to_owned(),
            detail: settle.detail(step),
            actor: Some(settle.actor),
            origin: Some((topics::OPS_DEAD_LETTER_V1.name().to_owned(), partition, offset)),
            ..Entry::default()
        })
        .await?;
    ask.console.desk.letters_changed();
    let then = format!("/dead-letters/{}", letter.id);
    let (said, is_settled) = match step {
        SettleStep::Ask => ("A second person has to agree before it is settled.", false),
        SettleStep::Settle => ("It is settled.", true),
    };
    Ok(Answer::done(said, then, json!({"id": letter.id, "settled": is_settled})))
}

fn refusal(error: &SettleError) -> Problem {
    let status = match error {
        SettleError::NoReason(_) => StatusCode::UNPROCESSABLE_ENTITY,
        SettleError::Already { .. } | SettleError::SecondPerson { .. } | SettleError::Nobody(_) => StatusCode::CONFLICT,
    };
    Problem::said(status, "Not settled", &error.to_string()).next(error.next())
}

/// One, without what may identify a patient.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let mut whole = read(&ask).await?;
    whole.source = whole.source.masked();
    whole.headers.iter_mut().filter(|(name, _)| !is_of_events(name)).for_each(|(_, value)| {
        *value = value.take().map(|_| MASK.to_owned());
    });
    Ok(Answer::view(whole, page))
}

/// One with all its bytes; that goes on record first.
pub async fn original(ask: Ask) -> Result<Answer, Problem> {
    let reason = ask.body.text("reason").unwrap_or_default().to_owned();
    check_reason(&reason)?;
    let whole = read(&ask).await?;
    let (partition, offset) = place(ask.part("id"))?;
    ask.console
        .trail
        .record(Entry {
            code: "show-original".to_owned(),
            detail: format!("was shown the bytes of a dead letter: {reason}"),
            actor: Some(ask.name().to_owned()),
            origin: Some((topics::OPS_DEAD_LETTER_V1.name().to_owned(), partition, offset)),
            ..Entry::default()
        })
        .await?;
    Ok(Answer::view(whole, page))
}

async fn read(ask: &Ask) -> Result<Whole, Problem> {
    let desk = &ask.console.desk;
    let (partition, offset) = place(ask.part("id"))?;
    let found = desk.record(topics::OPS_DEAD_LETTER_V1.name(), partition, offset).await?;
    let record =
        found.ok_or_else(|| Problem::not_found("there is no such dead letter; retention may have removed it"))?;
    let bound = ask.console.config.bounds.original_bytes_max;
    let (codec, content_type) = (desk.codec()?, fact(&record, "content-type"));
    let asked = record.value.clone();
    let reading = async move { Source::read(&codec, asked.as_deref(), content_type.as_deref(), bound).await };
    let source = desk.reads.topics(reading).await?;
    let stand = settled(ask).await.stand((partition, offset));
    Ok(Whole { letter: Letter::of(&record).standing(stand), headers: headers(&record), source })
}

impl Letter {
    /// What the headers of a record say; its bytes are counted.
    pub fn of(record: &Record) -> Self {
        let fact = |name: &str| fact(record, name).unwrap_or_default();
        let origin = match fact("wl_topic").as_str() {
            "" => ["wl_origin", "wl_source"].into_iter().map(fact).find(|from| !from.is_empty()).unwrap_or_default(),
            topic => format!("{topic}-{}@{}", fact("wl_partition"), fact("wl_offset")),
        };
        Self {
            id: format!("{}@{}", record.place.partition, record.place.offset),
            at: fact("wl_at").parse().ok().or(record.timestamp_ms.map(|time| time * 1_000)).unwrap_or_default(),
            room: fact("wl_room"),
            stage: fact("wl_stage"),
            code: fact("wl_code"),
            version: fact("wl_version"),
            reason: fact("wl_reason"),
            origin,
            bytes: record.value.as_ref().map_or(0, |value| value.len()),
            again: Again::of(record),
            asked: None,
            settled: None,
            place: (record.place.partition, record.place.offset),
            class: class(record),
        }
    }

    /// With what people have said about it.
    fn standing(self, LetterStand { asked, settled }: LetterStand) -> Self {
        Self { asked, settled, ..self }
    }
}

/// Headers that events have, which never identify a patient. A record that nobody could read may have any others.
fn is_of_events(name: &str) -> bool {
    name.starts_with("ce_") || name == headers::CONTENT_TYPE
}

/// The headers that came with the record, beside what Wardline added.
fn headers(record: &Record) -> Vec<(String, Option<String>)> {
    let own = record.headers.iter().filter(|(name, _)| !name.starts_with("wl_"));
    own.map(|(name, value)| {
        let text = value.as_deref().map(|value| String::from_utf8_lossy(value).chars().take(500).collect());
        (name.to_string(), text)
    })
    .collect()
}

/// Partition and offset of an id.
fn place(id: &str) -> Result<(i32, i64), Problem> {
    let read = id.split_once('@').and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    read.filter(|(partition, offset)| *partition >= 0 && *offset >= 0)
        .ok_or_else(|| Problem::not_found("a dead letter is named by its place, for example 2@17"))
}

fn list_page(data: &Letters, _: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "Dead letters" }
        p.muted { "Records that nobody could read. They hold nothing up; their senders may have to send again." }
        form.filter method="get" action="/dead-letters" {
            div { label for="code" { "Code" } input #code name="code" value=(data.query.text("code").unwrap_or_default()) autocomplete="off"; }
            div { label for="room" { "Room" } input #room name="room" value=(data.query.text("room").unwrap_or_default()) autocomplete="off"; }
            div {
                label for="state" { "State" }
                select #state name="state" {
                    @for (state, label) in [("open", "open"), ("all", "all, also settled ones")] {
                        option value=(state) selected[data.query.text("state") == Some(state)] { (label) }
                    }
                }
            }
            button type="submit" { "Filter" }
        }
        @if !data.settled_known { p.note role="status" { "What people have settled is not known of all of them now: some of these may be settled." } }
        @if data.letters.is_empty() { p.calm { "No dead letter fits." } } @else {
            div.scroll {
                table.stack {
                    caption {
                        (number(data.total as i128)) " dead letters, newest first"
                        @if data.has_more { "; older ones are on the topic" }
                    }
                    thead { tr { th { "Id" } th { "When" } th { "Room" } th { "Code" } th { "Reason" } th { "From" } } }
                    tbody {
                        @for letter in &data.letters {
                            tr data-row=(letter.id) tabindex="-1" {
                                td data-name="Id" { a.mono href={ "/dead-letters/" (letter.id) } { (letter.id) } }
                                td.nowrap data-name="When" { (time(letter.at)) }
                                td data-name="Room" { span { (letter.room) " " span.muted { (letter.stage) } } }
                                td data-name="Code" { (code_link(&letter.code)) }
                                td.wide data-name="Reason" { span { @if letter.settled.is_some() { (chip("settled", "good")) " " } (letter.reason) } }
                                td data-name="From" { span.mono { (letter.origin) } }
                            }
                        }
                    }
                }
            }
            (pager("/dead-letters", &data.query, data.page, data.rows_per_page, data.total))
        }
    };
    Page::live("Dead letters", body)
}

fn page(data: &Whole, frame: &Frame<'_>) -> Page {
    let letter = &data.letter;
    let body = html! {
        p { a href="/dead-letters" { "Dead letters" } }
        h1 { "Dead letter " span.mono { (letter.id) } }
        p.lead { (letter.reason) }
        @if let Some(settled) = &letter.settled {
            p { (chip("settled", "good")) " by " (settled.by) ", " (time(settled.at)) ": " (settled.reason) }
        } @else if let Some(asked) = &letter.asked {
            p { (chip("needs a second person", "warn")) " asked to be settled by " (asked.by) ", " (time(asked.at)) ": " (asked.reason) }
        }
        div.columns {
            section {
                (facts(&[
                    ("Code", html! { (code_link(&letter.code)) " " (errors::title_of(&letter.code).unwrap_or_default()) }),
                    ("Room", html! { (letter.room) " " (letter.version) }),
                    ("Stage", html! { (letter.stage) }),
                    ("When", time(letter.at)),
                    ("From", html! { span.mono { (letter.origin) } }),
                ]))
                h2 { "Source" }
                (show(&data.source, &[]))
                @if !data.headers.is_empty() {
                    h2 { "Headers" }
                    (facts(&data.headers.iter().map(|(name, value)| (name.as_str(), html! { (value.as_deref().unwrap_or("null")) })).collect::<Vec<_>>()))
                }
            }
            section {
                @if let Some(advice) = errors::advice(&letter.code) { h2 { "What to do" } (advice) }
                (acts(letter, frame))
                (see_bytes(&data.source, &format!("/dead-letters/{}", letter.id), frame))
            }
        }
    };
    Page::still(format!("Dead letter {}", letter.id), body)
}

/// What can be done about one.
fn acts(letter: &Letter, frame: &Frame<'_>) -> Markup {
    html! {
        h2 { "Process it again" }
        @match &letter.again {
            Some(again) => {
                p {
                    "When the cause is mended, a replay hands this one record to " (again.room) " once more, in order beside the live flow. "
                    "What cannot be read then either becomes another dead letter."
                }
                @if frame.may(Right::Act) { p { a href=(plan_of(again)) { "Plan a replay of this record" } } }
            }
            None => p { "It did not come from a topic that its room reads: let its sender send it again, corrected." },
        }
        @if letter.settled.is_none() && frame.may(Right::Act) && may_settle(letter, frame) {
            h2 { "Settle it" }
            (form(frame, &Act {
                action: format!("/dead-letters/{}/settle", letter.id),
                label: "Mark as settled",
                help: "For what was processed again, sent again, or needs nothing. It leaves the list of open ones; its bytes stay. Some flows need a second person.",
                fields: SETTLE,
                hidden: Vec::new(),
                is_grave: false,
            }))
        }
    }
}

/// What somebody has asked for is for another person, who may approve.
fn may_settle(letter: &Letter, frame: &Frame<'_>) -> bool {
    let Some(asked) = &letter.asked else { return true };
    frame.may(Right::Approve) && frame.person.is_some_and(|person| !operations::same_person(&person.name, &asked.by))
}

/// The form to plan a replay, with what it needs filled in.
fn plan_of(again: &Again) -> String {
    let offset = again.offset.to_string();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("room", &again.room)
        .append_pair("topic", &again.topic)
        .append_pair("partition", &again.partition.to_string())
        .append_pair("from_offset", &offset)
        .append_pair("to_offset", &offset)
        .append_pair("reason", &again.reason);
    format!("/replay?{}#plan", query.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_place_on_the_topic() {
        assert_eq!(place("2@17").unwrap(), (2, 17));
        for wrong in ["", "17", "2@", "-1@3", "t-2@17"] {
            assert_eq!(place(wrong).unwrap_err().code, "WL-7130", "{wrong}");
        }
    }
}

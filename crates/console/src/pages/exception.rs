//! One exception: what is known of it, and what can be done about it.

use super::behind::{self, Behind};
use super::exceptions::{check_ready, standing_note, state_chip};
use super::proposals::{self, Waiting};
use super::{REASON, errors, reconciliation};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Kind};
use crate::html::{Act as Form, Frame, Page, ago, code_link, facts, form, number, time};
use crate::original::{Source, check_reason, show as source_part};
use crate::people::Right;
use crate::problem::Problem;
use crate::state::Console;
use crate::trail::Entry;
use axum::http::StatusCode;
use maud::{Markup, html};
use operations::exceptions::{
    Act, By, Choice, DecideError, ExceptionsView, Found, MasterUsed, Outcome, Proposal, Row, Standing, Step, ViewError,
    masters,
};
use operations::messages::MessageId;
use operations::original::name_of;
use runtime::codec::Codec;
use schemas::{Exception, ExceptionKind};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Why, where it may be left out.
pub const COMMENT: &[Field] = &[Field::optional("comment", Kind::Text(1_000), "Comment, without patient data")];
/// Why, where it must be said.
pub const SAY: &[Field] = &[Field::required("comment", Kind::Text(1_000), "Comment, without patient data")];
/// To whom.
pub const ASSIGN: &[Field] =
    &[Field::optional("to", Kind::Line(80), "Who has it from now on; empty for nobody"), COMMENT[0]];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    row: Row,
    stage: String,
    version: String,
    origin_event_id: Option<String>,
    field_paths: Vec<String>,
    last_comment: Option<String>,
    history: Vec<Step>,
    /// Which of history and source are not shown, and why.
    not_read: Vec<String>,
    source: Option<Source>,
    /// The master records that it has to do with.
    masters: Vec<MasterUsed>,
    /// The message that its event was made of.
    source_message: Option<Behind>,
    /// What waits for a second person.
    waiting: Waiting,
    /// The replay that would mend it, of a work item of reconciliation.
    replay: Option<operations::reconcile::Proposal>,
    standing: Standing,
    /// Everything is shown, once: such a page is not asked for again by itself.
    #[serde(skip)]
    is_shown_once: bool,
    /// A part is still being read, and is soon there.
    #[serde(skip)]
    is_pending: bool,
}

/// So long a page waits for the history before it is shown without. A program waits as long as for other parts.
const HISTORY_SOON: Duration = Duration::from_millis(60);

/// One exception, without what may identify a patient.
pub async fn show(ask: Ask) -> Result<Answer, Problem> {
    let id = find(&ask).await?;
    let mut whole = read(&ask, &id).await?;
    whole.source = whole.source.map(Source::masked);
    whole.waiting = whole.waiting.masked();
    whole.row.correction_mark = mark_of(&whole.waiting);
    Ok(Answer::view(whole, page))
}

/// One exception with its whole source; that goes on record first.
pub async fn original(ask: Ask) -> Result<Answer, Problem> {
    let reason = ask.body.text("reason").unwrap_or_default().to_owned();
    check_reason(&reason)?;
    let id = find(&ask).await?;
    let whole = Whole { is_shown_once: true, ..read(&ask, &id).await? };
    ask.console
        .trail
        .record(Entry {
            code: "show-original".to_owned(),
            detail: format!("was shown the source of an exception: {reason}"),
            actor: Some(ask.name().to_owned()),
            event_id: whole.origin_event_id.clone(),
            exception_id: Some(id),
            ..Entry::default()
        })
        .await?;
    Ok(Answer::view(whole, page))
}

/// Processes its event again.
pub async fn retry(ask: Ask) -> Result<Answer, Problem> {
    act(ask, Act::Retry).await
}

/// Gives it to somebody, or to nobody.
pub async fn assign(ask: Ask) -> Result<Answer, Problem> {
    let to = ask.body.text("to").map(str::to_owned);
    act(ask, Act::Assign { to }).await
}

/// Says something about it.
pub async fn comment(ask: Ask) -> Result<Answer, Problem> {
    act(ask, Act::Comment).await
}

/// Gives its event up, or asks for that.
pub async fn discard(ask: Ask) -> Result<Answer, Problem> {
    act(ask, Act::Discard).await
}

/// Agrees that its event is given up.
pub async fn approve_discard(ask: Ask) -> Result<Answer, Problem> {
    act(ask, Act::ApproveDiscard { seen: None }).await
}

/// Marks it as settled elsewhere.
pub async fn resolve(ask: Ask) -> Result<Answer, Problem> {
    let may_agree = ask.may(Right::Approve);
    act(ask, Act::Resolve { may_agree }).await
}

/// Decides, and goes on with it when the one who asked does not wait any more: half a decision helps nobody.
pub async fn decided(console: &Arc<Console>, choice: Choice, act: Act, by: By) -> Result<Outcome, Problem> {
    check_ready(console)?;
    let decider = console.decider().await.map_err(|error| refusal(&error))?;
    let deciding = tokio::spawn(async move { decider.decide(&choice, &act, &by).await });
    deciding.await.map_err(|error| Problem::defect(&error.to_string()))?.map_err(|error| refusal(&error))
}

async fn act(ask: Ask, act: Act) -> Result<Answer, Problem> {
    let id = find(&ask).await?;
    let comment = ask.body.text("comment").map(str::to_owned);
    let by = By { actor: ask.name().to_owned(), comment, via: crate::ROOM };
    let outcome = decided(&ask.console, Choice::Ids(vec![id.clone()]), act, by).await?;
    let said = outcome.done.first().map_or("Nothing was done.", |done| said(done.kind));
    Ok(Answer::done(said, format!("/exceptions/{id}"), json!({"done": outcome.done})))
}

/// What came of a decision, for a person.
pub fn said(kind: ExceptionKind) -> &'static str {
    match kind {
        ExceptionKind::RetryRequested => "A retry is asked for: the room processes the event again.",
        ExceptionKind::Discarded => "The event is given up; later ones of its key go on.",
        ExceptionKind::DiscardRequested => "A second person has to agree before the event is given up or settled.",
        ExceptionKind::Resolved => "It is marked as settled.",
        ExceptionKind::Assigned => "It is given to who was named.",
        ExceptionKind::Commented => "The comment is on record.",
        ExceptionKind::Corrected => "The event is corrected: the room processes it again.",
        ExceptionKind::CorrectionRequested => "A second person has to agree before the corrected event is processed.",
        ExceptionKind::Raised | ExceptionKind::Retried | ExceptionKind::Unknown => "It is done.",
    }
}

/// Why something was not decided, for a person.
pub fn refusal(error: &DecideError) -> Problem {
    let text = error.to_string();
    let problem = match error {
        DecideError::Unknown(_) => Problem::said(StatusCode::NOT_FOUND, "No such exception", &text),
        DecideError::Refused(_) => Problem::said(StatusCode::CONFLICT, "Not a decision for this exception", &text),
        DecideError::Cause(_) => Problem::said(StatusCode::CONFLICT, "Not a decision for this cause", &text),
        DecideError::View(_) | DecideError::Records(_) | DecideError::Publish(_) => Problem::unavailable(&text),
    };
    match error.on_page() {
        Some(next) => problem.next(next),
        None => problem,
    }
}

/// The id of the exception that is meant.
pub async fn find(ask: &Ask) -> Result<String, Problem> {
    let (view, start) = (ask.console.exceptions.clone(), ask.part("id").to_owned());
    match ask.console.desk.reads.memory(move || view.find(&start)).await? {
        Found::One(id) => Ok(id),
        Found::Several => Err(Problem::not_found("several exceptions have an id that starts so")),
        Found::None if !ask.console.exceptions.caught_up() => check_ready(&ask.console).map(|()| String::new()),
        Found::None => Err(Problem::not_found("there is no such exception")),
    }
}

async fn read(ask: &Ask, id: &str) -> Result<Whole, Problem> {
    let (console, reads) = (&ask.console, &ask.console.desk.reads);
    let (view, part) = (&console.exceptions, console.config.part_timeout());
    let row = view.row(id).ok_or_else(|| Problem::not_found("there is no such exception"))?;
    // What is in memory is shown also when Kafka does not answer, and soon.
    let reading = whole(view.clone(), console.desk.codec()?, id.to_owned(), console.config.bounds.original_bytes_max);
    let soon = if ask.is_api { part } else { part.min(HISTORY_SOON) };
    let history = tokio::time::timeout(soon, console.desk.history(view, id, row.at));
    let (read, history) = tokio::join!(reads.within(part, reading), history);
    let mut not_read = Vec::new();
    let read = read.and_then(|read| read.map_err(|error| Problem::unavailable(&error.to_string())));
    let (exception, source) = read
        .unwrap_or_else(|problem| {
            not_read.push(format!("its source: {}", problem.detail));
            None
        })
        .unzip();
    let is_late = history.is_err();
    let history = history.unwrap_or_else(|_| Err(Problem::unavailable("it takes longer; it is being read")));
    let history = history.unwrap_or_else(|problem| {
        not_read.push(format!("its history: {}", problem.detail));
        Arc::default()
    });
    let exception = exception.as_deref();
    let waiting = waiting(ask, &row, exception, &mut not_read).await;
    let event = source.as_ref().and_then(Source::event);
    let masters = masters(event, row.subject.as_deref(), &row.code);
    let source_message = match MessageId::behind(row.origin_topic.as_deref(), event) {
        Some(id) => Some(Behind::read(ask, &id, soon).await),
        None => None,
    };
    let is_pending = is_late || source_message.as_ref().is_some_and(|behind| behind.is_pending);
    let text = |get: fn(&Exception) -> &str| exception.map(|one| get(one).to_owned()).unwrap_or_default();
    Ok(Whole {
        row: Row { correction_mark: mark_of(&waiting), ..row },
        stage: text(|one| &one.stage),
        version: text(|one| &one.version),
        origin_event_id: exception.and_then(|one| one.origin_event_id.clone()),
        field_paths: exception.map(|one| one.field_paths.clone()).unwrap_or_default(),
        last_comment: exception.and_then(|one| one.comment.clone()),
        history: history.as_ref().clone(),
        not_read,
        source,
        masters,
        source_message,
        waiting,
        replay: exception.and_then(reconciliation::proposed),
        standing: view.standing(),
        is_shown_once: false,
        is_pending,
    })
}

/// The mark of the correction that is shown: none without what it covers.
fn mark_of(waiting: &Waiting) -> Option<String> {
    waiting.correction.as_ref().and_then(|correction| correction.mark.clone())
}

/// What waits for a second person; that is soon, or told as not read.
async fn waiting(ask: &Ask, row: &Row, exception: Option<&Exception>, not_read: &mut Vec<String>) -> Waiting {
    let Some(exception) = exception.filter(|_| row.is_open()) else { return Waiting::default() };
    let part = ask.console.config.part_timeout();
    let mapping = tokio::time::timeout(part, proposals::mapping(ask, exception)).await;
    let mapping = mapping.unwrap_or_else(|_| Err(Problem::unavailable("it takes longer; it is being read")));
    let mapping = mapping.unwrap_or_else(|problem| {
        not_read.push(format!("what is proposed for its code: {}", problem.detail));
        None
    });
    Waiting { correction: Proposal::of(exception), is_masked: false, mapping }
}

/// The record of an exception, and its source in a form that people can read; none where it is not there any more.
async fn whole(
    view: ExceptionsView,
    codec: Arc<Codec>,
    id: String,
    bound: usize,
) -> Result<Option<(Arc<Exception>, Source)>, ViewError> {
    let Some(exception) = view.exception(&id).await? else { return Ok(None) };
    let bytes = exception.raw_value.as_ref().map(AsRef::as_ref);
    let source = Source::read(&codec, bytes, exception.content_type.as_deref(), bound).await;
    Ok(Some((exception, source)))
}

fn page(data: &Whole, frame: &Frame<'_>) -> Page {
    let row = &data.row;
    let body = html! {
        p { a href="/exceptions" { "Exceptions" } }
        h1 { (row.message) }
        (standing_note(&data.standing))
        p {
            (state_chip(row)) " " a href={ "/trace?id=" (row.exception_id) "&as=exception" } { "The way of its event" }
            @if data.source_message.is_some() { " " a href="#message" { "The message that it was made of" } }
        }
        @for missing in &data.not_read { p.error role="alert" { "Not read: " (missing) "." } }
        div.columns {
            section {
                h2 #verdict { "Verdict" }
                (verdict(data))
                (masters_used(&data.masters))
                h2 { "About it" }
                (about(data, frame))
                @if row.is_open() && frame.may(Right::Act) { (acts(data, frame)) }
                h2 #source { "Source" }
                @match &data.source {
                    None => p { "The source could not be read." },
                    Some(source) => {
                        (source_part(source, &data.field_paths))
                        @if source.is_masked && frame.may(Right::SeeOriginals) { (show_form(row, frame)) }
                    },
                }
                @if let Some(behind) = &data.source_message { (behind::part(behind)) }
            }
            section {
                h2 { "History" }
                (history(&data.row.exception_id, &data.history))
                @if let Some(advice) = errors::advice(&row.code) {
                    h2 { "What the code says to do" }
                    (advice)
                }
            }
        }
    };
    // What is shown once is not asked for again; everything else follows what the room and other people do.
    let title = row.message.clone();
    match (data.is_shown_once, data.is_pending) {
        (true, _) => Page::still(title, body),
        (false, true) => Page::live(title, body).soon(),
        (false, false) => Page::live(title, body),
    }
}

/// What was refused, by whom, for what, and what would make it go away.
fn verdict(data: &Whole) -> Markup {
    let row = &data.row;
    let value = |path: &str| data.source.as_ref().and_then(|source| source.value_at(path));
    html! {
        (facts(&[
            ("Code", html! { (code_link(&row.code)) " " (errors::title_of(&row.code).unwrap_or_default()) }),
            ("Refused by", html! { (row.room) " " span.muted { (data.stage) " " (data.version) } }),
            ("Suggested fix", html! { @if let Some(fix) = &row.suggested_fix { (fix_here(fix)) } }),
        ]))
        @if !data.field_paths.is_empty() {
            div.scroll {
                table.stack {
                    thead { tr { th { "Field" } th { "Value" } } }
                    tbody {
                        @for path in &data.field_paths {
                            tr {
                                td data-name="Field" { span { span.mono { (path) } " " (name_of(path)) } }
                                td data-name="Value" { span.mono { (value(path).as_deref().unwrap_or("not there")) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A suggestion as a page says it: what has a form below is not a command, and a command stands as one.
fn fix_here(fix: &str) -> Markup {
    let here = fix
        .replace(" with `wardline exceptions map`", " with the form \"Map the code\" below")
        .replace(" with `wardline exceptions correct`", " with the form \"Correct\" below");
    html! {
        @for (index, part) in here.split('`').enumerate() {
            @if index % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}

fn masters_used(masters: &[MasterUsed]) -> Markup {
    html! {
        @if !masters.is_empty() {
            h2 #masters { "Master records used" }
            div.scroll {
                table.stack {
                    thead { tr { th { "Record" } th { "Key" } th { "How" } } }
                    tbody {
                        @for one in masters {
                            tr {
                                td data-name="Record" { a href={ "/topics/" (one.topic) } { (one.topic) } }
                                td.breaks data-name="Key" { span.mono { (one.key) } }
                                td data-name="How" { span { (one.told()) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn about(data: &Whole, frame: &Frame<'_>) -> Markup {
    let row = &data.row;
    let origin = match (&row.origin_topic, row.origin_partition, row.origin_offset) {
        (Some(topic), Some(partition), Some(offset)) => format!("{topic}-{partition}@{offset}"),
        _ => String::new(),
    };
    let optional = |text: Option<&str>| html! { @if let Some(text) = text { (text) } };
    facts(&[
        ("Raised", html! { (time(row.raised_at)) ", " (ago(row.raised_at, frame.now)) " ago" }),
        ("Due", html! { (time(row.due_at)) }),
        ("Class", html! { (super::topics::class_name(row.class)) }),
        ("About", html! { @if let Some(subject) = &row.subject { span.mono { (subject) } } }),
        (
            "Events that wait",
            html! { (number(row.events as i128)) @if row.parked_key { span.muted { " (later events of the key wait behind it)" } } },
        ),
        ("Who has it", optional(row.assignee.as_deref())),
        ("Discard asked for by", optional(row.discard_requested_by.as_deref())),
        ("From", html! { @if !origin.is_empty() { span.mono { (origin) } } }),
        ("Event", html! { @if let Some(id) = &data.origin_event_id { span.mono { (id) } } }),
        ("Id", html! { span.mono { (row.exception_id) } }),
    ])
}

fn acts(data: &Whole, frame: &Frame<'_>) -> Markup {
    let row = &data.row;
    let act = |name: &str, label: &'static str, help: &'static str, fields: &'static [Field], is_grave: bool| {
        let action = format!("/exceptions/{}/{name}", row.exception_id);
        form(frame, &Form { action, label, help, fields, hidden: Vec::new(), is_grave })
    };
    let is_other = |who: &String| frame.person.is_some_and(|person| !operations::same_person(&person.name, who));
    let may_agree = frame.may(Right::Approve) && row.discard_requested_by.as_ref().is_some_and(is_other);
    html! {
        h2 { "What to do" }
        div.acts {
            @if let Some(proposal) = &data.replay { (reconciliation::replay_form(proposal, frame)) }
            @if row.parked_key {
                (act("retry", "Retry", "The room processes the event again. Do it when the cause is mended.", COMMENT, false))
            }
            (super::corrections::forms(row, &data.field_paths, &data.waiting, frame))
            (act("assign", "Assign", "Others see that somebody is at it.", ASSIGN, false))
            (act("comment", "Comment", "Goes on record, for whoever comes next.", SAY, false))
            @match &row.discard_requested_by {
                Some(_) if may_agree => {
                    (act("approve-discard", "Agree to discard", "Somebody asked to give the event up. With you it takes effect, and later events of its key go on without it.", COMMENT, true))
                },
                Some(who) => p.act { "Asked by " b { (who) } ": somebody else, who may approve, has to agree that the event is given up or settled." },
                None => (act("discard", "Discard", "Gives the event up for good; later events of its key go on without it. Some flows need a second person.", SAY, true)),
            }
            @if !row.parked_key && (row.discard_requested_by.is_none() || may_agree) {
                (act("resolve", "Mark as settled", "It was settled elsewhere, for example the sender has sent it again. Some flows need a second person.", SAY, false))
            }
        }
    }
}

fn show_form(row: &Row, frame: &Frame<'_>) -> Markup {
    form(
        frame,
        &Form {
            action: format!("/exceptions/{}/original", row.exception_id),
            label: "Show once",
            help: "Shows the whole source, once. It may identify a patient: who asked and why goes on record.",
            fields: REASON,
            hidden: Vec::new(),
            is_grave: false,
        },
    )
}

fn history(id: &str, steps: &[Step]) -> Markup {
    html! {
        p.muted { "Also what was done long ago is " a href={ "/audit?exception=" (id) } { "on the audit page" } "." }
        @if steps.is_empty() { p.muted { "Nothing is told of it." } }
        ol.history {
            @for step in steps.iter().rev() {
                li {
                    b { (step.what.to_lowercase().replace('_', " ")) }
                    " " span.muted { (time(step.at)) }
                    @if let Some(actor) = &step.actor { " by " (actor) }
                    @if let Some(assignee) = &step.assignee { span.muted { ", " (assignee) " has it" } }
                    @if let Some(comment) = &step.comment { br; (comment) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_names_the_form_and_shows_a_command_as_one() {
        for (fix, shown) in [
            (
                "add A, or map A with `wardline exceptions map`",
                "add A, or map A with the form &quot;Map the code&quot; below",
            ),
            ("correct lot with `wardline exceptions correct`", "correct lot with the form &quot;Correct&quot; below"),
            ("run `wardline crosswalk set`, or <b>", "run <code>wardline crosswalk set</code>, or &lt;b&gt;"),
            ("then retry", "then retry"),
        ] {
            assert_eq!(fix_here(fix).into_string(), shown, "{fix}");
        }
    }
}

//! What is done about a whole cause at once: about every open exception that a list shows, on all its pages, and no other.

use super::exception::{ASSIGN as TO, COMMENT, SAY as MUST_SAY, decided};
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::html::{Act as Form, Frame, form, number};
use crate::people::Right;
use crate::problem::Problem;
use crate::state::Console;
use maud::{Markup, html};
use operations::Offsets;
use operations::exceptions::{Act, By, Choice, Discards, Filter, Outcome, Refusal, RequestedDiscard, verb};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// So many of those that were decided, or left out, are told to a program one by one: of a cause with a hundred thousand the answer
/// would be too long to take.
const TOLD_MAX: usize = 1_000;

/// Stands in an address for exceptions that are about nothing, or that nobody has.
pub const NONE: &str = "-";

/// Fields that narrow a list of exceptions to what is decided at once; all of them hold for both.
const NARROWS: [&str; 4] = ["code", "room", "subject", "assignee"];

const CODE: Field = Field::required("code", Kind::Line(16), "Code");
const ROOM: Field = Field::optional("room", Kind::Line(64), "Room");
const SUBJECT: Field = Field::optional("subject", Kind::Line(300), "What it is about, `kind/key`; - for nothing");
const ASSIGNEE: Field = Field::optional("assignee", Kind::Line(80), "Only what this person has; - for nobody");

const SEEN_UNTIL: Field = Field::optional(
    "seen_until",
    Kind::Line(4_000),
    "How far the list had read that was looked at, seenUntil of GET exceptions; what was raised or changed since is left out",
);

/// Which cause, and why.
pub const RETRY: &[Field] = &[CODE, ROOM, SUBJECT, ASSIGNEE, COMMENT[0]];
/// Which cause, to whom and why.
pub const ASSIGN: &[Field] = &[CODE, ROOM, SUBJECT, ASSIGNEE, TO[0], COMMENT[0]];
/// Which cause, and what has to be said about it.
pub const SAY: &[Field] = &[CODE, ROOM, SUBJECT, ASSIGNEE, MUST_SAY[0]];
/// Which cause, what has to be said about it, and of when what was seen of it is.
pub const DISCARD: &[Field] = &[CODE, ROOM, SUBJECT, ASSIGNEE, MUST_SAY[0], SEEN_UNTIL];
/// Which cause, and what was seen of what is agreed to.
pub const APPROVE: &[Field] = &[
    CODE,
    ROOM,
    SUBJECT,
    ASSIGNEE,
    Field::required("seen", Kind::Line(64), "The mark of the discards that you saw; agreeing counts for nothing else"),
    COMMENT[0],
];

/// Has all events of a cause processed again.
pub async fn retry(ask: Ask) -> Result<Answer, Problem> {
    act(ask, Act::Retry).await
}

/// Gives all exceptions of a cause to somebody, or to nobody.
pub async fn assign(ask: Ask) -> Result<Answer, Problem> {
    let to = ask.body.text("to").map(str::to_owned);
    act(ask, Act::Assign { to }).await
}

/// Says something about all exceptions of a cause.
pub async fn comment(ask: Ask) -> Result<Answer, Problem> {
    act(ask, Act::Comment).await
}

/// Gives all events of a cause up, or asks for that.
pub async fn discard(ask: Ask) -> Result<Answer, Problem> {
    // A page says how far it had read. What has come since has not been seen by whoever presses its button.
    if !ask.is_api && ask.body.text("seen_until").is_none() {
        return Err(Problem::not_understood("seen_until is missing: how far the list had read"));
    }
    act(ask, Act::Discard).await
}

/// Agrees that what others asked for of a cause is given up, as it was seen.
pub async fn approve_discard(ask: Ask) -> Result<Answer, Problem> {
    let seen = ask.body.text("seen").map(str::to_owned);
    act(ask, Act::ApproveDiscard { seen }).await
}

async fn act(ask: Ask, act: Act) -> Result<Answer, Problem> {
    let text = |name: &str| ask.body.text(name).map(str::to_owned);
    let list = format!("/exceptions?{}", narrowed(&ask.body));
    let (subject, assignee) = (text("subject").map(none_as_empty), text("assignee").map(none_as_empty));
    let seen_until = text("seen_until").map(|text| text.parse::<Offsets>()).transpose();
    let seen_until = seen_until.map_err(|rule| Problem::not_understood(format!("seen_until {rule}")))?;
    let code = text("code").unwrap_or_default();
    let choice = Choice::Cause { code, room: text("room"), subject, assignee, seen_until };
    let by = By { actor: ask.name().to_owned(), comment: text("comment"), via: crate::ROOM };
    let outcome = decided(&ask.console, choice, act, by).await?;
    Ok(Answer::done(said(&outcome), list, result(&outcome)))
}

/// What came of it, for a program: the first of each one by one, and how many there are of all.
fn result(outcome: &Outcome) -> Value {
    let Outcome { done, left_out } = outcome;
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    for one in done {
        *by_kind.entry(one.kind.as_str()).or_default() += 1;
    }
    let refusal = |one: &Refusal| {
        let Refusal { exception_id, code, why, on_page, .. } = one;
        json!({"exceptionId": exception_id, "code": code, "why": why, "next": on_page})
    };
    let told = &done[..done.len().min(TOLD_MAX)];
    let refusals: Vec<Value> = left_out.iter().take(TOLD_MAX).map(refusal).collect();
    json!({
        "done": told,
        "doneTotal": done.len(),
        "doneByKind": by_kind,
        "leftOut": refusals,
        "leftOutTotal": left_out.len(),
    })
}

/// What came of it, for a person.
fn said(outcome: &Outcome) -> String {
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for done in &outcome.done {
        *sums.entry(verb(done.kind)).or_default() += 1;
    }
    let sums: Vec<String> = sums.into_iter().map(|(verb, count)| format!("{count} {verb}")).collect();
    let left_out = match &outcome.left_out[..] {
        [] => String::new(),
        [first, ..] => format!("; {} left out, for example: {first}", outcome.left_out.len()),
    };
    format!("Of this cause: {}{left_out}.", if sums.is_empty() { "nothing".to_owned() } else { sums.join(", ") })
}

/// The discards of a cause that wait for a second person, or why they are not told. What is in memory is shown also when Kafka
/// does not answer.
pub async fn discards(console: &Console, filter: Filter) -> (Option<Discards>, Option<String>) {
    let view = console.exceptions.clone();
    let reading = async move { view.discards(&filter).await };
    match console.desk.reads.within(console.config.part_timeout(), reading).await {
        Ok(Ok(discards)) => (Some(discards), None),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(problem) => (None, Some(problem.detail)),
    }
}

/// What narrows a list to that which is decided at once, as it stands in an address.
fn narrowed(fields: &Fields) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in NARROWS {
        query.extend_pairs(fields.text(name).map(|value| (name, value)));
    }
    query.finish()
}

/// What is typed for nothing and nobody is an empty text in the library.
pub fn none_as_empty(text: String) -> String {
    if text == NONE { String::new() } else { text }
}

fn hidden(query: &Fields) -> Vec<(&'static str, String)> {
    NARROWS.into_iter().filter_map(|name| Some((name, query.text(name)?.to_owned()))).collect()
}

/// The forms below a list of the open exceptions of a cause: they decide about what the list shows, on all its pages: no more,
/// whatever narrows it.
pub fn forms(query: &Fields, seen_until: &Offsets, frame: &Frame<'_>) -> Markup {
    let is_open = query.text("state").is_none_or(|state| state == "open");
    if query.text("code").is_none() || !is_open || !frame.may(Right::Act) {
        return html! {};
    }
    let act = |name: &str, label: &'static str, help: &'static str, fields: &'static [Field]| {
        let action = format!("/causes/{name}");
        form(frame, &Form { action, label, help, fields, hidden: hidden(query), is_grave: false })
    };
    html! {
        h2 #all { "What to do with all that are listed" }
        p.muted {
            "Each of these is about all open exceptions that this list shows, on all its pages; what cannot be decided so is left out and told. "
            a href={ "/exceptions?" (narrowed(query)) "&state=to-approve" } { "What of it waits for a second person" }
        }
        div.acts {
            (act("retry", "Retry all", "The rooms process the events again. Do it when the cause is mended.", COMMENT))
            (act("assign", "Assign all", "Others see that somebody is at it.", TO))
            (act("comment", "Comment on all", "Goes on record with each, for whoever comes next.", MUST_SAY))
            (form(frame, &Form {
                action: "/causes/discard".to_owned(),
                label: "Discard all",
                help: "Gives the events up for good; later events of their keys go on without them. Some flows need a second person. What is raised or changes after this list was made is left out.",
                fields: MUST_SAY,
                hidden: [hidden(query), vec![("seen_until", seen_until.to_string())]].concat(),
                is_grave: true,
            }))
        }
    }
}

/// The discards of a cause that wait, with what a second person can do about all of them.
pub fn to_approve(discards: &Discards, query: &Fields, frame: &Frame<'_>) -> Markup {
    if discards.exceptions == 0 {
        return html! {};
    }
    let is_other =
        |one: &RequestedDiscard| frame.person.is_some_and(|person| !operations::same_person(&person.name, &one.actor));
    let can_agree = frame.may(Right::Approve) && discards.requests.iter().any(is_other);
    html! {
        h2 #discards { "Discards to be approved" }
        div.scroll {
            table.stack {
                thead { tr { th { "Asked by" } th { "Reason" } th.right { "Exceptions" } th { "One of them" } } }
                tbody {
                    @for one in &discards.requests {
                        tr {
                            td data-name="Asked by" { (one.actor) }
                            td.wide data-name="Reason" { span { (one.reason.as_deref().unwrap_or("not read")) } }
                            td.right data-name="Exceptions" { (number(one.exceptions as i128)) }
                            td data-name="One of them" { a.mono href={ "/exceptions/" (one.exception_id) } { (one.exception_id) } }
                        }
                    }
                }
            }
        }
        @match &discards.mark {
            _ if !can_agree => p.act { "Somebody other than who asked, who may approve, has to agree to it." },
            Some(mark) => {
                (form(frame, &Form {
                    action: "/causes/approve-discard".to_owned(),
                    label: "Agree to discard all",
                    help: "Others asked to give these events up. With you it takes effect for what stands here, and later events of their keys go on without them; what you asked for yourself is left out.",
                    fields: COMMENT,
                    hidden: [hidden(query), vec![("seen", mark.clone())]].concat(),
                    is_grave: true,
                }))
            },
            None => p.act {
                "Not all reasons are told here"
                @if discards.more > 0 { ", because there are " (number(discards.more as i128)) " more" }
                ": nobody agrees to what they do not see. Narrow the list, or agree one by one."
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::pages::exceptions::QUERY;
    use operations::exceptions::Done;
    use schemas::{ExceptionKind, ExceptionState};

    #[test]
    fn of_many_the_first_are_told_and_all_are_counted_by_kind() {
        let one = |number: usize| {
            let (kind, state) = match number < 1_000 {
                true => (ExceptionKind::Discarded, ExceptionState::Discarded),
                false => (ExceptionKind::DiscardRequested, ExceptionState::Open),
            };
            Done { exception_id: format!("e{number}"), kind, state, at: 1 }
        };
        let refusal = Refusal {
            exception_id: "e9".to_owned(),
            code: "WL-7108",
            why: "waits for approval".to_owned(),
            next: "run it".to_owned(),
            on_page: "press Agree to discard".to_owned(),
        };
        let told = result(&Outcome { done: (0..1_200).map(one).collect(), left_out: vec![refusal] });
        assert_eq!((told["done"].as_array().unwrap().len(), &told["doneTotal"]), (1_000, &json!(1_200)));
        assert_eq!(told["doneByKind"], json!({"DISCARDED": 1_000, "DISCARD_REQUESTED": 200}));
        assert_eq!(told["leftOut"][0]["next"], "press Agree to discard", "what is said of a single one, too");
    }

    #[test]
    fn what_narrows_a_list_is_kept_when_it_was_decided() {
        let fields = |query: &str| Fields::of_form(query.as_bytes()).unwrap();
        let all = "code=WL-4010&room=validate&subject=master.item.v1%2F4711&assignee=-";
        assert_eq!(narrowed(&fields(&format!("{all}&comment=so&page=2"))), all);
        assert_eq!(narrowed(&fields("code=WL-4010&state=open")), "code=WL-4010");
        // Whatever the filter of the list holds is what is decided: none of its fields may be lost on the way.
        let rest = ["state", "order", "page"];
        for field in QUERY.iter().filter(|field| !rest.contains(&field.name)) {
            assert!(NARROWS.contains(&field.name), "{}", field.name);
            for taken in [RETRY, ASSIGN, SAY, DISCARD, APPROVE] {
                assert!(taken.iter().any(|one| one.name == field.name), "{}", field.name);
            }
        }
    }
}

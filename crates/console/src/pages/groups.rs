//! Groups: where each room stands, and setting that while it stands still. On the command line: `wardline groups`.

mod show;

use super::replay;
use crate::ask::{Answer, Ask};
use crate::fields::{Field, Fields, Kind};
use crate::groups::RoomGroup;
use crate::problem::Problem;
use crate::reads::TOO_SLOW;
use axum::http::StatusCode;
use operations::replay::Words;
use operations::replay::reset::{Requested, ResetError, ResetOutcome, ResetPlan, ResetRequest};
use serde::Serialize;
use serde_json::json;

/// Where it is to go on.
pub const PREVIEW: &[Field] = RESET.split_at(3).0;
/// Where it is to go on, and why.
pub const RESET: &[Field] = &[
    Field::required(
        "to",
        Kind::Line(40),
        "Where to go on: an offset, a time like 2026-03-01T08:00:00Z, earliest or latest",
    ),
    Field::optional("topic", Kind::Line(100), "Only this topic; needed with an offset"),
    Field::optional("partitions", Kind::Line(400), "Only these partitions, parted by commas; one with an offset"),
    REASON,
    FORCE,
    Field::optional(
        "previewed",
        Kind::Line(40),
        "Id of the preview that was looked at: nothing else than that is done",
    ),
];
const REASON: Field = Field::required("reason", Kind::Text(1_000), "Why, without patient data; it goes on record");
const FORCE: Field = Field::optional(
    "force",
    Kind::Flag,
    "Records may be passed over: they are never processed, and a second person has to agree",
);
/// Which one is agreed to.
pub const APPROVE: &[Field] = &[
    Field::required("id", Kind::Line(40), "Id of the reset"),
    Field::optional("comment", Kind::Text(1_000), "Comment, without patient data"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    /// When it was read, microseconds since 1970.
    at: i64,
    groups: Vec<Row>,
    /// Those that wait for a second person, oldest first.
    resets: Vec<Requested>,
    /// Why they are not known.
    resets_unknown: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    group: RoomGroup,
    /// Where the room itself stands, when it runs in this process.
    state_here: Option<&'static str>,
}

#[derive(Serialize)]
struct One {
    at: i64,
    #[serde(flatten)]
    row: Row,
    resets: Vec<Requested>,
}

/// What a reset would come to.
#[derive(Serialize)]
struct Preview {
    plan: ResetPlan,
    #[serde(skip)]
    asked: Fields,
}

/// All groups, and the resets that wait.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let console = &ask.console;
    let replays = replay::replays(console)?;
    let (seen, resets) = tokio::join!(console.desk.groups(), console.desk.resets(&replays, refusal));
    let seen = seen?;
    let rows = seen.groups.iter().map(|group| row(&ask, group));
    let (resets, resets_unknown) = match resets {
        Ok(resets) => (resets.as_ref().clone(), None),
        Err(problem) => (Vec::new(), Some(problem.detail)),
    };
    Ok(Answer::view(List { at: seen.at, groups: rows.collect(), resets, resets_unknown }, show::list))
}

/// One group by partition.
pub async fn one(ask: Ask) -> Result<Answer, Problem> {
    let (console, room) = (&ask.console, ask.part("room"));
    let seen = console.desk.groups().await?;
    let found = seen.groups.iter().find(|group| group.room == room);
    let found = found.ok_or_else(|| Problem::not_found("no room that reads has this name"))?;
    let resets = console.desk.resets(&replay::replays(console)?, refusal).await?;
    let resets = resets.iter().filter(|reset| reset.room == room).cloned().collect();
    Ok(Answer::view(One { at: seen.at, row: row(&ask, found), resets }, show::one))
}

/// What it would come to; nothing is changed.
pub async fn preview(ask: Ask) -> Result<Answer, Problem> {
    let (replays, request) = (replay::replays(&ask.console)?, request(&ask)?);
    let counting = async move { replays.reset_preview(&request, |_| ()).await };
    let counted = ask.console.searches.topics(counting).await.map_err(|problem| {
        slow(
            problem,
            "name one topic or some partitions, or use `wardline groups reset`, which waits until it is counted",
        )
    })?;
    let plan = counted.map_err(|error| refusal(&error))?;
    Ok(Answer::view(Preview { plan, asked: ask.body }, show::preview))
}

/// Does it, or asks for it where a second person has to agree.
pub async fn reset(ask: Ask) -> Result<Answer, Problem> {
    let (replays, request) = (replay::replays(&ask.console)?, request(&ask)?);
    // It goes on when nobody waits any more: the audit has it, and the list of what waits.
    let doing = async move { replays.reset(&request, |_| ()).await };
    let done = ask.console.searches.topics(doing).await;
    ask.console.desk.groups_changed();
    let done = done.map_err(|problem| {
        slow(
            problem,
            "look at the groups and the resets that wait in a while: it is counted, and then done or asked for",
        )
    })?;
    let (plan, said, is_done) = match done.map_err(|error| refusal(&error))? {
        ResetOutcome::Done(plan) => (plan, "It goes on there: start the room again.", true),
        ResetOutcome::Requested(plan) => (plan, "It is asked for; somebody else has to agree.", false),
    };
    Ok(Answer::done(said, format!("/groups/{}", plan.room), json!({"done": is_done, "plan": plan})))
}

/// Agrees to one as the second person, and carries it out.
pub async fn approve(ask: Ask) -> Result<Answer, Problem> {
    let replays = replay::replays(&ask.console)?;
    let words = Words { actor: ask.name().to_owned(), comment: ask.body.text("comment").map(str::to_owned) };
    let id = ask.body.text("id").unwrap_or_default().to_owned();
    let doing = async move { replays.reset_approve(&id, &words).await };
    let done = ask.console.searches.topics(doing).await;
    ask.console.desk.groups_changed();
    let done = done.map_err(|problem| slow(problem, "look at the group and the audit in a while: it goes on"))?;
    let plan = done.map_err(|error| refusal(&error))?;
    let said = "It is done: start the room again.";
    Ok(Answer::done(said, format!("/groups/{}", plan.room), json!({"done": true, "plan": plan})))
}

fn row(ask: &Ask, group: &RoomGroup) -> Row {
    Row { group: group.clone(), state_here: group.state_here(&ask.console.site) }
}

fn request(ask: &Ask) -> Result<ResetRequest, Problem> {
    let text = |name: &str| ask.body.text(name).map(str::to_owned);
    let to = ask.body.text("to").unwrap_or_default();
    let to = to.parse().map_err(|_| {
        Problem::not_understood("to must be an offset, a time like 2026-03-01T08:00:00Z, earliest or latest")
    })?;
    Ok(ResetRequest {
        room: ask.part("room").to_owned(),
        topic: text("topic"),
        partitions: partitions(ask.body.text("partitions").unwrap_or_default())?,
        to,
        reason: text("reason").unwrap_or_default(),
        actor: ask.name().to_owned(),
        force: ask.body.flag("force"),
        previewed: text("previewed"),
    })
}

/// Numbers, parted by commas or blanks.
fn partitions(text: &str) -> Result<Vec<i32>, Problem> {
    let words = text.split(|one: char| one == ',' || one.is_whitespace()).filter(|word| !word.is_empty());
    let number = |word: &str| word.parse::<i32>().ok().filter(|number| *number >= 0);
    words
        .map(|word| number(word).ok_or_else(|| Problem::not_understood("partitions must be numbers, parted by commas")))
        .collect()
}

fn slow(problem: Problem, next: &'static str) -> Problem {
    if problem.code == TOO_SLOW { problem.next(next) } else { problem }
}

/// A refusal as the console says it: what to do next is on its pages.
fn refusal(error: &ResetError) -> Problem {
    let text = error.to_string();
    let problem = match error {
        ResetError::Replay(error) => return replay::refusal(error),
        ResetError::Unknown(_) => Problem::said(StatusCode::NOT_FOUND, "No such reset", &text),
        error if error.blames_request() => Problem::said(StatusCode::CONFLICT, "Not this reset", &text),
        _ => Problem::unavailable(&text),
    };
    problem.next(match error {
        ResetError::Loss { .. } => {
            "choose another place; or tick that records may be passed over: then a second person has to agree"
        }
        ResetError::Target(_) => "choose another place; the page of the group shows where it stands",
        ResetError::Nothing { .. } => "look at the page of the group; perhaps another topic or partition is meant",
        ResetError::Back { .. } => "plan a replay of these records instead, on the page of the replays",
        ResetError::Refused { .. } => {
            "look at the page of the group whether the room was started meanwhile, and ask again"
        }
        ResetError::SamePerson { .. } => {
            "let somebody else, who may approve, sign in and agree on the page of the groups"
        }
        ResetError::Unknown(_) => "ask for it again on the page of the group",
        ResetError::Moved { .. } => "look once more what it comes to, and ask for that",
        ResetError::Members { .. } => "stop all instances of the room, wait until its session has ended, and ask again",
        ResetError::Replay(error) => error.next_on_page(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_taken_as_people_write_them() {
        assert_eq!(partitions(" 0, 2 11,").unwrap(), [0, 2, 11]);
        assert!(partitions("").unwrap().is_empty());
        for wrong in ["a", "-1", "1-3"] {
            assert_eq!(partitions(wrong).unwrap_err().code, "WL-7131", "{wrong}");
        }
    }

    #[test]
    fn what_to_do_next_is_on_a_page_and_no_option_of_a_command() {
        let (room, id) = ("enrich".to_owned(), "3f2a91c07be4".to_owned());
        for error in [
            ResetError::Members { room: room.clone(), members: Vec::new() },
            ResetError::Loss { room: room.clone(), records: 1 },
            ResetError::Target("t".to_owned()),
            ResetError::Nothing { room: room.clone() },
            ResetError::Back { room: room.clone(), topic: "t".to_owned(), partition: 0, from: 5, to: 3 },
            ResetError::SamePerson { id: id.clone(), actor: "olga".to_owned() },
            ResetError::Unknown("u".to_owned()),
            ResetError::Moved { id, room },
        ] {
            let problem = refusal(&error);
            let next = problem.next.unwrap();
            assert!(!next.contains("--") && !next.contains("wardline "), "{next}");
            assert!(problem.code.starts_with("WL-72") && problem.status.is_client_error(), "{}", problem.code);
        }
    }
}

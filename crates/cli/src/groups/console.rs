//! Groups through the API of a console.

use super::{agreed, said, seen};
use crate::Failure;
use crate::args::{GroupsAction, GroupsReset};
use crate::output;
use crate::through::Console;
use operations::replay::reset::{Requested, ResetPlan};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What the console says of all groups.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    groups: Vec<seen::Told>,
    resets: Vec<Requested>,
    /// Why these are not known.
    resets_unknown: Option<String>,
}

/// What it says of one.
#[derive(Deserialize)]
struct One {
    #[serde(flatten)]
    group: seen::Told,
    resets: Vec<Requested>,
}

/// The console that is to be asked; none when none is named.
pub fn of(action: &GroupsAction) -> Result<Option<Console>, Failure> {
    Console::of(match action {
        GroupsAction::Ls(options) => &options.through,
        GroupsAction::Show(options) => &options.through,
        GroupsAction::Reset(options) => &options.through,
        GroupsAction::Approve(options) => &options.through,
    })
}

/// Has it done by the console, or shows what the console says.
pub async fn act(console: &Console, action: &GroupsAction) -> Result<(), Failure> {
    match action {
        GroupsAction::Ls(options) => {
            let List { groups, resets, resets_unknown } = read(console, console.ask(&["groups"]).await?)?;
            let groups: Vec<seen::Group> = groups.into_iter().map(seen::Group::from).collect();
            seen::list(&groups, &resets, seen::THERE, options.json)?;
            match resets_unknown {
                None => Ok(()),
                Some(why) => Err(Failure::new(why, "whether resets wait is not known: ask again when that is mended")),
            }
        }
        GroupsAction::Show(options) => {
            let One { group, resets } = read(console, console.ask(&["groups", &options.room]).await?)?;
            seen::one(&group.into(), &resets, seen::THERE, options.json)
        }
        GroupsAction::Reset(options) => reset(console, options).await,
        GroupsAction::Approve(options) => {
            let body = json!({"id": options.id, "comment": options.comment});
            let plan = plan(console, &console.act(&["groups", "approve"], &body).await?)?;
            agreed(&plan, options.json)
        }
    }
}

async fn reset(console: &Console, options: &GroupsReset) -> Result<(), Failure> {
    let partitions: Vec<String> = options.partition.iter().map(ToString::to_string).collect();
    let mut body = json!({"to": options.to, "topic": options.topic});
    if !partitions.is_empty() {
        body["partitions"] = json!(partitions.join(","));
    }
    if !options.apply {
        let result = console.act(&["groups", &options.room, "preview"], &body).await?;
        said(&plan(console, &result)?, options.json)?;
        output::note("nothing is changed; --apply with --reason does it");
        return Ok(());
    }
    body["reason"] = json!(options.reason);
    body["force"] = json!(options.force);
    let result = console.act(&["groups", &options.room, "reset"], &body).await?;
    let plan = plan(console, &result)?;
    said(&plan, options.json)?;
    if result["done"] == true {
        output::note(&format!("done: start {} again", plan.room));
    } else {
        output::note(&format!(
            "nothing is changed yet: {}; somebody else has to agree with `{}`",
            plan.second_person.as_deref().unwrap_or_default(),
            seen::approve(&plan.id, seen::THERE)
        ));
    }
    Ok(())
}

fn plan(console: &Console, result: &Value) -> Result<ResetPlan, Failure> {
    read(console, result["plan"].clone())
}

fn read<T: DeserializeOwned>(console: &Console, said: Value) -> Result<T, Failure> {
    serde_json::from_value(said).map_err(|error| console.not_understood(&error))
}

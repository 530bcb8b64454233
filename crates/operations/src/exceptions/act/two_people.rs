//! What is decided by two people, and which of them may do what: pure.

use super::{By, Facts, Proposed, Refusal};
use crate::same_person;

/// Stands for an actor that nobody named.
const NOBODY: &str = "unknown";
/// Who can do what this person cannot.
const AGREES: &str = "let somebody else, who may approve, agree to it on this page";

/// Two people can be told apart only by name.
pub(super) fn named(facts: &Facts<'_>, by: &By) -> Result<(), Refusal> {
    let actor = by.actor.trim();
    if actor.is_empty() || actor == NOBODY {
        return Err(facts.refused(
            "WL-7110",
            "is decided by two people, and who this one is was not said",
            "name yourself with --actor NAME",
            "sign in under a name of your own",
        ));
    }
    Ok(())
}

pub(super) fn can_be_asked(facts: &Facts<'_>, by: &By) -> Result<(), Refusal> {
    named(facts, by)?;
    match facts.requested_by {
        None => Ok(()),
        Some(asked) if same_person(asked, &by.actor) => Err(somebody_else(
            facts,
            format!("is discarded when a second person approves it, and {asked} has asked already"),
        )),
        Some(asked) => Err(facts.refused(
            "WL-7108",
            format!("waits for approval: {asked} has asked to discard it"),
            format!("run `wardline exceptions discard {0} --approve` if you agree, or `retry {0}` if not", facts.id),
            "press Agree to discard if you agree, or Retry if not",
        )),
    }
}

/// Settling is giving up, too: nothing of the event takes effect here. Who has asked does not settle it alone.
pub(super) fn can_be_settled(facts: &Facts<'_>, by: &By, may_agree: bool) -> Result<(), Refusal> {
    named(facts, by)?;
    match facts.requested_by {
        Some(asked) if same_person(asked, &by.actor) => Err(somebody_else(
            facts,
            format!("is settled when a second person agrees, and {asked} is the one who asked"),
        )),
        Some(asked) if !may_agree => Err(somebody_else(
            facts,
            format!("is settled when a second person who may approve agrees; {asked} has asked"),
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn can_be_approved(facts: &Facts<'_>, by: &By) -> Result<(), Refusal> {
    named(facts, by)?;
    match facts.requested_by {
        None => Err(facts.refused(
            "WL-7109",
            "has no request to discard it that could be approved",
            format!("ask for it with `wardline exceptions discard {} --comment TEXT`", facts.id),
            "press Discard to ask for it",
        )),
        Some(asked) if same_person(asked, &by.actor) => Err(somebody_else(
            facts,
            format!("is discarded when a second person approves it, and {asked} is the one who asked"),
        )),
        Some(_) => Ok(()),
    }
}

fn somebody_else(facts: &Facts<'_>, why: String) -> Refusal {
    let next = format!("let somebody else run `wardline exceptions discard {} --approve`", facts.id);
    facts.refused("WL-7107", why, next, AGREES)
}

pub(super) fn correction_can_be_approved(facts: &Facts<'_>, by: &By, seen: Option<&str>) -> Result<(), Refusal> {
    named(facts, by)?;
    let id = facts.id;
    match (&facts.correction, seen) {
        (None, _) => Err(facts.refused(
            "WL-7244",
            "has no correction that waits for an approval",
            format!("correct it with `wardline exceptions correct {id} --set FIELD=VALUE --reason TEXT`"),
            "look at its history: somebody may have agreed to it already; Correct proposes another one",
        )),
        (Some(proposed), _) if same_person(proposed.by, &by.actor) => Err(facts.refused(
            "WL-7107",
            format!("is corrected when a second person approves it, and {} is the one who corrected", proposed.by),
            format!("let somebody else run `wardline exceptions correct {id} --approve`"),
            AGREES,
        )),
        (Some(_), None) => Err(facts.refused(
            "WL-1450",
            "is corrected when a second person approves what they saw, and what this one saw was not said",
            format!("look at it with `wardline exceptions show {id}`, and give the mark that stands there"),
            "look at the correction that is proposed, and agree to it there",
        )),
        // A list is asked first, and the whole record says more.
        (Some(Proposed { mark, sets: Some(_), .. }), Some(seen)) if mark != seen => Err(facts.changed()),
        (Some(_), Some(_)) => Ok(()),
    }
}

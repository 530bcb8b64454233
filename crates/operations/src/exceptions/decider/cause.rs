//! What is meant by a whole cause: parted into what can be decided and what cannot, and bound to what was seen of it.

use super::super::act::{Act, By, CHANGED, Facts, Refusal};
use super::super::discards::{Discards, Requested, mark_of};
use super::super::types::{Filter, Row};
use super::{Chosen, DecideError, Decider};
use crate::offsets::Offsets;
use schemas::Criticality;
use std::collections::HashMap;

/// Why nothing of a whole cause is decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {why}")]
pub struct CauseRefusal {
    /// Stable code.
    pub code: &'static str,
    /// Why.
    pub why: String,
    /// What to do instead, at a terminal.
    pub next: &'static str,
    /// What to do instead, on a page.
    pub on_page: &'static str,
}

impl Decider {
    /// What is asked to be given up and matches, when that is what was seen; each with the mark of its request.
    pub(super) fn asked_for(
        &self,
        filter: &Filter,
        act: &Act,
        seen: Option<&str>,
        by: &By,
    ) -> Result<(Chosen, Vec<Refusal>), DecideError> {
        let requested = self.view.requested(filter);
        check_seen(&requested, seen)?;
        let rows = requested.iter().filter_map(|one| self.view.row(&one.exception_id)).collect();
        let (ids, left_out) = sifted(rows, act, by, self.two_people())?;
        let mut marks: HashMap<String, String> =
            requested.into_iter().map(|one| (one.exception_id, one.mark)).collect();
        let chosen = ids.into_iter().map(|id| {
            let mark = marks.remove(&id);
            (id, mark)
        });
        Ok((chosen.collect(), left_out))
    }
}

/// Whether what waits is what was seen.
fn check_seen(requested: &[Requested], seen: Option<&str>) -> Result<(), CauseRefusal> {
    let refused = |code, why: String, next, on_page| Err(CauseRefusal { code, why, next, on_page });
    let mark = mark_of(requested);
    match seen {
        _ if requested.is_empty() => refused(
            "WL-7109",
            "nothing of this cause waits for somebody to agree that it is discarded".to_owned(),
            "list what waits with `wardline exceptions ls --to-approve`",
            "look at what is to be approved on the page Exceptions",
        ),
        None => refused(
            "WL-1450",
            "what is agreed to of a whole cause is what was seen of it, and that was not said".to_owned(),
            "leave --seen out at a terminal, or give the mark that `wardline exceptions ls --to-approve --code CODE --json` tells",
            "look at what is to be approved of this cause, and agree to it there",
        ),
        Some(seen) if seen != mark => {
            let now = Discards::of(requested).requests;
            let who: Vec<String> = now.iter().map(|one| format!("{} for {}", one.actor, one.exceptions)).collect();
            refused(
                CHANGED,
                format!("nothing is discarded: what was seen is not what waits; asked now by {}", who.join(", ")),
                "look at it with `wardline exceptions ls --to-approve`, then agree to what you see",
                "look at what is to be approved of this cause now, then agree to what you see",
            )
        }
        Some(_) => Ok(()),
    }
}

/// That nothing is open which a choice of a cause means, in its words.
pub(super) fn none_of(code: &str, filter: &Filter) -> String {
    let said = |text: &Option<String>, none: &str, some: &dyn Fn(&str) -> String| match text.as_deref() {
        None => String::new(),
        Some("") => none.to_owned(),
        Some(text) => some(text),
    };
    let room = said(&filter.room, "", &|room| format!(" of room {room}"));
    let who = said(&filter.assignee, " that nobody has", &|who| format!(" that {who} has"));
    let about = said(&filter.subject, " and is about nothing", &|about| format!(" and is about {about}"));
    format!("no open exception{room}{who} has the code {code}{about}")
}

/// Parts what a list could show from that of which something was said since, which nobody has seen who looked at it.
pub(super) fn parted(rows: Vec<Row>, seen_until: Option<&Offsets>) -> (Vec<Row>, Vec<Refusal>) {
    let is_seen = |row: &Row| seen_until.is_none_or(|until| until.covers(row.place));
    let (seen, unseen): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_seen);
    (seen, unseen.into_iter().map(|row| later(row.exception_id)).collect())
}

/// Why something is left out of which more was said since.
pub(super) fn later(exception_id: String) -> Refusal {
    Refusal {
        exception_id,
        code: "WL-7113",
        why: "was raised, or changed, after the list that was looked at".to_owned(),
        next: "look at it, and decide then".to_owned(),
        on_page: "look at the list as it is now, and decide then".to_owned(),
    }
}

/// Parts what can be decided from what cannot. When nothing can, that is an error.
pub(super) fn sifted(
    rows: Vec<Row>,
    act: &Act,
    by: &By,
    two_people: &[Criticality],
) -> Result<(Vec<String>, Vec<Refusal>), DecideError> {
    let mut refusals = Vec::new();
    let mut chosen = Vec::with_capacity(rows.len());
    for row in rows {
        match act.check(&Facts::of_row(&row), by, two_people) {
            Ok(()) => chosen.push(row.exception_id),
            Err(refusal) => refusals.push(refusal),
        }
    }
    match refusals.pop() {
        Some(last) if chosen.is_empty() => Err(last.into()),
        last => {
            refusals.extend(last);
            Ok((chosen, refusals))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_cause_only_what_was_seen_is_agreed_to() {
        let one = |id: &str, mark: &str| Requested {
            exception_id: id.to_owned(),
            actor: "ada".to_owned(),
            mark: mark.to_owned(),
        };
        let (two, three) = ([one("e1", "m"), one("e2", "m")], [one("e1", "m"), one("e2", "m"), one("e3", "m")]);
        let mark = mark_of(&two);
        let code = |requested: &[Requested], seen| check_seen(requested, seen).map_err(|refusal| refusal.code);
        assert_eq!(code(&two, Some(&mark)), Ok(()));
        assert_eq!(code(&two, None), Err("WL-1450"));
        assert_eq!(code(&three, Some(&mark)), Err("WL-1451"), "one more waits");
        assert_eq!(code(&two[..1], Some(&mark)), Err("WL-1451"), "one was taken back");
        assert_eq!(code(&[one("e1", "m"), one("e2", "n")], Some(&mark)), Err("WL-1451"), "asked for otherwise");
        assert_eq!(code(&[], Some(&mark)), Err("WL-7109"));
    }
}

//! Requests to give events up, many at once: what waits of a cause, and its mark. Who agrees to all of it agrees to what this says.

use super::index::Index;
use super::list::is;
use super::pool::NONE;
use super::types::Filter;
use schemas::approval::discards_mark;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most requests, each of one person for one reason, that are told; who has more before them narrows what they look at.
const TOLD_MAX: usize = 10;

/// An exception that somebody asked to give up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Its id.
    pub exception_id: String,
    /// Who asked.
    pub actor: String,
    /// The mark of the request.
    pub mark: String,
}

/// The requests to give events up that wait for a second person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discards {
    /// The mark of all of them; an approval says it. None where not all reasons are told.
    pub mark: Option<String>,
    /// Exceptions that wait.
    pub exceptions: usize,
    /// By person and reason, the one about most exceptions first; the first few where there are many.
    pub requests: Vec<RequestedDiscard>,
    /// Requests that are not told, because there are too many.
    pub more: usize,
}

/// What one person asked for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestedDiscard {
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Exceptions that it is about.
    pub exceptions: usize,
    /// One of them.
    pub exception_id: String,
    /// The mark of the request.
    #[serde(skip)]
    pub(super) mark: String,
    /// Whether the reason was read.
    #[serde(skip)]
    pub(super) is_read: bool,
}

impl Discards {
    /// What is asked for, without the reasons.
    pub(super) fn of(requested: &[Requested]) -> Self {
        let mut by_mark: BTreeMap<&str, RequestedDiscard> = BTreeMap::new();
        for one in requested {
            let request = by_mark.entry(&one.mark).or_insert_with(|| RequestedDiscard {
                actor: one.actor.clone(),
                reason: None,
                exceptions: 0,
                exception_id: one.exception_id.clone(),
                mark: one.mark.clone(),
                is_read: false,
            });
            request.exceptions += 1;
        }
        let mut requests: Vec<RequestedDiscard> = by_mark.into_values().collect();
        requests.sort_by(|one, other| (other.exceptions, &one.mark).cmp(&(one.exceptions, &other.mark)));
        let more = requests.len().saturating_sub(TOLD_MAX);
        requests.truncate(TOLD_MAX);
        let mark = (!requested.is_empty()).then(|| mark_of(requested));
        Self { mark, exceptions: requested.len(), requests, more }
    }

    /// Nobody agrees to what is not told: the mark is there where everything is.
    pub(super) fn only_seen(mut self) -> Self {
        if self.more > 0 || self.requests.iter().any(|request| !request.is_read) {
            self.mark = None;
        }
        self
    }

    /// Each request in a sentence, with what is not told.
    pub fn told(&self) -> Vec<String> {
        let request = |one: &RequestedDiscard| {
            let reason = one.reason.as_deref().unwrap_or("no reason is told");
            format!("{} asks to discard {}, for example {}: {reason}", one.actor, one.exceptions, one.exception_id)
        };
        let more = (self.more > 0).then(|| format!("{} more requests are not told: narrow what is meant", self.more));
        self.requests.iter().map(request).chain(more).collect()
    }
}

/// The mark of all that is asked for.
pub fn mark_of(requested: &[Requested]) -> String {
    let pairs: Vec<_> = requested.iter().map(|one| (one.exception_id.as_str(), one.mark.as_str())).collect();
    discards_mark(&pairs)
}

impl Index {
    /// The open exceptions that match and that somebody asked to give up, by id.
    pub fn requested(&self, filter: &Filter) -> Vec<Requested> {
        let groups = self.groups.iter().filter(|(cause, _)| self.is_of(**cause, filter));
        let open = groups.flat_map(|(_, group)| group.open.iter().flatten());
        let held = open.filter_map(|(_, slot)| self.get(*slot));
        let asked = held.filter(|held| held.requested_by != NONE);
        let wanted = asked.filter(|held| is(filter.assignee.as_deref(), self.name(held.assignee)));
        let mut requested: Vec<Requested> = wanted
            .map(|held| Requested {
                exception_id: held.id.to_string(),
                actor: self.name(held.requested_by).unwrap_or_default().to_owned(),
                mark: self.name(held.requested).unwrap_or_default().to_owned(),
            })
            .collect();
        requested.sort_unstable_by(|one, other| one.exception_id.cmp(&other.exception_id));
        requested
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(number: usize, mark: &str) -> Requested {
        let actor = if mark == "m1" { "ada" } else { "eve" };
        Requested { exception_id: format!("e{number}"), actor: actor.to_owned(), mark: mark.to_owned() }
    }

    #[test]
    fn what_many_asked_for_is_told_by_person_and_reason() {
        let all = [requested(1, "m1"), requested(2, "m2"), requested(3, "m2")];
        let mut discards = Discards::of(&all);
        let told: Vec<_> = discards.requests.iter().map(|one| (one.actor.as_str(), one.exceptions)).collect();
        assert_eq!((discards.exceptions, told), (3, vec![("eve", 2), ("ada", 1)]));
        assert_eq!(discards.mark, Some(mark_of(&all)));
        assert_eq!(discards.clone().only_seen().mark, None, "nobody agrees to a reason that is not told");
        for request in &mut discards.requests {
            (request.is_read, request.reason) = (true, Some("sent twice".to_owned()));
        }
        assert_eq!(discards.told()[0], "eve asks to discard 2, for example e2: sent twice");
        assert!(discards.only_seen().mark.is_some());
        assert_eq!(Discards::of(&[]).only_seen(), Discards::default());
    }

    #[test]
    fn bnd_1_of_many_reasons_the_first_are_told_and_nobody_agrees_to_the_rest() {
        let all: Vec<_> = (0..30).map(|number| requested(number, &format!("m{number:02}"))).collect();
        let mut discards = Discards::of(&all);
        assert_eq!((discards.requests.len(), discards.more, discards.exceptions), (TOLD_MAX, 20, 30));
        discards.requests.iter_mut().for_each(|request| request.is_read = true);
        assert!(discards.told().last().is_some_and(|last| last.starts_with("20 more requests")));
        assert_eq!(discards.only_seen().mark, None);
    }
}

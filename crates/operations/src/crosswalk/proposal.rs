//! What is proposed for a mapping, as it is shown before anybody agrees to it.

use super::CrosswalkError;
use schemas::approval::proposal_mark;
use schemas::{CrosswalkProposal, Event, MasterCrosswalk};
use serde::Serialize;

/// A change of a mapping that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingProposal {
    /// What the code names: `item` or `location`.
    pub kind: String,
    /// Source system whose code it is.
    pub source_system: String,
    /// The code as sent.
    pub code: String,
    /// What it means now; none where it is not mapped.
    pub now: Option<String>,
    /// What it is to mean; none to withdraw the mapping.
    pub target: Option<String>,
    /// Who proposed it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, microseconds since 1970.
    pub at: i64,
    /// Exception that it was made for.
    pub exception_id: Option<String>,
    /// The mark of all of this; an approval says it.
    pub mark: String,
}

impl MappingProposal {
    /// What waits for a second person; none when nothing does.
    pub fn of(mapping: &MasterCrosswalk) -> Option<Self> {
        let change = mapping.proposal.as_ref()?;
        Some(Self {
            kind: mapping.kind.clone(),
            source_system: mapping.source_system.clone(),
            code: mapping.code.clone(),
            now: mapping.target.clone(),
            target: change.target.clone(),
            actor: change.actor.clone(),
            reason: change.reason.clone(),
            at: change.at.0,
            exception_id: mapping.exception_id.clone(),
            mark: proposal_mark(&mapping.key(), change),
        })
    }
}

/// The mark of a proposal, if it is what was seen.
pub(super) fn as_seen(key: &str, change: &CrosswalkProposal, seen: Option<&str>) -> Result<String, CrosswalkError> {
    let mark = proposal_mark(key, change);
    match seen {
        None => Err(CrosswalkError::NotSeen),
        Some(seen) if seen == mark => Ok(mark),
        Some(_) => {
            let target = change.target.as_deref().unwrap_or("nothing");
            let now = format!("{} proposes {target} ({}), {mark}", change.actor, change.reason);
            Err(CrosswalkError::Changed { now })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_not_agreed_to() {
        let change = |target: Option<&str>| CrosswalkProposal {
            target: target.map(str::to_owned),
            actor: "ada".to_owned(),
            reason: "so".to_owned(),
            ..CrosswalkProposal::default()
        };
        let (seen, now) = (proposal_mark("item/S/X", &change(Some("A"))), change(None));
        let refused = |seen: Option<&str>| as_seen("item/S/X", &now, seen).unwrap_err().to_string();
        assert!(refused(None).starts_with("WL-1450: "));
        let changed = refused(Some(&seen));
        assert!(changed.starts_with("WL-1451: ") && changed.contains("ada proposes nothing (so)"), "{changed}");
        assert!(refused(Some("")).starts_with("WL-1451: "));
        let mark = proposal_mark("item/S/X", &now);
        assert_eq!(as_seen("item/S/X", &now, Some(&mark)).unwrap(), mark);
        assert!(as_seen("item/S/Y", &now, Some(&mark)).is_err(), "of another code");
    }
}

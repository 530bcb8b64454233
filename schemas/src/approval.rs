//! What a second person agrees to, and whether it is what they saw.
//!
//! ```text
//! proposal            -> its mark: a digest of who proposed what and why
//! approval of a mark  -> approvedBy "Bert (seen MARK)", in the record that has the agreed content as well
//! same mark           -> in force
//! another mark        -> nobody has agreed to this content: it still waits
//! no mark             -> agreed to before there were marks: in force
//! ```
//! Pure, and the same for whoever reads the records: what counts does not depend on who looks first.

use crate::{Correction, CrosswalkProposal, DiscardRequest, Event, MasterCrosswalk};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Stands between the name of who agreed and the mark of what they saw.
const SEEN: &str = " (seen ";
/// Bytes of the digest that a mark keeps. Who proposes chooses the text, so two texts with one mark must be out of reach.
const MARK_BYTES: usize = 16;

/// Where a correction stands, as far as its own record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// A second person has to agree to what has this mark.
    Waits {
        /// The mark of what is proposed.
        mark: String,
    },
    /// A second person agreed to what has this mark, and it is what the record holds.
    Agreed {
        /// The mark that was seen.
        mark: String,
    },
    /// It is in force without a mark: one person was enough, or it was agreed to before there were marks.
    InForce,
}

impl Stands {
    /// Whether it is used.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        !matches!(self, Self::Waits { .. })
    }

    /// Whether this, told by an approval, does not count after what was known before: somebody has proposed anew since the
    /// second person looked, or the record does not hold what they saw.
    #[must_use]
    pub fn is_void_after(&self, before: Option<&Self>) -> bool {
        match (self, before) {
            (Self::Waits { .. }, _) => true,
            (Self::Agreed { mark }, Some(Self::Waits { mark: proposed })) => mark != proposed,
            (Self::Agreed { .. } | Self::InForce, _) => false,
        }
    }
}

/// The mark of a correction: another one for each other exception, field, value, person or reason.
#[must_use]
pub fn correction_mark(exception_id: &str, correction: &Correction) -> String {
    let mut parts = vec!["correction", exception_id, &correction.actor, &correction.reason];
    for field in &correction.fields {
        // What was not there is another thing than what was null.
        let before = field.before.as_deref();
        parts.extend([field.path.as_str(), if before.is_some() { "+" } else { "-" }, before.unwrap_or_default()]);
        parts.push(&field.after);
    }
    mark(&parts)
}

/// The mark of what is proposed for a mapping.
#[must_use]
pub fn proposal_mark(mapping_key: &str, proposal: &CrosswalkProposal) -> String {
    mapping_mark(mapping_key, proposal.target.as_deref(), &proposal.actor, &proposal.reason)
}

/// The mark of a request to give an event up: another one for each other person or reason.
#[must_use]
pub fn discard_mark(request: &DiscardRequest) -> String {
    let reason = request.comment.as_deref();
    mark(&["discard", &request.actor, if reason.is_some() { "+" } else { "-" }, reason.unwrap_or_default()])
}

/// The mark of requests to give events up, each an exception with the mark of its request: another one when one more waits, one
/// less, or one is asked for otherwise. The order does not count.
#[must_use]
pub fn discards_mark(requests: &[(&str, &str)]) -> String {
    let mut sorted = requests.to_vec();
    sorted.sort_unstable();
    let parts = sorted.into_iter().flat_map(|(exception_id, mark)| [exception_id, mark]);
    mark(&std::iter::once("discards").chain(parts).collect::<Vec<_>>())
}

/// Where the correction of an exception stands.
#[must_use]
pub fn stands(exception_id: &str, correction: &Correction) -> Stands {
    if !correction.needs_approval {
        return Stands::InForce;
    }
    let mark = || correction_mark(exception_id, correction);
    match correction.approved_by.as_deref().map(agreed) {
        None => Stands::Waits { mark: mark() },
        Some((_, None)) => Stands::InForce,
        Some((_, Some(seen))) => {
            let mark = mark();
            if mark == seen { Stands::Agreed { mark } } else { Stands::Waits { mark } }
        }
    }
}

/// The target of a mapping that is in force; none as well where somebody agreed to something else.
#[must_use]
pub fn target_in_force(mapping: &MasterCrosswalk) -> Option<&str> {
    let seen = mapping.approved_by.as_deref().and_then(|who| agreed(who).1);
    let target = mapping.target.as_deref();
    let of_it = |seen: &str| seen == mapping_mark(&mapping.key(), target, &mapping.actor, &mapping.reason);
    target.filter(|_| seen.is_none_or(of_it))
}

/// Who agreed and what they saw, as it goes on record.
#[must_use]
pub fn agreed_by(name: &str, mark: &str) -> String {
    format!("{name}{SEEN}{mark})")
}

/// Name and mark of who agreed; no mark where it was agreed to before there were marks.
#[must_use]
pub fn agreed(approved_by: &str) -> (&str, Option<&str>) {
    let parts = approved_by.strip_suffix(')').and_then(|text| text.rsplit_once(SEEN));
    match parts {
        Some((name, mark)) if is_mark(mark) => (name, Some(mark)),
        _ => (approved_by, None),
    }
}

fn is_mark(text: &str) -> bool {
    text.len() == 2 * MARK_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn mapping_mark(key: &str, target: Option<&str>, actor: &str, reason: &str) -> String {
    mark(&["mapping", key, if target.is_some() { "+" } else { "-" }, target.unwrap_or_default(), actor, reason])
}

fn mark(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // Lengths keep ("a", "bc") apart from ("ab", "c").
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(MARK_BYTES).fold(String::with_capacity(2 * MARK_BYTES), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::CorrectedField;

    fn correction(fields: &[(&str, Option<&str>, &str)], actor: &str, reason: &str) -> Correction {
        let field = |(path, before, after): &(&str, Option<&str>, &str)| CorrectedField {
            path: (*path).to_owned(),
            before: before.map(str::to_owned),
            after: (*after).to_owned(),
        };
        let (actor, reason) = (actor.to_owned(), reason.to_owned());
        Correction { fields: fields.iter().map(field).collect(), actor, reason, ..Correction::default() }
    }

    #[test]
    fn whatever_is_another_proposal_has_another_mark() {
        let lot = [("lot", Some("null"), "\"17\"")];
        let same = || correction(&lot, "Ada", "label");
        let mark = correction_mark("e1", &same());
        assert!(is_mark(&mark), "{mark}");
        assert_eq!(correction_mark("e1", &Correction { at: crate::Timestamp(7), ..same() }), mark, "said again");
        let others = [
            correction_mark("e2", &same()),
            correction_mark("e1", &correction(&lot, "Eve", "label")),
            correction_mark("e1", &correction(&lot, "Ada", "labels")),
            correction_mark("e1", &correction(&[("lot", Some("null"), "\"18\"")], "Ada", "label")),
            correction_mark("e1", &correction(&[("lot", None, "\"17\"")], "Ada", "label")),
            correction_mark("e1", &correction(&[("lot", Some(""), "\"17\"")], "Ada", "label")),
            correction_mark("e1", &correction(&[("lo", Some("null"), "t\"17\"")], "Ada", "label")),
            correction_mark("e1", &correction(&[lot[0], ("uom", None, "\"BX\"")], "Ada", "label")),
            correction_mark("e1", &correction(&[], "Ada", "label")),
        ];
        let different: std::collections::HashSet<&String> = others.iter().chain([&mark]).collect();
        assert_eq!(different.len(), others.len() + 1);
    }

    #[test]
    fn requests_to_give_up_have_the_mark_of_all_that_was_asked_for() {
        let request = |actor: &str, comment: Option<&str>| {
            discard_mark(&DiscardRequest {
                actor: actor.to_owned(),
                comment: comment.map(str::to_owned),
                ..DiscardRequest::default()
            })
        };
        let (ada, eve) = (request("Ada", Some("sent twice")), request("Eve", Some("sent twice")));
        let (other, silent, empty) = (request("Ada", Some("test")), request("Ada", None), request("Ada", Some("")));
        let both = discards_mark(&[("e1", &ada), ("e2", &eve)]);
        assert_eq!(discards_mark(&[("e2", &eve), ("e1", &ada)]), both, "the order does not count");
        let marks = [
            discards_mark(&[]),
            discards_mark(&[("e1", &ada)]),
            discards_mark(&[("e1", &ada), ("e2", &ada)]),
            discards_mark(&[("e1", &eve), ("e2", &ada)]),
            discards_mark(&[("e1", &ada), ("e2", &eve), ("e3", &ada)]),
            discards_mark(&[("e1", &other), ("e2", &eve)]),
            discards_mark(&[("e1", &silent), ("e2", &eve)]),
            discards_mark(&[("e1", &empty), ("e2", &eve)]),
        ];
        let different: std::collections::HashSet<&String> = marks.iter().chain([&both]).collect();
        assert_eq!(different.len(), marks.len() + 1);
    }

    #[test]
    fn an_approval_counts_for_what_was_seen_and_for_nothing_else() {
        let one = correction(&[("lot", None, "\"17\"")], "Ada", "label");
        let other = correction(&[("lot", None, "\"18\"")], "Ada", "label");
        let (mark, waits) = (correction_mark("e1", &one), stands("e1", &one));
        assert_eq!(waits, Stands::Waits { mark: mark.clone() });
        let by = |who: &str, correction: &Correction| {
            stands("e1", &Correction { approved_by: Some(who.to_owned()), ..correction.clone() })
        };
        let agreed = by(&agreed_by("Bert", &mark), &one);
        assert_eq!(agreed, Stands::Agreed { mark: mark.clone() });
        assert!(!by(&agreed_by("Bert", &mark), &other).is_in_force(), "he saw another one");
        assert!(!by(&agreed_by("Bert", &"0".repeat(32)), &one).is_in_force(), "a mark of nothing");
        assert_eq!(by("Bert", &one), Stands::InForce, "agreed to before there were marks");
        let alone = Correction { needs_approval: false, ..one.clone() };
        assert_eq!(stands("e1", &alone), Stands::InForce);

        let anew = stands("e1", &other);
        assert!(agreed.is_void_after(Some(&anew)), "proposed anew since he looked");
        assert!(waits.is_void_after(None), "an approval of what the record does not hold");
        for before in [None, Some(&waits), Some(&agreed), Some(&Stands::InForce)] {
            assert!(!agreed.is_void_after(before), "{before:?}");
        }
        assert!(!Stands::InForce.is_void_after(Some(&anew)), "it counts as it always has");
    }

    #[test]
    fn a_name_cannot_pass_for_a_mark() {
        let (mark, zero) = ("0123456789abcdef0123456789abcdef", "0".repeat(32));
        assert_eq!(agreed(&agreed_by("Bert (as deploy)", mark)), ("Bert (as deploy)", Some(mark)));
        let sly = agreed_by("Bert", &zero);
        assert_eq!(agreed(&agreed_by(&sly, mark)), (sly.as_str(), Some(mark)));
        for name in ["Bert", "Bert (seen it all)", "Bert (seen 0123)", "", &format!("Bert (seen {zero}")] {
            assert_eq!(agreed(name), (name, None));
        }
    }

    #[test]
    fn a_mapping_means_what_was_agreed_to() {
        let proposal = CrosswalkProposal {
            target: Some("SUTURE".to_owned()),
            actor: "Ada".to_owned(),
            reason: "old number".to_owned(),
            ..CrosswalkProposal::default()
        };
        let mut mapping = MasterCrosswalk {
            kind: "item".to_owned(),
            source_system: "S".to_owned(),
            code: "X".to_owned(),
            target: proposal.target.clone(),
            actor: proposal.actor.clone(),
            reason: proposal.reason.clone(),
            ..MasterCrosswalk::default()
        };
        let mark = proposal_mark(&mapping.key(), &proposal);
        for (who, counts) in [
            (None, true),
            (Some("Bert".to_owned()), true),
            (Some(agreed_by("Bert", &mark)), true),
            (Some(agreed_by("Bert", &proposal_mark("item/S/Y", &proposal))), false),
        ] {
            mapping.approved_by.clone_from(&who);
            assert_eq!(target_in_force(&mapping).is_some(), counts, "{who:?}");
        }
        mapping.approved_by = Some(agreed_by("Bert", &mark));
        mapping.target = Some("STENT".to_owned());
        assert_eq!(target_in_force(&mapping), None, "set otherwise behind his back");
        let withdrawn = CrosswalkProposal { target: None, ..proposal.clone() };
        let empty = CrosswalkProposal { target: Some(String::new()), ..proposal };
        assert_ne!(proposal_mark(&mapping.key(), &withdrawn), proposal_mark(&mapping.key(), &empty));
    }
}

//! To say that a dead letter is settled: nothing of its record takes effect any more, so next to the patient two people say it.

use super::{ASK, ASKED, LetterPlace, LetterStand, SETTLE, SETTLED, Settlement};
use crate::audit::is_reason;
use crate::same_person;
use runtime::clock;
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::outgoing::Lineage;
use runtime::publisher::{PublishError, Publisher};
use schemas::{Audit, AuditKind, Criticality, Timestamp, topics};
use std::sync::Arc;

/// Stands for an actor that nobody named.
const NOBODY: &str = "unknown";

/// Somebody says that a dead letter is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The command or service it is done with.
    pub via: &'static str,
    /// Who.
    pub actor: String,
    /// Why, without patient data.
    pub reason: String,
    /// Which.
    pub place: LetterPlace,
    /// How urgent its flow is.
    pub class: Criticality,
    /// Whether this person may agree to what another one has asked for.
    pub may_agree: bool,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleStep {
    /// It is asked for: another person has to agree.
    Ask,
    /// It is settled.
    Settle,
}

/// Why a dead letter cannot be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The reason says nothing.
    #[error("WL-1470: dead letter {}@{} is to be settled without a reason", .0.0, .0.1)]
    NoReason(LetterPlace),
    /// Somebody has done it before.
    #[error("WL-1471: dead letter {}@{} is settled already, by {by}: {reason}", .place.0, .place.1)]
    Already {
        /// The dead letter.
        place: LetterPlace,
        /// Who has.
        by: String,
        /// Why.
        reason: String,
    },
    /// Another person has to agree, who may.
    #[error("WL-1473: dead letter {}@{} is settled when a second person agrees, and {by} has asked for it", .place.0, .place.1)]
    SecondPerson {
        /// The dead letter.
        place: LetterPlace,
        /// Who has asked.
        by: String,
    },
    /// Two people can be told apart only by name.
    #[error("WL-1473: dead letter {}@{} is settled by two people, and who this one is was not said", .0.0, .0.1)]
    Nobody(LetterPlace),
}

impl SettleError {
    /// What to do about it.
    #[must_use]
    pub fn next(&self) -> &'static str {
        match self {
            Self::NoReason(_) => "say in a few words what was done about it, without patient data",
            Self::Already { .. } => "leave it: nothing is open about it",
            Self::SecondPerson { .. } => "let somebody else, who may approve, look at it and settle it too",
            Self::Nobody(_) => "say who you are",
        }
    }
}

impl Settle {
    /// What comes of it, by what people have said about the dead letter; `two_people` are the classes that demand them.
    ///
    /// # Errors
    /// When the reason says nothing, somebody has settled it before, or this person is not a second one.
    pub fn check(&self, before: &LetterStand, two_people: &[Criticality]) -> Result<SettleStep, SettleError> {
        let (place, actor) = (self.place, self.actor.trim());
        if !is_reason(&self.reason) {
            return Err(SettleError::NoReason(place));
        }
        if let Some(Settlement { by, reason, .. }) = &before.settled {
            return Err(SettleError::Already { place, by: by.clone(), reason: reason.clone() });
        }
        if !two_people.contains(&self.class) {
            return Ok(SettleStep::Settle);
        }
        match &before.asked {
            _ if actor.is_empty() || actor == NOBODY => Err(SettleError::Nobody(place)),
            None => Ok(SettleStep::Ask),
            Some(asked) if same_person(&asked.by, actor) || !self.may_agree => {
                Err(SettleError::SecondPerson { place, by: asked.by.clone() })
            }
            Some(_) => Ok(SettleStep::Settle),
        }
    }

    /// What goes on record about it, beside who, when and which.
    #[must_use]
    pub fn detail(&self, step: SettleStep) -> String {
        let (reason, begin) = (self.reason.trim(), if step == SettleStep::Ask { ASKED } else { SETTLED });
        format!("{begin}{reason}")
    }

    /// Puts it on record, and returns when that is confirmed.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer: then nothing is said about it.
    pub async fn record(&self, config: &Config, step: SettleStep) -> Result<(), PublishError> {
        let codec = Arc::new(Codec::new(&config.registry)?);
        let publisher = Publisher::connect(config, codec, &[topics::OPS_AUDIT_V1.info()]).await?;
        let record = publisher.event(&self.audit(step, clock::now_micros()), &Lineage::default())?;
        publisher.publish(&[record]).await
    }

    pub(super) fn audit(&self, step: SettleStep, now: i64) -> Audit {
        Audit {
            room: self.via.to_owned(),
            kind: AuditKind::Action,
            code: step.code().to_owned(),
            origin_topic: Some(topics::OPS_DEAD_LETTER_V1.name().to_owned()),
            origin_partition: Some(self.place.0),
            origin_offset: Some(self.place.1),
            detail: self.detail(step),
            actor: Some(self.actor.clone()),
            at: Timestamp(now),
            ..Audit::default()
        }
    }
}

impl SettleStep {
    /// Code of the record that says it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ask => ASK,
            Self::Settle => SETTLE,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::super::Settled;
    use super::*;

    const PLACE: LetterPlace = (2, 17);
    const TWO_PEOPLE: [Criticality; 1] = [Criticality::PatientAdjacent];

    fn settle(actor: &str, reason: &str, class: Criticality, may_agree: bool) -> Settle {
        Settle { via: "cli", actor: actor.to_owned(), reason: reason.to_owned(), place: PLACE, class, may_agree }
    }

    fn code(outcome: Result<SettleStep, SettleError>) -> Result<SettleStep, String> {
        outcome.map_err(|error| error.to_string().split(':').next().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_letter_is_settled_once_and_for_a_reason() {
        let one = |reason: &str| settle("bob", reason, Criticality::Operational, false);
        let before = Settlement { by: "ada".to_owned(), reason: "sent again".to_owned(), at: 7 };
        let settled = LetterStand { settled: Some(before), asked: None };
        assert_eq!(one("sent again").check(&LetterStand::default(), &TWO_PEOPLE), Ok(SettleStep::Settle));
        for (reason, before, said) in [
            ("...", LetterStand::default(), "WL-1470: dead letter 2@17 is to be settled without a reason"),
            ("sent again", settled, "WL-1471: dead letter 2@17 is settled already, by ada: sent again"),
        ] {
            assert_eq!(one(reason).check(&before, &TWO_PEOPLE).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn next_to_the_patient_two_people_settle_it() {
        let by = |actor: &str, may_agree| settle(actor, "sent again", Criticality::PatientAdjacent, may_agree);
        let mut known = Settled::default();
        let check = |settle: &Settle, known: &Settled| code(settle.check(&known.stand(PLACE), &TWO_PEOPLE));
        for nobody in ["", " ", "unknown"] {
            assert_eq!(check(&by(nobody, true), &known), Err("WL-1473".to_owned()));
        }
        let ada = by("ada", true);
        assert_eq!(check(&ada, &known), Ok(SettleStep::Ask));
        known.take(ada.audit(SettleStep::Ask, 7));
        assert_eq!(known.of(PLACE), None, "it is open until somebody agrees");
        assert_eq!(known.stand(PLACE).asked.unwrap().by, "ada");
        for (settle, expected) in [
            (by("Ada ", true), Err("WL-1473".to_owned())),
            (by("bob", false), Err("WL-1473".to_owned())),
            (by("bob", true), Ok(SettleStep::Settle)),
        ] {
            assert_eq!(check(&settle, &known), expected, "{settle:?}");
        }
        known.take(by("bob", true).audit(SettleStep::Settle, 9));
        assert_eq!(known.of(PLACE).unwrap().by, "bob");
        assert_eq!(check(&by("eve", true), &known), Err("WL-1471".to_owned()));
    }
}

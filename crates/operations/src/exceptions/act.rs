//! What people may decide about an exception, and the record that says it: pure.

mod two_people;

use self::two_people::{can_be_approved, can_be_asked, can_be_settled, correction_can_be_approved, named};
use super::feed::class_of;
use super::proposal::Proposal;
use super::types::Row;
use schemas::approval::agreed_by;
use schemas::{
    Audit, AuditKind, CorrectedField, Correction, Criticality, DiscardRequest, Exception, ExceptionKind,
    ExceptionState, Timestamp,
};
use std::borrow::Cow;

/// What is proposed is not what the second person saw.
pub(super) const CHANGED: &str = "WL-1451";

/// What a person decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Give it to somebody, or to nobody.
    Assign {
        /// Who has it from now on.
        to: Option<String>,
    },
    /// Say something about it.
    Comment,
    /// Process the event again.
    Retry,
    /// Give the event up. Where the class of its flow demands two people this asks for it, and another one has to approve.
    Discard,
    /// Agree that it is given up, as another person than the one who asked.
    ApproveDiscard {
        /// The mark of what this person saw of a whole cause: of a cause nothing else is agreed to. One that is named needs none.
        seen: Option<String>,
    },
    /// It was settled elsewhere. Where the class of its flow demands two people the first one asks for it.
    Resolve {
        /// Whether this person may agree to what another one has asked for.
        may_agree: bool,
    },
    /// Process the event again with these fields set otherwise. Where the class of its flow demands two people this asks for it.
    Correct(Vec<FieldChange>),
    /// Agree to a correction, as another person than the one who made it.
    ApproveCorrection {
        /// The mark of what this person saw; without one nothing is agreed to.
        seen: Option<String>,
    },
}

/// A field of an event before and after a correction, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Names of fields, parted by dots; a number is a place in a list.
    pub path: String,
    /// As it was.
    pub before: Option<String>,
    /// As it is to be.
    pub after: String,
}

impl FieldChange {
    /// As it goes on record.
    pub(super) fn contract(&self) -> CorrectedField {
        CorrectedField { path: self.path.clone(), before: self.before.clone(), after: self.after.clone() }
    }
}

/// Who decides, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Name of the person; goes on record.
    pub actor: String,
    /// What they say; goes on record.
    pub comment: Option<String>,
    /// Command or service it was done with, for example `cli`.
    pub via: &'static str,
}

/// Why something cannot be decided so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: exception {exception_id} {why}")]
pub struct Refusal {
    /// The exception.
    pub exception_id: String,
    /// Stable code.
    pub code: &'static str,
    /// Why, as the end of a sentence about the exception.
    pub why: String,
    /// What to do instead, at a terminal.
    pub next: String,
    /// What to do instead, on the page of the exception.
    pub on_page: String,
}

/// What a decision depends on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    id: &'a str,
    state: ExceptionState,
    room: &'a str,
    parked_key: bool,
    class: Criticality,
    place: Option<(&'a str, i32, i64)>,
    requested_by: Option<&'a str>,
    /// The correction that waits for a second person.
    correction: Option<Proposed<'a>>,
}

/// Who has proposed a correction, and its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proposed<'a> {
    by: &'a str,
    mark: Cow<'a, str>,
    /// What it sets; only the whole record says it.
    sets: Option<String>,
    /// Whether all of that is shown to whoever looks.
    is_shown: bool,
}

impl Proposed<'_> {
    /// The mark, where what it covers is told too: nobody agrees to what they do not see.
    fn told(&self) -> String {
        if self.is_shown { format!("; its mark is {}", self.mark) } else { String::new() }
    }
}

impl<'a> Facts<'a> {
    /// As a list shows them.
    pub fn of_row(row: &'a Row) -> Self {
        Self {
            id: &row.exception_id,
            state: row.state,
            room: &row.room,
            parked_key: row.parked_key,
            class: row.class,
            place: place(row.origin_topic.as_deref(), row.origin_partition, row.origin_offset),
            requested_by: row.discard_requested_by.as_deref(),
            correction: row.correction_requested_by.as_deref().zip(row.correction_mark.as_deref()).map(of_row),
        }
    }

    /// As the record says them.
    pub fn of(exception: &'a Exception) -> Self {
        Self {
            id: &exception.exception_id,
            state: exception.state,
            room: &exception.room,
            parked_key: exception.parked_key,
            class: class_of(&exception.room, exception.origin_topic.as_deref()),
            place: place(exception.origin_topic.as_deref(), exception.origin_partition, exception.origin_offset),
            requested_by: exception.discard_request.as_ref().map(|request| request.actor.as_str()),
            correction: proposed(exception),
        }
    }

    /// The refusal to agree to something else than what waits now.
    pub(super) fn changed(&self) -> Refusal {
        let (id, proposed) = (self.id, self.correction.as_ref());
        let sets =
            proposed.and_then(|now| now.sets.as_ref()).map(|sets| format!(", it sets {sets}")).unwrap_or_default();
        let now = proposed.map(|now| format!(": {} has proposed what waits now{sets}{}", now.by, now.told()));
        self.refused(
            CHANGED,
            format!("is not corrected: what was seen is not what waits{}", now.unwrap_or_default()),
            format!(
                "look at it with `wardline exceptions show {id}`, then agree to what you see, or propose something else"
            ),
            "look at the correction that is proposed now, then agree to it, or propose another one",
        )
    }

    /// The refusal to agree to a request that was made anew, or taken back, since it was seen among others.
    pub(super) fn asked_anew(&self) -> Refusal {
        let now = self.requested_by.map(|who| format!(": {who} asks for it now")).unwrap_or_default();
        self.refused(
            CHANGED,
            format!("is not discarded: what was seen is not what waits{now}"),
            format!("look at it with `wardline exceptions show {}`, then agree to what you see", self.id),
            "look at it, then agree to what you see",
        )
    }

    /// A refusal, with what to do instead at a terminal and on the page of the exception.
    fn refused(
        &self,
        code: &'static str,
        why: impl Into<String>,
        next: impl Into<String>,
        on_page: impl Into<String>,
    ) -> Refusal {
        let (why, next, on_page) = (why.into(), next.into(), on_page.into());
        Refusal { exception_id: self.id.to_owned(), code, why, next, on_page }
    }
}

impl Act {
    /// Name of the act in the audit.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Assign { .. } => "exception.assign",
            Self::Comment => "exception.comment",
            Self::Retry => "exception.retry",
            Self::Discard => "exception.discard",
            Self::ApproveDiscard { .. } => "exception.approve-discard",
            Self::Resolve { .. } => "exception.resolve",
            Self::Correct(_) => "exception.correct",
            Self::ApproveCorrection { .. } => "exception.approve-correction",
        }
    }

    /// Whether an exception can be decided so by this person: a settled one has its outcome already, only a parked event can
    /// be processed again, and two people are two. `two_people` are the classes that demand them.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, facts: &Facts<'_>, by: &By, two_people: &[Criticality]) -> Result<(), Refusal> {
        match facts.state {
            ExceptionState::Discarded => return Err(discarded(facts)),
            ExceptionState::Resolved => {
                let leave = "leave it: nothing waits for a decision";
                return Err(facts.refused("WL-7071", "is resolved", leave, leave));
            }
            ExceptionState::Open | ExceptionState::Retrying | ExceptionState::Unknown => {}
        }
        if by.comment.as_deref().is_none_or(|comment| comment.trim().is_empty()) {
            self.may_be_silent(facts)?;
        }
        let id = facts.id;
        match (self, facts.parked_key) {
            (Self::Correct(_), true) if two_people.contains(&facts.class) => named(facts, by),
            (Self::ApproveCorrection { seen }, _) => correction_can_be_approved(facts, by, seen.as_deref()),
            (Self::Retry | Self::Correct(_), false) => Err(facts.refused(
                "WL-7071",
                format!("has nothing to retry: {} keeps no event for it", facts.room),
                format!(
                    "let its source send it again, corrected, then `wardline exceptions resolve {id} --comment TEXT`"
                ),
                "let its source send it again, corrected, then press Mark as settled",
            )),
            (Self::Resolve { .. }, true) => Err(facts.refused(
                "WL-7071",
                "has a parked event, which would wait for ever with all later ones of its key",
                format!(
                    "use `wardline exceptions discard {id} --comment TEXT` when the matter was settled by hand, or `retry {id}`"
                ),
                "press Discard when the matter was settled by hand, or Retry",
            )),
            (Self::Resolve { may_agree }, false) if two_people.contains(&facts.class) => {
                can_be_settled(facts, by, *may_agree)
            }
            (Self::Discard, _) if two_people.contains(&facts.class) => can_be_asked(facts, by),
            (Self::ApproveDiscard { .. }, _) => can_be_approved(facts, by),
            _ => Ok(()),
        }
    }

    /// Whether it can be decided without a word: whoever reads the record later must find why something was given up, settled
    /// elsewhere or changed.
    fn may_be_silent(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        let (code, why) = match self {
            Self::Comment => ("WL-7106", "is to be commented without a text"),
            Self::Correct(_) => ("WL-7243", "is to be corrected without a reason"),
            Self::Discard => ("WL-1440", "is to be discarded without a reason"),
            Self::Resolve { .. } => ("WL-1440", "is to be marked as settled without a reason"),
            Self::Assign { .. } | Self::Retry | Self::ApproveDiscard { .. } | Self::ApproveCorrection { .. } => {
                return Ok(());
            }
        };
        let next = match self {
            Self::Correct(_) => "say why with --reason TEXT",
            Self::Comment => "say something with --comment TEXT",
            _ => "say why with --comment TEXT",
        };
        Err(facts.refused(code, why, next, "say it in the field above the button"))
    }

    /// The record that says it. The caller has checked it.
    pub fn record(&self, exception: Exception, by: &By, two_people: &[Criticality], now: i64) -> Exception {
        let asks = self.asks_first(&exception) && two_people.contains(&Facts::of(&exception).class);
        let (kind, state) = match self {
            Self::Assign { .. } => (ExceptionKind::Assigned, exception.state),
            Self::Comment => (ExceptionKind::Commented, exception.state),
            Self::Retry => (ExceptionKind::RetryRequested, ExceptionState::Retrying),
            Self::Discard | Self::Resolve { .. } if asks => (ExceptionKind::DiscardRequested, exception.state),
            Self::Discard | Self::ApproveDiscard { .. } => (ExceptionKind::Discarded, ExceptionState::Discarded),
            Self::Resolve { .. } => (ExceptionKind::Resolved, ExceptionState::Resolved),
            Self::Correct(_) if asks => (ExceptionKind::CorrectionRequested, exception.state),
            Self::Correct(_) | Self::ApproveCorrection { .. } => (ExceptionKind::Corrected, ExceptionState::Retrying),
        };
        let correction = self.correction(&exception, by, asks, now);
        let assignee = match self {
            Self::Assign { to } => to.clone(),
            _ => exception.assignee.clone(),
        };
        let discard_request = match self {
            // Who has it processed again wants it: the wish to give it up is over.
            Self::Retry | Self::Correct(_) => None,
            Self::Discard | Self::Resolve { .. } if asks => {
                Some(DiscardRequest { actor: by.actor.clone(), comment: by.comment.clone(), at: Timestamp(now) })
            }
            _ => exception.discard_request.clone(),
        };
        Exception {
            kind,
            state,
            assignee,
            discard_request,
            correction,
            actor: Some(by.actor.clone()),
            comment: by.comment.clone(),
            at: Timestamp(now),
            ..exception
        }
    }

    /// Whether it only asks where two people decide: what another person has asked for before is settled by this one.
    fn asks_first(&self, exception: &Exception) -> bool {
        match self {
            Self::Discard | Self::Correct(_) => true,
            Self::Resolve { .. } => exception.discard_request.is_none(),
            _ => false,
        }
    }

    /// What is corrected after this act.
    fn correction(&self, exception: &Exception, by: &By, asks: bool, now: i64) -> Option<Correction> {
        match self {
            Self::Correct(changes) => Some(Correction {
                fields: changes.iter().map(FieldChange::contract).collect(),
                actor: by.actor.clone(),
                reason: by.comment.clone().unwrap_or_default(),
                at: Timestamp(now),
                needs_approval: asks,
                approved_by: None,
            }),
            Self::ApproveCorrection { seen } => exception.correction.clone().map(|correction| {
                let agreed = agreed_by(&by.actor, seen.as_deref().unwrap_or_default());
                Correction { approved_by: Some(agreed), ..correction }
            }),
            _ => exception.correction.clone(),
        }
    }

    /// What goes to the audit topic about a record of [`Act::record`].
    pub fn audit(&self, record: &Exception, by: &By) -> Audit {
        let what = match (self, record.kind) {
            (Self::Assign { to: Some(to) }, _) => format!("assigned to {to}"),
            (Self::Assign { to: None }, _) => "assigned to nobody".to_owned(),
            // Fields by name only: what they hold may be about a patient.
            (Self::Correct(changes), kind) => {
                let fields: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
                format!("{}: {}", verb(kind), fields.join(", "))
            }
            (Self::Resolve { .. }, ExceptionKind::DiscardRequested) => "settling requested".to_owned(),
            (Self::ApproveCorrection { seen: Some(seen) } | Self::ApproveDiscard { seen: Some(seen) }, kind) => {
                format!("{} as seen, {seen}", verb(kind))
            }
            (_, kind) => verb(kind).to_owned(),
        };
        let comment = by.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        Audit {
            room: by.via.to_owned(),
            kind: AuditKind::Action,
            code: self.code().to_owned(),
            origin_topic: record.origin_topic.clone(),
            origin_partition: record.origin_partition,
            origin_offset: record.origin_offset,
            event_id: record.origin_event_id.clone(),
            exception_id: Some(record.exception_id.clone()),
            detail: format!("{what}{comment}"),
            actor: Some(by.actor.clone()),
            at: record.at,
        }
    }
}

/// What was done, for people.
pub fn verb(kind: ExceptionKind) -> &'static str {
    match kind {
        ExceptionKind::RetryRequested => "retry requested",
        ExceptionKind::Discarded => "discarded",
        ExceptionKind::DiscardRequested => "discard requested",
        ExceptionKind::Resolved => "resolved",
        ExceptionKind::Assigned => "assigned",
        ExceptionKind::Commented => "commented",
        ExceptionKind::Raised => "raised",
        ExceptionKind::Retried => "retried",
        ExceptionKind::Corrected => "corrected",
        ExceptionKind::CorrectionRequested => "correction requested",
        ExceptionKind::Unknown => "changed",
    }
}

fn place(topic: Option<&str>, partition: Option<i32>, offset: Option<i64>) -> Option<(&str, i32, i64)> {
    Some((topic?, partition?, offset?))
}

fn proposed(exception: &Exception) -> Option<Proposed<'_>> {
    let (by, proposal) = (&exception.correction.as_ref()?.actor, Proposal::of(exception)?);
    let (sets, is_shown) = (Some(proposal.sets()), proposal.is_told_by_sets());
    Some(Proposed { by, mark: Cow::Owned(proposal.mark?), sets, is_shown })
}

fn of_row<'a>((by, mark): (&'a str, &'a str)) -> Proposed<'a> {
    Proposed { by, mark: Cow::Borrowed(mark), sets: None, is_shown: false }
}

/// How a discarded event is processed after all: its record is still on the topic.
fn discarded(facts: &Facts<'_>) -> Refusal {
    let (next, on_page) = match facts.place {
        Some((topic, partition, offset)) if facts.parked_key => (
            format!(
                "leave it; should the event be processed after all: `wardline replay plan {} --topic {topic} --partition \
                 {partition} --from-offset {offset} --to-offset {offset} --reason TEXT`",
                facts.room
            ),
            format!(
                "leave it; should the event be processed after all, plan a replay of {} on the page Replays: {topic}, \
                 partition {partition}, offset {offset}",
                facts.room
            ),
        ),
        _ => {
            let leave = "leave it; should it count after all, let its source send it again, corrected";
            (leave.to_owned(), leave.to_owned())
        }
    };
    facts.refused("WL-7071", "was discarded", next, on_page)
}

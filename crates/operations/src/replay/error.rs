//! Why a step of a replay was not taken, and what to do next.

use super::differences::Difference;
use super::order::Overtaken;
use runtime::codec::WireError;
use runtime::config::ConfigError;
use runtime::kafka::ClientError;
use runtime::publisher::PublishError;
use runtime::reader::ReadError;

/// Why a step of a replay was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The room is not there, takes no replayed records, or does not read the topic.
    #[error("WL-7065: {0}")]
    Room(String),
    /// No plan has this id, or several begin so.
    #[error("WL-7150: {0}")]
    NoPlan(String),
    /// The selection makes no sense.
    #[error("WL-7151: {0}")]
    Selection(String),
    /// A condition on a field that identifies people.
    #[error("WL-7152: {path} of {topic} identifies people directly, and a plan is kept on record")]
    Identifies {
        /// The field.
        path: String,
        /// The topic.
        topic: String,
    },
    /// Nothing was found.
    #[error("WL-7153: {room} has passed no such record of {topic}")]
    Nothing {
        /// The room.
        room: String,
        /// The topic.
        topic: String,
    },
    /// The state does not allow the step.
    #[error("WL-7154: replay {id} is {state}: it cannot be {step}")]
    State {
        /// The plan.
        id: String,
        /// Where it stands.
        state: &'static str,
        /// What was asked for.
        step: &'static str,
    },
    /// Somebody else has to agree first.
    #[error(
        "WL-7155: replay {id} touches {topic}, which is patient-adjacent: somebody other than {planner} has to approve it"
    )]
    NotApproved {
        /// The plan.
        id: String,
        /// The topic.
        topic: String,
        /// Who planned it.
        planner: String,
    },
    /// The planner cannot be the second person.
    #[error("WL-7156: {actor} has planned replay {id} and cannot approve it as well")]
    SamePerson {
        /// The plan.
        id: String,
        /// Who asks.
        actor: String,
    },
    /// What was counted is too long ago.
    #[error("WL-7157: replay {id} was counted or last moved {age_s} s ago, and {max_s} s are allowed")]
    Stale {
        /// The plan.
        id: String,
        /// Its age, seconds.
        age_s: u64,
        /// The most, seconds.
        max_s: u64,
    },
    /// A recount gave something else.
    #[error("WL-7158: the preview of replay {id} does not hold any more: {}", told(.differences))]
    Changed {
        /// The plan.
        id: String,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// What is left of a correcting replay would be corrected otherwise than was agreed to.
    #[error("WL-7158: the preview of what is left of replay {id} does not hold any more: {}", told(.differences))]
    ChangedLeft {
        /// The plan.
        id: String,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// A bound was met.
    #[error("WL-7159: there are more {what} than operations.replay.{key} allows ({most})")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// Key of the configuration.
        key: &'static str,
        /// The bound.
        most: usize,
    },
    /// Another process has taken a step meanwhile.
    #[error("WL-7160: replay {id} was taken over by another process: it is {state} now")]
    TakenOver {
        /// The plan.
        id: String,
        /// Where it stands.
        state: &'static str,
    },
    /// It stopped in the middle.
    #[error("WL-7161: replay {id} was interrupted after {handed} records: {reason}")]
    Interrupted {
        /// The plan.
        id: String,
        /// Records handed over for certain.
        handed: i64,
        /// Why.
        reason: String,
    },
    /// Somebody must stand for it, and say why.
    #[error("WL-7162: {0} is missing")]
    Unsaid(&'static str),
    /// Faster than the installation allows.
    #[error("WL-7163: {rate} records in a second are outside of 1 to {most} (operations.replay.rate_max)")]
    Rate {
        /// What was asked for.
        rate: u32,
        /// The most.
        most: u32,
    },
    /// The planner cannot agree to what changed.
    #[error("WL-7164: {actor} has planned replay {id}: somebody else has to accept what changed since it was approved")]
    ChangesBySamePerson {
        /// The plan.
        id: String,
        /// Who asks.
        actor: String,
    },
    /// Who may not agree to a plan cannot agree to what changed.
    #[error(
        "WL-7164: {actor} may not approve: somebody who may has to accept what changed in replay {id} since it was approved"
    )]
    ChangesWithoutRight {
        /// The plan.
        id: String,
        /// Who asks.
        actor: String,
    },
    /// Another replay hands over the same records.
    #[error("WL-7165: replay {id} is paused: replay {other} is handing over the same records")]
    Overlaps {
        /// The plan.
        id: String,
        /// The other one.
        other: String,
    },
    /// Another correcting replay is not done.
    #[error(
        "WL-7165: replay {id} is paused: what replay {other} corrects is under way, and one of them would undo the other"
    )]
    Corrects {
        /// The plan.
        id: String,
        /// The other one.
        other: String,
    },
    /// A room whose events cannot be made anew.
    #[error("WL-7233: {0} makes no events anew: a correcting replay goes to a processor")]
    NotCorrectable(String),
    /// The room cannot be asked.
    #[error("WL-7235: {room} cannot be asked what it would write now: {reason}")]
    Shadow {
        /// The room.
        room: String,
        /// Why.
        reason: String,
    },
    /// Another version is to be asked than this program is.
    #[error(
        "WL-7262: version {asked} is to be asked, and this program is version {is}: a version is asked by its own program"
    )]
    OtherVersion {
        /// The one that is to be asked.
        asked: String,
        /// The one that this program is.
        is: &'static str,
    },
    /// A newer correcting replay has begun.
    #[error("WL-7234: replay {id} would correct what replay {other} has corrected since it was planned")]
    Superseded {
        /// The plan.
        id: String,
        /// The newer one.
        other: String,
    },
    /// Newer events of the same keys took effect.
    #[error("WL-7261: replay {id} would let events take effect out of order: {overtaken}")]
    Overtaken {
        /// The plan.
        id: String,
        /// By what.
        overtaken: Overtaken,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Decoding, or the registry.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The client.
    #[error(transparent)]
    Kafka(#[from] ClientError),
}

impl ReplayError {
    /// Whether what was asked for is at fault, rather than something that may pass.
    pub fn blames_request(&self) -> bool {
        !matches!(
            self,
            Self::TakenOver { .. }
                | Self::Interrupted { .. }
                | Self::Read(_)
                | Self::Wire(_)
                | Self::Publish(_)
                | Self::Kafka(_)
        )
    }
}

fn told(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

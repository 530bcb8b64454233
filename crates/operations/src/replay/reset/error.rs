//! Why a position was not set, and what to do next.

use super::super::ReplayError;
use runtime::groups::SetError;
use std::borrow::Cow;

/// Why a position was not set.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The room is running.
    #[error("WL-7252: {room} has {} members in its group: {}", .members.len(), .members.join(", "))]
    Members {
        /// The room.
        room: String,
        /// Client ids.
        members: Vec<String>,
    },
    /// Records would never be processed.
    #[error("WL-7253: {room} would pass over {records} records, which nobody would ever process (LOSS-1)")]
    Loss {
        /// The room.
        room: String,
        /// How many.
        records: u64,
    },
    /// The target makes no sense.
    #[error("WL-7254: {0}")]
    Target(String),
    /// It stands there already.
    #[error("WL-7255: {room} stands there already")]
    Nothing {
        /// The room.
        room: String,
    },
    /// It has effects: what it has passed is settled, and would be passed over again.
    #[error(
        "WL-7263: {room} has settled {topic} partition {partition} up to {} and does nothing of that again when it is set back to {to}",
        from - 1
    )]
    Back {
        /// The room.
        room: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Where it stands.
        from: i64,
        /// Where it was to go on.
        to: i64,
    },
    /// Kafka has not set it.
    #[error("WL-7256: the position of {room} was not set: {source}")]
    Refused {
        /// The room.
        room: String,
        /// Why.
        source: SetError,
    },
    /// The same person cannot agree.
    #[error("WL-7257: {actor} has asked for reset {id} and cannot agree to it as well")]
    SamePerson {
        /// The reset.
        id: String,
        /// Who.
        actor: String,
    },
    /// Nobody has asked for it, or too long ago.
    #[error("WL-7258: {0}")]
    Unknown(String),
    /// The room has moved since.
    #[error("WL-7259: reset {id} was asked for or looked at when {room} stood elsewhere")]
    Moved {
        /// The reset.
        id: String,
        /// The room.
        room: String,
    },
    /// What replays meet as well.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl ResetError {
    /// What to do next.
    pub fn next(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Members { .. } => {
                "stop the room (all instances of it), wait until its session has ended, and ask again"
            }
            Self::Loss { .. } => {
                "choose another place; or stand for the loss with --force: then a second person has to agree"
            }
            Self::Target(_) => "choose another --to; `wardline groups ls` shows where the room stands",
            Self::Nothing { .. } => "look at `wardline groups ls`",
            Self::Back { room, topic, partition, from, to } => {
                return format!(
                    "hand the records over again instead: `wardline replay plan {room} --topic {topic} --partition {partition} --from-offset {to} --to-offset {} --reason TEXT`",
                    from - 1
                )
                .into();
            }
            Self::Refused { .. } => {
                "look whether the room was started meanwhile, with `wardline groups ls`, and ask again"
            }
            Self::SamePerson { id, .. } => {
                return format!("let a second person agree: `wardline groups approve {id} --actor NAME`").into();
            }
            Self::Unknown(_) => "ask for it again with `wardline groups reset`; it prints the id",
            Self::Moved { .. } => "ask for it again: what would happen is then counted as it is now",
            Self::Replay(error) => return error.next(),
        })
    }

    /// Whether what was asked for is at fault, rather than something that may pass.
    pub fn blames_request(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Replay(error) => error.blames_request(),
            _ => true,
        }
    }
}

impl From<runtime::reader::ReadError> for ResetError {
    fn from(error: runtime::reader::ReadError) -> Self {
        Self::Replay(error.into())
    }
}

impl From<runtime::publisher::PublishError> for ResetError {
    fn from(error: runtime::publisher::PublishError) -> Self {
        Self::Replay(error.into())
    }
}

impl From<runtime::codec::WireError> for ResetError {
    fn from(error: runtime::codec::WireError) -> Self {
        Self::Replay(error.into())
    }
}

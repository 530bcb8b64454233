//! Why something was not decided.

use super::super::act::Refusal;
use super::super::records::RecordsError;
use super::super::view::ViewError;
use super::CauseRefusal;
use runtime::publisher::PublishError;

/// Why nothing was decided, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// No exception has such an id, or several have.
    #[error("WL-7063: {0}")]
    Unknown(String),
    /// It makes no sense, or is not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Of a whole cause nothing can be decided so.
    #[error(transparent)]
    Cause(#[from] CauseRefusal),
    /// The view is not ready.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Kafka did not confirm. Some of it may be on record: look before it is done again.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl DecideError {
    /// What to do next at a terminal; none where nothing but the usual about Kafka and the registry can be said.
    pub fn next(&self) -> Option<String> {
        match self {
            Self::Unknown(_) => {
                Some("list them with `wardline exceptions ls --all` or `wardline exceptions causes`".to_owned())
            }
            Self::Refused(refusal) => Some(refusal.next.clone()),
            Self::Cause(refusal) => Some(refusal.next.to_owned()),
            Self::View(_) | Self::Records(_) | Self::Publish(_) => None,
        }
    }

    /// What to do next on a page; none where nothing but the usual about Kafka and the registry can be said.
    pub fn on_page(&self) -> Option<String> {
        match self {
            Self::Unknown(_) => {
                Some("look for it on the page Exceptions, where `all` shows the settled ones too".to_owned())
            }
            Self::Refused(refusal) => Some(refusal.on_page.clone()),
            Self::Cause(refusal) => Some(refusal.on_page.to_owned()),
            Self::View(_) | Self::Records(_) | Self::Publish(_) => None,
        }
    }
}

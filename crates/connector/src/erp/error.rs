//! Why an ERP did not do what was asked, split by what the caller does next.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The reaction decides the variant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ErpError {
    /// Nothing has moved; try again later.
    #[error("WL-3001: the ERP cannot answer now: {reason}")]
    Transient {
        /// What went wrong, without data of the posting.
        reason: String,
        /// How long the ERP asked to wait, bounded.
        retry_after: Option<Duration>,
    },
    /// The effect may be there, in whole or in part; resume or look the key up before anything else.
    #[error("WL-3002: the outcome is unknown: {reason}")]
    InDoubt {
        /// What went wrong, without data of the posting.
        reason: String,
    },
    /// The ERP will say no again until somebody changes something.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
}

impl ErpError {
    /// The stable code with a page under `docs/errors`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "WL-3001",
            Self::InDoubt { .. } => "WL-3002",
            Self::Refused(refusal) => refusal.code.as_str(),
        }
    }

    /// The refusal, when it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Transient { .. } | Self::InDoubt { .. } => None,
        }
    }
}

impl From<Refusal> for ErpError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// A no, with what a person needs to turn it into a yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{code}: {reason}")]
pub struct Refusal {
    /// What kind of no it is.
    pub code: RefusalCode,
    /// One sentence, without patient data.
    pub reason: String,
    /// Keys of the lines that caused it; empty when it concerns the whole posting.
    pub lines: Vec<String>,
    /// What to do about it.
    pub suggested_fix: String,
}

impl Refusal {
    /// A refusal with the fix that its code suggests.
    pub fn new(code: RefusalCode, reason: impl Into<String>, lines: impl IntoIterator<Item = String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            lines: lines.into_iter().collect(),
            suggested_fix: code.suggested_fix().to_owned(),
        }
    }
}

/// The kinds of refusal, each with a stable code and a page under `docs/errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalCode {
    /// The stock location holds less than is to move.
    #[serde(rename = "WL-3003")]
    InsufficientStock,
    /// The item is tracked by lot or serial number and the line has neither.
    #[serde(rename = "WL-3004")]
    MissingLot,
    /// The ERP has no such item.
    #[serde(rename = "WL-3005")]
    UnknownItem,
    /// The ERP has no such lot of the item.
    #[serde(rename = "WL-3006")]
    UnknownLot,
    /// The ERP has no such location.
    #[serde(rename = "WL-3007")]
    UnknownLocation,
    /// The ERP has no such cost centre.
    #[serde(rename = "WL-3008")]
    UnknownCostCentre,
    /// The posting itself is wrong: empty, too long, a quantity not above zero, an unusable unit.
    #[serde(rename = "WL-3009")]
    InvalidPosting,
    /// The key already names a document with other lines.
    #[serde(rename = "WL-3010")]
    KeyReused,
    /// The ERP said no in words of its own.
    #[serde(rename = "WL-3011")]
    RefusedByErp,
}

impl RefusalCode {
    /// The stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientStock => "WL-3003",
            Self::MissingLot => "WL-3004",
            Self::UnknownItem => "WL-3005",
            Self::UnknownLot => "WL-3006",
            Self::UnknownLocation => "WL-3007",
            Self::UnknownCostCentre => "WL-3008",
            Self::InvalidPosting => "WL-3009",
            Self::KeyReused => "WL-3010",
            Self::RefusedByErp => "WL-3011",
        }
    }

    /// Short machine-readable name.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::InsufficientStock => "erp.stock.insufficient",
            Self::MissingLot => "erp.lot.missing",
            Self::UnknownItem => "erp.item.unknown",
            Self::UnknownLot => "erp.lot.unknown",
            Self::UnknownLocation => "erp.location.unknown",
            Self::UnknownCostCentre => "erp.cost-centre.unknown",
            Self::InvalidPosting => "erp.posting.invalid",
            Self::KeyReused => "erp.key.reused",
            Self::RefusedByErp => "erp.refused",
        }
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub const fn suggested_fix(self) -> &'static str {
        match self {
            Self::InsufficientStock => {
                "book the missing receipt or transfer into the location, or count its stock; then retry"
            }
            // What the source sends again waits behind this one, and a retry would be refused again. A correction comes last: the rooms
            // beside the one that posts have read the event as it was.
            Self::MissingLot => {
                "send it again at the source, with lot or serial number, and discard this one; if the source cannot, correct lot or serial \
                 with `wardline exceptions correct`, of which only the ERP hears"
            }
            Self::UnknownItem => {
                "create the item in the ERP, then retry; if it is another one, mend its mapping and have validate make it anew, or send it \
                 again at the source, and discard this one; if neither can be, correct itemId, baseQuantity and baseUom \
                 with `wardline exceptions correct`, of which only the ERP hears"
            }
            Self::UnknownLot => {
                "receive the lot in the ERP, then retry; if the lot is wrong, send it again at the source and discard this one; if the \
                 source cannot, correct it with `wardline exceptions correct`, of which only the ERP hears"
            }
            Self::UnknownLocation => "create the location in the ERP or correct the mapping of locations; then retry",
            Self::UnknownCostCentre => {
                "create the cost centre in the ERP or correct the mapping of departments; then retry"
            }
            Self::InvalidPosting => {
                "make the unit known to the ERP, then retry; if the event is wrong, send it again at the source and discard this one; if the \
                 source cannot, correct it with `wardline exceptions correct`, of which only the ERP hears"
            }
            Self::KeyReused => "compare the document in the ERP with the event and settle the difference by hand",
            Self::RefusedByErp => "read the ERP's reason, remove its cause in the ERP, then retry",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::{ErpError, Refusal, RefusalCode};

    #[test]
    fn the_code_is_what_is_written() {
        let error = ErpError::from(Refusal::new(RefusalCode::MissingLot, "no lot", ["l1".to_owned()]));
        assert_eq!(error.code(), "WL-3004");
        assert_eq!(error.to_string(), "WL-3004: no lot");
        assert_eq!(serde_json::to_string(&RefusalCode::MissingLot).unwrap(), "\"WL-3004\"");
    }
}

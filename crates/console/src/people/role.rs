//! What people may do: four roles, each with the rights of the one before it.

use serde::{Deserialize, Serialize};

/// A role. Each has the rights of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks, and sees no patient data.
    Viewer,
    /// Works on exceptions, plans replays, and may see an original with a reason.
    Operator,
    /// Agrees to what needs a second person.
    Approver,
    /// Ends the sessions of other people.
    Administrator,
}

/// Something that somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// No sign-in needed.
    Open,
    /// See pages, without what identifies a patient.
    Look,
    /// Decide about exceptions, plan and run replays, reconcile.
    Act,
    /// See what identifies a patient, with a reason that goes on record.
    SeeOriginals,
    /// Agree to what somebody else proposed.
    Approve,
    /// End the sessions of other people.
    Administer,
}

impl Role {
    /// Whether the role has a right.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        self >= right.least()
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Administrator => "administrator",
        }
    }
}

impl Right {
    /// What it allows, for a person who lacks it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Open => "be here",
            Self::Look => "look at pages",
            Self::Act => "decide about exceptions and replays",
            Self::SeeOriginals => "see patient data",
            Self::Approve => "agree to what somebody else proposed",
            Self::Administer => "end the sessions of other people",
        }
    }

    /// The least role that has it.
    #[must_use]
    pub const fn least(self) -> Role {
        match self {
            Self::Open | Self::Look => Role::Viewer,
            Self::Act | Self::SeeOriginals => Role::Operator,
            Self::Approve => Role::Approver,
            Self::Administer => Role::Administrator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_the_rights_of_those_before_it() {
        use Right::{Act, Administer, Approve, Look, SeeOriginals};
        for (role, rights) in [
            (Role::Viewer, &[Look][..]),
            (Role::Operator, &[Look, Act, SeeOriginals]),
            (Role::Approver, &[Look, Act, SeeOriginals, Approve]),
            (Role::Administrator, &[Look, Act, SeeOriginals, Approve, Administer]),
        ] {
            for right in [Look, Act, SeeOriginals, Approve, Administer] {
                assert_eq!(role.has(right), rights.contains(&right), "{role:?} {right:?}");
            }
        }
    }
}

//! How much a new version of a schema may differ from the versions before it.

use serde::{Deserialize, Serialize};

use super::resolution::mismatches;
use super::schema::Schema;

/// A compatibility level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Level {
    /// Anything goes.
    None,
    /// Readers with the new version read what was written with the latest one.
    #[default]
    Backward,
    /// The same for all versions.
    BackwardTransitive,
    /// Readers with the latest version read what is written with the new one.
    Forward,
    /// The same for all versions.
    ForwardTransitive,
    /// Both ways with the latest version.
    Full,
    /// Both ways with all versions.
    FullTransitive,
}

impl Level {
    /// By its name, in upper or lower case.
    pub(super) fn named(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::from(name.to_ascii_uppercase())).ok()
    }

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether all versions count, or the latest alone.
    pub(super) const fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    const fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    const fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// What keeps a new version from following an old one, one sentence each; nothing when it may.
    pub(super) fn objections(self, new: &Schema, old: &Schema) -> Vec<String> {
        let mut found = Vec::new();
        if self.is_backward() {
            found.extend(mismatches(new, old).iter().map(|mismatch| mismatch.describe("new", "old")));
        }
        if self.is_forward() {
            found.extend(mismatches(old, new).iter().map(|mismatch| mismatch.describe("old", "new")));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_of_confluent() {
        assert_eq!(Level::named("full_transitive"), Some(Level::FullTransitive));
        assert_eq!(Level::named("NONE"), Some(Level::None));
        assert_eq!(Level::named("SIDEWAYS"), None);
        assert_eq!(serde_json::to_string(&Level::BackwardTransitive).unwrap(), "\"BACKWARD_TRANSITIVE\"");
    }

    #[test]
    fn each_level_looks_its_own_way() {
        let old = Schema::read(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#).unwrap();
        let more = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#;
        let new = Schema::read(more).unwrap();
        let fits = |level: Level| level.objections(&new, &old).is_empty();
        assert!(fits(Level::None) && fits(Level::Forward) && fits(Level::ForwardTransitive));
        assert!(!fits(Level::Backward) && !fits(Level::Full) && !fits(Level::FullTransitive));
        let said = Level::Backward.objections(&new, &old);
        assert!(said[0].contains("'b'") && said[0].contains("/fields/1"), "{said:?}");
    }
}

//! The block `rooms.@room@`.

use serde::{Deserialize, Serialize};

/// What an installation may decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct @Type@Config {
@config_fields@
}

impl Default for @Type@Config {
    fn default() -> Self {
        Self { @config_defaults@ }
    }
}

#[cfg(test)]
mod tests {
    use super::@Type@Config;

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<@Type@Config>(r#"{"no_such_key": 1}"#).is_err());
    }
}

//! What an installation says about replays.

use super::ReplayError;
use runtime::Config;
use runtime::config::ConfigError;
use serde::{Deserialize, Serialize};

/// The block `operations.replay` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// A plan that was counted longer ago is not applied, and one whose last step is older is not resumed, seconds.
    pub plan_age_max_s: u64,
    /// Most records in a second that anybody may ask for.
    pub rate_max: u32,
    /// Most keys of one plan; they are held in memory while it is counted.
    pub keys_max: usize,
    /// Most effects of the room that are held in memory while a plan is counted.
    pub effects_max: usize,
    /// Most parked records of the room that are held in memory, and most plans.
    pub parked_max: usize,
    /// Most plans that are read from the topic.
    pub plans_max: usize,
    /// Most records that another version is asked about at once; what became of them is held in memory.
    pub shadow_max: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            plan_age_max_s: 3_600,
            rate_max: 5_000,
            keys_max: 1_000_000,
            effects_max: 2_000_000,
            parked_max: 1_000_000,
            plans_max: 10_000,
            shadow_max: 100_000,
        }
    }
}

impl ReplayConfig {
    /// Reads the block and checks its bounds.
    ///
    /// # Errors
    /// When it has an unknown key, or a value outside its range.
    pub fn of(config: &Config) -> Result<Self, ReplayError> {
        let own: Self = config.operation("replay")?;
        let bounds = [
            ("operations.replay.plan_age_max_s", own.plan_age_max_s),
            ("operations.replay.rate_max", u64::from(own.rate_max)),
            ("operations.replay.keys_max", own.keys_max as u64),
            ("operations.replay.effects_max", own.effects_max as u64),
            ("operations.replay.parked_max", own.parked_max as u64),
            ("operations.replay.plans_max", own.plans_max as u64),
            ("operations.replay.shadow_max", own.shadow_max as u64),
        ];
        for (key, value) in bounds {
            if value == 0 {
                let value = value.to_string();
                return Err(ConfigError::Range { key, value, rule: "must be at least 1" }.into());
            }
        }
        Ok(own)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(block: serde_json::Value) -> Result<ReplayConfig, String> {
        let mut config = Config::default();
        config.operations.insert("replay".to_owned(), block);
        ReplayConfig::of(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_block_is_strict_and_its_bounds_are_checked() {
        assert_eq!(ReplayConfig::of(&Config::default()).unwrap(), ReplayConfig::default());
        assert_eq!(said(json!({"plan_age_max_s": 60})).unwrap().plan_age_max_s, 60);
        let unknown = said(json!({"plan_age": 60})).unwrap_err();
        assert!(unknown.contains("WL-7001") && unknown.contains("plan_age"), "{unknown}");
        let zero = said(json!({"rate_max": 0})).unwrap_err();
        assert!(zero.contains("WL-7002") && zero.contains("operations.replay.rate_max"), "{zero}");
    }
}

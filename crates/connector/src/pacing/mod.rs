//! How fast, and when, one endpoint may be called.
//!
//! - [`Calendar`]: when calls are held back: closing a period, a maintenance window, a weekly backup;
//! - [`Rate`]: a budget of calls that all instances of a room share;
//! - [`BreakerConfig`]: when an endpoint that keeps failing is left alone.
//!
//! All of it is pure: time is passed in.

mod calendar;
mod rate;

pub use crate::http::breaker::BreakerConfig;
pub use calendar::{Calendar, Closed, MonthEnd, Weekly};
pub use rate::Rate;

use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// The pace of one endpoint, as it is configured beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pacing {
    /// Most calls per minute of all instances of the room together. Each has the share of its partitions. Default: no bound.
    pub calls_per_minute: Option<NonZeroU32>,
    /// Most calls at once after a pause, all instances together. Default: what a second allows, and 1 at least.
    pub burst: Option<NonZeroU32>,
    /// Rooms that call the same endpoint and go first: while what waits for one of them is more urgent and late, this room makes
    /// one call in ten. Default: none.
    pub yields_to: Vec<String>,
    /// When nothing is called. Default: never.
    pub calendar: Calendar,
    /// When an endpoint that keeps failing is left alone, and for how long.
    pub breaker: BreakerConfig,
}

impl Pacing {
    /// Checks what a type cannot say.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        if self.burst.is_some() && self.calls_per_minute.is_none() {
            return Err("burst says nothing without calls_per_minute".to_owned());
        }
        let reads =
            |room: &str| schemas::topics::ALL.iter().any(|topic| topic.consumers.iter().any(|(name, _)| *name == room));
        if let Some(room) = self.yields_to.iter().find(|room| !reads(room)) {
            return Err(format!("yields_to names {room}, which reads no topic of topics.yaml"));
        }
        self.calendar.validate().map_err(|reason| format!("calendar.{reason}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_or_says_nothing_is_refused() {
        let pacing = |text: &str| serde_json::from_str::<Pacing>(text);
        assert!(pacing(r#"{"calls_per_second": 5}"#).is_err());
        assert!(pacing(r#"{"calls_per_minute": 0}"#).is_err());
        assert!(pacing(r#"{"burst": 5}"#).unwrap().validate().is_err());
        assert_eq!(pacing(r#"{"burst": 5, "calls_per_minute": 60}"#).unwrap().validate(), Ok(()));
        let others = |rooms: &str| pacing(&format!(r#"{{"yields_to": [{rooms}]}}"#)).unwrap().validate();
        assert_eq!(others(r#""erp-post", "supplier-fanout""#), Ok(()));
        assert!(others(r#""erp-pots""#).unwrap_err().contains("erp-pots"));
        let nowhere = pacing(r#"{"calendar": {"time_zone": "Europe/Berlim"}}"#).unwrap();
        assert!(nowhere.validate().unwrap_err().starts_with("calendar.time_zone"));
    }
}

//! How the loops report what they did.

use crate::metrics::RoomMetrics;
use std::time::Duration;

impl RoomMetrics {
    /// Counts a committed transaction.
    pub(crate) fn committed(&self, took: Duration) {
        self.transactions_committed.inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Reports the parking lot.
    pub(crate) fn parked(&self, lanes: usize, events: usize, oldest_micros: Option<i64>, now_micros: i64) {
        self.parked_lanes.set(i64::try_from(lanes).unwrap_or(i64::MAX));
        self.parked_events.set(i64::try_from(events).unwrap_or(i64::MAX));
        let age = oldest_micros.map_or(0, |oldest| (now_micros - oldest).max(0));
        let age = Duration::from_micros(u64::try_from(age).unwrap_or_default());
        self.parked_oldest_seconds.set(age.as_secs_f64());
    }
}

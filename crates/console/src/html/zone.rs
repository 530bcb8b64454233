//! The time zone of the page that is being made.
//!
//! Pages are made in one go, without a wait, by one thread: the edge names the zone around that, so that a time deep in a table is
//! told like every other without every function handing the zone on.

use operations::Zone;
use std::cell::RefCell;

thread_local! {
    static ZONE: RefCell<Zone> = RefCell::new(Zone::default());
}

/// Puts the zone of before back, however the page ends.
struct Before(Zone);

impl Drop for Before {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.0);
        ZONE.with(|zone| zone.replace(before));
    }
}

/// Makes something with its times told in a zone.
pub fn within<T>(zone: &Zone, make: impl FnOnce() -> T) -> T {
    let _before = Before(ZONE.with(|held| held.replace(zone.clone())));
    make()
}

/// The zone of now; UTC where nobody has named one.
pub fn told<T>(tell: impl FnOnce(&Zone) -> T) -> T {
    ZONE.with_borrow(|zone| tell(zone))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::html::time;

    #[test]
    fn a_page_tells_its_own_zone_and_programs_read_utc_in_it() {
        let mut config = runtime::Config::default();
        config.operations.insert("sight".to_owned(), serde_json::json!({"time_zone": "Europe/Berlin"}));
        let berlin = Zone::of(&config).unwrap();
        let summer = 1_774_746_000_000_000;
        let shown = within(&berlin, || {
            // The hour before is winter still; a page inside, for example of a refusal, leaves this one as it was.
            assert!(time(summer - 1_000_000).0.contains("01:59:59\u{a0}+01:00"));
            within(&Zone::default(), || assert!(time(summer).0.contains("01:00:00\u{a0}UTC")));
            time(summer).0
        });
        assert!(shown.contains(">2026-03-29 03:00:00\u{a0}+02:00<"), "{shown}");
        assert!(shown.contains("datetime=\"2026-03-29T01:00:00Z\""), "{shown}");
        assert!(time(summer).0.contains("UTC"), "nothing is left over");
    }
}

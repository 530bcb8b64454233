//! How times are told to people: in the time zone of the installation, with their distance from UTC. Programs are told UTC.

use crate::sight::SightError;
use crate::sight::levels::SightConfig;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use runtime::Config;

/// Where an installation stands: `operations.sight.time_zone`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// That of a configuration; UTC where it names none.
    ///
    /// # Errors
    /// When the block `operations.sight` is not understood, or its time zone is not known.
    pub fn of(config: &Config) -> Result<Self, SightError> {
        let own: SightConfig = config.operation("sight").map_err(|error| SightError::Question(error.to_string()))?;
        let zone = TimeZone::get(&own.time_zone);
        zone.map(Self).map_err(|error| SightError::Question(format!("operations.sight.time_zone: {error}")))
    }

    /// A moment, microseconds since 1970, as people read it: `2026-03-29 03:00:00 +02:00`.
    #[must_use]
    pub fn text(&self, micros: i64) -> String {
        self.formatted(micros, "%Y-%m-%d %H:%M:%S")
    }

    /// The same with its milliseconds, where steps follow each other closely: `2026-03-29 03:00:00.042 +02:00`.
    #[must_use]
    pub fn milli(&self, micros: i64) -> String {
        self.formatted(micros, "%Y-%m-%d %H:%M:%S%.3f")
    }

    /// The same without its seconds.
    #[must_use]
    pub fn minute(&self, micros: i64) -> String {
        self.formatted(micros, "%Y-%m-%d %H:%M")
    }

    /// The time of day of a moment: `03:00 +02:00`.
    #[must_use]
    pub fn clock(&self, micros: i64) -> String {
        self.formatted(micros, "%H:%M")
    }

    /// The time of day alone, for an axis that says its time zone itself.
    #[must_use]
    pub fn bare_clock(&self, micros: i64) -> String {
        self.clock(micros).chars().take(5).collect()
    }

    /// Its name in the time zone database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The zone itself.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.0
    }

    fn formatted(&self, micros: i64, format: &str) -> String {
        let Ok(time) = Timestamp::from_microsecond(micros) else { return "-".to_owned() };
        let time = time.to_zoned(self.0.clone());
        let mark = if self.0 == TimeZone::UTC { "UTC".to_owned() } else { time.strftime("%:z").to_string() };
        format!("{} {mark}", time.strftime(format))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        let mut config = Config::default();
        config.operations.insert("sight".to_owned(), serde_json::json!({"time_zone": name}));
        Zone::of(&config).unwrap()
    }

    #[test]
    fn the_hour_that_is_left_out_and_the_one_that_comes_twice_are_told_apart() {
        let berlin = zone("Europe/Berlin");
        for (moment, text) in [
            ("2026-03-29T00:59:59Z", "2026-03-29 01:59:59 +01:00"),
            ("2026-03-29T01:00:00Z", "2026-03-29 03:00:00 +02:00"),
            ("2026-10-25T00:30:00Z", "2026-10-25 02:30:00 +02:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25 02:30:00 +01:00"),
        ] {
            let micros = moment.parse::<Timestamp>().unwrap().as_microsecond();
            assert_eq!(berlin.text(micros), text, "{moment}");
        }
    }

    #[test]
    fn utc_is_called_so_and_others_say_how_far_they_are_from_it() {
        assert_eq!(Zone::default().text(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(Zone::default().milli(42_999), "1970-01-01 00:00:00.042 UTC");
        assert_eq!((zone("UTC").name(), zone("UTC")), ("UTC", Zone::default()));
        let kolkata = zone("Asia/Kolkata");
        assert_eq!(
            (kolkata.minute(0), kolkata.clock(0)),
            ("1970-01-01 05:30 +05:30".to_owned(), "05:30 +05:30".to_owned())
        );
        assert_eq!((kolkata.bare_clock(0), kolkata.name()), ("05:30".to_owned(), "Asia/Kolkata"));
        assert_eq!(kolkata.text(i64::MAX), "-");
    }

    #[test]
    fn a_zone_that_is_not_known_is_refused() {
        let mut config = Config::default();
        config.operations.insert("sight".to_owned(), serde_json::json!({"time_zone": "Mars/Base"}));
        assert!(Zone::of(&config).unwrap_err().to_string().starts_with("WL-7192: "));
    }
}

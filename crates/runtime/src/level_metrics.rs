//! The metrics of the service levels: numbers of one moment, set by whoever follows them.

use crate::metrics::SecondsGauge;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// One service level at one moment, for the page of metrics.
#[derive(Clone, Debug)]
pub struct ServiceLevelNumbers {
    /// Its name.
    pub level: &'static str,
    /// Its class.
    pub class: &'static str,
    /// Share that must arrive in time, 0 to 1.
    pub target_ratio: f64,
    /// Share that did today; none when nothing is decided.
    pub attainment_ratio: Option<f64>,
    /// Events of today by what became of them; `waiting` includes `overdue`.
    pub events: [(&'static str, u64); 6],
    /// Age of the oldest that waits, seconds.
    pub oldest_waiting_s: u64,
    /// Median of the durations of today, milliseconds.
    pub median_ms: Option<u64>,
    /// 99th percentile of the durations of today, milliseconds.
    pub p99_ms: Option<u64>,
    /// Misses that today may have.
    pub budget: u64,
    /// Misses today has had.
    pub budget_used: u64,
    /// Seconds until they become too many, if it goes on as in the last minutes; none when not today.
    pub breach_in_s: Option<i64>,
}

/// What most events of a service level at risk wait for, for the page of metrics.
#[derive(Clone, Debug)]
pub struct ServiceLevelCause {
    /// Name of the service level.
    pub level: &'static str,
    /// Room that waits.
    pub room: String,
    /// Why.
    pub code: String,
    /// The master record it is about; empty where it is about something else.
    pub subject: String,
    /// Events that wait for it.
    pub events: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    level: &'static str,
    room: String,
    code: String,
    subject: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Level {
    level: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LevelEvents {
    level: &'static str,
    class: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LevelQuantile {
    level: &'static str,
    class: &'static str,
    quantile: &'static str,
}

/// Of the service levels; there are as many as `topics.yaml` has.
#[derive(Default)]
pub(crate) struct Levels {
    target: Family<Level, SecondsGauge>,
    attainment: Family<Level, SecondsGauge>,
    events: Family<LevelEvents, Gauge>,
    oldest: Family<Level, SecondsGauge>,
    duration: Family<LevelQuantile, SecondsGauge>,
    budget: Family<Level, Gauge>,
    budget_used: Family<Level, Gauge>,
    breach: Family<Level, SecondsGauge>,
    causes: Family<Cause, Gauge>,
}

impl Levels {
    pub(crate) fn set(&self, numbers: &ServiceLevelNumbers) {
        let level = Level { level: numbers.level, class: numbers.class };
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let seconds = |milliseconds: u64| Duration::from_millis(milliseconds).as_secs_f64();
        self.target.get_or_create(&level).set(numbers.target_ratio);
        self.attainment.get_or_create(&level).set(numbers.attainment_ratio.unwrap_or(f64::NAN));
        for (state, count) in numbers.events {
            let labels = LevelEvents { level: numbers.level, class: numbers.class, state };
            self.events.get_or_create(&labels).set(whole(count));
        }
        let oldest = Duration::from_secs(numbers.oldest_waiting_s).as_secs_f64();
        self.oldest.get_or_create(&level).set(oldest);
        for (quantile, duration) in [("0.5", numbers.median_ms), ("0.99", numbers.p99_ms)] {
            let labels = LevelQuantile { level: numbers.level, class: numbers.class, quantile };
            self.duration.get_or_create(&labels).set(duration.map_or(f64::NAN, seconds));
        }
        self.budget.get_or_create(&level).set(whole(numbers.budget));
        self.budget_used.get_or_create(&level).set(whole(numbers.budget_used));
        let breach = numbers.breach_in_s.and_then(|left| u64::try_from(left).ok());
        let breach = breach.map_or(f64::INFINITY, |left| Duration::from_secs(left).as_secs_f64());
        self.breach.get_or_create(&level).set(breach);
    }

    /// Those of now, one for each service level at most; the others are gone from the page.
    pub(crate) fn set_causes(&self, causes: &[ServiceLevelCause]) {
        self.causes.clear();
        for ServiceLevelCause { level, room, code, subject, events } in causes {
            let labels = Cause { level, room: room.clone(), code: code.clone(), subject: subject.clone() };
            self.causes.get_or_create(&labels).set(i64::try_from(*events).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Share of the events of a day that must arrive in time";
        registry.register("service_level_target_ratio", help, self.target.clone());
        let help = "Share of what is decided today that arrived in time";
        registry.register("service_level_attainment_ratio", help, self.attainment.clone());
        registry.register("service_level_events", "Events of today by what became of them", self.events.clone());
        let help = "Age of the oldest event that waits";
        registry.register_with_unit("service_level_oldest_waiting", help, Unit::Seconds, self.oldest.clone());
        let help = "Durations of today by quantile";
        registry.register_with_unit("service_level_duration", help, Unit::Seconds, self.duration.clone());
        registry.register("service_level_budget_events", "Misses that today may have", self.budget.clone());
        let help = "Misses today has had, the overdue ones that wait included";
        registry.register("service_level_budget_used_events", help, self.budget_used.clone());
        let help = "Until the misses of today are too many, if it goes on as in the last minutes";
        registry.register_with_unit("service_level_breach_in", help, Unit::Seconds, self.breach.clone());
        let help = "Events that wait for what most events of a service level at risk wait for";
        registry.register("service_level_cause_events", help, self.causes.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn a_service_level_is_on_the_page() {
        metrics::service_level(&ServiceLevelNumbers {
            level: "level-test",
            class: "operational",
            target_ratio: 0.99,
            attainment_ratio: None,
            events: [("in-time", 3), ("late", 0), ("lost", 0), ("left-out", 0), ("waiting", 2), ("overdue", 1)],
            oldest_waiting_s: 130,
            median_ms: Some(1_500),
            p99_ms: None,
            budget: 0,
            budget_used: 1,
            breach_in_s: Some(0),
        });
        let page = metrics::encode();
        for line in [
            "wardline_service_level_target_ratio{level=\"level-test\",class=\"operational\"} 0.99",
            "wardline_service_level_attainment_ratio{level=\"level-test\",class=\"operational\"} NaN",
            "wardline_service_level_events{level=\"level-test\",class=\"operational\",state=\"overdue\"} 1",
            "wardline_service_level_oldest_waiting_seconds{level=\"level-test\",class=\"operational\"} 130.0",
            "wardline_service_level_duration_seconds{level=\"level-test\",class=\"operational\",quantile=\"0.5\"} 1.5",
            "wardline_service_level_breach_in_seconds{level=\"level-test\",class=\"operational\"} 0.0",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn the_causes_of_now_are_on_the_page_and_those_of_before_are_not() {
        let cause = |level, subject: &str| ServiceLevelCause {
            level,
            room: "validate".to_owned(),
            code: "WL-4001".to_owned(),
            subject: subject.to_owned(),
            events: 12,
        };
        let levels = Levels::default();
        let mut registry = Registry::default();
        levels.register(&mut registry);
        let page = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).map(|()| text).unwrap_or_default()
        };
        levels.set_causes(&[cause("one", "master.item.v1/I-7"), cause("two", "")]);
        let line = |level, subject| {
            format!(
                "service_level_cause_events{{level=\"{level}\",room=\"validate\",code=\"WL-4001\",subject=\"{subject}\"}} 12"
            )
        };
        let seen = page();
        assert!(seen.contains(&line("one", "master.item.v1/I-7")) && seen.contains(&line("two", "")), "{seen}");
        levels.set_causes(&[cause("two", "")]);
        assert!(!page().contains("level=\"one\"") && page().contains(&line("two", "")), "{}", page());
    }
}

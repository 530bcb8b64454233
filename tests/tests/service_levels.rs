//! Every service level of `topics.yaml` has its alert in the chart, and no alert is of another.

#![allow(clippy::unwrap_used, reason = "test")]

use schemas::topics;
use serde_json::Value;
use std::path::Path;

#[test]
fn the_chart_has_one_alert_per_service_level() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("helm/wardline/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let alerts: Vec<&String> = values["serviceLevelAlerts"]["levels"].as_object().unwrap().keys().collect();
    let levels: Vec<&str> = topics::SERVICE_LEVELS.iter().map(|level| level.name).collect();
    assert_eq!(alerts, levels);
}

#[test]
fn the_alert_asks_for_metrics_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let template = std::fs::read_to_string(root.join("helm/wardline/templates/service-levels.yaml")).unwrap();
    let level = &topics::SERVICE_LEVELS[0];
    runtime::metrics::service_level(&runtime::metrics::ServiceLevelNumbers {
        level: level.name,
        class: level.class.as_str(),
        target_ratio: 0.99,
        attainment_ratio: None,
        events: [("in-time", 0), ("late", 0), ("lost", 0), ("left-out", 0), ("waiting", 1), ("overdue", 1)],
        oldest_waiting_s: 1,
        median_ms: None,
        p99_ms: None,
        budget: 0,
        budget_used: 1,
        breach_in_s: Some(0),
    });
    runtime::metrics::service_level_causes(&[runtime::metrics::ServiceLevelCause {
        level: level.name,
        room: "validate".to_owned(),
        code: "WL-4001".to_owned(),
        subject: "master.item.v1/I-7".to_owned(),
        events: 12,
    }]);
    let page = runtime::metrics::encode();
    let cause = "wardline_service_level_cause_events";
    for metric in ["wardline_service_level_events", "wardline_service_level_breach_in_seconds", cause] {
        assert!(template.contains(&format!("{metric}{{level=")), "{metric} is not in the alert");
        assert!(page.contains(&format!("{metric}{{level=\"{}\"", level.name)), "{metric} is not on the page");
    }
    // What the alert tells people are labels of the metric.
    let line = page.lines().find(|line| line.starts_with(cause)).unwrap();
    for label in ["room", "code", "subject"] {
        assert!(line.contains(&format!("{label}=\"")), "{line}");
        assert!(template.contains(&format!("$labels.{label}")), "{label} is not told");
    }
    assert!(template.contains(&format!("max by (level, room, code, subject) (max_over_time({cause}{{level=")));
    assert!(template.contains("state=\"overdue\"") && page.contains("state=\"overdue\"} 1"));
}

//! The whole way: a hospital day, killed on its way, played twice.

#![allow(clippy::disallowed_methods, clippy::panic, reason = "a test waits for parts, with a bound, and stops hard")]

use runtime::config::KafkaConfig;
use runtime::reader::{Range, read_range};
use schemas::topics;
use serde_json::Value;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use wardline_tests::hospital::HospitalStack;

fn count(kafka: &KafkaConfig, topic: &str) -> usize {
    let mut records = 0;
    // While the broker is down there is nothing to count; the caller has a deadline.
    let read = read_range(kafka, &Range::all(topic), |_| {
        records += 1;
        ControlFlow::Continue(())
    });
    if read.is_ok() { records } else { 0 }
}

fn number(report: &Value, name: &str) -> f64 {
    let value = &report[name];
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
}

/// LOSS-1, FX-1, ORD-1: erp-post and the broker are killed during the day; nothing is lost or doubled in the ERP, and the
/// same day posts nothing new.
#[test]
fn a_hospital_day_survives_kill_9_of_erp_post_and_of_the_broker() {
    let mut stack =
        HospitalStack::start(env!("CARGO_BIN_EXE_wardline-under-test"), env!("CARGO_BIN_EXE_embedded-broker"));
    let kafka = KafkaConfig { bootstrap: stack.kafka.bootstrap(), ..KafkaConfig::default() };
    let mut erp_post = stack.room("erp-post");
    let mut day = stack.day("first.json", "erp-post", &[]);

    let mut killed = 0;
    let deadline = Instant::now() + Duration::from_secs(500);
    while day.goes_on() && killed < 4 {
        assert!(Instant::now() < deadline, "too little is posted to kill anything");
        if count(&kafka, topics::ERP_POSTING_V1.name()) >= 4 * (killed + 1) {
            erp_post.kill();
            if killed == 1 {
                stack.kafka.kill();
                stack.kafka.restart();
            }
            erp_post = stack.room("erp-post");
            killed += 1;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let first = day.report();
    erp_post.kill();
    assert!(killed >= 2, "killed {killed} times");
    assert_eq!(number(&first, "unaccounted"), 0.0, "{first:#}");
    assert_eq!(number(&first, "erp_difference"), 0.0, "{first:#}");
    assert!(number(&first, "postings") > 20.0, "{first:#}");
    assert!(number(&first, "notices") > 0.0 && number(&first, "analytics_rows") > 0.0, "{first:#}");
    assert!(number(&first, "dead_letters") > 0.0, "{first:#}");

    let again = stack.day("again.json", "", &[]).report();
    assert_eq!(number(&again, "new_postings"), 0.0, "{again:#}");
    assert_eq!(number(&again, "unaccounted"), 0.0, "{again:#}");
    assert_eq!(number(&again, "erp_difference"), 0.0, "{again:#}");
    assert_eq!(number(&again, "postings"), number(&first, "postings"), "{again:#}");
}

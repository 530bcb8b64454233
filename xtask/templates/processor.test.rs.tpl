//! What `@room@` makes of events, without a broker.

use processor::{Processor, Verdict};
use schemas::@Input@;
use testkit::drive_examples;
use wardline_@snake@::{@Type@Config, wiring};

#[test]
fn every_example_has_an_outcome() {
    let told = drive_examples(wiring(@Type@Config::default()));
    assert_eq!(told.matches("emit ").count(), schemas::examples_of("@reads@").len(), "{told}");
}

#[test]
fn an_event_without_facility_gets_the_configured_one() {
    let wiring = wiring(@Type@Config { facility: "NORTH".to_owned() });
    let verdict = wiring.processor().process(@Input@::default(), &());
    assert!(matches!(verdict, Verdict::Emit(outputs) if outputs[0].meta.facility_id == "NORTH"));
}

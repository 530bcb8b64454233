//! What `@room@` makes of events, without a broker.

use testkit::{drive, drive_examples};
use wardline_@snake@::{@Type@Config, wiring};

#[test]
fn every_example_has_an_outcome() {
    let told = drive_examples(wiring(@Type@Config::default()));
    assert_eq!(told.matches("emit ").count(), schemas::examples_of("@reads@").len(), "{told}");
}

#[test]
fn the_facility_of_the_configuration_wins() {
    let config = @Type@Config { facility: Some("NORTH".to_owned()) };
    let told = drive(wiring(config), "@short_reads@ key-1 {}");
    assert!(told.starts_with("emit "), "{told}");
}

//! A short storm over a whole installation on three real brokers: once from a seed that stays, once from a seed of today, which
//! is printed and in the report. Every law is decided from outside. `cargo xtask chaos` makes longer ones.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "test")]

use chaos::{Outcome, Wanted, run};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Minutes of storm.
const MINUTES: u64 = 1;

/// One installation at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn every_law_holds_in_a_storm_from_a_seed_that_stays() {
    storm(20_261_126);
}

#[test]
fn every_law_holds_in_a_storm_from_the_seed_of_today() {
    let day = chaos::clock::unix_ms() / 86_400_000;
    storm(u64::try_from(day).unwrap());
}

fn storm(seed: u64) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        seed,
        minutes: MINUTES,
        rate: 5.0,
        encounters: 30,
        only: Vec::new(),
        // It needs a right that not every machine gives.
        without: vec!["fill-disk".to_owned()],
        dir: folder.path().join("report"),
        wardline: PathBuf::from(env!("CARGO_BIN_EXE_wardline-under-test")),
    };
    eprintln!("a storm of seed {seed}: `cargo xtask chaos --minutes {MINUTES} --seed {seed}` makes it again");
    let outcome: Outcome = run(&wanted, &|text| eprintln!("{text}")).unwrap();
    if !outcome.clean {
        // Its logs are worth more than the room they take.
        panic!("seed {seed}, kept in {}: {}", folder.keep().display(), outcome.markdown);
    }
}

//! The simulation: honest seeds are clean, the same seed is the same run, and every broken variant is caught.

use processor::laws::Law;
use std::collections::BTreeMap;
use wardline_testkit::simulation::{Report, Simulator, Variant};

/// Seeds of a plain `cargo test`; `cargo xtask test` asks for more by `WARDLINE_SIMULATION_SEEDS`.
const SEEDS: u64 = 60;
/// A broken variant is caught within so many seeds.
const CAUGHT_WITHIN: u64 = 100;

fn told(report: &Report) -> String {
    let violations = report.violations.iter().map(ToString::to_string);
    let all: Vec<String> = violations.chain(report.broken.iter().cloned()).collect();
    format!(
        "seed {}: {}\nagain: cargo xtask simulate --from {} --seeds 1 --trace",
        report.seed,
        all.join("; "),
        report.seed
    )
}

#[test]
fn the_same_seed_is_the_same_run() {
    let simulator = Simulator::new().unwrap();
    for seed in [3, 4, 5] {
        let (once, again) =
            (simulator.run(seed, Variant::Honest, false), Simulator::new().unwrap().run(seed, Variant::Honest, false));
        assert_eq!((once.hash, once.turns), (again.hash, again.turns), "seed {seed}");
    }
    let other = simulator.run(6, Variant::Honest, false);
    assert_ne!(other.hash, simulator.run(7, Variant::Honest, false).hash);
}

#[test]
fn every_law_holds_in_every_seed() {
    let asked = std::env::var("WARDLINE_SIMULATION_SEEDS");
    let seeds = asked.map_or(SEEDS, |seeds| seeds.parse().expect("WARDLINE_SIMULATION_SEEDS is a number"));
    let failed: Vec<String> = on_all_cores(0..seeds, Variant::Honest)
        .into_iter()
        .filter(|report| !report.is_clean())
        .map(|report| told(&report))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_broken_variant_is_caught_by_the_law_that_it_breaks() {
    let first = |variant: Variant| {
        let simulator = Simulator::new().unwrap();
        let (law, what): (Law, &str) = (variant.breaks().unwrap(), variant.speaks_of());
        let breaks = |seed: &u64| {
            let report = simulator.run(*seed, variant, false);
            report.violations.iter().any(|violation| violation.law == law && violation.detail.contains(what))
        };
        (variant.name(), (0..CAUGHT_WITHIN).find(breaks))
    };
    let caught: BTreeMap<&str, Option<u64>> = std::thread::scope(|scope| {
        let searches: Vec<_> = Variant::BROKEN.map(|variant| scope.spawn(move || first(variant))).into();
        searches.into_iter().map(|search| search.join().unwrap()).collect()
    });
    println!("first seed that catches: {caught:?}");
    assert!(caught.values().all(Option::is_some), "{caught:?}");
}

#[allow(clippy::unwrap_used, reason = "a helper of tests")]
fn on_all_cores(seeds: std::ops::Range<u64>, variant: Variant) -> Vec<Report> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |number: usize| {
        let simulator = Simulator::new().unwrap();
        let seeds = seeds.clone().skip(number).step_by(threads);
        seeds.map(|seed| simulator.run(seed, variant, false)).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let share = &share;
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || share(number))).collect();
        running.into_iter().flat_map(|one| one.join().unwrap()).collect()
    })
}

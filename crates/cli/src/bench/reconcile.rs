//! The comparison of reconciliation over a made-up day: time, memory, and whether it finds what is planted.

mod erp;
mod topics;

use super::output;
use super::usage::Usage;
use crate::Failure;
use crate::args::Globals;
use clap::Args;
use operations::reconcile::documents::settle;
use operations::reconcile::sample::{Day, Plant};
use operations::reconcile::{Books, Difference, Findings, Kind, Part, Room, SpillError};
use runtime::clock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options of `bench reconcile`.
#[derive(Debug, Args)]
pub struct BenchReconcile {
    /// Usages of the day.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub events: u64,
    /// Folder for what does not fit into memory [default: that for temporary files].
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// From topics, as `wardline reconcile` does: loads the day when the topics are empty, reads it, decodes it and asks an ERP in
    /// this process. Needs a broker and a registry of its own.
    #[arg(long)]
    pub topics: bool,
    /// With --topics: load the day and compare nothing.
    #[arg(long, requires = "topics")]
    pub load_only: bool,
    /// Plant no difference; then none may be found.
    #[arg(long)]
    pub clean: bool,
}

#[derive(Serialize)]
struct Result {
    bench: &'static str,
    events: u64,
    facts: u64,
    planted: usize,
    found: u64,
    seconds: f64,
    events_per_second: f64,
    cpu_seconds: f64,
    peak_rss_mb: f64,
    held_bytes: u64,
    spilled_bytes: u64,
    spilled_bytes_per_event: f64,
    release: bool,
}

/// Measures, and fails when something else is found than what was planted.
pub fn execute(globals: &Globals, options: &BenchReconcile) -> std::result::Result<(), Failure> {
    let day = Day::new(options.events, plants(options));
    if options.topics {
        return topics::execute(globals, options, day);
    }
    let started = clock::tick();
    let compared = compare(&day, options.scratch.clone());
    let (findings, cost) = compared.map_err(|error| Failure::new(error, "name a folder with room with --scratch"))?;
    let seconds = clock::tick().since(started).as_secs_f64();
    let usage = Usage::now();
    output(&Result {
        bench: "reconcile",
        events: options.events,
        facts: cost.facts,
        planted: plants(options).len(),
        found: findings.total(),
        seconds,
        events_per_second: whole(options.events) / seconds,
        cpu_seconds: usage.cpu_seconds,
        peak_rss_mb: usage.peak_rss_mb,
        held_bytes: cost.held_bytes,
        spilled_bytes: cost.spilled_bytes,
        spilled_bytes_per_event: whole(cost.spilled_bytes) / whole(options.events),
        release: !cfg!(debug_assertions),
    })?;
    check(&findings.differences, options)
}

/// Fails when something else was found than what was planted.
fn check(differences: &[Difference], options: &BenchReconcile) -> std::result::Result<(), Failure> {
    let mut found: BTreeMap<(Part, Kind), usize> = BTreeMap::new();
    for difference in differences {
        *found.entry((difference.part, difference.kind)).or_default() += 1;
    }
    let mut planted: BTreeMap<(Part, Kind), usize> = BTreeMap::new();
    for plant in plants(options) {
        *planted.entry(plant.expected()).or_default() += 1;
    }
    if found == planted {
        return Ok(());
    }
    Err(Failure::new(format!("found {found:?} instead of {planted:?}"), "report this as a defect"))
}

fn plants(options: &BenchReconcile) -> &'static [Plant] {
    if options.clean { &[] } else { &Plant::ALL }
}

fn compare(
    day: &Day,
    scratch: Option<PathBuf>,
) -> std::result::Result<(Findings, operations::reconcile::Cost), SpillError> {
    let room = scratch.map_or_else(Room::default, |folder| Room { folder, ..Room::default() });
    let mut books = Books::new(&room);
    day.fill(&mut books)?;
    let (scope, mut findings) = (day.scope(), Findings::default());
    let (absent, cost) = books.compare(&scope, &mut findings)?;
    for open in absent {
        settle(open, Vec::new(), &scope, &mut findings);
    }
    operations::reconcile::judge_totals(&scope, &mut findings);
    Ok((findings, cost))
}

#[allow(clippy::cast_precision_loss, reason = "for a ratio that people read")]
fn whole(number: u64) -> f64 {
    number as f64
}

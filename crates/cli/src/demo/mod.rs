//! `wardline demo`: a hospital day streams through, and a report proves that nothing was lost.
//!
//! The day is made from its date alone, so the same day has the same messages, byte for byte: a second run must post
//! nothing new.

mod day;
mod fhir;
mod gather;
mod hl7;
mod lake;
mod quiet;
mod random;
mod report;
mod steps;
mod stock;
mod story;
mod traffic;

use crate::args::{Demo, Globals};
use crate::output::{self, Output, Progress};
use crate::parts::{self, Choice, Part, Plan};
use crate::system::{self, Applies, System};
use crate::{Failure, context, rooms, run};
use day::Day;
use gather::{Desk, Gathered};
use processor::laws::Law;
use report::Report;
use runtime::{Config, RoomInfo};
use schemas::topics as names;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Executes `wardline demo`.
pub fn execute(globals: &Globals, options: &Demo) -> Result<(), Failure> {
    let file = context::file(globals)?;
    let globals = if options.real { real(globals, &Choice::of(globals, &file)) } else { globals.clone() };
    let mut config = context::config(&globals)?;
    rooms::settings(&config)?;
    prepare(&mut config, options);
    let plan = Plan {
        choice: Choice::of(&globals, &file),
        place: &options.place,
        data: &options.data,
        supplier: true,
        without: &options.without,
    };
    plan.prepare(&mut config, &file)?;
    let day = Day::of(options)?;
    context::block_on(async {
        let _telemetry = run::start_telemetry(&config, "wardline")?;
        run_day(&plan, config, &day, options).await
    })?
}

/// Names the parts that `cargo xtask components up` starts, where nobody names others.
fn real(globals: &Globals, unnamed: &Choice) -> Globals {
    let mut globals = globals.clone();
    for part in unnamed.embedded() {
        match part {
            Part::Kafka => globals.kafka = Some(components::Part::Kafka.url()),
            Part::Registry => globals.registry = Some(components::Part::Registry.url()),
            Part::Erp => {
                globals.erp = Some(components::Part::Erp.url());
                globals.erp_key.get_or_insert_with(|| components::ERP_KEY.to_owned());
            }
            Part::Fhir => globals.fhir = Some(components::Part::Fhir.url()),
        }
    }
    globals
}

/// Short budgets and polls, so that a day is over soon.
fn prepare(config: &mut Config, options: &Demo) {
    config.limits.wait_budget_ms.patient_adjacent = 5_000;
    config.limits.wait_budget_ms.operational = 10_000;
    config.limits.wait_budget_ms.analytical = 10_000;
    config.telemetry.log_filter.clone_from(&options.log);
    context::set(config, "erp", &["poll_ms"], Some(json!(2_000)));
    context::set(config, "erp-post", &["certain_after_ms"], Some(json!(10_000)));
    context::set(config, "supplier-fanout", &["timeout_ms"], Some(json!(5_000)));
    context::set(config, "supplier-fanout", &["certain_after_ms"], Some(json!(10_000)));
    context::set(config, "fhir", &["poll_interval_ms"], Some(json!(1_000)));
}

async fn run_day(plan: &Plan<'_>, config: Config, day: &Day, options: &Demo) -> Result<(), Failure> {
    let signal = system::signal();
    let progress = Progress::start();
    let (messages, resources) = (day.messages().count(), day.resources.len());
    progress.step(&format!("hospital day {}: {messages} HL7 v2 messages, {resources} FHIR resources", day.date));
    let rooms = system::rooms_without(&options.without)?;
    let system = System::start(plan, config, rooms, Applies::Everywhere, &signal).await?;
    progress.step("broker, registry, ERP, FHIR server and supplier are there; the rooms start");
    let played = tokio::select! {
        played = Box::pin(play(&system, day, options, &progress)) => played,
        () = signal.wait() => Err(Failure::new(
            "WL-7070: stopped before the day was over",
            "run it again: it goes on where it was",
        )),
    };
    let verdict = match played {
        Ok(report) => show(&report, options),
        Err(failure) => {
            // What the day failed with says more than what the rooms say when they are stopped then.
            drop(system.stop().await);
            return Err(failure);
        }
    };
    if options.exit || !plan.choice.embeds_any() {
        system.stop().await?;
        return verdict;
    }
    if let Err(failure) = &verdict {
        failure.print();
    }
    tell(plan, &system, day, options)?;
    system.ended().await?;
    verdict
}

async fn play(system: &System, day: &Day, options: &Demo, progress: &Progress) -> Result<Report, Failure> {
    let config = system.config.as_ref();
    steps::ready(&system.health).await?;
    progress.step(&format!("{} rooms are ready", system.health.states().len()));
    steps::master_data(config, day.items).await?;
    progress.step("the ERP's master data is there; the day begins");
    let desk = Desk::new(config)?;
    let before = u64::try_from(gather::postings(&desk).await?.len()).unwrap_or_default();
    steps::bad_record(config, day.date).await?;
    let listen = context::room::<hl7v2::config::Hl7v2Config>(config, "hl7v2")?.listen;
    let base = context::room::<::fhir::FhirConfig>(config, "fhir")?.base_url;
    let (spoken, put) =
        tokio::try_join!(traffic::hl7v2(&listen, day.lists.clone()), traffic::fhir(&base, &day.resources))?;
    progress.step(&format!("{} messages and resources are sent and acknowledged", spoken.count + put.count));
    let bound = Duration::from_secs(options.wait_s);
    steps::followed(&desk, &day.followed(), bound).await?;
    let infos: Vec<RoomInfo> = rooms::all().iter().map(|room| room.info().clone()).collect();
    progress.step(&match quiet::wait(&desk, &infos, bound).await? {
        0 => "all is processed; the report is drawn from the topics and from the ERP".to_owned(),
        left => format!("{left} records are still under way after {} s: the report counts them", options.wait_s),
    });
    let gathered = gather::gather(&desk).await?;
    let mut report = count(day, &gathered, before);
    report.received = spoken.count + put.count;
    report.acknowledged = spoken.answers;
    for (code, count) in put.answers {
        *report.acknowledged.entry(format!("FHIR {code}")).or_default() += count;
    }
    let erp = context::room::<erp::ErpConfig>(config, "erp")?;
    let (difference, findings) = stock::difference(&erp, &gathered.postings, &day.stock_locations).await?;
    report.erp_difference = difference;
    report.findings.extend(findings);
    report.analytics_rows = analytics_rows(config)?;
    report.seconds = progress.seconds();
    Ok(report)
}

/// Writes the report where it is wanted; a day that did not come out is a failure.
fn show(report: &Report, options: &Demo) -> Result<(), Failure> {
    if let Some(path) = &options.report {
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| Failure::new(error, "report this as a defect"))?;
        write(path, text + "\n")?;
    }
    let mut output = Output::stdout();
    if options.json {
        output.json(report)?;
    } else {
        report.print(&mut output)?;
    }
    output.finish()?;
    if report.is_clean() {
        return Ok(());
    }
    Err(Failure::new(
        "WL-7070: the day did not come out as it must",
        "read the findings above; `wardline trace ID` and `wardline exceptions ls` tell more",
    ))
}

/// Says what runs now and what can be done with it.
fn tell(plan: &Plan<'_>, system: &System, day: &Day, options: &Demo) -> Result<(), Failure> {
    let messages = options.data.join("day.hl7");
    write(&messages, day.file())?;
    output::note("\nThe system goes on until Ctrl-C:");
    parts::announce(&plan.choice, &system.parts, &system.config, system.console.as_ref());
    output::note("\nTry next, in another terminal:");
    let trace =
        day.example().map(|id| (format!("trace {id}"), "a charge, from the message to the ERP and the supplier"));
    let send = (format!("send hl7v2 {}", messages.display()), "the day again: every message gets its earlier answer");
    let replay = (
        format!("replay plan erp-post --from-time {}T00:00:00Z --reason look --actor me", day.date),
        "what could be posted again",
    );
    parts::try_next(&system.config, trace.into_iter().chain([send, replay]));
    output::note(&format!("\nThe data is in {}: playing the day again posts nothing new.", options.data.display()));
    Ok(())
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| {
        Failure::new(format!("WL-7062: cannot write {}: {error}", path.display()), "name a file that can be written")
    })
}

fn count(day: &Day, gathered: &Gathered, before: u64) -> Report {
    let mut findings = gathered.unaccounted(&day.hashes());
    for name in day.followed() {
        if !gathered.receipts.iter().any(|receipt| receipt.message_id.contains(&name)) {
            findings.push(format!("{}: FHIR resource {name} has no receipt", Law::Loss1));
        }
    }
    let mut exceptions = BTreeMap::new();
    for exception in gathered.exceptions.iter().filter(|exception| crate::exceptions::is_open(exception)) {
        *exceptions.entry(exception.code.clone()).or_default() += 1;
    }
    let postings = u64::try_from(gathered.postings.len()).unwrap_or_default();
    let unaccounted = u64::try_from(findings.len()).unwrap_or_default();
    findings.extend(gathered.doubled().iter().map(ToString::to_string));
    Report {
        day: day.date.to_string(),
        events: gathered.counts.clone(),
        postings,
        new_postings: postings.saturating_sub(before),
        notices: gathered.notices,
        exceptions,
        dead_letters: gathered.counts.get(names::OPS_DEAD_LETTER_V1.name()).copied().unwrap_or_default(),
        unaccounted,
        findings,
        ..Report::default()
    }
}

fn analytics_rows(config: &Config) -> Result<u64, Failure> {
    let analytics: analytics::AnalyticsConfig = context::room(config, "analytics")?;
    lake::rows(&analytics.directory)
        .map_err(|error| Failure::new(error, "check that the directory of rooms.analytics can be read"))
}

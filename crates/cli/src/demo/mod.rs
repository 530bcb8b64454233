//! `wardline demo`: a hospital day streams through real components, and a report proves that nothing was lost.
//!
//! The day is made from its date alone, so the same day has the same messages, byte for byte: a second run must post
//! nothing new.

mod account;
mod fhir;
mod gather;
mod hl7;
mod lake;
mod quiet;
mod random;
mod report;
mod stock;
mod story;
mod traffic;

use crate::args::{Demo, Globals};
use crate::output::{self, Output};
use crate::{Failure, context, rooms, run, topics};
use components::Hospital;
use gather::Gathered;
use hl7v2::mapping::content_hash;
use hl7v2::mllp::MAX_FRAME_BYTES;
use hl7v2::parser::{PieceKind, split};
use jiff::civil::Date;
use processor::laws::Law;
use report::Report;
use runtime::codec::Codec;
use runtime::health::Health;
use runtime::outgoing::Outgoing;
use runtime::publisher::Publisher;
use runtime::reader::{self, Range};
use runtime::{Config, Room, RoomInfo, clock, shutdown, telemetry};
use schemas::topics as names;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use testkit::supplier::Supplier;

/// Longest wait for the rooms to be ready and for the master data.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Resources that the FHIR connector makes a receipt of.
const FOLLOWED: [&str; 6] = ["Encounter", "Procedure", "Device", "DeviceUseStatement", "SupplyDelivery", "ChargeItem"];
/// Marks the undecodable record of the day.
const DEMO_HEADER: &str = "wl_demo";

/// Executes `wardline demo`.
pub fn execute(globals: &Globals, options: &Demo) -> Result<(), Failure> {
    let report = context::block_on(run_day(globals, options))??;
    if let Some(path) = &options.report {
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| Failure::new(error, "report this as a defect"))?;
        std::fs::write(path, text + "\n").map_err(|error| {
            Failure::new(
                format!("WL-7062: cannot write {}: {error}", path.display()),
                "name a file that can be written",
            )
        })?;
    }
    let mut output = Output::stdout();
    if options.json {
        output.json(&report)?;
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

/// What is sent on the day.
struct Day {
    date: Date,
    lists: Vec<Vec<hl7::Message>>,
    resources: Vec<Value>,
    items: usize,
    stock_locations: BTreeSet<String>,
}

async fn run_day(globals: &Globals, options: &Demo) -> Result<Report, Failure> {
    let started = clock::tick();
    let base = globals.fhir.clone().ok_or_else(|| missing("--fhir"))?;
    globals.erp.as_ref().ok_or_else(|| missing("--erp"))?;
    let day = day(options)?;
    let supplier = Supplier::start().await.map_err(|error| {
        Failure::new(format!("WL-7061: cannot listen for notices: {error}"), "free a port on 127.0.0.1")
    })?;
    let mut config = context::config(globals)?;
    prepare(&mut config, options, &supplier);
    let config = Arc::new(config);
    let _telemetry = telemetry::init(&config.telemetry, "wardline")
        .map_err(|error| Failure::usage(error, "correct the telemetry block of the configuration"))?;
    output::note(&format!(
        "hospital day {}: {} HL7 v2 messages, {} FHIR resources",
        day.date,
        day.messages().count(),
        day.resources.len()
    ));
    topics::apply_built_in(&config, 1).await?;

    let wanted = |room: &Room| !options.without.iter().any(|left_out| left_out == room.info().name);
    let infos: Vec<RoomInfo> = rooms::all().iter().map(|room| room.info().clone()).collect();
    let health = Health::new();
    let (trigger, stop) = shutdown();
    let rooms = rooms::all().into_iter().filter(wanted).collect();
    let (run_config, run_health) = (Arc::clone(&config), health.clone());
    let running = tokio::spawn(async move { runtime::run_rooms(run_config, rooms, &run_health, stop).await });

    let report = play(&config, &health, &day, &base, options, &infos).await;
    trigger.stop();
    let stopped = running.await.map_err(|error| Failure::new(error, "report this as a defect"))?;
    let mut report = report?;
    stopped.map_err(|error| run::stopped(&error))?;
    report.analytics_rows = analytics_rows(&config)?;
    report.seconds = clock::tick().since(started).as_secs_f64();
    Ok(report)
}

async fn play(
    config: &Config,
    health: &Health,
    day: &Day,
    base: &str,
    options: &Demo,
    infos: &[RoomInfo],
) -> Result<Report, Failure> {
    ready(health).await?;
    master_data(config, day.items).await?;
    let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
    let before = u64::try_from(gather::postings(config, &codec).await?.len()).unwrap_or_default();
    bad_record(config, day.date).await?;
    let (spoken, put) =
        tokio::try_join!(traffic::hl7v2(&options.mllp, day.lists.clone()), traffic::fhir(base, &day.resources))?;
    let bound = Duration::from_secs(options.wait_s);
    followed(config, &codec, &day.resources, bound).await?;
    let left = quiet::wait(config, infos, bound).await?;
    if left > 0 {
        output::note(&format!("{left} records are still under way after {} s: the report counts them", options.wait_s));
    }
    let gathered = gather::gather(config, &codec).await?;
    let mut report = count(day, &gathered, before);
    report.received = spoken.count + put.count;
    report.acknowledged = spoken.answers;
    for (code, count) in put.answers {
        *report.acknowledged.entry(format!("FHIR {code}")).or_default() += count;
    }
    let erp: erp::ErpConfig =
        config.room("erp").map_err(|error| Failure::usage(error, "correct rooms.erp of the configuration"))?;
    let (difference, findings) = stock::difference(&erp, &gathered.postings, &day.stock_locations).await?;
    report.erp_difference = difference;
    report.findings.extend(findings);
    Ok(report)
}

impl Day {
    fn messages(&self) -> impl Iterator<Item = &hl7::Message> {
        self.lists.iter().flatten()
    }
}

fn day(options: &Demo) -> Result<Day, Failure> {
    let hospital = Hospital::load().map_err(|error| Failure::new(error, "report this as a defect"))?;
    let date = match &options.day {
        Some(text) => text.parse::<Date>().map_err(|error| {
            Failure::usage(format!("WL-7066: {text} is not a day: {error}"), "write it like 2026-03-01")
        })?,
        // Yesterday: it is over, so no event of it lies in the future.
        None => schemas::Timestamp(clock::now_micros())
            .date()
            .to_civil()
            .unwrap_or_default()
            .yesterday()
            .unwrap_or_default(),
    };
    let mut lists = vec![Vec::new(); options.connections.max(1)];
    for stay in story::stays(&hospital, date, options.stays) {
        let place = stay.number % lists.len();
        if let Some(list) = lists.get_mut(place) {
            list.extend(hl7::messages(&stay, date));
        }
    }
    if let Some(list) = lists.first_mut() {
        list.push(hl7::not_a_message());
    }
    Ok(Day {
        date,
        lists,
        resources: fhir::resources(&hospital, date, options.fhir_stays),
        items: hospital.items.len(),
        stock_locations: hospital.locations.iter().map(|location| location.code.clone()).collect(),
    })
}

/// Short budgets and polls, so that a day is over in minutes; a flag or a configuration file still wins for addresses.
fn prepare(config: &mut Config, options: &Demo, supplier: &Supplier) {
    config.limits.wait_budget_ms.patient_adjacent = 5_000;
    config.limits.wait_budget_ms.operational = 10_000;
    config.limits.wait_budget_ms.analytical = 10_000;
    config.telemetry.log_filter = options.log.clone();
    for (room, path, value) in [
        ("hl7v2", &["listen"][..], json!(options.mllp)),
        ("erp", &["poll_ms"][..], json!(2_000)),
        ("fhir", &["poll_interval_ms"][..], json!(1_000)),
        ("analytics", &["directory"][..], json!(options.data.join("analytics"))),
        ("supplier-fanout", &["profiles"][..], profiles(&supplier.url())),
    ] {
        context::set(config, room, path, Some(value));
    }
}

/// Every supplier of the hospital takes notices at the same receiver.
fn profiles(url: &str) -> Value {
    let kinds = ["consignment-usage", "vmi-usage", "po-approved", "po-changed", "po-cancelled", "receipt"];
    let profile = json!({"url": url, "secret": testkit::supplier::SECRET, "kinds": kinds});
    ["V-300", "V-310", "V-320", "V-330"].iter().map(|supplier| ((*supplier).to_owned(), profile.clone())).collect()
}

async fn ready(health: &Health) -> Result<(), Failure> {
    let next = "see the log lines above; `--log info` shows more";
    match tokio::time::timeout(START_TIMEOUT, health.wait_ready()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(Failure::new(format!("WL-7069: a room cannot start: {reason}"), next)),
        Err(_) => Err(Failure::new(format!("WL-7069: not all rooms are ready: {}", health.to_json()), next)),
    }
}

/// Waits until the items of the ERP are on their topic, so that the day does not start by waiting for them.
async fn master_data(config: &Config, items: usize) -> Result<(), Failure> {
    let progress = output::spinner("items loaded from the ERP:");
    let started = clock::tick();
    let mut last = 0;
    while clock::tick().since(started) < START_TIMEOUT {
        let kafka = config.kafka.clone();
        let topic = names::MASTER_ITEM_V1.name();
        let found = tokio::task::spawn_blocking(move || reader::latest_by_key(&kafka, topic, 1_000_000))
            .await
            .map_err(Failure::kafka)?
            .map_err(Failure::kafka)?;
        progress.set_position(u64::try_from(found.len()).unwrap_or_default());
        // Inactive items may be left out by the ERP's feed.
        if found.len() >= items.saturating_sub(2) && found.len() == last {
            progress.finish_and_clear();
            return Ok(());
        }
        last = found.len();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    progress.finish_and_clear();
    Err(Failure::new(
        format!("WL-7069: {last} of {items} items came from the ERP in {} s", START_TIMEOUT.as_secs()),
        "check --erp and --erp-key, and the log of the erp room",
    ))
}

/// Puts one record that nobody can decode on a topic, once a day: its bytes must come out as a dead letter.
async fn bad_record(config: &Config, date: Date) -> Result<(), Failure> {
    let (kafka, mark) = (config.kafka.clone(), date.to_string());
    let present = tokio::task::spawn_blocking(move || {
        let mut present = false;
        reader::read_range(&kafka, &Range::all(names::OPS_DEAD_LETTER_V1.name()), |record| {
            present = record.header(DEMO_HEADER) == Some(mark.as_str());
            if present { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map(|_| present)
    })
    .await
    .map_err(Failure::kafka)?
    .map_err(Failure::kafka)?;
    if present {
        return Ok(());
    }
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let publisher = Publisher::connect(config, codec, &[]).await.map_err(Failure::registry)?;
    let record = Outgoing {
        topic: Cow::Borrowed(names::CLINICAL_SUPPLY_USAGE_V1.name()),
        partition: None,
        key: Some(format!("undecodable-{date}").into_bytes()),
        value: Some(b"these bytes are no event".to_vec()),
        headers: vec![(Cow::Borrowed(DEMO_HEADER), Some(date.to_string().into_bytes()))],
        ticket: None,
    };
    publisher.publish(&[record]).await.map_err(Failure::kafka)
}

/// Waits until the FHIR connector has seen every resource that it follows.
async fn followed(config: &Config, codec: &Codec, resources: &[Value], bound: Duration) -> Result<(), Failure> {
    let wanted = followed_names(resources);
    let progress = output::spinner("FHIR resources not yet polled:");
    let started = clock::tick();
    while clock::tick().since(started) < bound {
        let receipts = gather::receipts(config, codec).await?;
        let missing =
            wanted.iter().filter(|name| !receipts.iter().any(|receipt| receipt.message_id.contains(*name))).count();
        progress.set_position(u64::try_from(missing).unwrap_or_default());
        if missing == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    progress.finish_and_clear();
    // What is missing now is counted as unaccounted for.
    Ok(())
}

fn followed_names(resources: &[Value]) -> BTreeSet<String> {
    let followed = |resource: &&Value| {
        let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
        FOLLOWED.contains(&kind)
    };
    resources.iter().filter(followed).map(fhir::name).collect()
}

fn count(day: &Day, gathered: &Gathered, before: u64) -> Report {
    let hashes = day.messages().flat_map(|message| hashes(&message.bytes)).collect();
    let mut findings: Vec<String> = gathered.unaccounted(&hashes).iter().map(ToString::to_string).collect();
    for name in followed_names(&day.resources) {
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
    let analytics: analytics::AnalyticsConfig =
        config.room("analytics").map_err(|error| Failure::usage(error, "correct rooms.analytics"))?;
    lake::rows(&analytics.directory)
        .map_err(|error| Failure::new(error, "check that the directory of rooms.analytics can be read"))
}

/// What the connector calls the content of a frame: one message, whose line end belongs to the framing of segments.
fn hashes(frame: &[u8]) -> Vec<String> {
    let pieces = split(frame, MAX_FRAME_BYTES);
    pieces.iter().filter(|piece| piece.kind != PieceKind::Empty).map(|piece| content_hash(&piece.bytes)).collect()
}

fn missing(flag: &str) -> Failure {
    Failure::usage(
        format!("WL-7069: {flag} is not given"),
        "run `cargo xtask demo`, which starts all components and names them, or name running ones with --kafka, --registry, \
         --erp, --erp-key and --fhir",
    )
}

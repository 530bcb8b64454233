//! One run, from the start of the brokers to the report.

use crate::check::gather::{Places, gather, suspect};
use crate::check::{Decided, Evidence, decide, gather::Topics, read};
use crate::clock;
use crate::load::{GARBAGE_KEY, Load, Size};
use crate::plan::{BROKERS, INSTANCES, Plan};
use crate::report::Report;
use crate::sender::{Senders, Sent};
use crate::storm::{self, Done};
use crate::system::{ERP_KEY, Options, System};
use anyhow::{Context, Result, bail, ensure};
use processor::laws::Law;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// After the healing the load goes on for so long in calm; more than half of it is far enough from the storm to judge by.
const CALM: Duration = Duration::from_secs(75);
/// A storm may take so many times as long as planned before the load runs out.
const LOAD_FACTOR: u64 = 3;
/// Longest wait until everything is accepted after the healing.
const ACCEPTED: Duration = Duration::from_secs(180);
/// Longest wait until everything is quiet after that.
const QUIET: Duration = Duration::from_secs(240);
/// Nothing new may appear for so long, which is longer than any pause between two tries.
const STILL: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_secs(2);
/// How often memory is looked at, and longest wait for brokers until it is seen whether the storm is over.
const GLANCE: Duration = Duration::from_millis(500);
/// Longest wait until brokers have what is no event: longer than brokers are away.
const DELIVERED: Duration = Duration::from_secs(120);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Seed.
    pub seed: u64,
    /// Minutes of storm.
    pub minutes: u64,
    /// Messages a second.
    pub rate: f64,
    /// Stays.
    pub encounters: u32,
    /// Kinds of faults of processes and modes of calls that are left in the plan; all when empty.
    pub only: Vec<String>,
    /// Kinds that are left out of it.
    pub without: Vec<String>,
    /// Folder of the report, of data and logs.
    pub dir: PathBuf,
    /// The program `wardline`.
    pub wardline: PathBuf,
}

/// What came of it.
pub struct Outcome {
    /// Whether all laws held.
    pub clean: bool,
    /// For machines.
    pub json: Value,
    /// For people.
    pub markdown: String,
}

/// Runs. `say` tells people what is going on.
///
/// # Errors
/// When the installation cannot be started, healed or read.
pub fn run(wanted: &Wanted, say: &(dyn Fn(&str) + Sync)) -> Result<Outcome> {
    let plan = Plan::draw(wanted.seed, wanted.minutes).only(&wanted.only).without(&wanted.without);
    let load = draw(wanted)?;
    let mut system = System::start(options(wanted, &plan)?, &|text| say(text))?;
    say(&format!("load: {} messages", load.encounters.iter().map(|one| one.messages.len()).sum::<usize>()));
    let senders = Senders::start(wanted.seed, &load.encounters, system.listeners.clone(), 8, wanted.rate);
    let (began, began_ms) = (clock::now(), clock::unix_ms());
    let done = weather(&mut system, &plan, &load, began, Duration::from_secs(wanted.minutes * 60), say)?;
    say("everything is there again; waiting until all messages are accepted");
    let sent = senders.finish(CALM, ACCEPTED, say);
    let accepted = clock::now();
    let mut settled = settle(&system, &load, &sent, say)?;
    let quiet_ms = settled.is_quiet().then(|| accepted.elapsed().as_millis());
    if !settled.is_quiet() {
        // What stands still is not lost: that is told apart by starting everything anew.
        say("it does not become quiet: killing and starting all rooms");
        system.look_for_ended(None);
        storm::start_anew(&mut system)?;
        let before = std::mem::replace(&mut settled, settle(&system, &load, &sent, say)?);
        settled.evidence.stood_still = before.open;
        settled.moving.extend(before.moving);
    }
    let Settled { mut evidence, topics, moving, .. } = settled;
    evidence.restless = moving.into_iter().collect();
    complete(&mut system, &mut evidence, &done)?;
    let decided = decide(&evidence);
    let report = Report {
        conditions: conditions(wanted),
        is_part: !wanted.only.is_empty(),
        plan: &plan,
        done: &done,
        sent: &sent,
        evidence: &evidence,
        decided: &decided,
        topics: topics.counts(),
        began_ms,
        quiet_ms,
    };
    let outcome = Outcome { clean: report.is_clean(), json: report.json(), markdown: report.markdown() };
    write(&wanted.dir, &outcome, &sent)?;
    std::fs::write(wanted.dir.join("uses.csv"), report.uses())?;
    Ok(outcome)
}

fn draw(wanted: &Wanted) -> Result<Load> {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small numbers"
    )]
    let messages = ((LOAD_FACTOR * wanted.minutes * 60 + CALM.as_secs()) as f64 * wanted.rate
        / f64::from(wanted.encounters.max(1)))
    .ceil() as u32;
    let day = schemas::Timestamp(clock::unix_ms() * 1_000 - 86_400_000_000).date().to_string().replace('-', "");
    let load = Load::draw(wanted.seed, Size { encounters: wanted.encounters, messages }, &day)?;
    let shortest = load.encounters.iter().map(|one| one.messages.len()).min().unwrap_or_default();
    // Without the reserve that is there for a storm that takes longer.
    let least = messages.div_ceil(u32::try_from(LOAD_FACTOR)?);
    ensure!(
        shortest >= usize::try_from(least)?,
        "a stay has {shortest} messages, and it takes {least} until the storm is over: have more stays (`--encounters`), or fewer \
         messages a second (`--rate`)"
    );
    Ok(load)
}

/// The program is copied, because a build may replace it in the middle of a run.
fn options(wanted: &Wanted, plan: &Plan) -> Result<Options> {
    std::fs::create_dir_all(&wanted.dir)?;
    let dir = std::fs::canonicalize(&wanted.dir)?.join("run");
    ensure!(!dir.exists(), "{} is there already: name another folder, or remove it", dir.display());
    std::fs::create_dir_all(&dir)?;
    let wardline = dir.join("wardline");
    std::fs::copy(&wanted.wardline, &wardline).with_context(|| format!("copy {}", wanted.wardline.display()))?;
    Ok(Options { wardline, dir, disk: plan.has("fill-disk"), clocks: plan.has("jump-clock") })
}

/// The storm and the healing, beside what watches memory and what writes records that are no events.
fn weather(
    system: &mut System,
    plan: &Plan,
    load: &Load,
    began: Instant,
    planned: Duration,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Done>> {
    let (bootstrap, memory) = (system.bootstrap(), system.memory.clone());
    let watching = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while watching.load(Ordering::Relaxed) {
                memory.look();
                clock::pause(GLANCE);
            }
        });
        let garbage = scope.spawn(|| put_garbage(&bootstrap, load, began, planned, &watching));
        let done = storm::run(system, plan, began, say).and_then(|done| {
            say("the storm is over: healing");
            storm::heal(system).map(|()| done)
        });
        if done.is_err() {
            // Nothing will be decided, so nobody waits for the rest of what is no event.
            watching.store(false, Ordering::Relaxed);
        }
        let put = garbage.join().unwrap_or_else(|_| bail!("the thread that writes what is no event panicked"));
        watching.store(false, Ordering::Relaxed);
        done.and_then(|done| put.map(|()| done))
    })
}

/// Records that are no events, under keys of their own, beside the load: as many before a fault as in it and after it. Which of them
/// came is seen on the topic. It ends early when nobody watches any more.
fn put_garbage(bootstrap: &str, load: &Load, began: Instant, storm: Duration, watching: &AtomicBool) -> Result<()> {
    let is_over = || !watching.load(Ordering::Relaxed);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).set("acks", "all").create()?;
    let every = storm / u32::try_from(load.garbage.len().max(1))?;
    for (number, bytes) in (0..).zip(&load.garbage) {
        let at: Duration = every * number;
        if clock::pause_unless(at.saturating_sub(began.elapsed()), is_over) {
            return Ok(());
        }
        let key = format!("{GARBAGE_KEY}{number}");
        let record = BaseRecord::to(schemas::topics::CLINICAL_SUPPLY_USAGE_V1.name()).key(&key).payload(bytes);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    // In short turns, so that it ends with the storm.
    let mut flushed = Ok(());
    clock::until(DELIVERED, Duration::ZERO, || {
        flushed = producer.flush(GLANCE);
        flushed.is_ok() || is_over()
    });
    flushed?;
    Ok(())
}

/// What lies there when it is quiet, or when the bound is over.
struct Settled {
    evidence: Evidence,
    topics: Topics,
    /// How many records have no outcome.
    open: usize,
    /// Partitions that still moved.
    moving: BTreeSet<String>,
}

impl Settled {
    fn is_quiet(&self) -> bool {
        self.open == 0 && self.moving.is_empty()
    }
}

/// Waits until nothing new appears and every record has its outcome, or the bound is over.
fn settle(system: &System, load: &Load, sent: &[Sent], say: &(dyn Fn(&str) + Sync)) -> Result<Settled> {
    let (bootstrap, registry) = (system.bootstrap(), system.registry.url());
    let lake = system.dir().join("parquet");
    let places =
        Places { bootstrap: &bootstrap, registry: &registry, erp: &system.erp_url, erp_key: ERP_KEY, lake: &lake };
    // Cursors move with every poll of a source and say nothing about work left.
    let cursor = schemas::topics::OPS_CURSOR_V1.name();
    let watched: Vec<&'static str> =
        schemas::topics::ALL.iter().map(|topic| topic.name).filter(|name| *name != cursor).collect();
    let started = clock::now();
    loop {
        let bound = QUIET.saturating_sub(started.elapsed()).max(STILL + LOOK * 2);
        let moving = still(|| read::ends(&bootstrap, &watched), bound, STILL, LOOK)?;
        let (evidence, topics) = gather(&places, load, sent, &system.supplier.taken())?;
        let lost = decide(&evidence).into_iter().find(|one: &Decided| one.law == Law::Loss1);
        let open = lost.map_or(0, |one| one.violations.len());
        let settled = Settled { evidence, topics, open, moving };
        if settled.is_quiet() {
            return Ok(settled);
        }
        say(&format!(
            "{open} records have no outcome yet and {} partitions still move, {} s after the last was accepted",
            settled.moving.len(),
            started.elapsed().as_secs()
        ));
        if started.elapsed() > QUIET {
            return Ok(settled);
        }
    }
}

/// Offset after the last record of every partition.
type Ends = BTreeMap<(&'static str, i32), i64>;

/// Waits until all ends stay where they are for so long; those that moved last when they do not within the bound.
fn still(
    ends: impl Fn() -> Result<Ends>,
    bound: Duration,
    still: Duration,
    look: Duration,
) -> Result<BTreeSet<String>> {
    let mut before = ends()?;
    let mut since = clock::now();
    let mut moved = BTreeSet::new();
    let is_still = clock::until(bound, look, || {
        match ends() {
            Ok(now) if now == before => {}
            Ok(now) => {
                let new = now.iter().filter(|(place, end)| before.get(*place) != Some(*end));
                moved = new.map(|((topic, partition), _)| format!("{topic}-{partition}")).collect();
                before = now;
                since = clock::now();
            }
            Err(error) => {
                moved = BTreeSet::from([format!("unknown ({error:#})")]);
                since = clock::now();
            }
        }
        since.elapsed() >= still
    });
    if is_still {
        moved.clear();
    } else if moved.is_empty() {
        moved.insert("unknown: there was no time to look".to_owned());
    }
    Ok(moved)
}

/// What the processes say of themselves: logs, metrics, memory.
fn complete(system: &mut System, evidence: &mut Evidence, done: &[Done]) -> Result<()> {
    evidence.faults = done.iter().map(|one| (one.began_ms, one.healed_ms)).collect();
    for room in &system.rooms {
        let name = room.process.name();
        let page = system.metrics(room.health).unwrap_or_default();
        suspect(evidence, &format!("the metrics of {name}"), &page);
    }
    for log in std::fs::read_dir(system.dir().join("logs"))? {
        let log = log?;
        let text = String::from_utf8_lossy(&std::fs::read(log.path())?).into_owned();
        let name = log.file_name().to_string_lossy().into_owned();
        for line in text.lines() {
            suspect(evidence, &format!("the log {name}"), line);
        }
    }
    evidence.overstayed.clone_from(&system.overstayed);
    evidence.doubts = [system.erp_proxy.doubts(), system.supplier_proxy.doubts()];
    system.look_for_ended(None);
    evidence.ended.clone_from(&system.ended);
    system.memory.look();
    evidence.peaks_mb = system.memory.peaks_mb();
    Ok(())
}

/// How the program that is broken was built, where that can be told: with this one, when it lies beside it.
fn built(wardline: &Path) -> &'static str {
    let own = std::env::current_exe().ok();
    if own.as_deref().and_then(Path::parent) != wardline.parent() {
        "as it was given"
    } else if cfg!(debug_assertions) {
        "without optimisation"
    } else {
        "with optimisation"
    }
}

fn conditions(wanted: &Wanted) -> Value {
    json!({
        "seed": wanted.seed,
        "minutes of storm": wanted.minutes,
        "only these faults": wanted.only,
        "messages a second": wanted.rate,
        "stays (keys)": wanted.encounters,
        "input": "HL7 v2 over MLLP, 8 connections to 2 listeners; every message is repeated until it is accepted, and 6 of 100 \
            lose their connection before the answer",
        "brokers": format!("{BROKERS} Apache Kafka (KRaft, combined), 3 copies, min.insync.replicas 2"),
        "registry": "Apicurio Registry, Confluent-compatible API",
        "ERP": "sandbox ERP, a process of its own, behind a proxy that breaks calls",
        "suppliers": "a receiver behind a proxy that breaks calls",
        "processes of each room": INSTANCES,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "built": built(&wanted.wardline),
        "load of the machine, 1 minute": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next(),
        "left out": wanted.without,
    })
}

fn write(dir: &Path, outcome: &Outcome, sent: &[Sent]) -> Result<()> {
    std::fs::write(dir.join("report.md"), &outcome.markdown)?;
    std::fs::write(dir.join("report.json"), serde_json::to_string_pretty(&outcome.json)?)?;
    std::fs::write(dir.join("sent.json"), serde_json::to_string_pretty(sent)?)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use std::cell::Cell;

    const SHORT: Duration = Duration::from_millis(40);
    const LOOK: Duration = Duration::from_millis(1);

    #[test]
    fn what_still_moves_when_time_is_up_is_named() {
        let end = Cell::new(0);
        let moves = || {
            end.set(end.get() + 1);
            Ok(Ends::from([(("a", 0), 1), (("b", 2), end.get())]))
        };
        assert_eq!(still(moves, SHORT, SHORT * 10, LOOK).unwrap(), BTreeSet::from(["b-2".to_owned()]));
        let stands = || Ok(Ends::from([(("a", 0), 1)]));
        assert_eq!(still(stands, SHORT * 100, SHORT, LOOK).unwrap(), BTreeSet::new());
        let asked = Cell::new(0);
        let silent = || {
            asked.set(asked.get() + 1);
            if asked.get() > 1 { bail!("no broker answers") } else { Ok(Ends::new()) }
        };
        assert_eq!(still(silent, SHORT, SHORT * 10, LOOK).unwrap().len(), 1);
    }

    #[test]
    fn a_load_that_cannot_last_is_refused() {
        let wanted = |minutes, encounters| Wanted {
            seed: 1,
            minutes,
            rate: 5.0,
            encounters,
            only: Vec::new(),
            without: Vec::new(),
            dir: PathBuf::new(),
            wardline: PathBuf::new(),
        };
        assert!(draw(&wanted(30, 40)).is_ok());
        assert!(draw(&wanted(30, 5)).unwrap_err().to_string().contains("--encounters"));
    }
}

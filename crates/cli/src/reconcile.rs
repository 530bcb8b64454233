//! `wardline reconcile`: what was acknowledged, what became of it, and whether the ERP and the suppliers say the same.

use crate::args::{Globals, Reconcile};
use crate::output::{self, Output};
use crate::parts::{self, Choice, Part};
use crate::{Failure, context, rooms, run, system};
use connector::erp::Erp;
use erp_post::ErpPostConfig;
use indicatif::ProgressBar;
use jiff::SignedDuration;
use operations::reconcile::{
    self, AskError, CollectError, ItemsError, Kept, Options, Raised, ReconcileError, Report, Room, WaitingRow, Watch,
    Window,
};
use runtime::codec::Codec;
use runtime::health::Health;
use runtime::metrics::ReconcileMetrics;
use runtime::{Config, Shutdown, clock};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is compared when nothing is said.
const USUAL: SignedDuration = SignedDuration::from_hours(24);
/// Shortest time between two comparisons.
const EVERY_MIN: SignedDuration = SignedDuration::from_secs(10);
/// Differences that are printed.
const SHOWN: usize = 50;

/// Executes `wardline reconcile`.
pub fn execute(globals: &Globals, options: &Reconcile) -> Result<(), Failure> {
    let mut config = context::running(globals)?;
    let choice = Choice::of(globals, &context::file(globals)?);
    if choice.embeds(Part::Erp) {
        // Like the other parts that nobody names: the one that `wardline up` has started on this machine.
        parts::find_sandbox(&mut config);
    }
    check(options)?;
    context::block_on(async {
        match options.every {
            None => once(&config, options).await,
            Some(every) => for_ever(&config, options, every).await,
        }
    })?
}

/// What can be refused before anything is read.
fn check(options: &Reconcile) -> Result<(), Failure> {
    let usage = |what: String, next: &str| Err(Failure::usage(format!("WL-7181: {what}"), next));
    if options.last.is_some_and(|last| last <= SignedDuration::ZERO) {
        return usage("the window is empty".to_owned(), "write --last like 24h or 90m");
    }
    if options.every.is_some_and(|every| every < EVERY_MIN) {
        return usage("--every is too short".to_owned(), "give it 10 s or more");
    }
    let form = |path: &Path| path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    match &options.report {
        Some(path) if !matches!(form(path).as_deref(), Some("html" | "md")) => Err(Failure::usage(
            format!("WL-7185: a report is HTML or Markdown, and {} is neither", path.display()),
            "name a file that ends with .html or .md",
        )),
        _ => Ok(()),
    }
}

async fn once(config: &Config, options: &Reconcile) -> Result<(), Failure> {
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let signal = system::signal();
    let bar = output::spinner("records read");
    let watch = Arc::new(Bar { bar: bar.clone(), signal });
    let asked = asked(config, options, window(options, now_ms())?)?;
    let report = reconcile::reconcile(config, Arc::clone(&codec), &asked, watch).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| failed(&error))?;
    if let Some(path) = &options.report {
        write(path, &report)?;
    }
    keep(config, &report).await?;
    let recorded = on_record(config, &codec, &report).await;
    let raised = if options.raise {
        Some(reconcile::raise(config, codec, &report).await.map_err(|error| not_raised(&error))?)
    } else {
        None
    };
    show(&report, raised, options)?;
    recorded?;
    match report.total() {
        0 => Ok(()),
        total => Err(Failure::new(
            format!("WL-7187: {total} differences"),
            "each says what to do next; `--raise` makes work items of them, `--report FILE.html` a report to sign",
        )),
    }
}

/// Compares again and again until it is stopped. What fails once is tried again at the next time.
async fn for_ever(config: &Config, options: &Reconcile, every: SignedDuration) -> Result<(), Failure> {
    let _telemetry = run::start_telemetry(config, "reconcile")?;
    let signal = system::signal();
    let health = Health::new();
    let told = health.room("reconcile");
    let _server = health.serve(&config.http.listen).await.map_err(|error| {
        Failure::new(
            format!("WL-7061: cannot listen on {}: {error}", config.http.listen),
            "set http.listen to a free address, or stop the process that has it",
        )
    })?;
    let codec = Arc::new(Codec::new(&config.registry).map_err(Failure::registry)?);
    let metrics = ReconcileMetrics::new(reconcile::Kind::ALL.map(reconcile::Kind::as_str));
    let period = Duration::try_from(every).unwrap_or_default();
    while !signal.requested() {
        let started = clock::tick();
        match compare(config, options, &codec, &signal).await {
            Ok((report, raised)) => {
                told.ready();
                metrics.ran(report.by_kind.iter().map(|(kind, count)| (kind.as_str(), *count)), report.at_ms);
                tracing::info!(
                    differences = report.total(),
                    late = report.late,
                    raised = raised.raised,
                    resolved = raised.resolved,
                    took_ms = report.took_ms,
                    "reconciled"
                );
            }
            Err(_) if signal.requested() => break,
            Err(failure) => {
                metrics.failed();
                tracing::error!(%failure, "not reconciled; it is tried again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(period.saturating_sub(clock::tick().since(started))) => {}
            () = signal.wait() => {}
        }
    }
    told.draining();
    Ok(())
}

async fn compare(
    config: &Config,
    options: &Reconcile,
    codec: &Arc<Codec>,
    signal: &Shutdown,
) -> Result<(Report, Raised), Failure> {
    let watch = Arc::new(Bar { bar: ProgressBar::hidden(), signal: signal.clone() });
    let asked = asked(config, options, window(options, now_ms())?)?;
    let report =
        reconcile::reconcile(config, Arc::clone(codec), &asked, watch).await.map_err(|error| failed(&error))?;
    let report = Report { every_s: options.every.and_then(|every| u64::try_from(every.as_secs()).ok()), ..report };
    // The work items are worth more than the file and the record of it.
    if let Err(failure) = keep(config, &report).await {
        tracing::error!(%failure, "the report is not kept");
    }
    if let Err(failure) = on_record(config, codec, &report).await {
        tracing::error!(%failure, "that a comparison was made is not on record");
    }
    let raised = reconcile::raise(config, Arc::clone(codec), &report).await.map_err(|error| not_raised(&error))?;
    Ok((report, raised))
}

/// Shows progress on a terminal, and stops with the process.
struct Bar {
    bar: ProgressBar,
    signal: Shutdown,
}

impl Watch for Bar {
    fn read(&self, topic: &str, records: u64) {
        self.bar.set_message(format!("records of {topic}:"));
        self.bar.set_position(records);
    }

    fn stopped(&self) -> bool {
        self.signal.requested()
    }
}

fn asked(config: &Config, options: &Reconcile, window: Window) -> Result<Options, Failure> {
    let erp = if options.without_erp { None } else { Some(erp(config)?) };
    let room = options.scratch.clone().map_or_else(Room::default, |folder| Room { folder, ..Room::default() });
    let rooms = rooms::all().iter().map(|room| room.info().clone()).collect();
    Ok(Options { window, rooms, erp, actor: options.actor.clone(), room, settled: false })
}

/// The ERP that `erp-post` posts to.
pub fn erp(config: &Config) -> Result<Arc<dyn Erp>, Failure> {
    let block: ErpPostConfig = context::room(config, erp_post::NAME)?;
    let opened = block.system.open(&block.tryton, &block.sandbox);
    opened
        .map(|opened| opened.erp)
        .map_err(|error| Failure::usage(error, "correct rooms.erp-post of the configuration"))
}

fn window(options: &Reconcile, now_ms: i64) -> Result<Window, Failure> {
    let Some(from) = &options.from_time else {
        let last = i64::try_from(options.last.unwrap_or(USUAL).as_millis()).unwrap_or(i64::MAX);
        return Ok(Window { from_ms: now_ms.saturating_sub(last), until_ms: now_ms });
    };
    let from_ms = milliseconds(from)?;
    // What lies ahead is not there yet.
    let until_ms = options.until_time.as_deref().map_or(Ok(now_ms), milliseconds)?.min(now_ms);
    if from_ms >= until_ms {
        let what = format!("WL-7181: the window is empty: it begins at {from} and ends before that");
        return Err(Failure::usage(what, "give a --from-time in the past and a later --until-time"));
    }
    Ok(Window { from_ms, until_ms })
}

fn milliseconds(text: &str) -> Result<i64, Failure> {
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|error| {
        Failure::usage(format!("WL-7181: {text} is not a time: {error}"), "write it like 2026-03-01T08:00:00Z")
    })
}

fn now_ms() -> i64 {
    clock::now_micros() / 1_000
}

fn write(path: &Path, report: &Report) -> Result<(), Failure> {
    let is_html = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("html"));
    let text = if is_html { reconcile::report::page(report) } else { reconcile::report::markdown(report) };
    std::fs::write(path, text).map_err(|error| {
        let what = format!("WL-7185: the report cannot be written to {}: {error}", path.display());
        Failure::new(what, "name a file that can be written")
    })
}

/// Keeps the report in the folder of the configuration, where it names one.
async fn keep(config: &Config, report: &Report) -> Result<(), Failure> {
    let failed =
        |error: String| Failure::new(error, "set operations.reconcile.reports_dir to a folder that can be written");
    let Some(kept) = Kept::of(config).map_err(|error| failed(error.to_string()))? else { return Ok(()) };
    let report = report.clone();
    let keeping = tokio::task::spawn_blocking(move || kept.keep(&report));
    let done = keeping.await.map_err(|error| failed(format!("WL-7280: the report is not kept: {error}")))?;
    done.map(|_| ()).map_err(|error| failed(error.to_string()))
}

/// Puts on record who compared what, as the console does.
async fn on_record(config: &Config, codec: &Arc<Codec>, report: &Report) -> Result<(), Failure> {
    reconcile::record::record(config, Arc::clone(codec), report, "cli").await.map_err(|error| {
        Failure::new(
            format!("WL-1483: that a comparison was made could not be put on record: {error}"),
            "let this user write ops.audit.v1, then run it again",
        )
    })
}

fn show(report: &Report, raised: Option<Raised>, options: &Reconcile) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if options.json {
        output.json(&json!({"report": report, "raised": raised}))?;
        return output.finish();
    }
    output.line(reconcile::report::verdict(report))?;
    let rows: Vec<Vec<String>> = report
        .rooms
        .iter()
        .map(|(room, counts)| {
            let numbers = [counts.read, counts.emitted, counts.duplicate, counts.dropped];
            let more = [counts.exception, counts.dead_letter, counts.late, counts.missing];
            std::iter::once(room.clone())
                .chain(numbers.into_iter().chain(more).map(|number| number.to_string()))
                .collect()
        })
        .collect();
    if !rows.is_empty() {
        output.line("")?;
        output.table(
            &["ROOM", "READ", "EMITTED", "DUPLICATE", "DROPPED", "EXCEPTION", "DEAD", "LATE", "MISSING"],
            &rows,
        )?;
    }
    let rows: Vec<Vec<String>> = report.waiting.iter().map(waiting_row).collect();
    if !rows.is_empty() {
        output.line("")?;
        output.table(&["WAITS IN", "CURRENCY", "EVENTS", "WORTH", "WITHOUT AMOUNT"], &rows)?;
    }
    let rows: Vec<Vec<String>> = report
        .cost_centres
        .iter()
        .map(|row| {
            let money = row.compared;
            let [posted, rounding] = [money.posted, money.rounding].map(reconcile::report::shown_whole);
            let [booked, difference] = [money.booked, money.difference()].map(reconcile::report::shown);
            let numbers = [posted, rounding, booked, difference];
            [&row.cost_centre, &row.name, &row.currency].into_iter().cloned().chain(numbers).collect()
        })
        .collect();
    if !rows.is_empty() {
        output.line("")?;
        output.table(&["COST CENTRE", "NAME", "CURRENCY", "POSTED", "ROUNDING", "IN THE ERP", "DIFFERENCE"], &rows)?;
    }
    for difference in report.differences.iter().take(SHOWN) {
        output.line("")?;
        output.line(format!("{} {}: {}", difference.code, difference.kind.words(), difference.message))?;
        output.line(format!("  next: {}", difference.next))?;
    }
    let more = report.total().saturating_sub(SHOWN as u64);
    if more > 0 {
        output.line(format!("\nand {more} more: --json or --report FILE has them"))?;
    }
    output.finish()?;
    if let Some(Raised { raised, open, left, resolved }) = raised {
        output::note(&format!(
            "work items: {raised} raised, {open} open already, {left} left discarded, {resolved} resolved"
        ));
    }
    Ok(())
}

fn failed(error: &ReconcileError) -> Failure {
    let next = match error {
        ReconcileError::Window { .. } => "give a --from-time in the past and a later --until-time",
        ReconcileError::Ask(AskError::Collect(CollectError::Spill(_)))
        | ReconcileError::Collect(CollectError::Spill(_)) => "name a folder with room with --scratch",
        ReconcileError::Ask(AskError::Collect(CollectError::Stopped))
        | ReconcileError::Collect(CollectError::Stopped) => "run it again",
        ReconcileError::Ask(_) => {
            "check --erp, --erp-key and --erp-system, or compare the topics alone with --without-erp"
        }
        ReconcileError::Collect(CollectError::Wire(_)) => return Failure::registry(error),
        ReconcileError::Collect(_) | ReconcileError::Thread(_) => return Failure::kafka(error),
    };
    Failure::new(error, next)
}

fn not_raised(error: &ItemsError) -> Failure {
    Failure::new(error, "the report stands; run it again with --raise when Kafka and the registry answer")
}

fn waiting_row(row: &WaitingRow) -> Vec<String> {
    let money = &row.money;
    let worth = reconcile::report::shown_whole(money.amount);
    vec![row.room.clone(), row.currency.clone(), money.count.to_string(), worth, money.without_amount.to_string()]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser as _;

    fn typed(arguments: &[&str]) -> Reconcile {
        let all = [&["wardline", "reconcile"], arguments].concat();
        match Arguments::try_parse_from(all).unwrap().command {
            Command::Reconcile(options) => options,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_window_is_the_last_day_or_what_is_said() {
        let now = 1_772_600_000_000;
        let of = |arguments: &[&str]| window(&typed(arguments), now);
        assert_eq!(of(&[]), Ok(Window { from_ms: now - 86_400_000, until_ms: now }));
        assert_eq!(of(&["--last", "90m"]), Ok(Window { from_ms: now - 5_400_000, until_ms: now }));
        let day = of(&["--from-time", "2026-03-01T00:00:00Z", "--until-time", "2026-03-02T00:00:00Z"]).unwrap();
        assert_eq!(day.until_ms - day.from_ms, 86_400_000);
        assert_eq!(of(&["--from-time", "2026-03-01T00:00:00Z"]).unwrap().until_ms, now);
        for wrong in [&["--from-time", "yesterday"][..], &["--from-time", "2030-01-01T00:00:00Z"]] {
            assert!(of(wrong).is_err_and(|failure| failure.to_string().contains("WL-7181")), "{wrong:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_read() {
        for (wrong, code) in [
            (&["--last", "0s"][..], "WL-7181"),
            (&["--every", "1s"], "WL-7181"),
            (&["--report", "report.pdf"], "WL-7185"),
        ] {
            assert!(check(&typed(wrong)).is_err_and(|failure| failure.to_string().contains(code)), "{wrong:?}");
        }
        assert_eq!(check(&typed(&["--every", "15m", "--last", "36h"])), Ok(()));
        assert_eq!(check(&typed(&["--report", "report.HTML", "--raise"])), Ok(()));
    }
}

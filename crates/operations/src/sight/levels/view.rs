//! Everything that follows the topics all day long, and the same once for a question.

use runtime::codec::Codec;
use runtime::{Config, Shutdown, clock};
use schemas::{Criticality, topics};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;

use super::book::{Book, Day};
use super::{ClassReport, LevelAlert, LevelsSnapshot, SightConfig};
use crate::Zone;
use crate::exceptions::Cause;
use crate::sight::SightError;
use crate::sight::activity::{self, DomainActivity, Ledger};
use crate::sight::facts::Seen;
use crate::sight::follow::{Positions, Source};

/// Between two looks at the clock while records come.
const TURN: Duration = Duration::from_secs(1);
/// Pause after a failure; each further one in a row waits double, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// While it pauses it looks so often whether it is to stop.
const REST_SLICE: Duration = Duration::from_millis(200);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Follows the topics and knows at any time how the service levels and the domains stand. Clones share one follower.
#[derive(Clone)]
pub struct LevelsView {
    eye: Arc<Mutex<Eye>>,
    task: Arc<JoinHandle<()>>,
}

/// Gives the open causes of what waits.
type Causes = Box<dyn Fn() -> Vec<Cause> + Send>;

/// All accounts. What it holds is bounded by [`SightConfig`].
struct Eye {
    config: SightConfig,
    zone: jiff::tz::TimeZone,
    day: Day,
    books: Vec<Book>,
    ledgers: Vec<Ledger>,
    caught_up: bool,
    problem: Option<String>,
}

impl LevelsView {
    /// Starts to follow; the first numbers come when all of today is read. It ends when the stop is asked for, and goes on by
    /// itself after a failure, from the beginning of today.
    ///
    /// # Errors
    /// When the block `operations.sight` is not understood, or its time zone is not known.
    pub fn start(config: Arc<Config>, shutdown: Shutdown) -> Result<Self, SightError> {
        Self::naming(config, shutdown, Vec::new)
    }

    /// As [`LevelsView::start`], with the cause of each level at risk on the page of metrics. `causes` gives those that are open, as
    /// [`ExceptionsView::causes`](crate::exceptions::ExceptionsView::causes) does; it is asked only while a level is at risk.
    ///
    /// # Errors
    /// As there.
    pub fn naming(
        config: Arc<Config>,
        shutdown: Shutdown,
        causes: impl Fn() -> Vec<Cause> + Send + 'static,
    ) -> Result<Self, SightError> {
        let causes: Causes = Box::new(causes);
        let first = Eye::new(&config)?;
        let eye = Arc::new(Mutex::new(first));
        let shared = Arc::clone(&eye);
        let handle = Handle::current();
        // A thread of its own: one of the runtime's would be waited for at the end, however long Kafka is silent.
        let thread = std::thread::Builder::new().name("service-levels".to_owned());
        let task = thread.spawn(move || {
            let mut pause = PAUSE;
            while !shutdown.requested() {
                if let Err(error) = run(&config, &handle, &shared, &causes, &shutdown, &mut pause) {
                    tracing::warn!(%error, "service levels cannot be followed");
                    lock(&shared).problem = Some(error.to_string());
                    rest(pause, &shutdown);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        });
        let task = task.map_err(|error| SightError::Stopped(error.to_string()))?;
        Ok(Self { eye, task: Arc::new(task) })
    }

    /// How the service levels stand now.
    #[must_use]
    pub fn snapshot(&self) -> LevelsSnapshot {
        lock(&self.eye).snapshot(now_ms())
    }

    /// What the domains did in the last hours.
    #[must_use]
    pub fn activity(&self) -> Vec<DomainActivity> {
        lock(&self.eye).activity(now_ms())
    }

    /// Whether the follower runs; it ends only when the stop was asked for.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

/// How the service levels and the domains stand: reads today once.
///
/// # Errors
/// When a topic cannot be read or the configuration is not understood.
pub async fn today(config: Arc<Config>) -> Result<(LevelsSnapshot, Vec<DomainActivity>), SightError> {
    let handle = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let read = read_today(&config, &handle, &|| false)?;
        let (eye, _) = read.ok_or_else(|| SightError::Stopped("the reading of today".to_owned()))?;
        let now = now_ms();
        Ok((eye.snapshot(now), eye.activity(now)))
    });
    reading.await.map_err(|error| SightError::Stopped(error.to_string()))?
}

/// Waits, unless the stop is asked for.
fn rest(pause: Duration, shutdown: &Shutdown) {
    let started = clock::tick();
    while clock::tick().since(started) < pause && !shutdown.requested() {
        std::thread::park_timeout(REST_SLICE);
    }
}

/// Reads today, and then follows until the stop or a failure.
fn run(
    config: &Config,
    handle: &Handle,
    shared: &Mutex<Eye>,
    causes: &Causes,
    stop: &Shutdown,
    pause: &mut Duration,
) -> Result<(), SightError> {
    let Some((eye, mut positions)) = read_today(config, handle, &|| stop.requested())? else { return Ok(()) };
    let source = eye.source(config, handle)?;
    *lock(shared) = eye;
    *pause = PAUSE;
    let mut turned = clock::tick();
    publish(shared, causes);
    source.follow(&mut positions, |seen| {
        if let Some(seen) = seen {
            lock(shared).take(&seen);
        }
        if clock::tick().since(turned) >= TURN {
            turned = clock::tick();
            lock(shared).turn(now_ms());
            publish(shared, causes);
        }
        if stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Nothing when it was stopped meanwhile: what is half read is not worth having.
fn read_today(
    config: &Config,
    handle: &Handle,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<(Eye, Positions)>, SightError> {
    let mut eye = Eye::new(config)?;
    let source = eye.source(config, handle)?;
    let back_ms = i64::from(eye.config.lookback_hours).saturating_mul(3_600_000);
    let (since_ms, most) = (eye.day.start_ms.saturating_sub(back_ms), eye.config.waiting_max);
    let caught_up = source.catch_up(since_ms, now_ms(), most, stopped, |seen| eye.take(&seen))?;
    let Some(positions) = caught_up else { return Ok(None) };
    eye.turn(now_ms());
    eye.caught_up = true;
    Ok(Some((eye, positions)))
}

/// Puts the numbers on the page of metrics.
fn publish(shared: &Mutex<Eye>, causes: &Causes) {
    let mut snapshot = lock(shared).snapshot(now_ms());
    if !snapshot.alerts.is_empty() {
        snapshot.name_causes(&causes());
    }
    runtime::metrics::service_level_causes(
        &snapshot.alerts.iter().filter_map(LevelAlert::measured).collect::<Vec<_>>(),
    );
    for level in &snapshot.levels {
        runtime::metrics::service_level(&runtime::metrics::ServiceLevelNumbers {
            level: level.name,
            class: level.class.as_str(),
            target_ratio: level.target_percent / 100.0,
            attainment_ratio: level.attainment_percent.map(|percent| percent / 100.0),
            events: [
                ("in-time", level.in_time),
                ("late", level.late),
                ("lost", level.lost),
                ("left-out", level.left_out),
                ("waiting", level.waiting),
                ("overdue", level.overdue),
            ],
            oldest_waiting_s: level.oldest_waiting_s,
            median_ms: level.median_ms,
            p99_ms: level.p99_ms,
            budget: level.budget,
            budget_used: level.budget_used,
            breach_in_s: level.breach_at_ms.map(|at| ((at - snapshot.at_ms) / 1_000).max(0)),
        });
    }
}

impl Eye {
    fn new(config: &Config) -> Result<Self, SightError> {
        let zone = Zone::of(config)?.zone().clone();
        let config: SightConfig = config.operation("sight").map_err(|error| SightError::Question(error.to_string()))?;
        let day = day_of(now_ms(), &zone);
        let bounds = config.bounds();
        let books = topics::SERVICE_LEVELS.iter().map(|level| Book::new(level, bounds, day)).collect();
        let ledgers = activity::ledgers(bounds);
        Ok(Self { config, zone, day, books, ledgers, caught_up: false, problem: None })
    }

    fn source(&self, config: &Config, handle: &Handle) -> Result<Source, SightError> {
        let recorded = self.books.iter().flat_map(Book::recorded_topics).collect();
        Ok(Source {
            kafka: config.kafka.clone(),
            codec: Codec::new(&config.registry)?,
            handle: handle.clone(),
            recorded,
        })
    }

    fn take(&mut self, seen: &Seen) {
        self.books.iter_mut().for_each(|book| book.take(seen));
        self.ledgers.iter_mut().for_each(|ledger| ledger.take(seen));
    }

    fn turn(&mut self, now_ms: i64) {
        self.day = day_of(now_ms, &self.zone);
        self.books.iter_mut().for_each(|book| book.turn(self.day, now_ms));
        self.ledgers.iter_mut().for_each(|ledger| ledger.turn(now_ms));
    }

    fn snapshot(&self, now_ms: i64) -> LevelsSnapshot {
        let mut levels: Vec<_> = self.books.iter().map(|book| book.report(now_ms)).collect();
        if !self.caught_up {
            // Half-read numbers must not say that all is well.
            levels.iter_mut().filter(|level| level.state == super::LevelState::Met).for_each(|level| {
                level.state = super::LevelState::OnCourse;
            });
        }
        let classes = [Criticality::PatientAdjacent, Criticality::Operational, Criticality::Analytical];
        let classes = classes.into_iter().filter_map(|class| {
            let of_class: Vec<_> = levels.iter().filter(|level| level.class == class).collect();
            (!of_class.is_empty()).then(|| ClassReport {
                class,
                waiting: of_class.iter().map(|level| level.waiting).sum(),
                oldest_waiting_s: of_class.iter().map(|level| level.oldest_waiting_s).max().unwrap_or_default(),
            })
        });
        let alert = |level| LevelAlert::of(level, now_ms, self.config.alert_within_s);
        LevelsSnapshot {
            alerts: levels.iter().filter_map(alert).collect(),
            at_ms: now_ms,
            day_start_ms: self.day.start_ms,
            caught_up: self.caught_up,
            problem: self.problem.clone(),
            classes: classes.collect(),
            levels,
        }
    }

    fn activity(&self, now_ms: i64) -> Vec<DomainActivity> {
        self.ledgers.iter().map(|ledger| ledger.report(now_ms)).collect()
    }
}

/// The day that this moment is in, at this place.
fn day_of(now_ms: i64, zone: &jiff::tz::TimeZone) -> Day {
    let whole_days = || {
        let start_ms = now_ms - now_ms.rem_euclid(86_400_000);
        Day { start_ms, end_ms: start_ms + 86_400_000 }
    };
    let day = || {
        let start = jiff::Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone()).start_of_day().ok()?;
        let end = start.tomorrow().ok()?.start_of_day().ok()?;
        Some(Day { start_ms: start.timestamp().as_millisecond(), end_ms: end.timestamp().as_millisecond() })
    };
    day().unwrap_or_else(whole_days)
}

fn now_ms() -> i64 {
    clock::now_micros() / 1_000
}

fn lock(eye: &Mutex<Eye>) -> MutexGuard<'_, Eye> {
    eye.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_from_midnight_to_midnight_of_its_place() {
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let at: jiff::Timestamp = "2026-03-29T12:00:00Z".parse().unwrap();
        let day = day_of(at.as_millisecond(), &zone);
        // The clocks go forward on this day.
        assert_eq!(day.end_ms - day.start_ms, 23 * 3_600_000);
        assert_eq!(crate::sight::time_text(day.start_ms), "2026-03-28T23:00:00.000Z");
    }

    #[test]
    fn a_time_zone_that_is_not_known_and_a_misspelt_key_are_refused() {
        let refused = |block: serde_json::Value| {
            let mut config = Config::default();
            config.operations.insert("sight".to_owned(), block);
            Eye::new(&config).err().unwrap().to_string()
        };
        assert!(refused(serde_json::json!({"time_zone": "Mars/Base"})).starts_with("WL-7192: "));
        assert!(refused(serde_json::json!({"time_zon": "UTC"})).contains("time_zon"));
    }

    #[test]
    fn a_level_is_at_risk_while_events_are_overdue_and_the_breach_is_near() {
        let eye = Eye::new(&Config::default()).unwrap();
        let level = eye.snapshot(now_ms()).levels.remove(0);
        let at_risk = |overdue, breach_at_ms| {
            let level = crate::sight::levels::LevelReport { overdue, breach_at_ms, ..level.clone() };
            LevelAlert::of(&level, 1_000_000, 60).is_some()
        };
        assert!(at_risk(1, Some(1_059_999)) && at_risk(3, Some(5)), "soon, and already");
        assert!(!at_risk(1, Some(1_060_000)), "not soon");
        assert!(!at_risk(0, Some(5)) && !at_risk(1, None), "nothing waits, or nothing breaks");
    }

    #[tokio::test]
    async fn it_stops_while_it_asks_a_broker_that_says_nothing() {
        // The system takes the connection, and nobody ever answers what it brings.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.kafka.bootstrap = silent.local_addr().unwrap().to_string();
        let (trigger, stop) = runtime::shutdown();
        let view = LevelsView::start(Arc::new(config), stop).unwrap();
        let _asked = tokio::task::spawn_blocking(move || silent.accept().unwrap()).await.unwrap();
        trigger.stop();
        let ended = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while view.is_running() {
                look.tick().await;
            }
        };
        // Less than one answer of a broker may take, which is a quarter of a minute.
        tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    }

    #[test]
    fn nothing_is_met_before_all_is_read() {
        let eye = Eye::new(&Config::default()).unwrap();
        let snapshot = eye.snapshot(now_ms());
        assert!(!snapshot.caught_up && snapshot.levels.len() == topics::SERVICE_LEVELS.len());
        let classes: Vec<_> = snapshot.classes.iter().map(|class| class.class).collect();
        assert_eq!(classes, [Criticality::PatientAdjacent, Criticality::Operational]);
    }
}

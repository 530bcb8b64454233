//! Comparisons that people start here: one at a time, in the background, with progress for everybody who looks.
//!
//! What a comparison finds becomes work items, which are on a topic and shown by every console. The reports themselves are held
//! by the process that made them, and are kept where the configuration names a folder; that one was made is on the audit topic.

use crate::kept::KeptReports;
use crate::problem::Problem;
use crate::trail::{Entry, Trail};
use axum::http::StatusCode;
use connector::erp::Erp;
use operations::reconcile::{self, Options, Raised, Report, Room, Watch, Window};
use runtime::codec::Codec;
use runtime::{Config, RoomInfo, Shutdown, clock};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reports that are held.
const REPORTS_MAX: usize = 10;
/// Differences of a report that are held; the others are counted, and are work items where these were asked for.
const DIFFERENCES_MAX: usize = 1_000;

/// The comparisons of this process.
#[derive(Clone)]
pub struct Comparisons {
    state: Arc<Mutex<State>>,
    /// Asks the one under way to end.
    is_given_up: Arc<AtomicBool>,
    stop: Shutdown,
    /// What outlives this process.
    pub kept: KeptReports,
}

#[derive(Default)]
struct State {
    under_way: Option<UnderWay>,
    failed: Option<Failed>,
    /// Newest first.
    made: VecDeque<Arc<Made>>,
}

/// A comparison that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderWay {
    /// Who asked for it.
    pub by: String,
    /// When it began, milliseconds since 1970.
    pub started_ms: i64,
    /// What is compared.
    pub window: Window,
    /// The topic that is being read; none before that and after.
    pub topic: Option<String>,
    /// Records that were read of it.
    pub records: u64,
}

/// The last one, when there is no report of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Who asked for it.
    pub by: String,
    /// When it ended, milliseconds since 1970.
    pub at_ms: i64,
    /// Why.
    pub why: String,
}

/// A comparison that was made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// What it found; of many differences the first.
    pub report: Report,
    /// What became of the work items; none where they were not asked for, or not written.
    pub raised: Option<Raised>,
    /// Why work items were not written.
    pub not_raised: Option<String>,
    /// Why the report goes with this process, although reports are kept.
    pub not_kept: Option<String>,
}

/// What there is to see.
pub struct Seen {
    /// The one under way.
    pub under_way: Option<UnderWay>,
    /// Why there is no report of the last one.
    pub failed: Option<Failed>,
    /// Newest first.
    pub made: Vec<Arc<Made>>,
}

/// What is compared, and how.
pub struct Asked {
    /// The installation.
    pub config: Arc<Config>,
    /// Reads events.
    pub codec: Arc<Codec>,
    /// All rooms.
    pub rooms: Vec<RoomInfo>,
    /// The ERP; without it postings are compared with effect records alone.
    pub erp: Option<Arc<dyn Erp>>,
    /// The time.
    pub window: Window,
    /// Whether differences become work items.
    pub raise: bool,
    /// Who asks.
    pub by: String,
}

impl Comparisons {
    /// None yet; one under way ends when the stop is asked for.
    pub fn new(stop: Shutdown, kept: KeptReports) -> Self {
        Self { state: Arc::default(), is_given_up: Arc::default(), stop, kept }
    }

    /// Begins one in the background.
    ///
    /// # Errors
    /// When one is under way.
    pub fn begin(&self, asked: Asked, trail: &Trail) -> Result<(), Problem> {
        {
            let mut state = lock(&self.state);
            if let Some(under_way) = &state.under_way {
                let detail = format!("{} compares already, and one comparison is made at a time", under_way.by);
                let problem = Problem::new(StatusCode::CONFLICT, "WL-7214", "Under way already", detail);
                return Err(problem.next("wait for its report, or give it up"));
            }
            let (by, window) = (asked.by.clone(), asked.window);
            let started_ms = now_ms();
            state.under_way = Some(UnderWay { by, started_ms, window, topic: None, records: 0 });
            state.failed = None;
        }
        self.is_given_up.store(false, Ordering::Release);
        let (this, trail) = (self.clone(), trail.clone());
        tokio::spawn(async move {
            // A panic inside must not leave it under way for ever.
            let carried = tokio::spawn({
                let this = this.clone();
                async move { this.carry(asked, &trail).await }
            });
            if let Err(error) = carried.await {
                this.ended(Err(format!("WL-7137: {error}")));
            }
        });
        Ok(())
    }

    /// Gives the one under way up; says whether there is one.
    pub fn give_up(&self) -> bool {
        self.is_given_up.store(true, Ordering::Release);
        lock(&self.state).under_way.is_some()
    }

    /// What there is to see.
    pub fn seen(&self) -> Seen {
        let state = lock(&self.state);
        let (under_way, failed) = (state.under_way.clone(), state.failed.clone());
        Seen { under_way, failed, made: state.made.iter().cloned().collect() }
    }

    async fn carry(&self, asked: Asked, trail: &Trail) {
        let options = Options {
            window: asked.window,
            rooms: asked.rooms,
            erp: asked.erp,
            actor: asked.by.clone(),
            room: Room::default(),
            settled: false,
        };
        let watch = Arc::new(self.clone());
        let made = reconcile::reconcile(&asked.config, Arc::clone(&asked.codec), &options, watch).await;
        let mut report = match made {
            Ok(report) => report,
            Err(error) => return self.ended(Err(error.to_string())),
        };
        // Asked for behind the last look at it: who gave it up was told that there is no report, and wants no work made of it.
        if self.stopped() {
            return self.ended(Err(reconcile::CollectError::Stopped.to_string()));
        }
        let (mut raised, mut not_raised) = (None, None);
        if asked.raise {
            match reconcile::raise(&asked.config, asked.codec, &report).await {
                Ok(done) => raised = Some(done),
                Err(error) => not_raised = Some(error.to_string()),
            }
        }
        let entry = Entry {
            code: reconcile::record::COMPARED.to_owned(),
            detail: reconcile::record::said(&report),
            actor: Some(asked.by),
            ..Entry::default()
        };
        if let Err(problem) = trail.record(entry).await {
            tracing::warn!(detail = problem.detail, "that a comparison was made is not on record");
        }
        let not_kept = self.keep(&report).await;
        report.truncated |= report.differences.len() > DIFFERENCES_MAX;
        report.differences.truncate(DIFFERENCES_MAX);
        self.ended(Ok(Made { report, raised, not_raised, not_kept }));
    }

    /// Says why it is not kept, although it should be.
    async fn keep(&self, report: &Report) -> Option<String> {
        let (kept, whole) = (self.kept.clone(), report.clone());
        let keeping = tokio::task::spawn_blocking(move || kept.keep(&whole));
        match keeping.await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn ended(&self, made: Result<Made, String>) {
        let mut state = lock(&self.state);
        let by = state.under_way.take().map(|under_way| under_way.by).unwrap_or_default();
        match made {
            Ok(made) => {
                state.made.truncate(REPORTS_MAX - 1);
                state.made.push_front(Arc::new(made));
            }
            Err(why) => {
                tracing::warn!(why, "a comparison has no report");
                state.failed = Some(Failed { by, at_ms: now_ms(), why });
            }
        }
    }
}

impl Watch for Comparisons {
    fn read(&self, topic: &str, records: u64) {
        if let Some(under_way) = &mut lock(&self.state).under_way {
            under_way.records = records;
            if under_way.topic.as_deref() != Some(topic) {
                under_way.topic = Some(topic.to_owned());
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.requested() || self.is_given_up.load(Ordering::Acquire)
    }
}

fn now_ms() -> i64 {
    clock::now_micros() / 1_000
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

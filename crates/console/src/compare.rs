//! Comparisons that people start here: one at a time, in the background, with progress for everybody who looks.
//!
//! What a comparison finds becomes work items, which are on a topic and shown by every console. The reports themselves are held
//! by the process that made them, and are kept where the configuration names a folder; that one was made is on the audit topic.

use crate::kept::KeptReports;
use crate::one_by_one::{self, OneByOne, Why};
use crate::problem::Problem;
use crate::trail::{Entry, Trail};
use connector::erp::Erp;
use operations::reconcile::{self, Options, Raised, Report, Room, Watch, Window};
use runtime::codec::Codec;
use runtime::{Config, RoomInfo, Shutdown, clock};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Differences of a report that are held; the others are counted, and are work items where these were asked for.
const DIFFERENCES_MAX: usize = 1_000;

/// The comparisons of this process.
#[derive(Clone)]
pub struct Comparisons {
    works: OneByOne<UnderWay, Failed, Made>,
    /// Asks the one under way to end.
    is_given_up: Arc<AtomicBool>,
    stop: Shutdown,
    /// What outlives this process.
    pub kept: KeptReports,
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
pub type Seen = one_by_one::Seen<UnderWay, Failed, Made>;

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
        Self { works: OneByOne::default(), is_given_up: Arc::default(), stop, kept }
    }

    /// Begins one in the background.
    ///
    /// # Errors
    /// When one is under way.
    pub fn begin(&self, asked: Asked, trail: &Trail) -> Result<(), Problem> {
        let (by, window) = (asked.by.clone(), asked.window);
        let under_way = UnderWay { by, started_ms: now_ms(), window, topic: None, records: 0 };
        let busy = |under_way: &UnderWay| {
            let detail = format!("{} compares already, and one comparison is made at a time", under_way.by);
            one_by_one::busy(detail, "wait for its report, or give it up")
        };
        let failed = |under_way: UnderWay, why: Why| Failed { by: under_way.by, at_ms: now_ms(), why: why.text };
        let (this, trail) = (self.clone(), trail.clone());
        let work = || {
            self.is_given_up.store(false, Ordering::Release);
            async move { this.carry(asked, &trail).await }
        };
        self.works.begin(under_way, busy, work, failed)
    }

    /// Gives the one under way up; says whether there is one.
    pub fn give_up(&self) -> bool {
        self.is_given_up.store(true, Ordering::Release);
        self.seen().under_way.is_some()
    }

    /// What there is to see.
    pub fn seen(&self) -> Seen {
        self.works.seen()
    }

    async fn carry(&self, asked: Asked, trail: &Trail) -> Result<Made, Why> {
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
        let mut report = made.map_err(|error| why(&error))?;
        // Asked for behind the last look at it: who gave it up was told that there is no report, and wants no work made of it.
        if self.stopped() {
            return Err(why(&reconcile::CollectError::Stopped));
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
        Ok(Made { report, raised, not_raised, not_kept })
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
}

impl Watch for Comparisons {
    fn read(&self, topic: &str, records: u64) {
        self.works.tell(|under_way| {
            under_way.records = records;
            if under_way.topic.as_deref() != Some(topic) {
                under_way.topic = Some(topic.to_owned());
            }
        });
    }

    fn stopped(&self) -> bool {
        self.stop.requested() || self.is_given_up.load(Ordering::Acquire)
    }
}

fn now_ms() -> i64 {
    clock::now_micros() / 1_000
}

fn why(error: &dyn std::fmt::Display) -> Why {
    Why { text: error.to_string(), next: "look at the reason, and compare again".into() }
}

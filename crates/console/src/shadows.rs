//! Comparisons of versions that people start here: one at a time, in the background, held by the process that made them.

use crate::problem::Problem;
use crate::trail::{Entry, Trail};
use axum::http::StatusCode;
use operations::replay::{Replays, ShadowReport, ShadowRequest};
use runtime::clock;
use runtime::shadow::Shadow;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reports that are held.
const REPORTS_MAX: usize = 10;

/// The comparisons of this process.
#[derive(Clone, Default)]
pub struct Shadows {
    state: Arc<Mutex<State>>,
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
    /// The room that decides again.
    pub room: String,
    /// When it began, microseconds since 1970.
    pub started_at: i64,
    /// Records that were read.
    pub records: u64,
}

/// The last one, when there is no report of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Who asked for it.
    pub by: String,
    /// The room.
    pub room: String,
    /// When it ended, microseconds since 1970.
    pub at: i64,
    /// Why.
    pub why: String,
    /// What to do next.
    pub next: String,
}

/// A comparison that was made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Its id.
    pub id: String,
    /// Who asked for it.
    pub by: String,
    /// When it ended, microseconds since 1970.
    pub at: i64,
    /// What it found.
    pub report: ShadowReport,
}

/// What there is to see.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The one under way.
    pub under_way: Option<UnderWay>,
    /// Why there is no report of the last one.
    pub failed: Option<Failed>,
    /// Newest first.
    pub made: Vec<Arc<Made>>,
}

/// What is compared.
pub struct Asked {
    /// Acts of replays.
    pub replays: Arc<Replays>,
    /// Which records of which room.
    pub request: ShadowRequest,
    /// The room as it decides and does nothing.
    pub shadow: Box<dyn Shadow>,
    /// Who asks.
    pub by: String,
}

impl Shadows {
    /// Begins one in the background, and gives the id that its report will have.
    ///
    /// # Errors
    /// When one is under way.
    pub fn begin(&self, asked: Asked, trail: &Trail) -> Result<String, Problem> {
        let (by, room) = (asked.by.clone(), asked.request.room.clone());
        {
            let mut state = lock(&self.state);
            if let Some(under_way) = &state.under_way {
                let detail = format!(
                    "{} compares {} already, and one comparison is made at a time",
                    under_way.by, under_way.room
                );
                let problem = Problem::new(StatusCode::CONFLICT, "WL-7214", "Under way already", detail);
                return Err(
                    problem.next("wait for its report, or use `wardline replay shadow` in a process of its own")
                );
            }
            state.under_way = Some(UnderWay { by, room, started_at: clock::now_micros(), records: 0 });
            state.failed = None;
        }
        let id = uuid::Uuid::new_v4().to_string();
        let (this, trail, of) = (self.clone(), trail.clone(), id.clone());
        tokio::spawn(async move {
            // A panic inside must not leave it under way for ever.
            let carried = tokio::spawn({
                let this = this.clone();
                async move { this.carry(asked, of, &trail).await }
            });
            if let Err(error) = carried.await {
                this.failed(format!("WL-7137: {error}"), "report it as a defect, with the time");
            }
        });
        Ok(id)
    }

    /// What there is to see.
    pub fn seen(&self) -> Seen {
        let state = lock(&self.state);
        let (under_way, failed) = (state.under_way.clone(), state.failed.clone());
        Seen { under_way, failed, made: state.made.iter().cloned().collect() }
    }

    /// One that was made here.
    pub fn one(&self, id: &str) -> Option<Arc<Made>> {
        lock(&self.state).made.iter().find(|made| made.id == id).cloned()
    }

    async fn carry(&self, asked: Asked, id: String, trail: &Trail) {
        let told = Arc::clone(&self.state);
        let read = move |records| {
            if let Some(under_way) = &mut lock(&told).under_way {
                under_way.records = records;
            }
        };
        let report = match asked.replays.shadow(&asked.request, asked.shadow, read).await {
            Ok(report) => report,
            Err(error) => return self.failed(error.to_string(), error.next_on_page()),
        };
        let entry = Entry {
            code: "replay.shadowed".to_owned(),
            detail: format!(
                "compared version {} of {} over {} records of {}: {} the same",
                report.version, report.room, report.records, report.topic, report.same
            ),
            actor: Some(asked.by.clone()),
            ..Entry::default()
        };
        if let Err(problem) = trail.record(entry).await {
            tracing::warn!(detail = problem.detail, "that versions were compared is not on record");
        }
        let mut state = lock(&self.state);
        state.under_way = None;
        state.made.truncate(REPORTS_MAX - 1);
        state.made.push_front(Arc::new(Made { id, by: asked.by, at: clock::now_micros(), report }));
    }

    fn failed(&self, why: String, next: &str) {
        tracing::warn!(why, "a comparison of versions has no report");
        let mut state = lock(&self.state);
        let (by, room) = state.under_way.take().map(|one| (one.by, one.room)).unwrap_or_default();
        state.failed = Some(Failed { by, room, at: clock::now_micros(), why, next: next.to_owned() });
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Reports that outlive this process: those of the folder that the configuration names, whoever made them.

use crate::problem::Problem;
use axum::http::StatusCode;
use operations::reconcile::report::verdict;
use operations::reconcile::{Kept, KeptError, Report, Window};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Reports that are listed.
const LISTED_MAX: usize = 20;

/// The folder, and what is known of its reports. Clones share it.
#[derive(Clone)]
pub struct KeptReports {
    kept: Option<Kept>,
    /// What was read once is not read again; as many as are listed.
    known: Arc<Mutex<BTreeMap<String, KeptReport>>>,
}

/// A report, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptReport {
    /// Its id.
    pub id: String,
    /// When the comparison began, milliseconds since 1970.
    pub at_ms: i64,
    /// Who asked for it.
    pub actor: String,
    /// How often the same is compared again, seconds; none when it was asked for once.
    pub every_s: Option<u64>,
    /// What was compared.
    pub window: Window,
    /// All differences.
    pub differences: u64,
    /// The result in one sentence.
    pub verdict: String,
}

/// What there is to see of the folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptSeen {
    /// Whether reports are kept at all.
    pub is_kept: bool,
    /// Newest first.
    pub reports: Vec<KeptReport>,
    /// Why some or all are not shown.
    pub problem: Option<String>,
}

impl KeptReports {
    /// Of this folder; none where no report is kept.
    pub fn new(kept: Option<Kept>) -> Self {
        Self { kept, known: Arc::default() }
    }

    /// Keeps a report; false where none is kept. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, report: &Report) -> Result<bool, KeptError> {
        self.kept.as_ref().map_or(Ok(false), |kept| kept.keep(report).map(|_| true))
    }

    /// The newest ones. Blocks.
    pub fn seen(&self) -> KeptSeen {
        let Some(kept) = &self.kept else { return KeptSeen::default() };
        let mut seen = KeptSeen { is_kept: true, ..KeptSeen::default() };
        let ids = kept.newest(LISTED_MAX).unwrap_or_else(|error| {
            seen.problem = Some(error.to_string());
            Vec::new()
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| ids.contains(id));
        for id in ids {
            if let Some(report) = known.get(&id) {
                seen.reports.push(report.clone());
                continue;
            }
            match kept.read(&id) {
                Ok(report) => {
                    let short = KeptReport::of(id.clone(), &report);
                    known.insert(id, short.clone());
                    seen.reports.push(short);
                }
                Err(error) => seen.problem = Some(error.to_string()),
            }
        }
        seen
    }

    /// A whole one; none where none is kept. Blocks.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be read.
    pub fn read(&self, id: &str) -> Result<Report, Problem> {
        let none = || KeptError::Unknown(id.chars().take(80).collect());
        let read = self.kept.as_ref().ok_or_else(none).and_then(|kept| kept.read(id));
        read.map_err(|error| match error {
            KeptError::Unknown(_) => Problem::said(StatusCode::NOT_FOUND, "No such report", &error.to_string()),
            _ => Problem::unavailable(&error.to_string()),
        })
    }
}

impl KeptReport {
    fn of(id: String, report: &Report) -> Self {
        Self {
            id,
            at_ms: report.at_ms,
            actor: report.actor.clone(),
            every_s: report.every_s,
            window: report.window,
            differences: report.total(),
            verdict: verdict(report),
        }
    }
}

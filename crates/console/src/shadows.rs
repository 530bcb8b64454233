//! Comparisons of versions that people start here. The reports are held by the process that made them; what they came to is on the
//! audit topic and outlives it.

use crate::desk::Desk;
use crate::one_by_one::{self, OneByOne, Why};
use crate::problem::Problem;
use crate::trail::{Entry, ROOM, Trail};
use operations::audit::{AuditEntry, AuditFilter};
use operations::replay::{Replays, ShadowReport, ShadowRequest};
use runtime::clock;
use runtime::shadow::Shadow;
use serde::Serialize;
use std::sync::Arc;

/// Code of what is on record of them.
const SHADOWED: &str = "replay.shadowed";
/// Earlier ones that are listed.
const EARLIER_MAX: usize = 20;

/// The comparisons of this process.
#[derive(Clone, Default)]
pub struct Shadows {
    works: OneByOne<UnderWay, Failed, Made>,
}

/// What there is to see of this process.
pub type Seen = one_by_one::Seen<UnderWay, Failed, Made>;

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
    /// Why it goes with this process; none when what it came to is on record.
    pub not_on_record: Option<String>,
}

/// What is on record of a comparison that this process does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Earlier {
    /// Its id.
    pub id: String,
    /// Who asked for it.
    pub by: String,
    /// When it ended, microseconds since 1970.
    pub at: i64,
    /// What it came to: version, records, verdicts, events, effects and money.
    pub said: String,
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
        let under_way = UnderWay { by, room, started_at: clock::now_micros(), records: 0 };
        let busy = |under_way: &UnderWay| {
            let UnderWay { by, room, .. } = under_way;
            let detail = format!("{by} compares {room} already, and one comparison is made at a time");
            one_by_one::busy(detail, "wait for its report, or use `wardline replay shadow` in a process of its own")
        };
        let failed = |UnderWay { by, room, .. }, why: Why| Failed {
            by,
            room,
            at: clock::now_micros(),
            why: why.text,
            next: why.next.into_owned(),
        };
        let id = uuid::Uuid::new_v4().to_string();
        let (this, trail, of) = (self.clone(), trail.clone(), id.clone());
        self.works.begin(under_way, busy, || async move { this.carry(asked, of, &trail).await }, failed)?;
        Ok(id)
    }

    /// What there is to see of this process.
    pub fn seen(&self) -> Seen {
        self.works.seen()
    }

    /// One that was made here.
    pub fn one(&self, id: &str) -> Option<Arc<Made>> {
        self.seen().made.into_iter().find(|made| made.id == id)
    }

    async fn carry(&self, asked: Asked, id: String, trail: &Trail) -> Result<Made, Why> {
        let told = self.works.clone();
        let read = move |records| told.tell(|under_way| under_way.records = records);
        let report = asked.replays.shadow(&asked.request, asked.shadow, read).await;
        let report =
            report.map_err(|error| Why { text: error.to_string(), next: error.next_on_page().to_owned().into() })?;
        let entry = Entry {
            code: SHADOWED.to_owned(),
            detail: detail(&id, &report),
            actor: Some(asked.by.clone()),
            ..Entry::default()
        };
        let not_on_record = trail.record(entry).await.err().map(|problem| {
            tracing::warn!(detail = problem.detail, "that versions were compared is not on record");
            problem.detail
        });
        Ok(Made { id, by: asked.by, at: clock::now_micros(), report, not_on_record })
    }
}

/// The newest that consoles have put on record, without those of `seen`.
///
/// # Errors
/// When Kafka or the registry does not answer in time.
pub async fn earlier(desk: &Desk, seen: &Seen) -> Result<Vec<Earlier>, Problem> {
    let filter = AuditFilter { room: Some(ROOM.to_owned()), code: Some(SHADOWED.to_owned()), ..AuditFilter::default() };
    // Those of this process may be the newest ones.
    let found = desk.audits("shadow comparisons", filter, None, EARLIER_MAX + seen.made.len()).await?;
    let all = found.records.iter().map(Earlier::of);
    let others = all.filter(|one| seen.made.iter().all(|made| one.id.is_empty() || made.id != one.id));
    Ok(others.take(EARLIER_MAX).collect())
}

fn detail(id: &str, report: &ShadowReport) -> String {
    format!("comparison {id}: {}", report.said())
}

impl Earlier {
    fn of(entry: &AuditEntry) -> Self {
        let audit = &entry.audit;
        // What was written before a comparison had an id has none.
        let parted = audit.detail.strip_prefix("comparison ").and_then(|rest| rest.split_once(": "));
        let (id, said) = parted.unwrap_or(("", &audit.detail));
        let by = audit.actor.clone().unwrap_or_default();
        Self { id: id.to_owned(), by, at: audit.at.0, said: said.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::{Audit, Timestamp};

    #[test]
    fn what_is_on_record_is_read_back() {
        let entry = |detail: String| AuditEntry {
            place: "0@1".to_owned(),
            audit: Audit { detail, actor: Some("olga".to_owned()), at: Timestamp(5), ..Audit::default() },
        };
        let report = ShadowReport { room: "enrich".to_owned(), records: 20, ..ShadowReport::default() };
        let read = Earlier::of(&entry(detail("1-2", &report)));
        assert_eq!((read.id.as_str(), read.by.as_str(), read.at, read.said), ("1-2", "olga", 5, report.said()));
        let old = Earlier::of(&entry("compared version 0.1.0 of enrich: 3 the same".to_owned()));
        assert_eq!((old.id.as_str(), old.said.as_str()), ("", "compared version 0.1.0 of enrich: 3 the same"));
    }
}

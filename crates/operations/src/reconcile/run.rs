//! One run: topics and ERP of a window, compared, and the report of it.

use super::booked::{self, AskError};
use super::books::{Books, Cost};
use super::collect::{CollectError, Collector, Position, Watch};
use super::difference::{Difference, Kind};
use super::money;
use super::names::Names;
use super::reach::Reach;
use super::scope::{Counts, Scope, Window};
use super::spill::Room;
use super::tally::{Compared, Findings, Money};
use crate::exceptions::Feed;
use connector::erp::{Erp, Rounding};
use runtime::codec::Codec;
use runtime::readers::Readers;
use runtime::{Config, RoomInfo, clock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Version of the report's JSON.
pub const REPORT_VERSION: u32 = 3;

/// What is to be compared.
#[derive(Clone)]
pub struct Options {
    /// The time.
    pub window: Window,
    /// All rooms, as data.
    pub rooms: Vec<RoomInfo>,
    /// The ERP; without it postings are compared with effect records alone.
    pub erp: Option<Arc<dyn Erp>>,
    /// Who asks; goes on record.
    pub actor: String,
    /// Where facts are put aside.
    pub room: Room,
    /// Nothing flows any more, so nothing counts as under way.
    pub settled: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The window is empty or lies ahead.
    #[error("WL-7181: the window is empty: it begins at {from_ms} ms and ends before {until_ms} ms since 1970")]
    Window {
        /// Begin.
        from_ms: i64,
        /// End.
        until_ms: i64,
    },
    /// Topics.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The ERP.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The thread that reads has ended.
    #[error("WL-7183: the comparison cannot read its topics: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// What a run found. A controller can sign it: it says what was read, up to where, by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// Version of Wardline that made it.
    pub made_by: String,
    /// Who asked.
    pub actor: String,
    /// When the run began, milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// What was compared.
    pub window: Window,
    /// How often the same is compared again, seconds; none when it was asked for once.
    #[serde(default)]
    pub every_s: Option<u64>,
    /// Whether the ERP was asked.
    pub erp: bool,
    /// All differences by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// The differences with their evidence.
    pub differences: Vec<Difference>,
    /// Whether there are more differences than are listed.
    pub truncated: bool,
    /// Facts without a counterpart that are still within their time: no differences.
    pub late: u64,
    /// Events that receipts promise.
    pub promised: u64,
    /// Events of the sources that write receipts.
    pub events: u64,
    /// Records by room and outcome.
    pub rooms: BTreeMap<String, Counts>,
    /// Postings by what was done and cost centre.
    pub postings: Vec<PostingRow>,
    /// Money by cost centre and currency, as both sides see it.
    pub cost_centres: Vec<CostRow>,
    /// What is parked at the end of the reading, by room and currency.
    #[serde(default)]
    pub waiting: Vec<WaitingRow>,
    /// Notices that suppliers took.
    pub notices: u64,
    /// Documents of the ERP that were compared.
    pub documents: u64,
    /// Records that could not be decoded; the rooms that read them make dead letters of them.
    pub unreadable: u64,
    /// Topics that do not reach back to the start of the window: what is older could not be compared.
    #[serde(default)]
    pub reaches: Vec<Reach>,
    /// How far each partition was read.
    pub positions: Vec<Position>,
    /// What the run needed.
    pub cost: Cost,
}

/// Postings of one kind for one cost centre in one currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostingRow {
    /// What was done.
    pub kind: String,
    /// Cost centre; `-` for none.
    pub cost_centre: String,
    /// What it is called; empty when the master data does not say it.
    #[serde(default)]
    pub name: String,
    /// Currency of the amount; `-` when nobody says it, or there is no amount.
    pub currency: String,
    /// How many and how much.
    #[serde(flatten)]
    pub money: Money,
}

/// Parked events of one room, and what they are worth in one currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingRow {
    /// The room in which they wait.
    pub room: String,
    /// Currency; `-` when they do not say what they are worth.
    pub currency: String,
    /// How many and how much.
    #[serde(flatten)]
    pub money: Money,
}

/// Money of one cost centre in one currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CostRow {
    /// Cost centre; `-` for none.
    pub cost_centre: String,
    /// What it is called; empty when the master data does not say it.
    #[serde(default)]
    pub name: String,
    /// Departments that it pays for, as clinical messages name them.
    #[serde(default)]
    pub departments: Vec<String>,
    /// Currency; `-` when nobody says it.
    pub currency: String,
    /// What both sides say.
    #[serde(flatten)]
    pub compared: Compared,
}

/// Compares a window.
///
/// # Errors
/// See [`ReconcileError`]. Without a whole reading there is no report: what was not read would look like what is missing.
pub async fn reconcile(
    config: &Config,
    codec: Arc<Codec>,
    options: &Options,
    watch: Arc<dyn Watch>,
) -> Result<Report, ReconcileError> {
    let Window { from_ms, until_ms } = options.window;
    if from_ms >= until_ms {
        return Err(ReconcileError::Window { from_ms, until_ms });
    }
    let (started, at_ms) = (clock::tick(), clock::now_micros() / 1_000);
    let mut scope = Scope::new(options.window, at_ms, &options.rooms, &config.limits);
    scope.erp = options.erp.is_some();
    scope.rounding = options.erp.as_ref().map_or(Rounding::Unknown, |erp| erp.rounding());
    if options.settled {
        scope.allowed_ms.iter_mut().for_each(|allowed| *allowed = 0);
    }
    let books = Books::new(&options.room);
    let (readers, handle, told) = (Readers::new(&config.kafka), Handle::current(), Arc::clone(&watch));
    let reading = tokio::task::spawn_blocking(move || {
        let (mut scope, mut books) = (scope, books);
        let names = Names::read(&readers, &codec, &handle)?;
        let mut collector = Collector {
            readers,
            feed: Feed::new(Arc::clone(&codec)),
            codec,
            scope: &mut scope,
            books: &mut books,
            watch: told.as_ref(),
            unreadable: 0,
            positions: BTreeMap::new(),
        };
        collector.collect(&handle)?;
        let (unreadable, positions) = (collector.unreadable, collector.positions);
        Ok::<_, CollectError>((scope, books, unreadable, positions, names))
    });
    let (scope, mut books, unreadable, positions, names) = reading.await??;
    if let Some(erp) = &options.erp {
        booked::read(erp.as_ref(), &scope, &mut books, watch.as_ref()).await?;
    }
    let mut findings = Findings::default();
    let comparing = tokio::task::spawn_blocking(move || {
        let compared = books.compare(&scope, &mut findings);
        compared.map(|(absent, cost)| (absent, cost, findings, scope))
    });
    let (absent, cost, mut findings, scope) = comparing.await?.map_err(CollectError::from)?;
    if let Some(erp) = &options.erp {
        booked::settle(erp.as_ref(), absent, &scope, &mut findings, watch.as_ref()).await?;
    }
    money::judge(&scope, &mut findings);
    let took = clock::tick().since(started).as_millis();
    let (reaches, took_ms) = (scope.reaches, u64::try_from(took).unwrap_or(u64::MAX));
    let made = Made { at_ms, took_ms, unreadable, reaches, positions, cost };
    let mut report = report(options, findings, made);
    names.into_report(&mut report);
    Ok(report)
}

/// What a run knows of itself.
struct Made {
    at_ms: i64,
    took_ms: u64,
    unreadable: u64,
    reaches: Vec<Reach>,
    positions: BTreeMap<(String, i32), Position>,
    cost: Cost,
}

fn report(options: &Options, findings: Findings, made: Made) -> Report {
    let truncated = findings.truncated();
    let (rows, centres) = (findings.postings.into_iter(), findings.cost_centres.into_iter());
    let mut differences = findings.differences;
    differences.sort_by(|one, other| {
        (one.part, one.kind, one.at_ms, &one.id).cmp(&(other.part, other.kind, other.at_ms, &other.id))
    });
    Report {
        version: REPORT_VERSION,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        actor: options.actor.clone(),
        at_ms: made.at_ms,
        took_ms: made.took_ms,
        window: options.window,
        every_s: None,
        erp: options.erp.is_some(),
        by_kind: findings.by_kind,
        differences,
        truncated,
        late: findings.late,
        promised: findings.promised,
        events: findings.events,
        rooms: findings.rooms,
        postings: rows.map(posting_row).collect(),
        cost_centres: centres.map(cost_row).collect(),
        waiting: findings.waiting.into_iter().map(waiting_row).collect(),
        notices: findings.notices,
        documents: findings.documents,
        unreadable: made.unreadable,
        reaches: made.reaches,
        positions: made.positions.into_values().collect(),
        cost: made.cost,
    }
}

fn posting_row(((kind, cost_centre, currency), money): ((String, String, String), Money)) -> PostingRow {
    PostingRow { kind, cost_centre, name: String::new(), currency, money }
}

fn waiting_row(((room, currency), money): ((String, String), Money)) -> WaitingRow {
    WaitingRow { room, currency, money }
}

fn cost_row(((cost_centre, currency), compared): ((String, String), Compared)) -> CostRow {
    CostRow { cost_centre, name: String::new(), departments: Vec::new(), currency, compared }
}

impl Report {
    /// All differences, also those that are not listed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind.values().sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of the window from 0 to 1000 with these differences.
    pub fn report(differences: Vec<Difference>) -> Report {
        let options = Options {
            window: Window { from_ms: 0, until_ms: 1_000 },
            rooms: Vec::new(),
            erp: None,
            actor: "controller".to_owned(),
            room: Room::default(),
            settled: false,
        };
        let mut findings = Findings::default();
        differences.into_iter().for_each(|difference| findings.found(difference));
        let (reaches, positions) = (Vec::new(), BTreeMap::new());
        let made = Made { at_ms: 1_000, took_ms: 1, unreadable: 0, reaches, positions, cost: Cost::default() };
        Report { erp: true, ..super::report(&options, findings, made) }
    }
}

//! The ERP's own documents as facts, page by page.

use super::books::Books;
use super::collect::{CollectError, Watch};
use super::documents::{self, Absent};
use super::fact::{FoundCost, FoundFact, FoundLine};
use super::scope::{SLACK_MS, Scope};
use super::spill::SpillError;
use super::tally::Findings;
use connector::erp::{Booked, BookedQuery, Cursor, Erp, ErpError};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How the key of every document of Wardline starts.
pub const DOCUMENT_PREFIX: &str = "wl-";
/// Keys that are asked for at once.
const KEYS_AT_ONCE: usize = 50;
/// A list of so many pages is given up: it has no end.
const PAGES_MAX: u64 = 1_000_000;
/// The same for the answer about some keys.
const ANSWER_PAGES_MAX: u64 = 1_000;

/// Why the ERP's documents are not known.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The ERP does not answer, or says no.
    #[error("WL-7182: the ERP cannot be asked for its documents: {0}")]
    Erp(#[from] ErpError),
    /// The list has no end.
    #[error("WL-7182: the ERP's list of documents has no end")]
    Endless,
    /// The temporary files, or the caller does not wait any more.
    #[error(transparent)]
    Collect(#[from] CollectError),
}

impl From<SpillError> for AskError {
    fn from(error: SpillError) -> Self {
        Self::Collect(error.into())
    }
}

/// Puts every document that was made in the window, or shortly before or after it, into the books.
///
/// # Errors
/// See [`AskError`].
pub async fn read(erp: &dyn Erp, scope: &Scope, books: &mut Books, watch: &dyn Watch) -> Result<u64, AskError> {
    let moment = |at_ms: i64, otherwise| Timestamp::from_millisecond(at_ms).unwrap_or(otherwise);
    let from = moment(scope.window.from_ms.saturating_sub(SLACK_MS), Timestamp::MIN);
    let query = BookedQuery::Made { prefix: DOCUMENT_PREFIX.to_owned(), from, until: Timestamp::MAX };
    let mut count = 0;
    let mut after: Option<Cursor> = None;
    for _ in 0..PAGES_MAX {
        if watch.stopped() {
            return Err(CollectError::Stopped.into());
        }
        let page = erp.booked(&query, after.as_ref()).await?;
        for document in page.documents {
            books.document(fact(document))?;
            count += 1;
        }
        watch.read("ERP", count);
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
    Err(AskError::Endless)
}

/// Asks for documents by their keys: they may be older than the window. Then says what differs.
///
/// # Errors
/// See [`AskError`].
pub async fn settle(
    erp: &dyn Erp,
    absent: Vec<Absent>,
    scope: &Scope,
    findings: &mut Findings,
    watch: &dyn Watch,
) -> Result<(), AskError> {
    let all = absent.len() as u64;
    let mut absent = absent.into_iter().peekable();
    while absent.peek().is_some() {
        let part: Vec<Absent> = absent.by_ref().take(KEYS_AT_ONCE).collect();
        let keys: Vec<String> = part.iter().map(|open| open.document_key.clone()).collect();
        let query = BookedQuery::Keys(keys);
        let mut found: BTreeMap<String, Vec<FoundFact>> = BTreeMap::new();
        let mut after = None;
        for number in 0.. {
            if watch.stopped() {
                return Err(CollectError::Stopped.into());
            }
            if number == ANSWER_PAGES_MAX {
                return Err(AskError::Endless);
            }
            let page = erp.booked(&query, after.as_ref()).await?;
            for document in page.documents {
                found.entry(document.document_key.clone()).or_default().push(fact(document));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for open in part {
            let found = found.remove(&open.document_key).unwrap_or_default();
            documents::settle(open, found, scope, findings);
        }
        watch.read("ERP, by key", all - absent.len() as u64);
    }
    Ok(())
}

fn fact(document: Booked) -> FoundFact {
    let line = |line: connector::erp::BookedLine| FoundLine {
        item: line.item,
        lot: line.lot,
        location: line.stock_location,
        quantity: line.quantity,
    };
    let cost = |cost: connector::erp::Allocation| FoundCost { cost_centre: cost.cost_centre, amount: cost.amount };
    FoundFact {
        document_key: document.document_key,
        id: document.document.id,
        number: document.document.number,
        at_ms: document.made_at.as_millisecond(),
        finished: document.finished,
        lines: document.lines.into_iter().map(line).collect(),
        costs: document.costs.into_iter().map(cost).collect(),
    }
}

//! Counts and money, added up while facts are compared, and the differences that were found.

use super::difference::{Difference, Kind};
use super::scope::Counts;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Differences that are kept with their evidence; further ones are counted.
pub const DIFFERENCES_MAX: usize = 10_000;
/// Rows of a table of the report; what is beyond is added up in one row (BND-1).
const ROWS_MAX: usize = 1_000;
/// The row for what is beyond.
const OTHER: &str = "(others)";

/// What the comparisons found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The differences with their evidence, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// All differences by kind, also those without evidence here.
    pub by_kind: BTreeMap<Kind, u64>,
    /// Receipts that promise events, of the window.
    pub promised: u64,
    /// Events of sources, of the window.
    pub events: u64,
    /// Facts without a counterpart that are still within their time.
    pub late: u64,
    /// Counts by room.
    pub rooms: BTreeMap<String, Counts>,
    /// Postings by what was done and by cost centre.
    pub postings: BTreeMap<(String, String), Money>,
    /// Documents of the window, by cost centre: what Wardline posted and what the ERP booked.
    pub cost_centres: BTreeMap<String, Compared>,
    /// Notices that suppliers took, of the window.
    pub notices: u64,
    /// Documents of the ERP that were compared.
    pub documents: u64,
}

/// A number of postings and their money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// How many.
    pub count: u64,
    /// Sum of the amounts, signed.
    pub amount: Decimal,
    /// How many have no amount, because the ERP has no cost for the item.
    pub without_amount: u64,
}

/// The same money, as two sides see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// What Wardline's postings say.
    pub posted: Decimal,
    /// What the ERP's documents say.
    pub booked: Decimal,
}

impl Findings {
    /// A difference was found.
    pub fn found(&mut self, difference: Difference) {
        *self.by_kind.entry(difference.kind).or_default() += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }

    /// All differences.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Whether there are more differences than are kept with their evidence.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.total() > self.differences.len() as u64
    }

    /// The counts of a room.
    pub fn room(&mut self, name: &str) -> &mut Counts {
        if !self.rooms.contains_key(name) {
            self.rooms.insert(name.to_owned(), Counts::default());
        }
        self.rooms.entry(name.to_owned()).or_default()
    }

    /// A posting of the window.
    pub fn posted(&mut self, kind: &str, cost_centre: Option<&str>, amount: Option<Decimal>) {
        let key = (kind.to_owned(), cost_centre.unwrap_or("-").to_owned());
        let is_known = self.postings.len() < ROWS_MAX || self.postings.contains_key(&key);
        let key = if is_known { key } else { (kind.to_owned(), OTHER.to_owned()) };
        let money = self.postings.entry(key).or_default();
        money.count += 1;
        money.amount += amount.unwrap_or_default();
        money.without_amount += u64::from(amount.is_none());
    }

    /// Money of a cost centre, as one of the sides says.
    pub fn cost(&mut self, cost_centre: Option<&str>) -> &mut Compared {
        let code = cost_centre.unwrap_or("-");
        let is_known = self.cost_centres.len() < ROWS_MAX || self.cost_centres.contains_key(code);
        self.cost_centres.entry(if is_known { code } else { OTHER }.to_owned()).or_default()
    }
}

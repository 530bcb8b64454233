//! Counts and money, added up while facts are compared, and the differences that were found.

use super::difference::{Difference, Kind};
use super::fact::Worth;
use super::scope::Counts;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Differences that are kept with their evidence; further ones are counted.
pub const DIFFERENCES_MAX: usize = 10_000;
/// Rows of a table of the report; what is beyond is added up in one row (BND-1).
const ROWS_MAX: usize = 1_000;
/// The row for what is beyond.
const OTHER: &str = "(others)";
/// For a cost centre that there is none of, and a currency that nobody says.
pub const UNKNOWN: &str = "-";

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
    /// Postings by what was done, by cost centre and by currency.
    pub postings: BTreeMap<(String, String, String), Money>,
    /// Documents of the window, by cost centre and currency: what Wardline posted and what the ERP booked.
    pub cost_centres: BTreeMap<(String, String), Compared>,
    /// What is parked at the end, by room and currency.
    pub waiting: BTreeMap<(String, String), Money>,
    /// Notices that suppliers took, of the window.
    pub notices: u64,
    /// Documents of the ERP that were compared.
    pub documents: u64,
}

/// A number of postings and their money, all of one currency.
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

/// The same money, as two sides see it, all of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// What Wardline's postings say, with all their digits.
    pub posted: Decimal,
    /// What the ERP's rounding to its currency adds to that.
    #[serde(default)]
    pub rounding: Decimal,
    /// What the ERP's documents say.
    pub booked: Decimal,
    /// How much of the difference is of documents that are listed as differences, or are still under way.
    #[serde(default)]
    pub told: Decimal,
}

impl Compared {
    /// By how much the sides differ, rounding aside.
    #[must_use]
    pub fn difference(&self) -> Decimal {
        self.posted + self.rounding - self.booked
    }
}

impl AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.posted += other.posted;
        self.rounding += other.rounding;
        self.booked += other.booked;
        self.told += other.told;
    }
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

    /// A posting of the window. Money of two currencies is never added up; what has no amount needs no currency.
    pub fn posted(&mut self, kind: &str, cost_centre: Option<&str>, currency: &str, amount: Option<Decimal>) {
        let currency = if amount.is_some() { named(currency) } else { UNKNOWN };
        let key = (kind.to_owned(), cost_centre.unwrap_or(UNKNOWN).to_owned(), currency.to_owned());
        let is_known = self.postings.len() < ROWS_MAX || self.postings.contains_key(&key);
        let key = if is_known { key } else { (kind.to_owned(), OTHER.to_owned(), currency.to_owned()) };
        let money = self.postings.entry(key).or_default();
        money.count += 1;
        money.amount += amount.unwrap_or_default();
        money.without_amount += u64::from(amount.is_none());
    }

    /// A parked event of a room, and what it is worth where it says it.
    pub fn waits(&mut self, room: &str, worth: Option<&Worth>) {
        let currency = worth.map_or(UNKNOWN, |worth| named(&worth.currency));
        let key = (room.to_owned(), currency.to_owned());
        let is_known = self.waiting.len() < ROWS_MAX || self.waiting.contains_key(&key);
        let money = self.waiting.entry(if is_known { key } else { (key.0, OTHER.to_owned()) }).or_default();
        money.count += 1;
        // Beyond the bound there may be several currencies, which are never added up.
        money.amount += worth.filter(|_| is_known).map(|worth| worth.amount).unwrap_or_default();
        money.without_amount += u64::from(worth.is_none());
    }

    /// Money of a cost centre in a currency, as one of the sides says.
    pub fn cost(&mut self, cost_centre: Option<&str>, currency: &str) -> &mut Compared {
        let key = (cost_centre.unwrap_or(UNKNOWN).to_owned(), named(currency).to_owned());
        let is_known = self.cost_centres.len() < ROWS_MAX || self.cost_centres.contains_key(&key);
        self.cost_centres.entry(if is_known { key } else { (OTHER.to_owned(), key.1) }).or_default()
    }
}

fn named(currency: &str) -> &str {
    if currency.is_empty() { UNKNOWN } else { currency }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_by_room_and_currency() {
        let mut findings = Findings::default();
        let worth = |cents, currency: &str| Worth { amount: Decimal::new(cents, 2), currency: currency.to_owned() };
        for (room, worth) in [
            ("erp-post", Some(worth(1_050, "EUR"))),
            ("validate", None),
            ("erp-post", Some(worth(250, "EUR"))),
            ("erp-post", Some(worth(100, "CHF"))),
        ] {
            findings.waits(room, worth.as_ref());
        }
        let told: Vec<(&str, &str, u64, String, u64)> = findings
            .waiting
            .iter()
            .map(|((room, currency), money)| {
                (room.as_str(), currency.as_str(), money.count, money.amount.to_string(), money.without_amount)
            })
            .collect();
        let amount = |text: &str| text.to_owned();
        assert_eq!(
            told,
            [
                ("erp-post", "CHF", 1, amount("1.00"), 0),
                ("erp-post", "EUR", 2, amount("13.00"), 0),
                ("validate", "-", 1, amount("0"), 1)
            ]
        );
    }

    #[test]
    fn money_of_two_currencies_is_never_added_up() {
        let mut findings = Findings::default();
        for (currency, cents) in [("EUR", 250), ("CHF", 1_000), ("EUR", 50), ("", 7)] {
            findings.posted("POSTED", Some("CC-OR"), currency, Some(Decimal::new(cents, 2)));
            findings.cost(Some("CC-OR"), currency).posted += Decimal::new(cents, 2);
        }
        findings.posted("POSTED", Some("CC-OR"), "EUR", None);
        let told: Vec<(&str, u64, String)> = findings
            .postings
            .iter()
            .map(|((_, _, currency), money)| (currency.as_str(), money.count, money.amount.to_string()))
            .collect();
        let two = |text: &str| text.to_owned();
        assert_eq!(told, [("-", 2, two("0.07")), ("CHF", 1, two("10.00")), ("EUR", 2, two("3.00"))]);
        let costs: Vec<(&str, String)> = findings
            .cost_centres
            .iter()
            .map(|((_, currency), one)| (currency.as_str(), one.posted.to_string()))
            .collect();
        assert_eq!(costs, [("-", two("0.07")), ("CHF", two("10.00")), ("EUR", two("3.00"))]);
    }
}

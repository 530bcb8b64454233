//! The work of each domain by hour: what came in, what got done, what waits, what went wrong, how long it took.

use schemas::topics;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet, VecDeque};

use super::chain::{Bounds, Fact, How, Settled, Tracker};
use super::facts::{Route, Seen};
use super::histogram::Histogram;

/// Hours that are kept.
pub const HOURS: usize = 24;
const HOUR_MS: i64 = 3_600_000;
/// Exceptions that are remembered, so that a later record about one does not count again.
const EXCEPTIONS_MAX: usize = 50_000;

/// A domain: the first part of a topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// From a message received to its events on their topics.
    Clinical,
    /// From a usage documented to the usage with all that is known about it.
    Supply,
    /// From that to what became of it in the ERP.
    Erp,
    /// From a usage, an order or a goods receipt to the supplier's answer.
    Partner,
}

impl Domain {
    /// As in the names of topics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clinical => "clinical",
            Self::Supply => "supply",
            Self::Erp => "erp",
            Self::Partner => "partner",
        }
    }
}

/// One domain over the last hours.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainActivity {
    /// The domain.
    pub domain: Domain,
    /// Where its work starts.
    pub from: Vec<&'static str>,
    /// Where it ends.
    pub to: &'static str,
    /// Rooms that do it.
    pub rooms: Vec<&'static str>,
    /// How much waits now.
    pub waiting: u64,
    /// Oldest first; every hour of the last [`HOURS`], also those in which nothing happened.
    pub hours: Vec<HourActivity>,
}

/// One hour of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HourActivity {
    /// Its beginning, milliseconds since 1970.
    pub hour_ms: i64,
    /// What came in.
    #[serde(rename = "in")]
    pub came: u64,
    /// What got done in it, whenever it came in.
    pub done: u64,
    /// What was left out by a rule or a person, or was a duplicate.
    pub left_out: u64,
    /// What ended as a dead letter or was given up.
    pub lost: u64,
    /// What waited at its end; for the current hour now.
    pub waiting: u64,
    /// Exceptions raised in it.
    pub exceptions: u64,
    /// Half of what got done took at most so long, milliseconds (at most an eighth too long).
    pub p50_ms: Option<u64>,
    /// 99 of 100 took at most so long, milliseconds (at most an eighth too long).
    pub p99_ms: Option<u64>,
}

/// The account of a domain.
pub(super) struct Ledger {
    domain: Domain,
    route: Route,
    /// Rooms whose exceptions are this domain's.
    rooms: &'static [&'static str],
    tracker: Tracker,
    hours: BTreeMap<i64, Hour>,
    exceptions: HashSet<u128>,
    exceptions_order: VecDeque<u128>,
}

#[derive(Default)]
struct Hour {
    came: u64,
    done: u64,
    left_out: u64,
    lost: u64,
    exceptions: u64,
    durations: Histogram,
}

/// The accounts of all domains.
pub(super) fn ledgers(bounds: Bounds) -> Vec<Ledger> {
    let enriched = topics::SUPPLY_USAGE_ENRICHED_V1.name();
    let route = |from: &[&'static str], through: &[&'static str], to, rooms: &[&'static str]| Route {
        from: from.to_vec(),
        through: through.to_vec(),
        to,
        rooms: rooms.to_vec(),
        is_from_recorded: false,
    };
    let usage = topics::CLINICAL_SUPPLY_USAGE_V1.name();
    let validated = topics::SUPPLY_USAGE_VALIDATED_V1.name();
    let orders = [enriched, topics::SUPPLY_PURCHASE_ORDER_V1.name(), topics::SUPPLY_GOODS_RECEIPT_V1.name()];
    let receipts = topics::OPS_RECEIPT_V1.name();
    // Messages are on record when they are done, so nothing of the clinical domain is seen to wait here.
    let clinical = Route { to: receipts, ..route(&[], &[], receipts, &[]) };
    let supply = route(&[usage], &[validated], enriched, &["validate", "enrich"]);
    let erp = route(&[enriched], &[], topics::ERP_POSTING_V1.name(), &["erp-post"]);
    let partner = route(&orders, &[], topics::PARTNER_SUPPLIER_NOTICE_V1.name(), &["supplier-fanout"]);
    let ledger = |domain, route, rooms| Ledger {
        domain,
        route,
        rooms,
        tracker: Tracker::new(bounds),
        hours: BTreeMap::new(),
        exceptions: HashSet::new(),
        exceptions_order: VecDeque::new(),
    };
    vec![
        ledger(Domain::Clinical, clinical, &["hl7v2", "fhir"]),
        ledger(Domain::Supply, supply, &["validate", "enrich"]),
        ledger(Domain::Erp, erp, &["erp-post", "erp"]),
        ledger(Domain::Partner, partner, &["supplier-fanout"]),
    ]
}

impl Ledger {
    pub fn take(&mut self, seen: &Seen) {
        match seen {
            Seen::Raised { room, exception, at_ms } if self.rooms.contains(&room.as_str()) => {
                if self.exceptions.insert(*exception) {
                    self.exceptions_order.push_back(*exception);
                    hour(&mut self.hours, *at_ms).exceptions += 1;
                }
                if self.exceptions_order.len() > EXCEPTIONS_MAX
                    && let Some(oldest) = self.exceptions_order.pop_front()
                {
                    self.exceptions.remove(&oldest);
                }
            }
            Seen::Received { received_ms, at_ms, how } if self.domain == Domain::Clinical => {
                hour(&mut self.hours, *received_ms).came += 1;
                ended(&mut self.hours, *received_ms, *at_ms, *how);
            }
            _ => {
                let Some(fact) = self.route.fact(seen) else { return };
                let before = self.tracker.len();
                let (hours, mut settled) = (&mut self.hours, 0);
                self.tracker.take(fact, |ending| {
                    settled += usize::from(ending.instead_of.is_none());
                    settle(hours, &ending);
                });
                // What is sent again does not come in again.
                if let Fact::Started { at_ms, .. } = fact
                    && self.tracker.len() + settled > before
                {
                    hour(&mut self.hours, at_ms).came += 1;
                }
            }
        }
    }

    /// Time passed: what is older than the hours kept is forgotten.
    pub fn turn(&mut self, now_ms: i64) {
        let hours = &mut self.hours;
        self.tracker.expire(now_ms, |ending| settle(hours, &ending));
        let first = now_ms.div_euclid(HOUR_MS) + 1 - i64::try_from(HOURS).unwrap_or(i64::MAX);
        self.hours = self.hours.split_off(&first);
    }

    pub fn report(&self, now_ms: i64) -> DomainActivity {
        let now = now_ms.div_euclid(HOUR_MS);
        let nothing = Hour::default();
        let mut waiting = u64::try_from(self.tracker.len()).unwrap_or(u64::MAX);
        let waiting_now = waiting;
        let mut hours = VecDeque::with_capacity(HOURS);
        // Backwards: what waits now, less what came since, and what left since, waited before.
        for back in 0..i64::try_from(HOURS).unwrap_or_default() {
            let of_hour = self.hours.get(&(now - back)).unwrap_or(&nothing);
            hours.push_front(HourActivity {
                hour_ms: (now - back) * HOUR_MS,
                came: of_hour.came,
                done: of_hour.done,
                left_out: of_hour.left_out,
                lost: of_hour.lost,
                waiting,
                exceptions: of_hour.exceptions,
                p50_ms: of_hour.durations.quantile_ms(0.5),
                p99_ms: of_hour.durations.quantile_ms(0.99),
            });
            let left = of_hour.done + of_hour.left_out + of_hour.lost;
            waiting = (waiting + left).saturating_sub(of_hour.came);
        }
        DomainActivity {
            domain: self.domain,
            from: self.route.from.clone(),
            to: self.route.to,
            rooms: self.rooms.to_vec(),
            waiting: waiting_now,
            hours: hours.into(),
        }
    }
}

impl Hour {
    fn number(&mut self, how: How) -> &mut u64 {
        match how {
            How::Done => &mut self.done,
            How::LeftOut => &mut self.left_out,
            How::Lost => &mut self.lost,
        }
    }
}

fn hour(hours: &mut BTreeMap<i64, Hour>, at_ms: i64) -> &mut Hour {
    hours.entry(at_ms.div_euclid(HOUR_MS)).or_default()
}

/// Counts what ended, once: what it was taken for before is taken back.
fn settle(hours: &mut BTreeMap<i64, Hour>, ending: &Settled) {
    if let Some((how, at_ms)) = ending.instead_of {
        let number = hour(hours, at_ms).number(how);
        *number = number.saturating_sub(1);
    }
    ended(hours, ending.start_ms, ending.end_ms, ending.how);
}

fn ended(hours: &mut BTreeMap<i64, Hour>, start_ms: i64, end_ms: i64, how: How) {
    let of_hour = hour(hours, end_ms);
    *of_hour.number(how) += 1;
    if how == How::Done {
        of_hour.durations.add(u64::try_from(end_ms - start_ms).unwrap_or_default());
    }
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;

//! The report of a hospital day.

use crate::Failure;
use crate::output::Output;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most findings printed as text.
const FINDINGS_SHOWN: usize = 20;

/// What the demo shows, and `--report` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The day that was played.
    pub day: String,
    /// Messages and resources sent in this run.
    pub received: u64,
    /// Acknowledgements of this run by code: HL7 table 0008, or the HTTP status of the FHIR server.
    pub acknowledged: BTreeMap<String, u64>,
    /// Events on each topic, of all runs on this cluster.
    pub events: BTreeMap<String, u64>,
    /// Postings of all runs.
    pub postings: u64,
    /// Postings that this run made.
    pub new_postings: u64,
    /// Notices that suppliers accepted.
    pub notices: u64,
    /// Rows in the Parquet files.
    pub analytics_rows: u64,
    /// Open exceptions by code.
    pub exceptions: BTreeMap<String, u64>,
    /// Records whose bytes could not be read, kept.
    pub dead_letters: u64,
    /// Inputs without exactly one visible outcome (LOSS-1).
    pub unaccounted: u64,
    /// Sum of the differences between the ERP's own stock movements and the posted quantities, per item, lot and location.
    #[serde(serialize_with = "exact_number")]
    pub erp_difference: Decimal,
    /// Each difference, each input that is not accounted for, and each event that is there twice.
    pub findings: Vec<String>,
    /// How long the run took, seconds.
    pub seconds: f64,
}

/// A JSON number with every digit, so that readers can compare it with 0.
fn exact_number<S: serde::Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    let number: serde_json::Number = value.normalize().to_string().parse().map_err(serde::ser::Error::custom)?;
    number.serialize(serializer)
}

impl Report {
    /// Whether the day came out as it must.
    pub fn is_clean(&self) -> bool {
        self.unaccounted == 0 && self.erp_difference.is_zero() && self.findings.is_empty()
    }

    /// The report as text.
    pub fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let by = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
        };
        let mut rows = vec![
            vec!["day".to_owned(), self.day.clone()],
            vec!["received".to_owned(), self.received.to_string()],
            vec!["acknowledged".to_owned(), by(&self.acknowledged)],
        ];
        let events = self.events.iter().filter(|(_, count)| **count > 0);
        rows.extend(events.map(|(topic, count)| vec![format!("  {topic}"), count.to_string()]));
        let numbers = [
            ("postings", self.postings.to_string()),
            ("new postings", self.new_postings.to_string()),
            ("supplier notices", self.notices.to_string()),
            ("analytics rows", self.analytics_rows.to_string()),
            ("open exceptions", by(&self.exceptions)),
            ("dead letters", self.dead_letters.to_string()),
            ("unaccounted", self.unaccounted.to_string()),
            ("difference to the ERP's stock", self.erp_difference.normalize().to_string()),
            ("seconds", format!("{:.1}", self.seconds)),
        ];
        rows.extend(numbers.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
        output.table(&["HOSPITAL DAY", ""], &rows)?;
        self.findings.iter().take(FINDINGS_SHOWN).try_for_each(|finding| output.line(format!("  {finding}")))?;
        match self.findings.len().saturating_sub(FINDINGS_SHOWN) {
            0 => Ok(()),
            more => output.line(format!("  and {more} more: --report FILE has them all")),
        }
    }
}

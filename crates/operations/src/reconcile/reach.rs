//! How far back topics reach: what retention has taken away, or somebody has deleted, is neither missing nor unexpected.

use super::difference::Part;
use super::scope::SLACK_MS;
use runtime::reader::{From, Range, ReadError, Until};
use runtime::readers::Readers;
use schemas::TopicInfo;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A topic that does not reach back to the start of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// Topic.
    pub topic: String,
    /// From when on its records are there, milliseconds since 1970.
    pub from_ms: i64,
}

impl Reach {
    /// Of a topic, when records at the start of the window are gone from one of its partitions. Of a compacted topic the newest
    /// word on each key is there, however old.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn of(readers: &Readers, topic: &TopicInfo, begin_ms: i64, now_ms: i64) -> Result<Option<Self>, ReadError> {
        let Some(retention) = topic.retention_ms() else { return Ok(None) };
        let all = Range::all(topic.name);
        let since = readers.spans(&Range { from: From::TimeMs(begin_ms.max(0)), ..all.clone() })?;
        let mut latest: Option<i64> = None;
        for (partition, span) in readers.spans(&all)? {
            let is_older_there = since.get(&partition).is_some_and(|since| span.start < since.start);
            if span.start == 0 || is_older_there {
                continue;
            }
            let mut first = None;
            let (from, until) = (From::Offset(span.start), Until::EndNow);
            readers.read_range(&Range { from, until, ..all.clone().partitions([partition]) }, |record| {
                first = record.timestamp_ms;
                ControlFlow::Break(())
            })?;
            // Nothing is left, so what was there is as old as it may become.
            let aged = || (retention >= 0).then(|| now_ms.saturating_sub(retention));
            latest = latest.max(first.or_else(aged).filter(|from_ms| *from_ms > begin_ms));
        }
        Ok(latest.map(|from_ms| Self { topic: topic.name.to_owned(), from_ms }))
    }

    /// Whether a difference of this part and time cannot be told from what is gone. Clocks of hosts differ. Dead letters are few and
    /// are kept for longer than what they are about: that none is there says nothing.
    #[must_use]
    pub fn hides(&self, part: Part, at_ms: i64) -> bool {
        let is_source = self.topic.starts_with("clinical.");
        let is_needed = match self.topic.as_str() {
            "ops.receipt.v1" => part == Part::Receipts,
            "ops.dead-letter.v1" => false,
            _ => match part {
                Part::Receipts => is_source,
                Part::Outcomes => true,
                Part::Effects | Part::Erp | Part::Suppliers => !is_source && !self.topic.starts_with("supply."),
            },
        };
        is_needed && at_ms < self.from_ms.saturating_add(SLACK_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_comparison_needs_hides_its_differences() {
        let hides = |topic: &str| -> String {
            let reach = Reach { topic: topic.to_owned(), from_ms: 1_000_000 };
            let parts = [Part::Receipts, Part::Outcomes, Part::Effects, Part::Erp, Part::Suppliers];
            assert!(parts.iter().all(|part| !reach.hides(*part, 1_000_000 + SLACK_MS)), "{topic}");
            parts.iter().map(|part| if reach.hides(*part, 1_000_000 + SLACK_MS - 1) { 'x' } else { '-' }).collect()
        };
        for (topic, expected) in [
            ("ops.receipt.v1", "x----"),
            ("clinical.supply-usage.v1", "xx---"),
            ("supply.usage-enriched.v1", "-x---"),
            ("erp.posting.v1", "-xxxx"),
            ("ops.audit.v1", "-xxxx"),
            ("ops.dead-letter.v1", "-----"),
        ] {
            assert_eq!(hides(topic), expected, "{topic}");
        }
    }
}

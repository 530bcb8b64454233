//! Reads all that says something about the way of events: what was written, and then what is being written.

use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::reader::{From, Range, Span, Until};
use runtime::scan;
use schemas::topics;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tokio::runtime::Handle;

use super::SightError;
use super::facts::{Reading, Seen};

/// Offset to go on at, per topic and partition.
pub(super) type Positions = BTreeMap<(String, i32), i64>;

/// What is to be read of a topic, per partition.
type Piece = (&'static str, BTreeMap<i32, Span>);

/// The topics that say something, in the order in which events go over them, so that causes are mostly read first.
pub(super) const TOPICS: [&str; 11] = [
    topics::OPS_RECEIPT_V1.name(),
    topics::CLINICAL_SUPPLY_USAGE_V1.name(),
    topics::SUPPLY_PURCHASE_ORDER_V1.name(),
    topics::SUPPLY_GOODS_RECEIPT_V1.name(),
    topics::SUPPLY_USAGE_VALIDATED_V1.name(),
    topics::SUPPLY_USAGE_ENRICHED_V1.name(),
    topics::ERP_POSTING_V1.name(),
    topics::PARTNER_SUPPLIER_NOTICE_V1.name(),
    topics::OPS_AUDIT_V1.name(),
    topics::OPS_EXCEPTION_V1.name(),
    topics::OPS_DEAD_LETTER_V1.name(),
];

/// Most slices in which the time before now is read.
const SLICES_MAX: u64 = 1_000;

/// Where to read, and how.
pub(super) struct Source {
    pub kafka: KafkaConfig,
    pub codec: Codec,
    pub handle: Handle,
    /// Topics of which the time of the source is needed.
    pub recorded: Vec<&'static str>,
}

impl Source {
    /// Reads what was written since a time, milliseconds since 1970, and gives the positions after it; nothing when it was
    /// stopped meanwhile. Blocks.
    ///
    /// Topic after topic, in slices of time: as many that at most about `waiting_max` events start in one, because of a slice all
    /// that starts is read before anything that ends it.
    pub fn catch_up(
        &self,
        since_ms: i64,
        now_ms: i64,
        waiting_max: usize,
        stopped: &dyn Fn() -> bool,
        mut take: impl FnMut(Seen),
    ) -> Result<Option<Positions>, SightError> {
        let Some(pieces) = self.spans(From::TimeMs(since_ms), Until::EndNow, stopped)? else { return Ok(None) };
        let most = pieces.iter().map(|(_, spans)| length(spans)).max();
        let times = slices(since_ms, now_ms, most.unwrap_or_default(), waiting_max);
        let mut positions = Positions::new();
        for (index, from_ms) in times.iter().enumerate() {
            let until = times.get(index + 1).map_or(Until::EndNow, |until_ms| Until::TimeMs(*until_ms));
            let Some(pieces) = self.spans(From::TimeMs(*from_ms), until, stopped)? else { return Ok(None) };
            for (topic, spans) in pieces {
                self.scan(topic, &spans, stopped, &mut take)?;
                if stopped() {
                    return Ok(None);
                }
                positions.extend(spans.iter().map(|(partition, span)| ((topic.to_owned(), *partition), span.end)));
            }
        }
        Ok(Some(positions))
    }

    /// The offsets of all topics at once, so that nothing of a later topic is passed over because an earlier one took its time.
    /// A cluster with a part of the topics is still worth looking at.
    fn spans(&self, from: From, until: Until, stopped: &dyn Fn() -> bool) -> Result<Option<Vec<Piece>>, SightError> {
        let range = |topic: &str| Range { topic: topic.to_owned(), partitions: Vec::new(), from, until };
        let spans = scan::spans_until(&self.kafka, &TOPICS.map(range), stopped)?;
        let pieces = |spans| TOPICS.into_iter().zip::<Vec<_>>(spans).filter_map(|(topic, spans)| Some((topic, spans?)));
        Ok(spans.map(|spans| pieces(spans).collect()))
    }

    fn scan(
        &self,
        topic: &'static str,
        spans: &BTreeMap<i32, Span>,
        stopped: &dyn Fn() -> bool,
        take: &mut impl FnMut(Seen),
    ) -> Result<(), SightError> {
        let mut failed = None;
        scan::scan(&self.kafka, topic, spans, |glance| {
            let read = glance.map_or(Ok(()), |glance| self.reading().read(topic, glance, &mut *take));
            match read {
                Ok(()) if stopped() => ControlFlow::Break(()),
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Reads what is written from the positions on, until `take` breaks; it is asked with `None` when nothing comes. Blocks.
    pub fn follow(
        &self,
        positions: &mut Positions,
        mut take: impl FnMut(Option<Seen>) -> ControlFlow<()>,
    ) -> Result<(), SightError> {
        let mut failed = None;
        scan::follow(&self.kafka, positions, |glance| {
            let Some(glance) = glance else { return take(None) };
            let Some(topic) = TOPICS.into_iter().find(|topic| *topic == glance.topic()) else {
                return ControlFlow::Continue(());
            };
            let mut flow = ControlFlow::Continue(());
            let read = self.reading().read(topic, glance, |seen| {
                if take(Some(seen)).is_break() {
                    flow = ControlFlow::Break(());
                }
            });
            match read {
                Ok(()) => flow,
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn reading(&self) -> Reading<'_> {
        Reading { codec: &self.codec, handle: &self.handle, recorded: &self.recorded }
    }
}

fn length(spans: &BTreeMap<i32, Span>) -> u64 {
    spans.values().map(|span| u64::try_from(span.end - span.start).unwrap_or_default()).sum()
}

/// Beginnings of the slices: the more records the longest topic has, the more of them. A quiet hour and a busy one differ by
/// several times, so a slice of the mean takes a quarter of what may wait.
fn slices(since_ms: i64, now_ms: i64, records: u64, waiting_max: usize) -> Vec<i64> {
    let quarter = u64::try_from(waiting_max / 4).unwrap_or(u64::MAX).max(1);
    let count = i64::try_from((records / quarter).saturating_add(1).min(SLICES_MAX)).unwrap_or(1);
    let whole = now_ms.saturating_sub(since_ms).max(0);
    (0..count).map(|number| since_ms + whole / count * number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_day_is_read_in_slices_and_a_quiet_one_at_once() {
        assert_eq!(slices(1_000, 9_000, 100, 200_000), [1_000]);
        assert_eq!(slices(1_000, 9_000, 199_999, 200_000), [1_000, 3_000, 5_000, 7_000]);
        assert_eq!(slices(0, 86_400_000, u64::MAX, 1).len(), 1_000);
        assert_eq!(slices(9_000, 1_000, 0, 0), [9_000]);
    }
}

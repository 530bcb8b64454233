//! Differences as work items: exceptions of the room `reconcile`. The same difference is the same item in every run; what a
//! later run does not find any more is resolved by that run. People decide about them meanwhile, so they are written as
//! decisions are: whoever takes the transactional id over has read what was said before.

use super::difference::{Difference, Kind, ROOM};
use super::run::Report;
use crate::exceptions::WRITER;
use runtime::codec::{Codec, WireError};
use runtime::librdkafka::{SettleError, settle_within};
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::{PublishError, TransactionalPublisher};
use runtime::reader::{From, Range, ReadError, Until, read_range, spans};
use runtime::{Config, clock};
use schemas::{Bytes, Exception, ExceptionKind, ExceptionState, Severity, Subject, Timestamp, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Content type of what a work item keeps: the difference as JSON.
pub const CONTENT_TYPE: &str = "application/vnd.wardline.difference+json";
/// Stage of the work items.
const STAGE: &str = "compare";
/// Work items that are remembered while the topic is read (BND-1).
const ITEMS_MAX: usize = 200_000;
/// Work items that are written in one transaction.
const CHUNK: usize = 1_000;
/// How often people may decide in between, each of whom takes over.
const TURNS: usize = 20;
/// Longest wait for transactions of rooms that are open.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// Why work items were not written.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// The present ones cannot be read.
    #[error("WL-7188: the work items of reconciliation cannot be read: {0}")]
    Read(#[from] ReadError),
    /// One cannot be decoded, or the registry does not answer.
    #[error("WL-7188: the work items of reconciliation cannot be decoded: {0}")]
    Wire(#[from] WireError),
    /// They cannot be written.
    #[error("WL-7188: the work items of reconciliation cannot be written: {0}")]
    Publish(#[from] PublishError),
    /// The thread that reads has ended.
    #[error("WL-7188: the work items of reconciliation cannot be read: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// People decide all the time.
    #[error(
        "WL-7188: the work items of reconciliation are not all written: people decide about exceptions all the time"
    )]
    Busy,
    /// There are too many of them.
    #[error("WL-7184: there are more than {0} work items of reconciliation; none was changed")]
    TooMany(usize),
}

/// What became of the work items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Raised {
    /// Items that are new, or open again.
    pub raised: u64,
    /// Items that were open already and are still found.
    pub open: u64,
    /// Items that a person has discarded and that stay so.
    pub left: u64,
    /// Items that were not found any more.
    pub resolved: u64,
}

/// Raises what a report found and resolves what it does not find any more.
///
/// # Errors
/// See [`ItemsError`]; then some may be written, and the next run writes the rest.
pub async fn raise(config: &Config, codec: Arc<Codec>, report: &Report) -> Result<Raised, ItemsError> {
    let mut present = Present::default();
    // Most of the topic is read before the turn, which is short then.
    present.catch_up(config, &codec).await?;
    let mut written = Raised::default();
    for _ in 0..TURNS {
        let (records, round) = decide(report, &present.items, clock::now_micros());
        if records.is_empty() {
            return Ok(Raised { open: round.open.saturating_sub(written.raised), left: round.left, ..written });
        }
        let (topics, id) = ([topics::OPS_EXCEPTION_V1.info()], WRITER.to_owned());
        let mut writer = TransactionalPublisher::take_over(config, Arc::clone(&codec), id, &topics).await?;
        present.catch_up(config, &codec).await?;
        let (records, round) = decide(report, &present.items, clock::now_micros());
        // What was raised in an earlier round is open in this one.
        let open = round.open.saturating_sub(written.raised);
        if write(&mut writer, &records, &mut written).await? {
            return Ok(Raised { open, left: round.left, ..written });
        }
    }
    Err(ItemsError::Busy)
}

/// Writes what is to be said, a part at a time. False when somebody else has taken over: the rest is decided anew.
async fn write(
    writer: &mut TransactionalPublisher,
    records: &[Exception],
    written: &mut Raised,
) -> Result<bool, ItemsError> {
    for chunk in records.chunks(CHUNK) {
        let outgoing: Result<Vec<Outgoing>, PublishError> =
            chunk.iter().map(|exception| writer.event(exception, &Lineage::default())).collect();
        match writer.commit(outgoing?).await {
            Ok(()) => {}
            Err(PublishError::Kafka(error)) if error.fenced() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let raised = chunk.iter().filter(|item| is_open(item)).count() as u64;
        written.raised += raised;
        written.resolved += chunk.len() as u64 - raised;
    }
    Ok(true)
}

/// What is to be said about each item, and the sum of it.
fn decide(report: &Report, present: &BTreeMap<String, Exception>, now_us: i64) -> (Vec<Exception>, Raised) {
    let mut said = Vec::new();
    let mut sum = Raised::default();
    for difference in &report.differences {
        match present.get(&difference.id) {
            Some(known) if known.state == ExceptionState::Discarded => sum.left += 1,
            Some(known) if is_open(known) => sum.open += 1,
            known => {
                sum.raised += 1;
                let first = known.map_or(now_us, |known| known.raised_at.0);
                said.push(Exception { raised_at: Timestamp(first), ..item(difference, now_us) });
            }
        }
    }
    // Of differences that are not listed nobody knows whether they are still there.
    if report.truncated {
        return (said, sum);
    }
    // Nor of documents that the ERP was not asked for.
    let asked = report.erp && !report.by_kind.contains_key(&Kind::Undecided);
    let found: BTreeSet<&str> = report.differences.iter().map(|difference| difference.id.as_str()).collect();
    for known in present.values().filter(|known| is_open(known) && !found.contains(known.exception_id.as_str())) {
        let of_erp = |difference: &Difference| difference.part == super::difference::Part::Erp;
        // What is gone tells nothing.
        let hidden = |one: &Difference| report.reaches.iter().any(|reach| reach.hides(one.part, one.at_ms));
        let looked_for = difference_of(known)
            .is_some_and(|one| report.window.has(one.at_ms) && (asked || !of_erp(&one)) && !hidden(&one));
        if looked_for {
            sum.resolved += 1;
            said.push(Exception {
                kind: ExceptionKind::Resolved,
                state: ExceptionState::Resolved,
                actor: Some(report.actor.clone()),
                comment: Some("a later reconciliation does not find it any more".to_owned()),
                at: Timestamp(now_us),
                ..known.clone()
            });
        }
    }
    (said, sum)
}

/// The work item of a difference.
#[must_use]
pub fn item(difference: &Difference, now_us: i64) -> Exception {
    let place = difference.place.as_ref();
    let subject = difference.document_key.as_ref().or(difference.event_id.as_ref());
    Exception {
        exception_id: difference.id.clone(),
        kind: ExceptionKind::Raised,
        state: ExceptionState::Open,
        room: ROOM.to_owned(),
        stage: STAGE.to_owned(),
        code: difference.code.clone(),
        severity: Severity::Error,
        retryable: false,
        message: difference.message.clone(),
        subject: subject.map(|key| Subject { kind: difference.part.as_str().to_owned(), key: key.clone() }),
        origin_topic: place.map(|place| place.topic.clone()),
        origin_partition: place.map(|place| place.partition),
        origin_offset: place.map(|place| place.offset),
        origin_event_id: difference.event_id.clone(),
        suggested_fix: Some(difference.next.clone()),
        raw_value: serde_json::to_vec(difference).ok().map(Bytes::from),
        content_type: Some(CONTENT_TYPE.to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        raised_at: Timestamp(now_us),
        at: Timestamp(now_us),
        parked_key: false,
        ..Exception::default()
    }
}

/// The difference that a work item keeps.
#[must_use]
pub fn difference_of(item: &Exception) -> Option<Difference> {
    serde_json::from_slice(item.raw_value.as_ref()?.as_ref()).ok()
}

fn is_open(item: &Exception) -> bool {
    !matches!(item.state, ExceptionState::Resolved | ExceptionState::Discarded)
}

/// The newest word on each work item of reconciliation, and how far the topic is read for it.
#[derive(Debug, Default)]
struct Present {
    items: BTreeMap<String, Exception>,
    read_to: BTreeMap<i32, i64>,
}

impl Present {
    /// Reads on, to the last record that is there now. What was committed behind a transaction that is open is waited for.
    async fn catch_up(&mut self, config: &Config, codec: &Arc<Codec>) -> Result<(), ItemsError> {
        let mut present = std::mem::take(self);
        let (kafka, codec, handle) = (config.kafka.clone(), Arc::clone(codec), Handle::current());
        let reading = tokio::task::spawn_blocking(move || {
            let topic = topics::OPS_EXCEPTION_V1.name();
            settle_within(&kafka, topic, SETTLED_WITHIN).map_err(|error| match error {
                SettleError::Partitions(error) => ItemsError::Read(error),
                SettleError::Open(error) => ItemsError::Publish(PublishError::Kafka(error)),
            })?;
            for (partition, span) in spans(&kafka, &Range::all(topic))? {
                let from = present.read_to.get(&partition).map_or(From::Earliest, |offset| From::Offset(*offset));
                let range = Range {
                    topic: topic.to_owned(),
                    partitions: vec![partition],
                    from,
                    until: Until::Offset(span.end),
                };
                present.read(&kafka, &range, &codec, &handle)?;
                present.read_to.insert(partition, span.end);
            }
            Ok::<_, ItemsError>(present)
        });
        *self = reading.await??;
        Ok(())
    }

    fn read(
        &mut self,
        kafka: &runtime::config::KafkaConfig,
        range: &Range,
        codec: &Codec,
        handle: &Handle,
    ) -> Result<(), ItemsError> {
        let mut outcome = Ok(());
        read_range(kafka, range, |record| {
            let Some(value) = record.value.as_deref() else { return ControlFlow::Continue(()) };
            let decoded = handle
                .block_on(codec.open(value))
                .and_then(|(writer, body)| schemas::codec::decode::<Exception>(&writer, body).map_err(WireError::from));
            match decoded {
                Ok(item) if item.room == ROOM => {
                    self.items.insert(item.exception_id.clone(), item);
                }
                Ok(_) => {}
                Err(error) if error.blames_record() => {}
                Err(error) => outcome = Err(error.into()),
            }
            if self.items.len() > ITEMS_MAX {
                outcome = Err(ItemsError::TooMany(ITEMS_MAX));
            }
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::super::difference::Part;
    use super::super::reach::Reach;
    use super::super::run::tests::report;
    use super::*;

    fn difference(subject: &str, at_ms: i64) -> Difference {
        Difference::new(Kind::Missing, Part::Erp, subject, at_ms, "said".to_owned()).next("do this")
    }

    fn known(items: &[Exception]) -> BTreeMap<String, Exception> {
        items.iter().map(|item| (item.exception_id.clone(), item.clone())).collect()
    }

    #[test]
    fn the_same_difference_is_one_item_and_is_resolved_when_it_is_gone() {
        let found = report(vec![difference("a", 5)]);
        let (said, sum) = decide(&found, &known(&[]), 100);
        assert_eq!((said.len(), sum.raised), (1, 1));
        assert_eq!(difference_of(&said[0]), Some(difference("a", 5)));
        let (again, sum) = decide(&found, &known(&said), 200);
        assert_eq!((again.len(), sum.open), (0, 1));
        let (gone, sum) = decide(&report(Vec::new()), &known(&said), 300);
        assert_eq!((gone[0].state, gone[0].kind, sum.resolved), (ExceptionState::Resolved, ExceptionKind::Resolved, 1));
        let (back, sum) = decide(&found, &known(&gone), 400);
        assert_eq!((back[0].state, back[0].raised_at.0, sum.raised), (ExceptionState::Open, 100, 1));
    }

    #[test]
    fn only_a_run_that_looked_for_it_resolves_an_item() {
        let items = known(&[item(&difference("a", 5), 1), item(&difference("far", 5_000), 1)]);
        let nothing = report(Vec::new());
        assert_eq!(decide(&nothing, &items, 2).1.resolved, 1, "the other one lies outside of the window");
        assert_eq!(decide(&Report { erp: false, ..nothing.clone() }, &items, 2).1.resolved, 0, "the ERP was not asked");
        let reaches = |topic: &str| vec![Reach { topic: topic.to_owned(), from_ms: 900 }];
        let (gone, other) = (reaches("erp.posting.v1"), reaches("ops.receipt.v1"));
        assert_eq!(
            decide(&Report { reaches: gone, ..nothing.clone() }, &items, 2).1.resolved,
            0,
            "the postings are gone"
        );
        assert_eq!(decide(&Report { reaches: other, ..nothing.clone() }, &items, 2).1.resolved, 1);
        assert_eq!(decide(&Report { truncated: true, ..nothing }, &items, 2).1.resolved, 0);
    }

    #[test]
    fn what_a_person_discarded_stays_discarded() {
        let discarded = Exception { state: ExceptionState::Discarded, ..item(&difference("a", 5), 1) };
        let (said, sum) = decide(&report(vec![difference("a", 5)]), &known(&[discarded]), 2);
        assert_eq!((said.len(), sum.left), (0, 1));
    }
}

//! Plans on `ops.replay.v1`: reading them, and taking a step on one.

use super::acts::Replays;
use super::steps::state_text;
use super::{Plan, ReplayError};
use runtime::clock;
use runtime::codec::Codec;
use runtime::config::KafkaConfig;
use runtime::librdkafka::{SettleError, settle_within};
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::TransactionalPublisher;
use runtime::reader::{self, Range, ReadError};
use runtime::record::Record;
use schemas::{Audit, AuditKind, Timestamp, topics};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest wait for transactions of others that are open.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// All plans, oldest first.
///
/// # Errors
/// When Kafka or the registry does not answer, or there are too many.
pub(super) async fn all(replays: &Arc<Replays>) -> Result<Vec<Plan>, ReplayError> {
    let (of, handle) = (Arc::clone(replays), Handle::current());
    let mut plans = blocking(move || read(&of, &handle)).await?;
    plans.sort_by(|one, other| one.planned_at.0.cmp(&other.planned_at.0).then(one.replay_id.cmp(&other.replay_id)));
    Ok(plans)
}

/// The one plan whose id is this, or begins so.
pub(super) fn pick<'a>(plans: &'a [Plan], id: &str) -> Result<&'a Plan, ReplayError> {
    let matching: Vec<&Plan> = plans.iter().filter(|plan| !id.is_empty() && plan.replay_id.starts_with(id)).collect();
    match matching[..] {
        [one] => Ok(one),
        [] => Err(ReplayError::NoPlan(format!("no replay has the id {id}"))),
        _ => Err(ReplayError::NoPlan(format!("{} replays have ids that begin with {id}", matching.len()))),
    }
}

/// Whoever may take steps on a plan: it has the transactional id of the plan.
pub(super) struct Holder {
    replays: Arc<Replays>,
    publisher: TransactionalPublisher,
}

impl Holder {
    /// Takes a plan over: whoever held it before cannot write any more, and what was open is void.
    pub async fn take(replays: &Arc<Replays>, id: &str) -> Result<Self, ReplayError> {
        let written = [topics::OPS_REPLAY_V1.info(), topics::OPS_PARKED_V1.info(), topics::OPS_AUDIT_V1.info()];
        let name = format!("wardline.replay.{id}");
        let codec = Arc::clone(&replays.codec);
        let publisher = TransactionalPublisher::take_over(&replays.config, codec, name, &written).await?;
        Ok(Self { replays: Arc::clone(replays), publisher })
    }

    /// The plan as it is now that nobody else can change it, when it is still as it was `seen`.
    pub async fn unchanged(&self, seen: &Plan) -> Result<Plan, ReplayError> {
        let now = current(&self.replays, &seen.replay_id).await?;
        // Progress of a process that was fenced is no change: only steps of people are.
        if (now.state, &now.run) == (seen.state, &seen.run) {
            return Ok(now);
        }
        Err(ReplayError::TakenOver { id: now.replay_id, state: state_text(now.state) })
    }

    /// Writes the plan, with parked records and what goes on the audit topic, in one transaction.
    pub async fn write(
        &mut self,
        plan: &Plan,
        parked: Vec<Outgoing>,
        audit: Option<(&str, &str)>,
    ) -> Result<(), ReplayError> {
        let mut records = parked;
        if let Some((code, detail)) = audit {
            records.push(self.publisher.event(&audited(plan, code, detail), &Lineage::default())?);
        }
        records.push(self.publisher.event(plan, &Lineage::default())?);
        Ok(self.publisher.commit(records).await?)
    }
}

/// A plan as it is, behind everything that was committed by now.
pub(super) async fn current(replays: &Arc<Replays>, id: &str) -> Result<Plan, ReplayError> {
    pick(&all_settled(replays).await?, id).cloned()
}

/// All plans as they are, behind everything that was committed by now.
pub(super) async fn all_settled(replays: &Arc<Replays>) -> Result<Vec<Plan>, ReplayError> {
    let of = Arc::clone(replays);
    blocking(move || settle(&of, topics::OPS_REPLAY_V1.name())).await?;
    all(replays).await
}

/// Waits until every transaction that has written to a topic by now has ended: what was committed behind one that is open is not
/// visible before. Blocks.
pub(super) fn settle(replays: &Replays, topic: &str) -> Result<(), ReplayError> {
    settle_within(&replays.config.kafka, topic, SETTLED_WITHIN).map_err(|error| match error {
        SettleError::Partitions(error) => error.into(),
        SettleError::Open(error) => error.into(),
    })
}

/// Runs what blocks off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, ReplayError> + Send + 'static,
) -> Result<T, ReplayError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome,
        Err(stopped) => Err(ReplayError::Kafka(runtime::kafka::ClientError::Delivery(stopped.to_string()))),
    }
}

/// Visits the records of a range but for those that nobody can read: they say nothing about another record.
pub(super) fn visit_readable(
    kafka: &KafkaConfig,
    range: &Range,
    mut visit: impl FnMut(&Record) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let mut failed = None;
    reader::read_range(kafka, range, |record| match visit(&record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(ReplayError::Wire(error)) if error.blames_record() => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn read(replays: &Replays, handle: &Handle) -> Result<Vec<Plan>, ReplayError> {
    let most = replays.own.plans_max;
    let latest = reader::latest_by_key(&replays.config.kafka, topics::OPS_REPLAY_V1.name(), most);
    let latest = latest.map_err(|error| match error {
        ReadError::TooManyKeys { .. } => ReplayError::TooMuch { what: "plans", key: "plans_max", most },
        other => other.into(),
    })?;
    let values = latest.values().filter_map(|record| record.value.as_deref());
    values.map(|value| decode(&replays.codec, handle, value)).collect()
}

fn decode(codec: &Codec, handle: &Handle, value: &[u8]) -> Result<Plan, ReplayError> {
    let (writer, body) = handle.block_on(codec.open(value))?;
    Ok(schemas::codec::decode(&writer, body).map_err(runtime::codec::WireError::from)?)
}

fn audited(plan: &Plan, code: &str, detail: &str) -> Audit {
    let said = plan.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
    Audit {
        room: plan.room.clone(),
        kind: AuditKind::Replay,
        code: code.to_owned(),
        origin_topic: Some(plan.topic.clone()),
        detail: format!("replay {}: {detail}{said}", plan.replay_id),
        actor: Some(plan.actor.clone()),
        at: Timestamp(clock::now_micros()),
        ..Audit::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_found_by_the_start_of_its_id() {
        let plan = |id: &str| Plan { replay_id: id.to_owned(), ..Plan::default() };
        let plans = [plan("abc1"), plan("abd2")];
        assert_eq!(pick(&plans, "abd").unwrap().replay_id, "abd2");
        for (id, expected) in [("ab", "2 replays"), ("x", "no replay"), ("", "no replay")] {
            let said = pick(&plans, id).unwrap_err().to_string();
            assert!(said.starts_with("WL-7150: ") && said.contains(expected), "{said}");
        }
    }
}

//! Asking for a reset, agreeing to it, and carrying it out.

use super::super::acts::Replays;
use super::super::steps::named;
use super::super::store::blocking;
use super::super::{ReplayError, Words};
use super::plan::{self, ResetPlan};
use super::requested::{self, Requested};
use super::{DONE, FAILED, REQUESTED, ResetError, ResetRequest, STARTED};
use crate::same_person;
use runtime::outgoing::{Lineage, Outgoing};
use runtime::publisher::Publisher;
use runtime::{clock, groups};
use schemas::{Audit, AuditKind, Timestamp, topics};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetOutcome {
    /// The room goes on there.
    Done(ResetPlan),
    /// It is on record, and somebody else has to agree.
    Requested(ResetPlan),
}

impl Replays {
    /// What a reset comes to; nothing is changed. `read` is told how many records were read, now and then.
    ///
    /// # Errors
    /// When the room is running or reads no such topic, the target makes no sense, or Kafka does not answer.
    pub async fn reset_preview(
        self: &Arc<Self>,
        request: &ResetRequest,
        read: impl Fn(u64) + Send + 'static,
    ) -> Result<ResetPlan, ResetError> {
        let (of, request) = (Arc::clone(self), request.clone());
        blocking(move || Ok(plan::plan(&of, &request, &read))).await?
    }

    /// Sets where a room goes on, or puts on record that somebody asks for it where a second person has to agree.
    ///
    /// # Errors
    /// As [`Replays::reset_preview`]; also when it is not what was previewed any more, when records would be passed over and nobody
    /// stands for it, or Kafka refuses.
    pub async fn reset(
        self: &Arc<Self>,
        request: &ResetRequest,
        read: impl Fn(u64) + Send + 'static,
    ) -> Result<ResetOutcome, ResetError> {
        let actor = named(&request.actor, "the actor")?;
        let reason = named(&request.reason, "the reason")?;
        let plan = self.reset_preview(request, read).await?;
        if let Some(id) = request.previewed.as_ref().filter(|id| **id != plan.id) {
            return Err(ResetError::Moved { id: id.clone(), room: plan.room });
        }
        if plan.skipped > 0 && !request.force {
            return Err(ResetError::Loss { room: plan.room, records: plan.skipped });
        }
        if plan.second_person.is_some() {
            self.audit(&plan, REQUESTED, &actor, &reason).await?;
            return Ok(ResetOutcome::Requested(plan));
        }
        self.carry_out(&plan, &actor, &reason).await?;
        Ok(ResetOutcome::Done(plan))
    }

    /// The resets that wait for a second person, oldest first, as far back as one may agree.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer.
    pub async fn resets_requested(self: &Arc<Self>) -> Result<Vec<Requested>, ResetError> {
        let (of, handle) = (Arc::clone(self), tokio::runtime::Handle::current());
        blocking(move || Ok(requested::all(&of, &handle))).await?
    }

    /// Agrees to a reset as the second person, and carries it out as it was asked for.
    ///
    /// # Errors
    /// When nobody has asked for it, the same person agrees, the room has moved or runs, or Kafka refuses.
    pub async fn reset_approve(self: &Arc<Self>, id: &str, words: &Words) -> Result<ResetPlan, ResetError> {
        let actor = named(&words.actor, "the actor")?;
        let (of, wanted) = (Arc::clone(self), id.to_owned());
        let handle = tokio::runtime::Handle::current();
        let requested = blocking(move || Ok(requested::find(&of, &wanted, &handle))).await??;
        let Requested { id, room, actor: asked_by, reason, moves, .. } = requested;
        if same_person(&asked_by, &actor) {
            return Err(ResetError::SamePerson { id, actor });
        }
        let (of, name) = (Arc::clone(self), room.clone());
        let now = blocking(move || Ok(requested::as_it_is(&of, &name, moves))).await??;
        if plan::id_of(&room, &now) != id {
            return Err(ResetError::Moved { id, room });
        }
        let plan = ResetPlan::of(id, room, now);
        let said = words.comment.as_deref().map(|comment| format!("; {comment}")).unwrap_or_default();
        self.carry_out(&plan, &actor, &format!("asked for by {asked_by}: {reason}{said}")).await?;
        Ok(plan)
    }

    /// What begins is on record before anything changes, and how it ended afterwards.
    async fn carry_out(self: &Arc<Self>, plan: &ResetPlan, actor: &str, why: &str) -> Result<(), ResetError> {
        self.audit(plan, STARTED, actor, why).await?;
        let wanted: BTreeMap<_, _> =
            plan.moves.iter().map(|one| ((one.topic.clone(), one.partition), one.to)).collect();
        let (kafka, room) = (self.config.kafka.clone(), plan.room.clone());
        let set = blocking(move || Ok(groups::set_positions(&kafka, &room, &wanted))).await?;
        match set {
            Ok(()) => self.audit(plan, DONE, actor, why).await,
            Err(source) => {
                self.audit(plan, FAILED, actor, &source.to_string()).await?;
                Err(ResetError::Refused { room: plan.room.clone(), source })
            }
        }
    }

    /// One record for each partition: from where to where.
    async fn audit(&self, plan: &ResetPlan, code: &str, actor: &str, why: &str) -> Result<(), ResetError> {
        let written = [topics::OPS_AUDIT_V1.info()];
        let publisher = Publisher::connect(&self.config, Arc::clone(&self.codec), &written).await?;
        let at = Timestamp(clock::now_micros());
        let records: Result<Vec<Outgoing>, ReplayError> = plan
            .moves
            .iter()
            .map(|one| {
                let audit = Audit {
                    room: plan.room.clone(),
                    // Records are processed again, as in a replay.
                    kind: AuditKind::Replay,
                    code: code.to_owned(),
                    origin_topic: Some(one.topic.clone()),
                    origin_partition: Some(one.partition),
                    origin_offset: Some(one.to),
                    detail: requested::detail(&plan.id, one, why),
                    actor: Some(actor.to_owned()),
                    at,
                    ..Audit::default()
                };
                Ok(publisher.event(&audit, &Lineage::default())?)
            })
            .collect();
        publisher.publish(&records?).await?;
        Ok(())
    }
}

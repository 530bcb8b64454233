//! What people do with plans: make one, agree to it, pause it, give it up, look at it.

use super::corrected::Correcting;
use super::plan::{Count, waiting};
use super::select::start_of;
use super::steps::{Step, may_approve, named, needs_approval, state_text};
use super::store::{self, Holder, blocking};
use super::{Plan, ReplayConfig, ReplayError, ReplayRoom, ReplaySelection, ReplayState, Request};
use runtime::codec::Codec;
use runtime::{Config, clock};
use schemas::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// The replays of an installation. Cheap to share; keeps nothing.
pub struct Replays {
    pub(super) config: Arc<Config>,
    pub(super) own: ReplayConfig,
    pub(super) codec: Arc<Codec>,
    rooms: Vec<ReplayRoom>,
}

/// Who takes a step, and what they say.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Who; goes on record.
    pub actor: String,
    /// What they say; goes on record.
    pub comment: Option<String>,
}

/// How a replay stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The plan.
    pub plan: Plan,
    /// Records that were handed over.
    pub handed: i64,
    /// Of these, at most so many wait in the room still: others of the same range that wait cannot be told from them.
    pub still_parked: i64,
    /// Since the last step or sign of life, seconds.
    pub silent_s: i64,
}

impl Replays {
    /// For an installation with these rooms.
    ///
    /// # Errors
    /// When the block `operations.replay` cannot be used.
    pub fn new(config: Arc<Config>, codec: Arc<Codec>, rooms: Vec<ReplayRoom>) -> Result<Arc<Self>, ReplayError> {
        let own = ReplayConfig::of(&config)?;
        Ok(Arc::new(Self { config, own, codec, rooms }))
    }

    /// The block of the configuration in force.
    pub fn settings(&self) -> &ReplayConfig {
        &self.own
    }

    /// Counts what a replay comes to and puts the plan on record. `read` is told how many records were read, now and then.
    ///
    /// # Errors
    /// When the selection makes no sense, nothing is found, or a bound is met.
    pub async fn plan(
        self: &Arc<Self>,
        request: &Request,
        read: impl Fn(u64) + Send + 'static,
    ) -> Result<Plan, ReplayError> {
        let actor = named(&request.actor, "the actor")?;
        let reason = named(&request.reason, "the reason")?;
        let mut count = Count::new(self, &request.room, request.topic.as_deref(), &request.selection)?;
        let correction = match request.correct {
            true => self.next_correction(&mut count, &request.selection).await?,
            false => 0,
        };
        let (room, topic) = (count.room.info.name, count.topic);
        let mut plan = Plan {
            replay_id: uuid::Uuid::new_v4().to_string(),
            state: ReplayState::Planned,
            room: room.to_owned(),
            topic: topic.name.to_owned(),
            selection: request.selection.clone(),
            correction,
            reason,
            planned_by: actor.clone(),
            needs_approval: needs_approval(topic.class),
            actor,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Plan::default()
        };
        let mut plan = blocking(move || {
            let spans = count.spans(&plan.selection)?;
            count.run(&mut plan, &spans, &read)?;
            Ok(plan)
        })
        .await?;
        if plan.counts.records == 0 && !request.correct {
            return Err(ReplayError::Nothing { room: plan.room, topic: plan.topic });
        }
        let now = Timestamp(clock::now_micros());
        (plan.planned_at, plan.at) = (now, now);
        let detail = format!("planned: {}", in_numbers(&plan));
        let said = Plan { comment: Some(plan.reason.clone()), ..plan.clone() };
        let mut holder = Holder::take(self, &plan.replay_id).await?;
        holder.write(&said, Vec::new(), Some(("replay.planned", &detail))).await?;
        Ok(said)
    }

    /// Agrees to a plan as the second person.
    ///
    /// # Errors
    /// When the planner asks for it, or the plan is not waiting for it.
    pub async fn approve(self: &Arc<Self>, id: &str, words: &Words) -> Result<Plan, ReplayError> {
        let actor = named(&words.actor, "the actor")?;
        let seen = self.find(id).await?;
        may_approve(&seen, &actor)?;
        self.step(&seen, Step::Approve, words, |plan| {
            plan.approved_by = Some(actor.clone());
            plan.approved_at = Some(plan.at);
        })
        .await
    }

    /// Stops the process that hands records over, wherever it runs.
    ///
    /// # Errors
    /// When the plan is not running.
    pub async fn pause(self: &Arc<Self>, id: &str, words: &Words) -> Result<Plan, ReplayError> {
        let seen = self.find(id).await?;
        self.step(&seen, Step::Pause, words, |_| ()).await
    }

    /// Gives the rest of a plan up. What was handed over stays handed over.
    ///
    /// # Errors
    /// When the plan has ended.
    pub async fn abort(self: &Arc<Self>, id: &str, words: &Words) -> Result<Plan, ReplayError> {
        let seen = self.find(id).await?;
        self.step(&seen, Step::Abort, words, |_| ()).await
    }

    /// All plans, oldest first.
    ///
    /// # Errors
    /// When Kafka or the registry does not answer, or there are more plans than may be read.
    pub async fn list(self: &Arc<Self>) -> Result<Vec<Plan>, ReplayError> {
        store::all(self).await
    }

    /// How a replay stands, and how much of it still waits in the room.
    ///
    /// # Errors
    /// When there is no such plan, or Kafka or the registry does not answer.
    pub async fn status(self: &Arc<Self>, id: &str) -> Result<Status, ReplayError> {
        let plan = self.find(id).await?;
        let (of, asked) = (Arc::clone(self), plan.clone());
        let waiting = blocking(move || waiting(&of.config.kafka, &asked.room, &asked.topic, of.own.parked_max)).await?;
        let is_handed = |place: &&(i32, i64)| {
            plan.spans.iter().any(|span| span.partition == place.0 && (span.start..span.next).contains(&place.1))
        };
        Ok(Status {
            handed: handed(&plan),
            still_parked: i64::try_from(waiting.iter().filter(is_handed).count())
                .unwrap_or(i64::MAX)
                .min(handed(&plan)),
            silent_s: clock::now_micros().saturating_sub(plan.at.0).max(0) / 1_000_000,
            plan,
        })
    }

    /// The plan whose id is this or begins so.
    ///
    /// # Errors
    /// When there is none, or several begin so.
    pub async fn find(self: &Arc<Self>, id: &str) -> Result<Plan, ReplayError> {
        let plans = store::all(self).await?;
        store::pick(&plans, id).cloned()
    }

    /// The number of the next correcting replay; has the count compare with what was written.
    async fn next_correction(
        self: &Arc<Self>,
        count: &mut Count,
        selection: &ReplaySelection,
    ) -> Result<i32, ReplayError> {
        count.correcting = Some(Correcting::prepare(self, count, start_of(selection)).await?);
        let highest = store::all_settled(self).await?.iter().map(|plan| plan.correction).max().unwrap_or_default();
        Ok(highest.saturating_add(1))
    }

    pub(super) fn room(&self, name: &str) -> Result<&ReplayRoom, ReplayError> {
        self.rooms.iter().find(|room| room.info.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.rooms.iter().map(|room| room.info.name).collect();
            ReplayError::Room(format!("there is no room {name}; there are {}", names.join(", ")))
        })
    }

    /// Takes one step: fences whoever holds the plan, looks whether it is still as it was, and writes.
    async fn step(
        self: &Arc<Self>,
        seen: &Plan,
        step: Step,
        words: &Words,
        change: impl FnOnce(&mut Plan),
    ) -> Result<Plan, ReplayError> {
        let actor = named(&words.actor, "the actor")?;
        step.after(seen)?;
        let mut holder = Holder::take(self, &seen.replay_id).await?;
        let mut plan = holder.unchanged(seen).await?;
        plan.state = step.after(&plan)?;
        plan.actor = actor;
        plan.comment.clone_from(&words.comment);
        plan.at = Timestamp(clock::now_micros());
        change(&mut plan);
        let detail =
            format!("{}, {} of {} records handed over", state_text(plan.state), handed(&plan), plan.counts.records);
        holder.write(&plan, Vec::new(), Some((step.code(), &detail))).await?;
        Ok(plan)
    }
}

/// Records that were handed over.
pub(super) fn handed(plan: &Plan) -> i64 {
    plan.spans.iter().map(|span| span.handed).sum()
}

/// What a plan comes to, for the audit topic.
pub(super) fn in_numbers(plan: &Plan) -> String {
    let counts = &plan.counts;
    format!(
        "{} records of {} keys, {} effects to make, {} suppressed, {} in doubt",
        counts.records, counts.keys, counts.effects, counts.suppressed, counts.in_doubt
    )
}

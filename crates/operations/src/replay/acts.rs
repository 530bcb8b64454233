//! What people do with plans: make one, agree to it, pause it, give it up, look at it.

use super::corrected::Correcting;
use super::order::Overtaken;
use super::plan::{Count, Preview, waiting};
use super::select::start_of;
use super::steps::{Step, may_approve, named, needs_approval, state_text};
use super::store::{self, Holder, blocking};
use super::{CLOCK_SLACK_MS, Plan, ReplayConfig, ReplayError, ReplayRoom, ReplaySelection, ReplayState, Request};
use crate::exceptions::ExceptionsView;
use runtime::codec::Codec;
use runtime::reader::{From, Range};
use runtime::{Config, clock};
use schemas::{Timestamp, topics};
use serde::Serialize;
use std::sync::Arc;

/// The replays of an installation. Cheap to share; keeps nothing.
pub struct Replays {
    pub(super) config: Arc<Config>,
    pub(super) own: ReplayConfig,
    pub(super) codec: Arc<Codec>,
    rooms: Vec<ReplayRoom>,
    /// Knows what waits, where it is followed.
    view: Option<ExceptionsView>,
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
    /// The plan, with what follows from it.
    pub plan: Preview,
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
        Ok(Arc::new(Self { config, own, codec, rooms, view: None }))
    }

    /// The same beside a view that knows what waits: how a replay stands is then told without reading all of it.
    ///
    /// # Errors
    /// As [`Replays::new`].
    pub fn beside(
        view: &ExceptionsView,
        config: Arc<Config>,
        codec: Arc<Codec>,
        rooms: Vec<ReplayRoom>,
    ) -> Result<Arc<Self>, ReplayError> {
        let own = ReplayConfig::of(&config)?;
        Ok(Arc::new(Self { config, own, codec, rooms, view: Some(view.clone()) }))
    }

    /// The block of the configuration in force.
    pub fn settings(&self) -> &ReplayConfig {
        &self.own
    }

    /// Counts what a replay comes to and puts the plan on record. `read` is told how many records were read, now and then.
    ///
    /// A correction of nothing is an answer and no plan: nothing would come out otherwise. It has no id and is not on record.
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
        if plan.counts.records == 0 {
            return Ok(Plan { replay_id: String::new(), needs_approval: false, ..plan });
        }
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
        Ok(Status {
            handed: handed(&plan),
            still_parked: self.still_parked(&plan).await?,
            silent_s: clock::now_micros().saturating_sub(plan.at.0).max(0) / 1_000_000,
            plan: Preview::at_rate(plan, None),
        })
    }

    /// Records of a plan that were handed over and wait in the room still, at most.
    async fn still_parked(self: &Arc<Self>, plan: &Plan) -> Result<i64, ReplayError> {
        let most = handed(plan);
        let Some(started) = plan.started_at.filter(|_| most > 0) else { return Ok(0) };
        let passed = plan.spans.iter().filter(|span| span.start < span.next);
        let places: Vec<_> = passed.map(|span| (span.partition, span.start..span.next)).collect();
        let known = self.view.as_ref().and_then(|view| view.parked_within(&plan.room, &plan.topic, &places));
        let found = match known {
            Some(known) => known,
            None => self.parked_since(plan, started, places).await?,
        };
        Ok(i64::try_from(found).unwrap_or(i64::MAX).min(most))
    }

    /// The same as the parking lot says it, read from where the replay began to write into it.
    async fn parked_since(
        self: &Arc<Self>,
        plan: &Plan,
        started: Timestamp,
        places: Vec<(i32, std::ops::Range<i64>)>,
    ) -> Result<usize, ReplayError> {
        let (of, room, topic) = (Arc::clone(self), plan.room.clone(), plan.topic.clone());
        blocking(move || {
            let from = From::TimeMs((started.0 / 1_000).saturating_sub(CLOCK_SLACK_MS).max(0));
            let range = Range { from, ..Range::all(topics::OPS_PARKED_V1.name()) };
            let range = range.partitions(places.iter().map(|(partition, _)| *partition));
            let waiting = waiting(&of.config.kafka, &range, (&room, &topic), of.own.parked_max)?;
            let is_handed = |place: &&(i32, i64)| {
                places.iter().any(|(partition, offsets)| *partition == place.0 && offsets.contains(&place.1))
            };
            Ok(waiting.iter().filter(is_handed).count())
        })
        .await
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
    let overtaken = Overtaken::of(plan).map(|overtaken| format!("; {overtaken}")).unwrap_or_default();
    format!(
        "{} records of {} keys, {} effects to make, {} suppressed, {} in doubt{overtaken}",
        counts.records, counts.keys, counts.effects, counts.suppressed, counts.in_doubt
    )
}

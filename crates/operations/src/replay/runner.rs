//! Hands the records of a plan over, at a bounded rate, and keeps its progress in the same transactions.

use super::acts::{Replays, Words, handed, in_numbers};
use super::beside::{corrections_waiting, is_under_way, overlaps, supersedes};
use super::count::without;
use super::differences::{Difference, differences, differences_left, left};
use super::order::Overtaken;
use super::plan::{Agreed, Count, Handed};
use super::reading::{LOOK, Left, Read, gather, joined};
use super::steps::{
    Second, Step, accept, may_apply, may_resume, may_run_at, named, override_order, same_overtaken, state_text,
};
use super::store::{self, Holder, blocking};
use super::{Plan, ReplayError, ReplayState};
use processor::{Code, Reason};
use runtime::correction::{self, CORRECTION_HEADER};
use runtime::desk::Desk;
use runtime::parking_store::REPLAY_CODE;
use runtime::record::Record;
use runtime::{Shutdown, clock};
use schemas::Timestamp;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

/// Most records in one transaction.
const BATCH_MAX: u32 = 500;
/// Transactions in a second at most, so that a pause is noticed soon at any rate.
const BATCHES_PER_S: u32 = 4;
/// While nothing is found, a sign of life is written so often: it also notices that somebody else has taken over.
const ALIVE: Duration = Duration::from_secs(2);
/// How long somebody who has taken over may need to say what for.
const SAID_WITHIN: Duration = Duration::from_secs(20);
/// What is said of a plan that pauses because nobody has agreed to what would come out now.
const OTHERWISE: &str = "what is left would be corrected otherwise";

/// How a plan is applied.
#[derive(Clone, Debug, Default)]
pub struct Apply {
    /// Who, and why when changes are accepted.
    pub words: Words,
    /// Most records in a second.
    pub rate: u32,
    /// Go on although a recount differs from the plan.
    pub accept_changes: bool,
    /// Whether who applies it may be a second person.
    pub may_agree: bool,
    /// Why to go on although newer events of the same keys took effect; goes on record.
    pub override_order: Option<String>,
}

/// How a plan goes on.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// Who.
    pub words: Words,
    /// Most records in a second; as before when left out.
    pub rate: Option<u32>,
    /// Whether who goes on with it may be a second person.
    pub may_agree: bool,
    /// Why to go on although newer events of the same keys took effect; goes on record.
    pub override_order: Option<String>,
}

/// How handing over came to an end.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All records are handed over.
    Done(Plan),
    /// Somebody has paused it, or this process was asked to stop.
    Paused(Plan),
    /// Somebody has given the rest up.
    Aborted(Plan),
}

/// The one process that hands the records of a plan over.
pub struct Runner {
    replays: Arc<Replays>,
    holder: Holder,
    plan: Plan,
    /// Records that were handed over for certain.
    certain: i64,
    desk: Desk,
    /// What the recount of a correcting replay said of its records.
    agreed: Agreed,
}

impl Runner {
    /// Begins a plan: counts again and looks whether the preview holds. `read` is told how many records were read.
    ///
    /// # Errors
    /// When it is not approved where it must be, too old, a recount differs and the changes are not accepted, or newer events of
    /// the same keys took effect and nobody stands for that.
    pub async fn apply(
        replays: &Arc<Replays>,
        id: &str,
        apply: &Apply,
        read: impl Fn(u64) + Send + 'static,
    ) -> Result<Self, ReplayError> {
        let actor = named(&apply.words.actor, "the actor")?;
        may_run_at(apply.rate, &replays.own)?;
        let seen = replays.find(id).await?;
        may_apply(&seen, &replays.own, clock::now_micros())?;
        let (now, agreed) = recount(replays, &seen, read).await?;
        let found = differences(&seen, &now);
        if !found.is_empty() {
            accept(&seen, &actor, apply, &found)?;
        }
        let late = Overtaken::of(&now);
        let (why, known) = (apply.override_order.as_deref(), same_overtaken(&seen, &now));
        let second = Second::of(&actor, apply.may_agree);
        let order = late.as_ref().map(|late| override_order(&seen, second, why, late, known)).transpose()?;
        let mut runner = Self { agreed, ..Self::take(replays, &seen).await? };
        let plan = &mut runner.plan;
        let mut detail = format!("started at {} records in a second", apply.rate);
        if !found.is_empty() || order.is_some() {
            (plan.counts, plan.spans) = (now.counts, now.spans);
        }
        if !found.is_empty() {
            let told: Vec<String> = found.iter().map(Difference::to_string).collect();
            detail = format!("{detail}, changes accepted ({}): {}", told.join("; "), in_numbers(plan));
        }
        if let Some((late, why)) = late.zip(order) {
            detail = format!("{detail}, {}", overridden(&late, &why));
        }
        plan.rate = i32::try_from(apply.rate).unwrap_or(i32::MAX);
        plan.started_at = Some(Timestamp(clock::now_micros()));
        runner.begin(Step::Apply, &apply.words, &detail).await?;
        runner.alone().await
    }

    /// Goes on behind the last record that was handed over, after a pause or when the process that did it is gone. Where that
    /// still runs, it is fenced. What is left is looked at again: time has passed, and newer events may have taken effect. `read`
    /// is told how many records were read.
    ///
    /// # Errors
    /// When the plan is neither paused nor running, its last step is too long ago, or newer events of keys that are left took
    /// effect and nobody stands for that.
    pub async fn resume(
        replays: &Arc<Replays>,
        id: &str,
        resume: &Resume,
        read: impl Fn(u64) + Send + 'static,
    ) -> Result<Self, ReplayError> {
        let actor = named(&resume.words.actor, "the actor")?;
        let seen = replays.find(id).await?;
        if let Some(rate) = resume.rate {
            may_run_at(rate, &replays.own)?;
        }
        may_resume(&seen, &replays.own, clock::now_micros())?;
        let (late, order, mut runner) = if seen.correction > 0 {
            let mut runner = Self::take(replays, &seen).await?;
            runner.same_left(read).await?;
            (None, None, runner)
        } else {
            let late = Overtaken::of(&recount(replays, &left(&seen), read).await?.0);
            let (why, second) = (resume.override_order.as_deref(), Second::of(&actor, resume.may_agree));
            // Nobody has agreed to what has happened since it began.
            let order = late.as_ref().map(|late| override_order(&seen, second, why, late, false)).transpose()?;
            (late, order, Self::take(replays, &seen).await?)
        };
        let plan = &mut runner.plan;
        if let Some(rate) = resume.rate {
            plan.rate = i32::try_from(rate).unwrap_or(i32::MAX);
        }
        let mut detail = format!("resumed behind {} of {} records", handed(plan), plan.counts.records);
        if let Some((late, why)) = late.zip(order) {
            detail = format!("{detail}, {}", overridden(&late, &why));
        }
        runner.begin(Step::Resume, &resume.words, &detail).await?;
        runner.alone().await
    }

    /// The plan as it is now.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Hands records over until all are, somebody pauses or aborts the plan, or `stop` asks for the end. `progress` is told of
    /// every transaction.
    ///
    /// # Errors
    /// When it is interrupted, another process has taken over, or a record would be corrected otherwise than was agreed to.
    pub async fn run(mut self, stop: &Shutdown, progress: impl Fn(&Plan)) -> Result<Outcome, ReplayError> {
        let agreed = std::mem::take(&mut self.agreed);
        let (mut records, reading) = Left::prepare(&self.replays, &self.plan, agreed).await?.read();
        let handed_over = self.hand_over(&mut records, stop, &progress).await;
        // The reading thread ends when nobody takes its records.
        drop(records);
        let read = joined(reading.await);
        match handed_over {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => match read {
                Ok(()) => match self.end(Step::Finish, None).await {
                    Ok(plan) => Ok(Outcome::Done(plan)),
                    Err(error) => self.why(error).await,
                },
                Err(changed @ ReplayError::ChangedLeft { .. }) => match self.end(Step::Pause, Some(OTHERWISE)).await {
                    Ok(_) => Err(changed),
                    Err(error) => self.why(error).await,
                },
                Err(error) => Err(self.interrupted(&error)),
            },
            Err(error) => self.why(error).await,
        }
    }

    async fn take(replays: &Arc<Replays>, seen: &Plan) -> Result<Self, ReplayError> {
        let room = replays.room(&seen.room)?.info.name;
        let holder = Holder::take(replays, &seen.replay_id).await?;
        let plan = holder.unchanged(seen).await?;
        let run = uuid::Uuid::new_v4().to_string();
        // The live room takes what another session wrote; the name only has to differ from the room's own.
        let desk = Desk::new(room, &replays.config, Arc::clone(&replays.codec), &format!("replay-{run}"));
        let certain = handed(&plan);
        let (replays, agreed) = (Arc::clone(replays), Agreed::new());
        Ok(Self { replays, holder, plan: Plan { run, ..plan }, certain, desk, agreed })
    }

    /// Looks, once nobody else hands records over, whether what is left of a correcting replay is still as it was agreed to.
    async fn same_left(&mut self, read: impl Fn(u64) + Send + 'static) -> Result<(), ReplayError> {
        let (now, agreed) = recount(&self.replays, &left(&self.plan), read).await?;
        self.agreed = agreed;
        let differences = differences_left(&self.plan, &now);
        if differences.is_empty() {
            return Ok(());
        }
        if self.plan.state == ReplayState::Running {
            self.end(Step::Pause, Some(OTHERWISE)).await?;
        }
        Err(ReplayError::ChangedLeft { id: self.plan.replay_id.clone(), differences })
    }

    async fn begin(&mut self, step: Step, words: &Words, detail: &str) -> Result<(), ReplayError> {
        self.plan.state = step.after(&self.plan)?;
        self.plan.actor = named(&words.actor, "the actor")?;
        self.plan.comment.clone_from(&words.comment);
        self.plan.at = Timestamp(clock::now_micros());
        self.holder.write(&self.plan, Vec::new(), Some((step.code(), detail))).await
    }

    /// Pauses when another replay hands over the same records: what the first has parked, and what people have decided about that
    /// meanwhile, the second would park anew. Looked at once this one is on record, so that of two that begin together none is
    /// overlooked.
    async fn alone(mut self) -> Result<Self, ReplayError> {
        let plans = store::all_settled(&self.replays).await?;
        if let Some(other) = plans.iter().find(|other| overlaps(&self.plan, other)) {
            let error = ReplayError::Overlaps { id: self.plan.replay_id.clone(), other: other.replay_id.clone() };
            self.end(Step::Pause, Some(&format!("replay {} hands over the same records", other.replay_id))).await?;
            return Err(error);
        }
        if let Some(other) = plans.iter().find(|other| supersedes(other, &self.plan)) {
            let error = ReplayError::Superseded { id: self.plan.replay_id.clone(), other: other.replay_id.clone() };
            self.end(Step::Pause, Some(&format!("replay {} corrects later", other.replay_id))).await?;
            return Err(error);
        }
        if self.plan.correction == 0 {
            return Ok(self);
        }
        let waiting = corrections_waiting(&self.replays).await?;
        let Some(other) = plans.iter().find(|other| is_under_way(other, &self.plan, &waiting)) else { return Ok(self) };
        let error = ReplayError::Corrects { id: self.plan.replay_id.clone(), other: other.replay_id.clone() };
        self.end(Step::Pause, Some(&format!("what replay {} corrects is under way", other.replay_id))).await?;
        Err(error)
    }

    async fn end(&mut self, step: Step, comment: Option<&str>) -> Result<Plan, ReplayError> {
        self.plan.state = step.after(&self.plan)?;
        self.plan.comment = comment.map(str::to_owned);
        self.plan.at = Timestamp(clock::now_micros());
        let (done, all) = (handed(&self.plan), self.plan.counts.records);
        let detail = format!("{}, {done} of {all} records handed over", state_text(self.plan.state));
        self.holder.write(&self.plan, Vec::new(), Some((step.code(), &detail))).await?;
        Ok(self.plan.clone())
    }

    /// Nothing when all that was read is handed over.
    async fn hand_over(
        &mut self,
        records: &mut Receiver<Read>,
        stop: &Shutdown,
        progress: &impl Fn(&Plan),
    ) -> Result<Option<Outcome>, ReplayError> {
        let rate = u32::try_from(self.plan.rate).unwrap_or_default().max(1);
        let batch = (rate / BATCHES_PER_S).clamp(1, BATCH_MAX);
        let mut pace = tokio::time::interval(Duration::from_secs(1) * batch / rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = clock::tick();
        loop {
            if stop.requested() {
                return self
                    .end(Step::Pause, Some("its process was asked to stop"))
                    .await
                    .map(Outcome::Paused)
                    .map(Some);
            }
            let (read, ended) = gather(records, batch).await;
            let parked = self.park(&read)?;
            let has_parked = !parked.is_empty();
            if has_parked || clock::tick().since(written) >= ALIVE {
                self.plan.at = Timestamp(clock::now_micros());
                self.holder.write(&self.plan, parked, None).await?;
                self.certain = handed(&self.plan);
                written = clock::tick();
                progress(&self.plan);
            }
            if ended {
                return Ok(None);
            }
            if has_parked {
                tokio::select! {
                    _ = pace.tick() => {}
                    () = stop.wait() => {}
                }
            }
        }
    }

    /// The parked copies of records, and the progress that goes with them.
    fn park(&mut self, read: &[Read]) -> Result<Vec<runtime::outgoing::Outgoing>, ReplayError> {
        let reason = Reason::new(Code::new(REPLAY_CODE), REPLAY_CODE, format!("replay {}", self.plan.replay_id));
        let mut parked = Vec::with_capacity(read.len());
        for read in read {
            let partition = match read {
                Read::Record(record, _) => record.place.partition,
                Read::LeftOut((partition, _), _) | Read::Through(partition) => *partition,
            };
            let span = self.plan.spans.iter_mut().find(|span| span.partition == partition);
            match (read, span) {
                (Read::Record(record, handed), Some(span)) => {
                    let mut copy = Record::clone(record);
                    if self.plan.correction > 0 {
                        let told = correction::header(self.plan.correction, &self.plan.replay_id);
                        copy.headers.push((Cow::Borrowed(CORRECTION_HEADER), Some(told.into())));
                    }
                    parked.push(self.desk.park(&copy, &reason, None, 0, clock::now_micros())?);
                    span.next = record.place.offset + 1;
                    span.handed += 1;
                    if let Handed::Corrected(says) = handed {
                        span.left = without(&span.left, (record.place.partition, record.place.offset), *says);
                    }
                }
                // Nothing of it is left, so that whoever goes on behind it compares what is.
                (Read::LeftOut(place, says), Some(span)) => {
                    span.next = place.1 + 1;
                    span.left = without(&span.left, *place, *says);
                }
                (Read::Through(_), Some(span)) => span.next = span.end,
                (_, None) => {}
            }
        }
        Ok(parked)
    }

    /// A transaction did not go through: somebody has taken a step, another process has taken over, or Kafka failed.
    async fn why(&self, error: ReplayError) -> Result<Outcome, ReplayError> {
        let started = clock::tick();
        loop {
            let now = match store::current(&self.replays, &self.plan.replay_id).await {
                Ok(now) => now,
                Err(_) => return Err(self.interrupted(&error)),
            };
            match now.state {
                ReplayState::Paused => return Ok(Outcome::Paused(now)),
                ReplayState::Aborted => return Ok(Outcome::Aborted(now)),
                ReplayState::Done => return Ok(Outcome::Done(now)),
                state if now.run != self.plan.run => {
                    return Err(ReplayError::TakenOver { id: now.replay_id, state: state_text(state) });
                }
                _ if clock::tick().since(started) > SAID_WITHIN => return Err(self.interrupted(&error)),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn interrupted(&self, error: &ReplayError) -> ReplayError {
        ReplayError::Interrupted { id: self.plan.replay_id.clone(), handed: self.certain, reason: error.to_string() }
    }
}

/// What somebody stands for, for the audit topic.
fn overridden(late: &Overtaken, why: &str) -> String {
    format!("order overridden ({late}): {why}")
}

/// Counts a plan again, in the range that it has. With what that says of the records of a correcting one.
async fn recount(
    replays: &Arc<Replays>,
    seen: &Plan,
    read: impl Fn(u64) + Send + 'static,
) -> Result<(Plan, Agreed), ReplayError> {
    let count = Count::of_plan(replays, seen).await?;
    let mut now = seen.clone();
    blocking(move || {
        let spans = std::mem::take(&mut now.spans);
        let agreed = count.run(&mut now, &spans, &read)?;
        Ok((now, agreed))
    })
    .await
}

//! Which step may follow which, and who may take it. Pure.

use super::differences::Difference;
use super::order::Overtaken;
use super::runner::Apply;
use super::{Plan, ReplayConfig, ReplayError, ReplayState, STARTED};
use crate::same_person;
use schemas::catalogue::Criticality;

/// What is done to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A second person agrees.
    Approve,
    /// Records begin to be handed over.
    Apply,
    /// Records are no longer handed over.
    Pause,
    /// They are again.
    Resume,
    /// All are handed over.
    Finish,
    /// The rest is given up.
    Abort,
}

impl Step {
    /// The state after it.
    ///
    /// # Errors
    /// When the state before does not allow it.
    pub fn after(self, plan: &Plan) -> Result<ReplayState, ReplayError> {
        use ReplayState::{Aborted, Approved, Done, Paused, Planned, Running};
        match (self, plan.state) {
            (Self::Approve, Planned) => Ok(Approved),
            // A process that died leaves its plan running: resuming it takes it over.
            (Self::Apply, Planned | Approved) | (Self::Resume, Paused | Running) => Ok(Running),
            (Self::Pause, Running) => Ok(Paused),
            (Self::Finish, Running) => Ok(Done),
            (Self::Abort, Planned | Approved | Running | Paused) => Ok(Aborted),
            (step, state) => Err(ReplayError::State {
                id: plan.replay_id.clone(),
                state: state_text(state),
                step: step.participle(),
            }),
        }
    }

    /// How it is called on record.
    pub fn code(self) -> &'static str {
        match self {
            Self::Approve => "replay.approved",
            Self::Apply => STARTED,
            Self::Pause => "replay.paused",
            Self::Resume => "replay.resumed",
            Self::Finish => "replay.done",
            Self::Abort => "replay.aborted",
        }
    }

    fn participle(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Apply => "applied",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Finish => "finished",
            Self::Abort => "aborted",
        }
    }
}

/// A state in lower case.
pub(super) fn state_text(state: ReplayState) -> &'static str {
    match state {
        ReplayState::Planned => "planned",
        ReplayState::Approved => "approved",
        ReplayState::Running => "running",
        ReplayState::Paused => "paused",
        ReplayState::Done => "done",
        ReplayState::Aborted => "aborted",
        ReplayState::Unknown => "in a state that this version does not know",
    }
}

/// Whether a second person has to agree to a replay of the topic.
#[must_use]
pub fn needs_approval(class: Criticality) -> bool {
    class == Criticality::PatientAdjacent
}

/// Who stands for what the second person has not seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Second<'a> {
    actor: &'a str,
    may_agree: bool,
}

impl<'a> Second<'a> {
    pub fn of(actor: &'a str, may_agree: bool) -> Self {
        Self { actor, may_agree }
    }

    /// What somebody has agreed to is not replaced by who planned it, nor by somebody who may not agree to anything.
    fn stands_for(self, seen: &Plan) -> Result<(), ReplayError> {
        let (id, actor) = (seen.replay_id.clone(), self.actor.to_owned());
        if same_person(&seen.planned_by, self.actor) {
            return Err(ReplayError::ChangesBySamePerson { id, actor });
        }
        if self.may_agree { Ok(()) } else { Err(ReplayError::ChangesWithoutRight { id, actor }) }
    }
}

/// Whether somebody may be the second person.
pub(super) fn may_approve(plan: &Plan, actor: &str) -> Result<(), ReplayError> {
    Step::Approve.after(plan)?;
    if same_person(&plan.planned_by, actor) {
        return Err(ReplayError::SamePerson { id: plan.replay_id.clone(), actor: actor.to_owned() });
    }
    Ok(())
}

/// Whether records may begin to be handed over at `now`, microseconds since 1970.
pub(super) fn may_apply(plan: &Plan, config: &ReplayConfig, now: i64) -> Result<(), ReplayError> {
    Step::Apply.after(plan)?;
    if plan.needs_approval && plan.state != ReplayState::Approved {
        return Err(ReplayError::NotApproved {
            id: plan.replay_id.clone(),
            topic: plan.topic.clone(),
            planner: plan.planned_by.clone(),
        });
    }
    fresh(plan, plan.planned_at.0, config, now)
}

/// Whether records may go on being handed over.
pub(super) fn may_resume(plan: &Plan, config: &ReplayConfig, now: i64) -> Result<(), ReplayError> {
    Step::Resume.after(plan)?;
    fresh(plan, plan.at.0, config, now)
}

/// Whether somebody may go on although the preview does not hold. What was agreed to was another preview: where a second person
/// is needed, a second person accepts.
pub(super) fn accept(seen: &Plan, actor: &str, apply: &Apply, found: &[Difference]) -> Result<(), ReplayError> {
    if !apply.accept_changes {
        return Err(ReplayError::Changed { id: seen.replay_id.clone(), differences: found.to_vec() });
    }
    named(apply.words.comment.as_deref().unwrap_or_default(), "the reason to accept the changes")?;
    if seen.needs_approval { Second::of(actor, apply.may_agree).stands_for(seen) } else { Ok(()) }
}

/// Why somebody lets events take effect behind newer ones of their key. Where a second person is needed, a second person stands
/// for other keys than those that were `known` when it was agreed to.
pub(super) fn override_order(
    seen: &Plan,
    second: Second<'_>,
    why: Option<&str>,
    late: &Overtaken,
    known: bool,
) -> Result<String, ReplayError> {
    let Some(why) = why else {
        return Err(ReplayError::Overtaken { id: seen.replay_id.clone(), overtaken: late.clone() });
    };
    let why = named(why, "the reason to override the order")?;
    if !known && seen.needs_approval {
        second.stands_for(seen)?;
    }
    Ok(why)
}

/// Whether a recount tells the same overtaken keys as the plan that was agreed to.
pub(super) fn same_overtaken(seen: &Plan, now: &Plan) -> bool {
    let (seen, now) = (&seen.counts.overtaken_digest, &now.counts.overtaken_digest);
    !now.is_empty() && seen == now
}

/// Whether the rate is one that may be asked for.
pub(super) fn may_run_at(rate: u32, config: &ReplayConfig) -> Result<(), ReplayError> {
    if (1..=config.rate_max).contains(&rate) { Ok(()) } else { Err(ReplayError::Rate { rate, most: config.rate_max }) }
}

/// Somebody must stand for every step.
pub(super) fn named(text: &str, what: &'static str) -> Result<String, ReplayError> {
    let text = text.trim();
    if text.is_empty() { Err(ReplayError::Unsaid(what)) } else { Ok(text.to_owned()) }
}

fn fresh(plan: &Plan, since: i64, config: &ReplayConfig, now: i64) -> Result<(), ReplayError> {
    let age_s = u64::try_from(now.saturating_sub(since)).unwrap_or_default() / 1_000_000;
    let max_s = config.plan_age_max_s;
    if age_s > max_s {
        return Err(ReplayError::Stale { id: plan.replay_id.clone(), age_s, max_s });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::replay::Words;
    use ReplayState::{Aborted, Approved, Done, Paused, Planned, Running, Unknown};
    use schemas::Timestamp;

    fn plan(state: ReplayState) -> Plan {
        Plan { replay_id: "r1".to_owned(), state, planned_by: "Ada".to_owned(), ..Plan::default() }
    }

    fn code(error: &ReplayError) -> String {
        error.to_string().split(':').next().unwrap_or_default().to_owned()
    }

    fn refused(result: Result<(), ReplayError>) -> Option<String> {
        result.err().as_ref().map(code)
    }

    #[test]
    fn rpl_1_changes_are_accepted_with_a_reason_and_by_a_second_person() {
        let found = [Difference { what: "records".to_owned(), planned: 1, now: 2 }];
        let seen = |needs_approval| Plan { needs_approval, planned_by: "Ada".to_owned(), ..Plan::default() };
        let said = |needs, actor: &str, accept_changes, comment: Option<&str>| {
            let words = Words { actor: actor.to_owned(), comment: comment.map(str::to_owned) };
            let apply = Apply { words, rate: 1, accept_changes, may_agree: actor != "Olga", ..Apply::default() };
            refused(accept(&seen(needs), actor, &apply, &found))
        };
        assert_eq!(said(true, "Bert", false, Some("x")).as_deref(), Some("WL-7158"));
        assert_eq!(said(true, "Bert", true, None).as_deref(), Some("WL-7162"));
        assert_eq!(said(true, "ada", true, Some("x")).as_deref(), Some("WL-7164"));
        assert_eq!(said(true, "Olga", true, Some("x")).as_deref(), Some("WL-7164"), "who may not agree");
        assert_eq!(said(true, "Bert", true, Some("x")), None);
        assert_eq!(said(false, "Ada", true, Some("x")), None);
        assert_eq!(said(false, "Olga", true, Some("x")), None);
    }

    #[test]
    fn ord_1_the_order_is_overridden_with_a_reason_and_by_somebody_who_has_seen_it() {
        let late = Overtaken { keys: 2, ..Overtaken::default() };
        let said = |needs_approval, known, actor: &str, why: Option<&str>| {
            let seen = Plan { needs_approval, planned_by: "Ada".to_owned(), ..Plan::default() };
            refused(override_order(&seen, Second::of(actor, actor != "Olga"), why, &late, known).map(|_| ()))
        };
        assert_eq!(said(true, true, "Ada", None).as_deref(), Some("WL-7261"));
        assert_eq!(said(true, true, "Ada", Some(" ")).as_deref(), Some("WL-7162"));
        assert_eq!(said(true, true, "Ada", Some("x")), None, "who agreed has seen them");
        assert_eq!(said(true, false, "ada", Some("x")).as_deref(), Some("WL-7164"), "others since");
        assert_eq!(said(true, false, "Olga", Some("x")).as_deref(), Some("WL-7164"), "by who may not agree");
        assert_eq!(said(true, true, "Olga", Some("x")), None);
        assert_eq!(said(true, false, "Bert", Some("x")), None);
        assert_eq!(said(false, false, "Ada", Some("x")), None);
    }

    #[test]
    fn ord_1_as_many_keys_are_not_the_same_keys() {
        let plan = |keys, digest: &str| {
            let mut plan = Plan::default();
            (plan.counts.overtaken_keys, plan.counts.overtaken_digest) = (keys, digest.to_owned());
            plan
        };
        let seen = plan(10, "a");
        assert!(same_overtaken(&seen, &plan(10, "a")));
        assert!(!same_overtaken(&seen, &plan(8, "b")), "fewer, and others");
        assert!(!same_overtaken(&plan(2, ""), &plan(2, "")), "counted by a version that did not say which");
    }

    #[test]
    fn rpl_1_only_these_steps_follow_each_other() {
        let states = [Planned, Approved, Running, Paused, Done, Aborted, Unknown];
        let allowed = |step: Step| {
            let next = states.map(|state| step.after(&plan(state)).ok());
            next.map(|state| state.map_or('-', |state| state_text(state).chars().next().unwrap())).iter().collect()
        };
        // One column for each state before, with the first letter of the state after.
        let table: [(Step, &str); 6] = [
            (Step::Approve, "a------"),
            (Step::Apply, "rr-----"),
            (Step::Pause, "--p----"),
            (Step::Resume, "--rr---"),
            (Step::Finish, "--d----"),
            (Step::Abort, "aaaa---"),
        ];
        for (step, expected) in table {
            let found: String = allowed(step);
            assert_eq!(found, expected, "{step:?}");
        }
        assert_eq!(code(&Step::Pause.after(&plan(Done)).unwrap_err()), "WL-7154");
    }

    #[test]
    fn rpl_1_the_planner_is_no_second_person() {
        for same in ["Ada", "ada", " ADA "] {
            assert_eq!(code(&may_approve(&plan(Planned), same).unwrap_err()), "WL-7156", "{same:?}");
        }
        assert!(may_approve(&plan(Planned), "Bert").is_ok());
        assert_eq!(code(&may_approve(&plan(Done), "Bert").unwrap_err()), "WL-7154");
    }

    #[test]
    fn rpl_1_nothing_begins_unapproved_or_stale() {
        let config = ReplayConfig { plan_age_max_s: 10, ..ReplayConfig::default() };
        let at = |state, needs_approval| Plan {
            needs_approval,
            planned_at: Timestamp(5_000_000),
            at: Timestamp(6_000_000),
            ..plan(state)
        };
        let refused = |plan: &Plan, now| may_apply(plan, &config, now).err().as_ref().map(code);
        assert_eq!(refused(&at(Planned, true), 5_000_000).as_deref(), Some("WL-7155"));
        assert_eq!(refused(&at(Planned, false), 15_000_000), None);
        assert_eq!(refused(&at(Approved, true), 15_000_000), None);
        assert_eq!(refused(&at(Approved, true), 16_000_000).as_deref(), Some("WL-7157"));
        assert_eq!(refused(&at(Running, true), 5_000_000).as_deref(), Some("WL-7154"));
        let resumed = |now| may_resume(&at(Paused, true), &config, now).err().as_ref().map(code);
        assert_eq!((resumed(16_000_000), resumed(17_000_000).as_deref()), (None, Some("WL-7157")));
    }

    #[test]
    fn only_patient_adjacent_topics_need_a_second_person() {
        assert!(needs_approval(Criticality::PatientAdjacent));
        assert!(!needs_approval(Criticality::Operational) && !needs_approval(Criticality::Analytical));
    }

    #[test]
    fn a_rate_and_a_name_are_within_bounds() {
        let config = ReplayConfig { rate_max: 10, ..ReplayConfig::default() };
        let refused = |rate| may_run_at(rate, &config).is_err();
        assert_eq!((refused(0), refused(1), refused(10), refused(11)), (true, false, false, true));
        assert_eq!(named(" Ada ", "the actor").unwrap(), "Ada");
        assert_eq!(code(&named(" ", "the actor").unwrap_err()), "WL-7162");
    }
}

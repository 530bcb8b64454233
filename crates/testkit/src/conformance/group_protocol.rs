//! The group protocol step by step, and what it refuses.

use super::clients::{PATIENCE, fresh, topic};
use super::clock::{Stopwatch, pause};
use super::raw::{Raw, name, text};
use super::{Target, same};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::{FindCoordinatorRequest, HeartbeatRequest, JoinGroupResponse, LeaveGroupRequest};
use std::time::Duration;

const JOIN: i16 = 5;

/// A member speaks the protocol itself.
pub(super) struct Pupil {
    pub(super) raw: Raw,
    pub(super) group: String,
    pub(super) member: String,
    pub(super) generation: i32,
    instance: Option<String>,
    protocol: &'static str,
}

impl Pupil {
    pub(super) fn new(target: &dyn Target, group: &str) -> Result<Self> {
        let mut raw = Raw::connect(target)?;
        raw.find_coordinator(0, group)?;
        let group = group.to_owned();
        Ok(Self { raw, group, member: String::new(), generation: -1, instance: None, protocol: "plan" })
    }

    fn request(&self) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text(self.protocol))
            .with_metadata(Bytes::from_static(b"what I can"));
        JoinGroupRequest::default()
            .with_group_id(text(&self.group).into())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_member_id(text(&self.member))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_protocol_type(text("lesson"))
            .with_protocols(vec![protocol])
    }

    /// Asks to join without waiting for the answer.
    fn ask(&mut self) -> Result<()> {
        let request = self.request();
        self.raw.send(JOIN, &request).map(drop)
    }

    /// The answer to [`Pupil::ask`].
    fn answer(&mut self) -> Result<JoinGroupResponse> {
        let (_, response) = self.raw.receive::<JoinGroupRequest>(JOIN)?;
        if response.error_code == 0 {
            self.generation = response.generation_id;
        }
        if !response.member_id.is_empty() {
            self.member = response.member_id.to_string();
        }
        Ok(response)
    }

    /// Joins, with the second step that a member without an id has to take.
    pub(super) fn join(&mut self) -> Result<JoinGroupResponse> {
        let watch = Stopwatch::start();
        loop {
            self.ask()?;
            let response = self.answer()?;
            // Coordinator not available, loading or elsewhere; member id forgotten meanwhile, or required.
            if !matches!(response.error_code, 14..=16 | 25 | 79) || watch.elapsed() > PATIENCE {
                return Ok(response);
            }
            if response.error_code == 25 {
                self.member.clear();
            }
            pause(Duration::from_millis(20));
        }
    }

    /// Asks for a member id, so that the join that follows waits in the group.
    fn introduce(&mut self) -> Result<()> {
        self.ask()?;
        same("error of a join without a member id", self.answer()?.error_code, 79)
    }

    fn sync(&mut self, plan: &[(&str, &'static str)]) -> Result<(i16, Bytes)> {
        let assignments = plan.iter().map(|(member, work)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::from_static(work.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(text(&self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member))
            .with_group_instance_id(self.instance.as_deref().map(text))
            .with_assignments(assignments.collect());
        let response = self.raw.call(3, &request)?;
        Ok((response.error_code, response.assignment))
    }

    pub(super) fn heartbeat(&mut self) -> Result<i16> {
        let request = HeartbeatRequest::default()
            .with_group_id(text(&self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member))
            .with_group_instance_id(self.instance.as_deref().map(text));
        Ok(self.raw.call(3, &request)?.error_code)
    }

    fn commit(&mut self, topic: &str, offset: i64) -> Result<i16> {
        let group = self.group.clone();
        commit(&mut self.raw, &group, (&self.member, self.generation), topic, offset, "")
    }

    fn leave(&mut self) -> Result<(i16, Option<i16>)> {
        let me = MemberIdentity::default().with_member_id(text(&self.member));
        let request = LeaveGroupRequest::default().with_group_id(text(&self.group).into()).with_members(vec![me]);
        let response = self.raw.call(3, &request)?;
        Ok((response.error_code, response.members.first().map(|member| member.error_code)))
    }
}

/// Commits an offset of partition 0 as this member of this generation.
pub(super) fn commit(
    raw: &mut Raw,
    group: &str,
    who: (&str, i32),
    topic: &str,
    offset: i64,
    metadata: &str,
) -> Result<i16> {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text(metadata)));
    let wanted = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_member_id(text(who.0))
        .with_generation_id_or_member_epoch(who.1)
        .with_topics(vec![wanted]);
    if !group.is_empty() {
        raw.find_coordinator(0, group)?;
    }
    let watch = Stopwatch::start();
    loop {
        let response = raw.call(7, &request)?;
        let topic = response.topics.first().context("no topic in the answer")?;
        let code = topic.partitions.first().context("no partition in the answer")?.error_code;
        if !matches!(code, 14..=16) || watch.elapsed() > PATIENCE {
            return Ok(code);
        }
        pause(Duration::from_millis(20));
    }
}

/// A member without an id is given one, joins with it, plans as the leader and gets its part.
pub(super) fn a_leader_plans(target: &dyn Target) -> Result<()> {
    let mut pupil = Pupil::new(target, &fresh("group"))?;
    let joined = pupil.join()?;
    same("error", joined.error_code, 0)?;
    same("leader", joined.leader.as_str(), pupil.member.as_str())?;
    same("protocol", joined.protocol_name.as_ref().map(|name| name.as_str()), Some("plan"))?;
    same("members", joined.members.len(), 1)?;
    same("metadata", &joined.members[0].metadata[..], b"what I can")?;
    same("generation", joined.generation_id, 1)?;
    let me = pupil.member.clone();
    same("part", pupil.sync(&[(&me, "everything")])?, (0, Bytes::from_static(b"everything")))?;
    same("heartbeat", pupil.heartbeat()?, 0)?;
    same("part again", pupil.sync(&[])?, (0, Bytes::from_static(b"everything")))?;
    same("left", pupil.leave()?, (0, Some(0)))?;
    same("heartbeat of one who left", pupil.heartbeat()?, 25)
}

/// A second member makes the first join again; the plan of the leader reaches both.
pub(super) fn a_rebalance_goes_step_by_step(target: &dyn Target) -> Result<()> {
    let group = fresh("group");
    let (mut first, mut second) = (Pupil::new(target, &group)?, Pupil::new(target, &group)?);
    first.join()?;
    let me = first.member.clone();
    same("part", first.sync(&[(&me, "everything")])?.0, 0)?;
    second.introduce()?;
    second.ask()?;
    super::clock::until("the first hears of the rebalance", || Ok(first.heartbeat()? == 27))?;
    // Who takes part in the rebalance may still commit what it did.
    let topic = topic(target, 1, &[])?;
    same("commit in a rebalance", first.commit(&topic, 1)?, 0)?;
    first.ask()?;
    let (joined, follower) = (first.answer()?, second.answer()?);
    same("errors", (joined.error_code, follower.error_code), (0, 0))?;
    same("generation", (joined.generation_id, follower.generation_id), (2, 2))?;
    same("leader", (joined.leader.as_str(), follower.leader.as_str()), (me.as_str(), me.as_str()))?;
    same("what each sees", (joined.members.len(), follower.members.len()), (2, 0))?;
    let other = second.member.clone();
    let follower = std::thread::spawn(move || second.sync(&[]).map(|part| (second, part)));
    same("part of the leader", first.sync(&[(&me, "one"), (&other, "two")])?, (0, Bytes::from_static(b"one")))?;
    let (mut second, part) = follower.join().map_err(|_| anyhow::anyhow!("the follower stopped"))??;
    same("part of the follower", part, (0, Bytes::from_static(b"two")))?;
    same("heartbeats", (first.heartbeat()?, second.heartbeat()?), (0, 0))
}

/// Joins that cannot be are refused.
pub(super) fn refuses_joins_that_cannot_be(target: &dyn Target) -> Result<()> {
    let mut pupil = Pupil::new(target, &fresh("group"))?;
    let request = pupil.request();
    let mut code = |request: JoinGroupRequest| Ok::<_, anyhow::Error>(pupil.raw.call(JOIN, &request)?.error_code);
    super::clock::until("the coordinator works", || Ok(!matches!(code(request.clone())?, 14..=16)))?;
    same("a session too short", code(request.clone().with_session_timeout_ms(100))?, 26)?;
    same("a session too long", code(request.clone().with_session_timeout_ms(100_000_000))?, 26)?;
    same("no group", code(request.clone().with_group_id(text("").into()))?, 24)?;
    same("an unknown member", code(request.clone().with_member_id(text("nobody")))?, 25)?;
    same("no protocol", code(request.with_protocols(Vec::new()))?, 23)
}

/// Members must have a protocol in common.
pub(super) fn refuses_members_with_nothing_in_common(target: &dyn Target) -> Result<()> {
    let group = fresh("group");
    let (mut first, mut second) = (Pupil::new(target, &group)?, Pupil::new(target, &group)?);
    same("first", first.join()?.error_code, 0)?;
    second.protocol = "another plan";
    same("second", second.join()?.error_code, 23)
}

/// Only members of the current generation are heard.
pub(super) fn refuses_a_stale_generation(target: &dyn Target) -> Result<()> {
    let topic = topic(target, 1, &[])?;
    let mut pupil = Pupil::new(target, &fresh("group"))?;
    pupil.join()?;
    let me = pupil.member.clone();
    pupil.sync(&[(&me, "everything")])?;
    same("commit", pupil.commit(&topic, 5)?, 0)?;
    pupil.generation -= 1;
    same("heartbeat", pupil.heartbeat()?, 22)?;
    same("commit", pupil.commit(&topic, 6)?, 22)?;
    same("sync", pupil.sync(&[])?.0, 22)?;
    pupil.generation += 1;
    pupil.member = "nobody".to_owned();
    same("heartbeat of nobody", pupil.heartbeat()?, 25)?;
    same("commit of nobody", pupil.commit(&topic, 7)?, 25)?;
    pupil.member.clear();
    pupil.generation = -1;
    same("commit of an outsider", pupil.commit(&topic, 8)?, 25)?;
    pupil.member = me;
    same("leave", pupil.leave()?, (0, Some(0)))?;
    pupil.member.clear();
    same("commit while nobody is there", pupil.commit(&topic, 9)?, 0)
}

/// A second member of the same fixed name shuts the first out.
pub(super) fn a_static_member_is_replaced_by_its_namesake(target: &dyn Target) -> Result<()> {
    let group = fresh("group");
    let (mut first, mut second) = (Pupil::new(target, &group)?, Pupil::new(target, &group)?);
    first.instance = Some("ward-7".to_owned());
    second.instance = Some("ward-7".to_owned());
    same("first", first.join()?.error_code, 0)?;
    let me = first.member.clone();
    same("part", first.sync(&[(&me, "everything")])?.0, 0)?;
    let joined = second.join()?;
    same("second", joined.error_code, 0)?;
    ensure!(second.member != first.member, "the same member id");
    same("generation", joined.generation_id, first.generation)?;
    same("heartbeat of the first", first.heartbeat()?, 82)?;
    same("heartbeat of the second", second.heartbeat()?, 0)?;
    same("part", second.sync(&[])?, (0, Bytes::from_static(b"everything")))
}

/// A member that falls silent is removed, and its generation with it.
pub(super) fn a_silent_member_is_removed(target: &dyn Target) -> Result<()> {
    let mut pupil = Pupil::new(target, &fresh("group"))?;
    pupil.join()?;
    let me = pupil.member.clone();
    pupil.sync(&[(&me, "everything")])?;
    let mut other = Pupil::new(target, &pupil.group)?;
    let watch = Stopwatch::start();
    // The session of the first is 10 s; it never hears of the second.
    let joined = other.join()?;
    same("joined", joined.error_code, 0)?;
    same("members", joined.members.len(), 1)?;
    ensure!(watch.elapsed() > Duration::from_secs(5), "removed after {} ms", watch.elapsed_ms());
    same("heartbeat of the silent", pupil.heartbeat()?, 25)
}

/// The broker names itself as the coordinator of every group and transaction.
pub(super) fn finds_the_coordinator(target: &dyn Target) -> Result<()> {
    let mut raw = Raw::connect(target)?;
    for key_type in [0, 1] {
        let key = text(&fresh("key"));
        let request = FindCoordinatorRequest::default().with_key(key.clone()).with_key_type(key_type);
        super::clock::until("the coordinator is found", || Ok(raw.call(2, &request)?.error_code == 0))?;
        let response = raw.call(2, &request)?;
        same("address", format!("{}:{}", response.host.as_str(), response.port), target.bootstrap())?;
        let request = FindCoordinatorRequest::default()
            .with_key_type(key_type)
            .with_coordinator_keys(vec![key.clone(), text("b")]);
        let response = raw.call(4, &request)?;
        same("coordinators", response.coordinators.len(), 2)?;
        for coordinator in response.coordinators {
            same("error", coordinator.error_code, 0)?;
            same("address", format!("{}:{}", coordinator.host.as_str(), coordinator.port), target.bootstrap())?;
        }
    }
    let request = FindCoordinatorRequest::default().with_key(text("x")).with_key_type(9);
    same("a type that does not exist", raw.call(2, &request)?.error_code, 42)
}

//! Who is a member of which group, and the heartbeats that go on by themselves.

use super::{group_id, text};
use crate::simulation::world::{Pid, World};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, RequestKind, ResponseKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Pause between heartbeats.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(1_200);

/// Proof of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub group: String,
    pub member: String,
    pub generation: i32,
}

/// What the background of the clients keeps: who is a member of what.
#[derive(Debug, Default)]
pub(crate) struct Members(pub(super) BTreeMap<u64, Membership>);

/// One member.
#[derive(Debug)]
pub(super) struct Membership {
    pub pid: Pid,
    pub proof: Proof,
    pub due: Duration,
    /// The group is being rebalanced, or the member was thrown out.
    pub verdict: Option<ResponseError>,
}

impl Members {
    pub fn process_died(&mut self, pid: Pid) {
        self.0.retain(|_, member| member.pid != pid);
    }

    pub fn next_heartbeat(&self) -> Option<Duration> {
        self.0.values().map(|member| member.due).min()
    }
}

/// Sends the heartbeats that are due.
pub(crate) fn beat(world: &World) {
    let now = world.now();
    let due: Vec<(u64, Pid, Proof)> = {
        let mut members = world.members.borrow_mut();
        let due = members.0.iter_mut().filter(|(_, member)| member.due <= now);
        due.map(|(number, member)| {
            member.due = now + HEARTBEAT;
            (*number, member.pid, member.proof.clone())
        })
        .collect()
    };
    for (number, pid, proof) in due {
        if world.is_frozen(pid) {
            continue;
        }
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&proof.group))
            .with_generation_id(proof.generation)
            .with_member_id(text(&proof.member));
        let answer = {
            let mut broker = world.broker.borrow_mut();
            let asked = broker.ask(RequestKind::Heartbeat(request), 4, now);
            asked.and_then(|id| broker.answer(id))
        };
        let Some(ResponseKind::Heartbeat(answer)) = answer else { continue };
        if let Some(member) = world.members.borrow_mut().0.get_mut(&number) {
            member.verdict = member.verdict.or(ResponseError::try_from_code(answer.error_code));
        }
    }
}
